"""A simulated supplier with faults switched on, in process."""

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from simulator.board import Board
from simulator.requestlog import RequestLog
from simulator.server import ENDPOINT, Delays, Site
from simulator.stock import Stock
from tests.simulator.asking import COUNT, PAGE, Client

CREATED = {"type": "createdAt", "direction": "ASC"}
FAULTS = "/control/faults"


class Faulty:
    """A site with these switches on, and a client of it."""

    def __init__(
        self,
        faults: Mapping[str, Any] | None = None,
        *,
        size: int = 300,
        seed: int = 1,
        stock: Stock | None = None,
    ) -> None:
        self.now = 100.0  # what the board takes for the time
        self.client = Client(stock or Stock(size, size, seed=seed))
        self.board = Board(self.client.stock.seed, clock=lambda: self.now)
        self.lines = io.StringIO()
        self.site = Site(
            self.client.supplier, RequestLog(self.lines), Delays(), {}, board=self.board
        )
        if faults is not None:
            self.switch(faults)

    def switch(self, faults: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.control("POST", faults)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def control(self, method: str, content: Any = None) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        (answer,) = self.send([{"method": method, "url": FAULTS, "content": body}])
        assert isinstance(answer, httpx.Response)
        return answer

    def send(self, requests: Sequence[Mapping[str, Any]]) -> list[httpx.Response | BaseException]:
        """Send requests one after another; what a request raised stands in its place."""

        async def all_of_them() -> list[httpx.Response | BaseException]:
            found: list[httpx.Response | BaseException] = []
            transport = httpx.ASGITransport(self.site.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as http:
                for request in requests:
                    found += await asyncio.gather(http.request(**request), return_exceptions=True)
            return found

        return asyncio.run(all_of_them())

    def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, *, token: str | None = None
    ) -> httpx.Response:
        (answer,) = self.send([self.request(query, variables, token=token)])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def request(
        self, query: str, variables: Mapping[str, Any] | None = None, *, token: str | None = None
    ) -> dict[str, Any]:
        return {
            "method": "POST",
            "url": ENDPOINT,
            "json": {"query": query, "variables": variables},
            "headers": {"Authorization": f"Bearer {token or self.client.token}"},
        }

    def page(
        self, query: Mapping[str, Any] | None = None, *, offset: int = 0, limit: int = 50
    ) -> list[Any]:
        variables = {"q": query, "order": CREATED, "offset": offset, "limit": limit}
        answer = self.ask(PAGE, variables).json()
        assert "errors" not in answer, answer["errors"]
        found = answer["data"]["diamonds_by_query"]
        assert found["total_count"] == len(found["items"])
        return list(found["items"])

    def count(self, query: Mapping[str, Any] | None = None) -> int:
        return int(self.ask(COUNT, {"q": query}).json()["data"]["diamonds_by_query_count"])

    def shown(self) -> dict[str, int]:
        """Requests in which each switch showed, as the state says it."""
        (answer,) = self.send([{"method": "GET", "url": "/control/state"}])
        assert isinstance(answer, httpx.Response)
        found: dict[str, int] = answer.json()["faults"]
        return found

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


def ids(items: Sequence[Mapping[str, Any]]) -> list[str]:
    return [item["id"] for item in items]
