"""The supplier over HTTP, in process: routes, log, state, and time that goes on."""

import asyncio
import io
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from starlette.types import Message

from simulator.answers import Note
from simulator.requestlog import RequestLog
from simulator.server import BODY_BYTES_MAX, ENDPOINT, Delays, Site
from simulator.stock import Stock
from tests.simulator.asking import COUNT, LOGIN, PAGE, PASSWORD, USERNAME, Client

QUERY = {"labgrown": True, "dollar_per_carat": {"from": 50, "to": 150}}


class Http:
    """A site and a client of it."""

    def __init__(self, *, delays: Delays | None = None) -> None:
        self.client = Client(Stock(200, 300, seed=1))
        self.lines = io.StringIO()
        self.log = RequestLog(self.lines)
        self.site = Site(self.client.supplier, self.log, delays or Delays(), {"start_seconds": 1})

    def send(self, *requests: Mapping[str, Any]) -> list[httpx.Response]:
        """Send requests at once, each the arguments of `httpx.request`."""

        async def all_of_them() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.site.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as http:
                return await asyncio.gather(*(http.request(**request) for request in requests))

        return asyncio.run(all_of_them())

    def post(self, query: str, variables: Mapping[str, Any] | None = None) -> httpx.Response:
        return self.send(self.request(query, variables))[0]

    def request(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return {
            "method": "POST",
            "url": ENDPOINT,
            "json": {"query": query, "variables": variables},
            "headers": {"Authorization": f"Bearer {self.client.token}"},
        }

    def get(self, url: str) -> httpx.Response:
        return self.send({"method": "GET", "url": url})[0]

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


def test_an_answer_is_json_whatever_its_status() -> None:
    http = Http()

    answers = [
        http.post(PAGE, {"q": QUERY, "limit": 3}),
        http.post("{ nope }"),
        http.post(PAGE, {"limit": 51}),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 200]
    assert all(a.headers["content-type"] == "application/json" for a in answers)
    assert len(answers[0].json()["data"]["diamonds_by_query"]["items"]) == 3
    assert "errors" in answers[1].json()
    assert "errors" in answers[2].json()


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", ENDPOINT, 405),
        ("GET", "/", 404),
        ("POST", "/control/state", 405),
        ("GET", "/control/advance", 405),
    ],
)
def test_routes_answer_their_own_methods_only(method: str, url: str, status: int) -> None:
    assert Http().send({"method": method, "url": url})[0].status_code == status


def test_a_body_beyond_all_measure_is_refused() -> None:
    http = Http()

    request = {"method": "POST", "url": ENDPOINT, "content": b" " * (BODY_BYTES_MAX + 1)}
    assert http.send(request)[0].status_code == 413
    assert http.logged()[0]["status"] == 413


def test_every_request_leaves_one_line_that_says_what_it_was() -> None:
    http = Http()
    http.post(LOGIN, {"username": USERNAME, "password": PASSWORD})
    http.post(PAGE, {"q": QUERY, "offset": 20, "limit": 10})
    http.post(COUNT, {"q": QUERY})
    http.post("{ nope }")
    http.post(PAGE, {"limit": 51})
    http.post("{ __typename }")

    login, page, count, wrong, refused, other = http.logged()
    assert [login["kind"], page["kind"], count["kind"]] == ["login", "page", "count"]
    assert [wrong["kind"], refused["kind"], other["kind"]] == ["other", "page", "other"]
    assert login["account"] == page["account"] == count["account"] == USERNAME
    assert (page["offset"], page["limit"], page["items"]) == (20, 10, 10)
    assert page["query"] == count["query"] == QUERY
    assert count["count"] == http.client.count(QUERY)
    assert count["items"] is None
    assert [wrong["status"], refused["status"]] == [400, 200]
    assert "nope" in wrong["error"]
    assert "51" in refused["error"]
    assert page["error"] is None

    lines = http.logged()
    assert [line["mono_ms"] for line in lines] == sorted(line["mono_ms"] for line in lines)
    assert all(line["duration_ms"] >= 0 for line in lines)
    for secret in (PASSWORD, http.client.token):
        assert secret not in http.lines.getvalue()


def test_a_client_that_leaves_halfway_is_logged_without_a_status() -> None:
    http = Http()
    parts = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(parts)

    async def send(_: Message) -> None:
        return None

    scope = {"type": "http", "method": "POST", "path": ENDPOINT, "headers": []}
    asyncio.run(http.site.app(scope, receive, send))

    (line,) = http.logged()
    assert line["status"] is None
    assert http.log.in_flight == 0


def test_the_state_counts_what_was_asked() -> None:
    http = Http()
    http.post(COUNT)
    http.send(*[http.request(PAGE, {"q": QUERY})] * 4)
    http.post(PAGE, {"limit": 51})

    state = http.get("/control/state").json()
    assert state["requests"] == {"count": 1, "page": 5}
    assert state["refused"] == 1
    assert (state["natural"], state["labgrown"], state["time"]) == (200, 300, 0)
    assert state["now"] == "2026-01-01T00:00:00+00:00"
    assert state["seed"] == 1
    assert 4 <= state["peak_requests_1s"] <= 6
    assert state["in_flight"] == 0
    assert state["peak_rss_bytes"] > 10_000_000
    assert state["start_seconds"] == 1


def test_answers_wait_as_long_as_they_were_told() -> None:
    http = Http(delays=Delays(every_ms=20, page_ms=30))
    http.send(http.request(PAGE, {"q": QUERY}), http.request(COUNT))

    by_kind = {line["kind"]: line["duration_ms"] for line in http.logged()}
    assert by_kind["count"] >= 20
    assert by_kind["page"] >= 50
    assert http.log.peak_in_flight == 2
    assert http.log.in_flight == 0


def test_time_goes_on_when_told_and_answers_follow() -> None:
    http = Http()
    before = http.post(COUNT, {"q": {"labgrown": True}}).json()["data"]["diamonds_by_query_count"]
    assert before == 300

    state = http.send({"method": "POST", "url": "/control/advance", "json": {"ticks": 20}})[0]
    http.send({"method": "POST", "url": "/control/advance"})

    assert state.json()["time"] == 20
    stock = http.client.stock
    assert stock.time == 21
    assert list(stock.items(True)) == list(Stock.at(200, 300, seed=1, time=21).items(True))
    after = http.post(COUNT, {"q": {"labgrown": True}}).json()["data"]["diamonds_by_query_count"]
    assert after == stock.labgrown.size
    gone = stock.offer_id(True, int(stock.journal[0].labgrown.sold[0]))
    one = "query One($id: ID!) { get_diamond_by_id(diamond_id: $id) { id } }"
    refused = http.post(one, {"id": gone.removeprefix("DIAMOND/")}).json()
    assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "body",
    [b"x", b"[1]", b'{"ticks": 0}', b'{"ticks": "1"}', b'{"ticks": 1.0}', b'{"ticks": true}'],
)
def test_time_goes_on_by_whole_ticks_only(body: bytes) -> None:
    http = Http()

    refused = http.send({"method": "POST", "url": "/control/advance", "content": body})[0]
    assert refused.status_code == 400
    assert "ticks" in refused.json()["error"]
    assert http.client.stock.time == 0


def test_the_peak_is_the_most_requests_within_one_second() -> None:
    now = [0.0]
    log = RequestLog(clock=lambda: now[0])
    for moment in (0.0, 0.5, 0.9, 1.0, 1.4, 1.49, 1.5, 3.0):
        now[0] = moment
        with log.request() as entry:
            entry.note = Note(kind="page")

    # From 0.5 on, its own second: 0.5, 0.9, 1.0, 1.4 and 1.49; at 1.5 the first of them is over.
    assert log.peak_in_window == 5
    assert log.by_kind == {"page": 8}


def test_a_request_that_breaks_off_is_logged_without_a_status() -> None:
    lines = io.StringIO()
    log = RequestLog(lines)
    with pytest.raises(ConnectionError), log.request():
        raise ConnectionError

    assert json.loads(lines.getvalue())["status"] is None
    assert log.in_flight == 0
