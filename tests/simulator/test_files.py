"""The simulated suppliers of files: what they send, and each of their faults."""

import csv
import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from simulator.files import IDEX, NIVODA
from simulator.stock import Stock
from tests.simulator.faulty import Faulty

KEYS = {"api_key": "facet", "api_secret": "facet"}
FORMATS = {"fullfeed": "format_20220525_basis", "labgrownfullfile": "format_lg_20221130"}


def ask(site: Faulty, which: str = "fullfeed", **wanted: Any) -> httpx.Response:
    parameters = {"file_format": "csv", "data_format": FORMATS[which]}
    body = {"authentication_details": KEYS, "parameters": parameters} | wanted
    content = {name: value for name, value in body.items() if value is not None}
    (answer,) = site.send([{"method": "POST", "url": f"{IDEX}/{which}", "json": content}])
    assert isinstance(answer, httpx.Response)
    return answer


def unzipped(answer: httpx.Response) -> list[list[str]]:
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = archive.namelist()
        return list(csv.reader(io.StringIO(archive.read(name).decode())))


def advance(site: Faulty, ticks: int = 1) -> None:
    site.send([{"method": "POST", "url": "/control/advance", "json": {"ticks": ticks}}])


def test_a_zip_holds_every_stone_that_can_be_bought() -> None:
    site = Faulty()
    for which, labgrown, width in (("fullfeed", False, 36), ("labgrownfullfile", True, 54)):
        header, *rows = unzipped(ask(site, which))
        assert len(header) == width
        assert {len(row) for row in rows} == {width}
        there = list(site.client.stock.items(labgrown))
        sold = [item for item in there if item["diamond"]["availability"] != "AVAILABLE"]
        assert len(rows) == len(there) - len(sold) > 200
        assert len({row[0] for row in rows}) == len(rows)


def test_the_same_bytes_come_until_there_is_a_new_file() -> None:
    site = Faulty(size=60)
    natural, grown = ask(site).content, ask(site, "labgrownfullfile").content
    advance(site)
    assert ask(site).content == natural
    assert ask(site, "labgrownfullfile").content != grown
    advance(site)
    assert ask(site).content != natural


def test_a_file_is_of_the_moment_it_was_made_also_for_who_asks_late() -> None:
    early, late = Faulty(stock=Stock(60, 60, seed=4)), Faulty(stock=Stock(60, 60, seed=4))
    advance(early, 2)
    advance(late, 3)
    assert ask(early).content == ask(late).content


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"authentication_details": None}, 2001),
        ({"parameters": None}, 2002),
        ({"authentication_details": {"api_key": "facet"}}, 3112),
        ({"authentication_details": KEYS | {"api_secret": "guess"}}, 32110),
        ({"parameters": {"data_format": "format_of_1999"}}, 32111),
    ],
    ids=str,
)
def test_a_request_that_is_not_as_it_must_be_is_refused(wanted: dict[str, Any], code: int) -> None:
    answer = ask(Faulty(size=20), **wanted)
    assert answer.status_code == 500
    assert answer.json()["result_info"]["response_code"] == code


def test_nivodas_file_is_behind_a_secret() -> None:
    site = Faulty(size=60)
    found = []
    for secret in (site.site.files.secret("natural"), site.site.files.secret("labgrown"), "guess"):
        (answer,) = site.send([{"method": "GET", "url": f"{NIVODA}/{secret}"}])
        assert isinstance(answer, httpx.Response)
        found.append(answer)
    assert [answer.status_code for answer in found] == [200, 200, 404]
    header, *rows = csv.reader(io.StringIO(found[0].text))
    assert "deliveredPrice" in header
    assert len(rows) > 40


def test_faults_of_a_whole_file() -> None:
    site = Faulty(size=60)
    whole = unzipped(ask(site))

    site.switch({"empty-200": {}})
    assert ask(site).content == b"[]"
    site.switch({"empty-200": None, "json-error": {"status": 200, "code": 7}})
    assert ask(site).json()["result_info"]["response_code"] == 7
    site.switch({"json-error": None, "header": {}})
    assert unzipped(ask(site)) == whole[1:]
    site.switch({"header": None, "short-file": {"share": 0.5}})
    assert unzipped(ask(site)) == whole[: 1 + (len(whole) - 1) // 2]
    site.switch({"short-file": None, "layout": {"how": "removed", "column": "Carat"}})
    assert [row[:2] + row[3:] for row in whole] == unzipped(ask(site))
    site.switch({"layout": {"how": "added"}})
    assert [row[:-1] for row in unzipped(ask(site))] == whole
    site.switch({"layout": None, "two-files": {}})
    with zipfile.ZipFile(io.BytesIO(ask(site).content)) as archive:
        assert len(archive.namelist()) == 2
    site.switch({"two-files": None, "truncated": {"share": 0.5}})
    with pytest.raises(zipfile.BadZipFile):
        unzipped_bytes(ask(site).content)
    site.switch({"truncated": None, "stale": {}})
    advance(site, 2)
    assert unzipped(ask(site)) == whole
    assert set(site.shown()) == {
        *("empty-200", "json-error", "header", "short-file", "layout", "two-files"),
        *("truncated", "stale"),
    }


def unzipped_bytes(content: bytes) -> None:
    zipfile.ZipFile(io.BytesIO(content)).close()


def test_faults_of_rows() -> None:
    site = Faulty(size=60)
    header, *whole = unzipped(ask(site))
    total = header.index("Total Price")

    site.switch({"no-prices": {}})
    assert {row[total] for row in unzipped(ask(site))[1:]} == {""}
    site.switch({"no-prices": None, "wrong-kind": {"probability": 0.3}})
    grown = [row for row in unzipped(ask(site))[1:] if "LG600100200" in row]
    assert 0 < len(grown) < len(whole)
    site.switch({"wrong-kind": None, "ragged": {"probability": 0.3}})
    widths = [len(row) for row in unzipped(ask(site))[1:]]
    assert set(widths) == {33, 36}
    site.switch({"ragged": None, "encoding": {}})
    with pytest.raises(UnicodeDecodeError):
        unzipped(ask(site))


def test_every_request_for_a_file_is_in_the_log_without_its_secrets() -> None:
    site = Faulty(size=20)
    ask(site)
    site.switch({"server-error": {}})
    assert ask(site).status_code == 503
    first, second = site.logged()[-2:]
    assert (first["kind"], first["status"], first["items"] > 0) == ("file", 200, True)
    assert (second["kind"], second["faults"]) == ("file", ["server-error"])
    assert json.dumps(KEYS) not in site.lines.getvalue()
