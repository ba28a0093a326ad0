"""The limiter's Redis goes away, or the supplier does: the work waits, and nothing is lost."""

import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine, text

from cli.embedded.servers import Servers
from cli.embedded.session import erase, open_session
from shared import queue
from shared.db import transaction
from shared.edge import Edge
from shared.feeds import feed
from shared.feeds.base import Slice, SupplierSettings
from shared.ledger import Claim
from tests.builders import due_item, item_now, rows
from tests.end_to_end.conftest import StartSupplier, account_at
from tests.end_to_end.supplier import Supplier
from tests.end_to_end.wrapped import Wrapped
from worker.fetch import fetch_partition

NATURAL = feed("nivoda-natural")
LANDED = "SELECT count(*) AS n, count(DISTINCT offer_id) AS offers FROM raw_offers"


@pytest.fixture
def limiter_servers() -> Iterator[Servers]:
    """A Valkey that the test may stop."""
    home = Path(tempfile.mkdtemp(prefix="facet-test-"))
    with open_session(home) as session:
        servers = Servers(session, database=False)
        servers.start()
        yield servers
        servers.stop()
    erase(home)


@pytest.fixture
def edge(limiter_servers: Servers, supplier: SupplierSettings) -> Iterator[Edge]:
    assert limiter_servers.redis_url is not None
    client = redis.Redis.from_url(
        limiter_servers.redis_url, socket_timeout=2, retry=Retry(NoBackoff(), 1)
    )
    made = Edge.for_account(supplier, client)
    yield made
    made.close()
    client.close()


@pytest.fixture
def shop(still: StartSupplier) -> Supplier:
    return still(600, 6)


@pytest.fixture
def supplier(shop: Supplier) -> SupplierSettings:
    return account_at(shop).model_copy(update={"breaker_failures": 2})


def take(engine: Engine, item_id: int, source: Wrapped) -> str:
    """Deliver the item's message at its present epoch, whenever it is due."""

    def fetch(held: Claim) -> None:
        fetch_partition(
            held,
            engine=engine,
            source=source,
            slicing=NATURAL.slicing,
            offers_max=10_000,
            lease_s=60,
            ahead=4,
        )

    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET not_before = now() WHERE state = 'due'"))
    message = {"item": item_id, "epoch": item_now(engine, item_id)["epoch"]}
    return queue.deliver(message, "fetch", fetch, engine=engine)


def test_without_its_redis_the_work_goes_back_and_is_finished_later(
    engine: Engine, edge: Edge, supplier: SupplierSettings, limiter_servers: Servers
) -> None:
    asked = count(1)

    def stop_at_the_fifth(_part: Slice, _offset: int) -> None:
        if next(asked) == 5:
            limiter_servers.stop()

    source = NATURAL.open(supplier, edge)
    item_id = due_item(engine, planned_offers=570)
    started = time.monotonic()
    assert take(engine, item_id, Wrapped(source, before_page=stop_at_the_fifth)) == "due"
    assert time.monotonic() - started < 60

    left = item_now(engine, item_id)
    assert left["attempts"] == 0
    assert "cannot be read" in left["last_error"]
    (before,) = rows(engine, LANDED)
    assert 0 < before["n"] < 300

    for _ in range(10):  # as often as it is tried meanwhile, nothing is sent and nothing used up
        assert take(engine, item_id, Wrapped(source)) == "due"
    assert item_now(engine, item_id)["state"] == "due"
    assert rows(engine, LANDED) == [before]

    limiter_servers.revive()
    assert take(engine, item_id, Wrapped(source)) == "done"
    (after,) = rows(engine, LANDED)
    assert after["n"] == after["offers"] == source.count(Slice())
    assert rows(engine, "SELECT 1 FROM dead_letters") == []


def test_while_the_breaker_is_open_the_work_waits_and_uses_no_attempts(
    engine: Engine, edge: Edge, supplier: SupplierSettings
) -> None:
    away = supplier.model_copy(update={"url": "http://127.0.0.1:9/api/diamonds"})
    down = NATURAL.open(away, edge)
    item_id = due_item(engine, planned_offers=570)
    assert take(engine, item_id, Wrapped(down)) == "due"
    used = item_now(engine, item_id)["attempts"]
    sent = edge.requests()

    for _ in range(10):
        assert take(engine, item_id, Wrapped(down)) == "due"
        (waits,) = rows(
            engine,
            "SELECT not_before - now() > '20 s' AS long FROM work_items WHERE item_id = :i",
            i=item_id,
        )
        assert waits["long"]
    assert item_now(engine, item_id)["attempts"] == used <= 1
    assert edge.requests() == sent
