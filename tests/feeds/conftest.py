"""A real Valkey for each test process, and edges whose supplier is made of answers."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest
import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry

from cli.embedded.servers import temporary_servers
from shared.breaker import Breaker
from shared.edge import Edge
from shared.feeds.base import SupplierSettings
from shared.limits import Limiter

URL = "https://supplier.example/api/diamonds"

MakeEdge = Callable[..., Edge]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A private Valkey, gone with the test process."""
    with temporary_servers(database=False) as servers:
        assert servers.redis_url is not None
        yield servers.redis_url


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    made = redis.Redis.from_url(redis_url)
    yield made
    made.close()


@pytest.fixture
def nobody() -> Iterator["redis.Redis"]:
    """A client of a server that is not there."""
    made = redis.Redis(unix_socket_path="/nowhere/r.sock", retry=Retry(NoBackoff(), 0))
    yield made
    made.close()


@pytest.fixture
def account() -> str:
    """A name that no other test has, so that limits and breakers are the test's own."""
    return f"test-{uuid4()}"


@pytest.fixture
def supplier(account: str) -> SupplierSettings:
    return SupplierSettings(
        account=account, url=URL, username="facet", password=SecretStr("pa$$w0rd"), timeout_s=5
    )


@pytest.fixture
def make_edge(client: "redis.Redis", account: str) -> Iterator[MakeEdge]:
    """Builds edges without a limit that never sleep; every wait is in `edge.slept_s`."""
    made: list[Edge] = []

    def make(
        answer: Callable[[httpx.Request], httpx.Response] | None,
        *,
        timeout_s: float = 5.0,
        rate_per_s: float | None = None,
        failures_max: int = 1_000,
        sleep: Callable[[float], None] = lambda _: None,
    ) -> Edge:
        edge = Edge(
            limiter=Limiter(client, account, rate_per_s=rate_per_s, wait_s_max=20, sleep=sleep),
            breaker=Breaker(client, account, failures_max=failures_max),
            timeout_s=timeout_s,
            transport=httpx.MockTransport(answer) if answer else None,
            sleep=sleep,
        )
        made.append(edge)
        return edge

    yield make
    for edge in made:
        edge.close()
