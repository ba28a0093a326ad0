"""Landing raw offers beside a bare COPY of the same rows in the same transactions.

Landing is the worker's own code, from a supplier in memory: it finds out what is new, moves the
partition on, lengthens the lease and dates the page, all in the page's transaction. The yardstick
copies the same rows of the same pages into the same table and commits, and does nothing else.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self
from uuid import uuid4

import psycopg
import redis
from pydantic import SecretStr
from sqlalchemy import Engine, make_url

from bench import supplier as simulated
from cli.embedded.servers import Servers, temporary_servers
from shared import db, ledger, queue, runs
from shared.db import transaction
from shared.edge import Edge
from shared.feeds import sliced
from shared.feeds.base import Page, RawOffer, Slice, SupplierSettings
from shared.ledger import Claim
from sql import query
from worker.download import COPY_RAW_OFFERS
from worker.fetch import fetch_partition
from worker.reading import OVERLAP

FEED = sliced("nivoda-natural")
SEEN = 2_000  # offers of the supplier that the rest is made of
AHEAD = 10  # pages under way, as of one of four partitions at once


class Landed(NamedTuple):
    """Medians of the rounds."""

    offers: int
    landed_per_s: int
    copied_per_s: int
    ratio: float


class Memory:
    """A supplier in memory."""

    def __init__(self, offers: Sequence[RawOffer]) -> None:
        self.offers = offers
        self.sent = 0

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:  # noqa: ARG002
        return len(self.offers)

    def page(self, part: Slice, offset: int, limit: int) -> Page:  # noqa: ARG002
        self.sent += 1
        taken = self.offers[offset : offset + limit]
        return Page(taken, len(taken))

    def requests(self) -> int:
        return self.sent

    def apart(self) -> Self:
        return self

    def close(self) -> None:
        pass


def measure(number: int, *, rounds: int) -> Landed:
    """Land and copy in turn, so that both meet the same machine."""
    with temporary_servers() as servers:
        offers = some_offers(servers, number)
        engine = db.connect(str(servers.database_url))
        db.migrate(engine)
        url = make_url(str(servers.database_url)).set(drivername="postgresql")
        landed_s, copied_s = [], []
        with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
            for _ in range(rounds):
                landed_s.append(land(engine, offers))
                copied_s.append(copy(engine, connection, offers))
        engine.dispose()
    landed, copied = statistics.median(landed_s), statistics.median(copied_s)
    return Landed(number, round(number / landed), round(number / copied), round(copied / landed, 3))


def some_offers(servers: Servers, number: int) -> list[RawOffer]:
    """Offers as a supplier really says them, under as many ids as are wanted."""
    with (
        tempfile.TemporaryDirectory(prefix="facet-bench-") as folder,
        simulated.running(Path(folder), natural=SEEN + 500, latency_ms=0) as supplier,
        redis.Redis.from_url(str(servers.redis_url)) as client,
    ):
        account = SupplierSettings(
            account="bench", url=supplier.url, username="facet", password=SecretStr("facet")
        )
        source = FEED.open(account, Edge.for_account(account, client))
        seen: list[RawOffer] = []
        while len(seen) < min(SEEN, number):
            seen += source.page(Slice(), len(seen), FEED.slicing.page_size).offers
        source.close()
    return [
        RawOffer(f"{offer.offer_id}-{n // len(seen)}", offer.payload)
        for n in range(number)
        for offer in (seen[n % len(seen)],)
    ]


def land(engine: Engine, offers: Sequence[RawOffer]) -> float:
    """Seconds that the worker takes for them."""
    held = _held(engine, len(offers))
    started = time.perf_counter()
    fetch_partition(
        held,
        engine=engine,
        source=Memory(offers),
        slicing=FEED.slicing._replace(depth=len(offers)),
        offers_max=len(offers),
        lease_s=60,
        ahead=AHEAD,
    )
    return time.perf_counter() - started


def copy(engine: Engine, connection: psycopg.Connection, offers: Sequence[RawOffer]) -> float:
    """Seconds that a bare COPY takes, a transaction for each page that the worker landed."""
    held = _held(engine, len(offers))
    with transaction(engine) as tx:
        values = {"partition_id": held.partition_id}
        part = tx.execute(query("partition_to_fetch"), values).one()
        now = tx.exec_driver_sql("SELECT now()").scalar_one()
    pages = [offers[: FEED.slicing.page_size]]
    fresh = FEED.slicing.page_size - OVERLAP
    pages += [offers[n : n + fresh] for n in range(len(pages[0]), len(offers), fresh)]
    started = time.perf_counter()
    position = 0
    for page in pages:
        with connection.cursor().copy(COPY_RAW_OFFERS) as rows:
            for offer in page:
                key = (part.landed_on, part.partition_id, position)
                rows.write_row((*key, offer.offer_id, now, offer.payload.decode()))
                position += 1
        connection.commit()
    return time.perf_counter() - started


def _held(engine: Engine, planned: int) -> Claim:
    """A partition of a run of its own, claimed."""
    values = {
        "parent_id": None,
        "sweep": False,
        "next_offset": 0,
        "slice": "{}",
        "price_low": 0,
        "price_high": None,
        "planned_offers": planned,
        "estimated": False,
        "saturated": False,
    }
    with transaction(engine) as tx:
        run_id = runs.start(tx, f"bench-{uuid4()}").run_id
        partition_id = tx.execute(query("add_partition"), values | {"run_id": run_id}).scalar_one()
        item_id = ledger.add(tx, "fetch", run_id, partition_id=partition_id)
        held = ledger.claim(tx, "fetch", item_id, 0, owner=queue.owner(), lease_s=60)
    if held is None:
        raise RuntimeError("the item that was just queued cannot be claimed")
    return held
