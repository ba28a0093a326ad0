"""Switches of HTTP, of the connection and of tokens."""

import json
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from simulator.switches import RETRY_AFTER, WORDINGS
from tests.simulator.asking import COUNT, LOGIN, PAGE, PASSWORD, USERNAME
from tests.simulator.faulty import Faulty

AS_COUNT = "query As($token: String) { as(token: $token) { diamonds_by_query_count } }"


@pytest.mark.parametrize("html", [True, False])
def test_a_server_error_comes_in_place_of_an_answer(html: bool) -> None:
    faulty = Faulty({"server-error": {"status": 502, "html": html}})
    answer = faulty.ask(PAGE)
    assert answer.status_code == 502
    if html:
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.text.startswith("<!DOCTYPE html>")
    else:
        assert answer.json()["errors"][0]["message"] == "Bad Gateway"
    (line,) = faulty.logged()
    assert (line["status"], line["kind"], line["faults"]) == (502, "page", ["server-error"])
    assert line["items"] is None


def test_a_firewall_answers_html() -> None:
    answer = Faulty({"waf": {}}).ask(COUNT)
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize(("switch", "status"), [("waf", 403), ("throttle", 429)])
def test_a_rate_is_what_came_within_one_second(switch: str, status: int) -> None:
    faulty = Faulty({switch: {"per_s": 2}})
    found = []
    for moment in (0.0, 0.3, 0.6, 0.9, 2.0, 2.5, 3.0, 3.1):
        faulty.now = moment
        found.append(faulty.ask(COUNT).status_code)
    # At 3.0 the one of 2.0 is over; those refused count like any other.
    assert found == [200, 200, status, status, 200, 200, 200, status]
    assert faulty.shown() == {switch: 3}


def test_a_firewall_sees_two_crawls_at_once() -> None:
    faulty = Faulty({"waf": {"crawls": True, "crawl_s": 5}})
    found = []
    for moment, labgrown in ((0, True), (1, True), (2, False), (3, True), (9, True)):
        faulty.now = float(moment)
        found.append(faulty.ask(PAGE, {"q": {"labgrown": labgrown}}).status_code)
    assert found == [200, 200, 403, 403, 200]
    faulty.now = 9.5
    assert faulty.ask(COUNT, {"q": {"labgrown": False}}).status_code == 200  # no crawl


def retry_after(form: str) -> str | None:
    answer = Faulty({"throttle": {"retry_after": form, "seconds": 90}}).ask(PAGE)
    assert answer.status_code == 429
    found = answer.headers.get("Retry-After")
    assert found is None or isinstance(found, str)
    return found


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("absent", None),
        ("zero", "0"),
        ("negative", "-30"),
        ("seconds", "90"),
        ("absurd", "1000000000000"),
        ("garbage", "soon"),
    ],
)
def test_throttling_says_when_to_come_back(form: str, wanted: str | None) -> None:
    assert retry_after(form) == wanted


@pytest.mark.parametrize(("form", "seconds"), [("date", 90), ("past", -3_600)])
def test_throttling_can_say_it_as_a_date(form: str, seconds: int) -> None:
    date = retry_after(form)
    assert date is not None
    assert date.endswith(" GMT")
    away_s = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    assert seconds - 60 < away_s <= seconds


def test_throttling_takes_every_form_in_turn() -> None:
    faulty = Faulty({"throttle": {}})
    found = {faulty.ask(COUNT).headers.get("Retry-After") for _ in range(80)}
    assert len(found) >= len(RETRY_AFTER)
    assert {None, "0", "-30", "soon"} <= found


def test_a_slow_answer_waits_and_is_the_same() -> None:
    faulty = Faulty({"slow": {"ms": 30}})
    assert faulty.page() == Faulty().page()
    assert faulty.logged()[0]["duration_ms"] >= 30


def test_a_cut_answer_is_no_json() -> None:
    whole = Faulty().ask(PAGE).content
    answer = Faulty({"truncated": {"share": 0.7}}).ask(PAGE)
    assert answer.status_code == 200
    assert answer.content == whole[: int(len(whole) * 0.7)]
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("options", [{}, {"halfway": True}])
def test_a_reset_leaves_no_answer(options: dict[str, Any]) -> None:
    faulty = Faulty({"reset": options})
    (found,) = faulty.send([faulty.request(PAGE)])
    assert isinstance(found, ConnectionResetError)
    (line,) = faulty.logged()
    assert (line["status"], line["faults"]) == (None, ["reset"])


def test_a_hang_ends_with_its_connection() -> None:
    faulty = Faulty({"hang": {"seconds": 0.02}})
    (found,) = faulty.send([faulty.request(PAGE)])
    assert isinstance(found, ConnectionResetError)
    (line,) = faulty.logged()
    assert line["duration_ms"] >= 20
    assert (line["status"], line["faults"]) == (None, ["hang"])


def errors(answer: httpx.Response) -> dict[str, Any]:
    (error,) = answer.json()["errors"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("wording", WORDINGS)
def test_a_token_dies_for_good_and_a_new_one_lives(wording: str, status: int) -> None:
    faulty = Faulty({"token-expiry": {"wording": wording, "status": status, "times": 1}})
    old = faulty.client.token
    for _ in range(2):
        answer = faulty.ask(COUNT)
        assert answer.status_code == status
        assert errors(answer)["message"] == wording
        assert errors(answer)["extensions"]["code"] == "UNAUTHENTICATED"
        assert answer.json()["data"] is None
    login = faulty.ask(LOGIN, {"username": USERNAME, "password": PASSWORD}).json()
    faulty.client.token = login["data"]["authenticate"]["username_and_password"]["token"]
    assert faulty.count() == 300
    assert errors(faulty.ask(AS_COUNT, {"token": old}))["message"] == wording
    assert faulty.shown() == {"token-expiry": 1}


def test_an_expiry_can_come_without_its_code_and_by_the_wrapper() -> None:
    faulty = Faulty({"token-expiry": {"code": False}})
    error = errors(faulty.ask(AS_COUNT, {"token": faulty.client.token}))
    assert "extensions" not in error
    assert error["path"] == ["as"]


def test_expiries_take_every_form_in_turn() -> None:
    faulty = Faulty({"token-expiry": {}})
    found: Counter[tuple[str, int]] = Counter()
    for _ in range(80):
        session = faulty.client.supplier.door.login(USERNAME, PASSWORD)
        answer = faulty.ask(COUNT, token=session.token)
        found[errors(answer)["message"], answer.status_code] += 1
    assert len(found) == len(WORDINGS) * 2
    assert faulty.client.supplier.door.check(faulty.client.token) == USERNAME


def test_a_login_is_never_refused_for_a_dead_token() -> None:
    faulty = Faulty({"token-expiry": {}})
    assert "errors" not in faulty.ask(LOGIN, {"username": USERNAME, "password": PASSWORD}).json()


def test_one_thing_at_most_comes_in_place_of_an_answer() -> None:
    faulty = Faulty({name: {} for name in ("server-error", "throttle", "waf", "short-page")})
    assert faulty.ask(PAGE).status_code == 403
    assert faulty.shown() == {"waf": 1}
