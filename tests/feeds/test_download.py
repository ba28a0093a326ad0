"""A file through the edge: to disk, from its start at each attempt, and under a name of ours."""

import io
from typing import Any

import httpx
import pytest

from shared import edge as edges
from shared.edge import Answer, Edge
from shared.errors import Stopped, SupplierRefused, Transient
from tests.feeds.canned import Canned, Script
from tests.feeds.conftest import MakeEdge

SECRET = "https://supplier.example/files/very-secret?key=secret-too"
JSON = {"Content-Type": "application/json"}


def download(edge: Edge, into: io.BytesIO, **wanted: Any) -> Answer:
    values: dict[str, Any] = {
        "shown": "the file", "headers": {}, "read": lambda answer: answer, "alive": lambda: None,
    }  # fmt: skip
    found: Answer = edge.download("GET", SECRET, into=into, **values | wanted)
    return found


def test_a_file_goes_to_disk_and_only_its_head_to_the_reader(make_edge: MakeEdge) -> None:
    body = bytes(range(256)) * 1_000
    file = io.BytesIO()
    answer = download(make_edge(Script(Canned(200, body))), file)
    assert file.getvalue() == body
    assert answer == Answer(200, body[: edges.HEAD_BYTES])


def test_another_attempt_begins_the_file_anew(make_edge: MakeEdge) -> None:
    class HalfOfIt(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            yield b"half of a very long file"
            raise httpx.ReadError("gone")

    script = Script(httpx.Response(200, stream=HalfOfIt()), Canned(200, b"whole"))
    file = io.BytesIO()
    download(make_edge(script), file)
    assert file.getvalue() == b"whole"
    assert len(script.requests) == 2


def test_an_error_in_json_reaches_the_reader_and_not_the_disk(make_edge: MakeEdge) -> None:
    file = io.BytesIO()
    answer = download(make_edge(Script(Canned(500, b'{"code": 7}', JSON))), file)
    assert answer == Answer(500, b'{"code": 7}')
    assert file.getvalue() == b""


@pytest.mark.parametrize(
    "answer",
    [Canned(503), Canned(429, b"", JSON), Canned(403, b"<html>"), httpx.ReadTimeout("late")],
    ids=lambda one: str(getattr(one, "status", "late")),
)
def test_no_error_shows_the_address(make_edge: MakeEdge, answer: Canned | Exception) -> None:
    with pytest.raises(Transient) as raised:
        download(make_edge(Script(answer)), io.BytesIO())
    assert str(raised.value).startswith("the file ")
    assert "secret" not in str(raised.value)


def test_what_alive_raises_ends_the_download(make_edge: MakeEdge) -> None:
    def stop() -> None:
        raise Stopped("asked to stop")

    script = Script(Canned(200, b"a file"))
    with pytest.raises(Stopped):
        download(make_edge(script), io.BytesIO(), alive=stop)
    assert len(script.requests) == 1


def test_a_file_that_would_fill_the_disk_is_refused(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "FILE_BYTES_MAX", 10)
    with pytest.raises(SupplierRefused, match="the file answered over 10 bytes"):
        download(make_edge(Script(Canned(200, b"eleven bytes"))), io.BytesIO())
