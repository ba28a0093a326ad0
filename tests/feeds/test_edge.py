"""The table of the edge: the answer given, the error raised."""

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.edge import (
    ANSWER_BYTES_MAX,
    ATTEMPTS_MAX,
    RETRY_AFTER_S_MAX,
    WAIT_HERE_S_MAX,
    Answer,
    Edge,
    retry_after_s,
)
from shared.errors import (
    BrokerUnavailable,
    FacetError,
    SupplierBusy,
    SupplierRefused,
    SupplierUnavailable,
    Throttled,
)
from shared.feeds.base import SupplierSettings
from shared.limits import RETRIES_KEPT
from tests.feeds.canned import Canned, Script
from tests.feeds.conftest import URL, MakeEdge

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HTML = b"<html><body>Access Denied</body></html>"
JSON = {"Content-Type": "application/json; charset=utf-8"}
GZIP = {"Content-Encoding": "gzip"}


def ask(edge: Edge, *, url: str = URL, read: Callable[[Answer], object] | None = None) -> object:
    return edge.post(url, content=b"{}", headers={}, read=read or (lambda answer: answer))


def limited(retry_after: str | None = None) -> Canned:
    return Canned(429, headers={} if retry_after is None else {"Retry-After": retry_after})


ONCE, ALL = 1, ATTEMPTS_MAX
TOO_MUCH = ANSWER_BYTES_MAX + 1


@pytest.mark.parametrize(
    ("given_answer", "error", "says", "requests"),
    [
        (httpx.ConnectError("refused"), SupplierUnavailable, URL, ALL),
        (httpx.ConnectTimeout("slow"), SupplierUnavailable, "within 5 s: ConnectTimeout", ALL),
        (httpx.ReadTimeout("slow"), SupplierUnavailable, "within 5 s: ReadTimeout", ALL),
        (httpx.ReadError(""), SupplierUnavailable, "ReadError", ALL),
        (httpx.RemoteProtocolError("cut off"), SupplierUnavailable, "cut off", ALL),
        (Canned(500), SupplierUnavailable, "answered 500", ALL),
        (Canned(502, HTML), SupplierUnavailable, "answered 502", ALL),
        (Canned(503), SupplierUnavailable, "answered 503", ALL),
        (Canned(408), SupplierUnavailable, "answered 408", ALL),
        (limited(), Throttled, "answered 429", ALL),
        (limited("0"), Throttled, "answered 429", ALL),
        (limited("-7"), Throttled, "answered 429", ALL),
        (limited("soon"), Throttled, "answered 429", ALL),
        (limited("2"), Throttled, "answered 429", ALL),
        (limited("60"), Throttled, "answered 429", ONCE),
        (limited("99999999999"), Throttled, "answered 429", ONCE),
        (Canned(403, HTML), Throttled, "answered 403, as a firewall", ONCE),
        (Canned(403), Throttled, "answered 403, as a firewall", ONCE),
        (Canned(200, b"cut", GZIP), SupplierUnavailable, "cannot be unpacked", ALL),
        (Canned(200, b" " * TOO_MUCH), SupplierRefused, "over 67,108,864 bytes", ONCE),
        (Canned(200, gzip.compress(b" " * TOO_MUCH), GZIP), SupplierRefused, "over 67,", ONCE),
    ],
)
def test_every_failure_has_its_name(
    make_edge: MakeEdge,
    given_answer: Canned | Exception,
    error: type[FacetError],
    says: str,
    requests: int,
) -> None:
    supplier = Script(given_answer)
    edge = make_edge(supplier)
    with pytest.raises(FacetError, match=says) as raised:
        ask(edge)
    assert type(raised.value) is error
    assert len(supplier.requests) == requests == edge.requests()
    assert edge.limiter.used().total == requests


@pytest.mark.parametrize(
    "answer",
    [
        Canned(200, b'{"data": {}}', JSON),
        Canned(200, gzip.compress(b"{}"), GZIP),
        Canned(400, b'{"errors": []}', JSON),
        Canned(401, b"no"),
        Canned(403, b'{"errors": []}', JSON),
        Canned(404, HTML),
        Canned(302, headers={"Location": "https://elsewhere.example"}),
    ],
)
def test_other_answers_are_the_callers_to_judge(make_edge: MakeEdge, answer: Canned) -> None:
    supplier = Script(answer)
    body = gzip.decompress(answer.body) if answer.headers == GZIP else answer.body
    assert ask(make_edge(supplier)) == Answer(answer.status, body)
    assert len(supplier.requests) == 1


@pytest.mark.parametrize("bad", ["", "nowhere", "ftp://host/", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(make_edge: MakeEdge, bad: str) -> None:
    with pytest.raises(SupplierRefused, match="address"):
        ask(make_edge(None), url=bad)


def test_what_an_address_hides_stays_hidden(make_edge: MakeEdge) -> None:
    url = "https://user:secret@supplier.example/feed?key=hidden#there"
    for answer in (Canned(500), httpx.ConnectError("refused"), limited("60")):
        with pytest.raises(FacetError, match=r"https://supplier\.example/feed") as raised:
            ask(make_edge(Script(answer)), url=url)
        assert not any(word in str(raised.value) for word in ("secret", "hidden", "there"))


def test_a_passing_failure_is_not_noticed(make_edge: MakeEdge) -> None:
    supplier = Script(httpx.ConnectError("refused"), limited("1"), Canned(200, b"ok"))
    slept: list[float] = []
    edge = make_edge(supplier, sleep=slept.append)
    assert ask(edge) == Answer(200, b"ok")
    assert len(supplier.requests) == 3
    assert 0.2 <= slept[0] <= 0.4
    assert slept[1] >= 1  # what the supplier asked for


def test_what_the_reader_finds_unavailable_is_asked_again(make_edge: MakeEdge) -> None:
    supplier = Script(Canned(200, b"half"), Canned(200, b"whole"))

    def read(answer: Answer) -> bytes:
        if answer.body == b"half":
            raise SupplierUnavailable("half an answer")
        return answer.body

    assert ask(make_edge(supplier), read=read) == b"whole"


def test_what_the_reader_refuses_is_not_asked_again(make_edge: MakeEdge) -> None:
    supplier = Script(Canned(200))

    def read(_: Answer) -> None:
        raise SupplierRefused("nonsense")

    with pytest.raises(SupplierRefused, match="nonsense"):
        ask(make_edge(supplier), read=read)
    assert len(supplier.requests) == 1


def test_an_outage_opens_the_breaker_and_ends_the_requests(make_edge: MakeEdge) -> None:
    supplier = Script(Canned(503))
    edge = make_edge(supplier, failures_max=5)
    errors = []
    for _ in range(10):
        with pytest.raises((SupplierUnavailable, SupplierBusy)) as raised:
            ask(edge)
        errors.append(type(raised.value))
    assert errors == [SupplierUnavailable, *[SupplierBusy] * 9]
    assert len(supplier.requests) == 5
    assert edge.limiter.used().total == 5  # a call that is not made takes no slot


def test_an_outage_costs_no_more_retries_than_there_are(make_edge: MakeEdge) -> None:
    """Every answer fails, and the breaker never opens: what is left is the budget."""
    supplier = Script(Canned(503))
    edge = make_edge(supplier)
    for _ in range(60):
        with pytest.raises(SupplierUnavailable):
            ask(edge)
    assert len(supplier.requests) == 60 + RETRIES_KEPT


def test_a_supplier_that_fails_now_and_then_gets_its_share_of_retries(make_edge: MakeEdge) -> None:
    script = [Canned(503) if n % 2 else Canned(200) for n in range(400)]
    supplier = Script(*script)
    edge, first = make_edge(supplier), 0
    while len(supplier.requests) < 300:
        first += 1
        with contextlib.suppress(SupplierUnavailable):
            ask(edge)
    assert first < len(supplier.requests) <= 1.2 * first + RETRIES_KEPT + ATTEMPTS_MAX


def test_a_throttled_edge_slows_its_account(make_edge: MakeEdge) -> None:
    edge = make_edge(Script(limited("60")), rate_per_s=50)
    with pytest.raises(Throttled):
        ask(edge)
    used = edge.limiter.used()
    assert used.rate_per_s == pytest.approx(25, rel=0.1)
    assert used.in_flight == 0


def test_an_edge_apart_counts_its_own_requests(make_edge: MakeEdge) -> None:
    edge = make_edge(Script(Canned(200)))
    ask(edge)
    apart = edge.apart()
    ask(apart)
    ask(apart)
    assert (edge.requests(), apart.requests(), edge.limiter.used().total) == (1, 2, 3)


def test_a_limit_used_up_sends_nothing(make_edge: MakeEdge) -> None:
    supplier = Script(Canned(200))
    edge = make_edge(supplier, rate_per_s=0.001)
    ask(edge)
    with pytest.raises(SupplierBusy, match="is used up") as raised:
        ask(edge)
    assert raised.value.retry_after_s is not None
    assert raised.value.retry_after_s > 900
    assert len(supplier.requests) == 1


def test_without_redis_nothing_is_sent(supplier: SupplierSettings, nobody: "redis.Redis") -> None:
    script = Script(Canned(200))
    edge = Edge.for_account(supplier, nobody, transport=httpx.MockTransport(script))
    with pytest.raises(BrokerUnavailable):
        ask(edge)
    edge.close()
    assert script.requests == []


class Dripping(httpx.SyncByteStream):
    """A body that comes byte by byte, each in good time, for ever."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        pause = threading.Event()
        while True:
            pause.wait(0.02)
            yield b" "

    def close(self) -> None:
        self.closed = True


def test_a_body_that_never_ends_is_cut_off(make_edge: MakeEdge) -> None:
    bodies = [Dripping() for _ in range(ATTEMPTS_MAX)]
    supplier = Script(*(httpx.Response(200, stream=body) for body in bodies))
    with pytest.raises(SupplierUnavailable, match=r"no whole answer within 0\.1 s"):
        ask(make_edge(supplier, timeout_s=0.1))
    assert all(body.closed for body in bodies)


@contextmanager
def raw_supplier(answer: bytes | None) -> Iterator[str]:
    """A server that reads a request, writes `answer` and hangs up; None: it never answers."""
    done = threading.Event()

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                if answer is None:
                    done.wait(30)
                else:
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/diamonds"
        finally:
            done.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "no answer within 0.2 s"),
        (b"", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "cannot be reached"),
        (b"\x16\x03\x01 what", "cannot be reached"),
    ],
    ids=["hang", "hang up", "cut off", "bad chunk", "no http"],
)
def test_a_broken_connection_is_unavailable(
    make_edge: MakeEdge, answer: bytes | None, says: str
) -> None:
    with raw_supplier(answer) as url, pytest.raises(SupplierUnavailable, match=says) as raised:
        ask(make_edge(None, timeout_s=0.2), url=url)
    assert url in str(raised.value)
    assert isinstance(raised.value.__cause__, httpx.TransportError)


def test_nobody_listening_is_unavailable(make_edge: MakeEdge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    with pytest.raises(SupplierUnavailable, match=url):
        ask(make_edge(None), url=url)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with raw_supplier(whole) as url:
        assert ask(make_edge(None), url=url) == Answer(200, b"ok")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("0", 0),
        (" 7 ", 7),
        ("+7", 7),
        ("1.5", 1.5),
        ("-5", 0),
        ("3600", RETRY_AFTER_S_MAX),
        ("3601", RETRY_AFTER_S_MAX),
        ("9" * 400, RETRY_AFTER_S_MAX),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=90), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=90), usegmt=True), RETRY_AFTER_S_MAX),
        ("Sat, 21 Nov 2026 12:00:30 -0000", 30),
        ("Sat, 32 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_obeyed_within_reason(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


@settings(deadline=None)
@given(st.text())
def test_retry_after_never_surprises(header: str) -> None:
    seconds = retry_after_s(header, NOW)
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_S_MAX


def test_a_date_is_read_by_the_clock_that_wrote_it(make_edge: MakeEdge) -> None:
    """The supplier's clock is years behind; it still asks for a minute."""
    theirs = datetime(2020, 1, 1, tzinfo=UTC)
    headers = {
        "Date": format_datetime(theirs, usegmt=True),
        "Retry-After": format_datetime(theirs + timedelta(seconds=60), usegmt=True),
    }
    with pytest.raises(Throttled) as raised:
        ask(make_edge(Script(Canned(429, headers=headers))))
    assert raised.value.retry_after_s == 60 > WAIT_HERE_S_MAX
