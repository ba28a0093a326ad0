"""Ask a simulated supplier in a test, in process."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from simulator.auth import Door
from simulator.search import Search
from simulator.stock import Stock
from simulator.supplier import Supplier

USERNAME = "buyer"
PASSWORD = "opensesame"
PAGE = """
query Page($q: DiamondQuery, $order: DiamondOrder, $offset: Int, $limit: Int) {
  diamonds_by_query(query: $q, order: $order, offset: $offset, limit: $limit) {
    total_count
    items { id price diamond { certificate { carats } } }
  }
}
"""
COUNT = "query Count($q: DiamondQuery) { diamonds_by_query_count(query: $q) }"
LOGIN = """
query Login($username: String!, $password: String!) {
  authenticate {
    username_and_password(username: $username, password: $password) { token expires refresh_token }
  }
}
"""
CREATED = {"type": "createdAt", "direction": "ASC"}


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Reply(NamedTuple):
    status: int
    content: Any

    @property
    def data(self) -> Any:
        """What was asked. Fails where something was refused."""
        assert self.status == 200, self.content
        assert "errors" not in self.content, self.content["errors"]
        return self.content["data"]

    @property
    def error(self) -> Mapping[str, Any]:
        """The only error."""
        (error,) = self.content["errors"]
        assert isinstance(error, dict)
        return error


class Client:
    """One account at one supplier."""

    def __init__(self, stock: Stock, *, lifetime_s: float = 3600) -> None:
        self.clock = Clock()
        self.stock = stock
        self.supplier = Supplier(
            Search(stock),
            Door(
                username=USERNAME,
                password=PASSWORD,
                seed=stock.seed,
                lifetime_s=lifetime_s,
                clock=self.clock,
            ),
        )
        self.token = self.login().data["authenticate"]["username_and_password"]["token"]

    def login(self, *, username: str = USERNAME, password: str = PASSWORD) -> Reply:
        return self.ask(LOGIN, {"username": username, "password": password}, token=None)

    def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        token: str | None = "",
        operation: str | None = None,
    ) -> Reply:
        """Ask as the account; with another token, or with None for no header at all."""
        body = {"query": query, "variables": variables, "operationName": operation}
        return self.post(json.dumps(body).encode(), self.token if token == "" else token)

    def post(self, body: bytes, token: str | None = None) -> Reply:
        answer = self.supplier.answer(body, None if token is None else f"Bearer {token}")
        return Reply(answer.status, json.loads(answer.body))

    def count(self, query: Mapping[str, Any] | None = None) -> int:
        count = self.ask(COUNT, {"q": query}).data["diamonds_by_query_count"]
        assert isinstance(count, int)
        return count

    def page(
        self,
        query: Mapping[str, Any] | None = None,
        *,
        order: Mapping[str, str] | None = CREATED,
        offset: int = 0,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        variables = {"q": query, "order": order, "offset": offset, "limit": limit}
        found = self.ask(PAGE, variables).data["diamonds_by_query"]
        assert found["total_count"] == len(found["items"]) <= limit
        return list(found["items"])

    def crawl(
        self,
        query: Mapping[str, Any] | None = None,
        *,
        order: Mapping[str, str] | None = CREATED,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """Every item, page by page, until a page is empty."""
        items: list[dict[str, Any]] = []
        while page := self.page(query, order=order, offset=len(items), limit=limit):
            items += page
        return items
