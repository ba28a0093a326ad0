"""Fetch everything a feed says at once, and land it in partitions.

The file is taken whole and looked over before its first row lands; then its rows land page by page,
as a sliced feed's do: offers, counters and lease in one transaction. Each row has its place by its
number and its id alone, so the next holder of the same file goes on where the last one stopped. Of
another file it begins anew, which nobody notices: nothing is folded before all has landed.

An offer goes to the partition that its id says, so that two rows with one id meet in one fold,
where the later one counts, and not in two that race. docs/decisions/0007-snapshot-feeds.md has the
reasons.
"""

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from itertools import islice
from math import ceil
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, Engine

from shared import ledger
from shared.db import cursor, transaction
from shared.errors import ClaimLost, FacetError, Stopped
from shared.feeds.base import RawOffer, Snapshot, SnapshotSource
from shared.ledger import Claim
from sql import query

log = structlog.get_logger(__name__)

PAGE_OFFERS = 2_000  # in one transaction: about 3 MB of payload
COPY_RAW_OFFERS = (
    "COPY raw_offers (landed_on, partition_id, position, offer_id, read_at, payload) FROM STDIN"
)
BEATS_A_LEASE = 4  # while the supplier lets us wait


class Place(NamedTuple):
    """Where a run's offers go."""

    landed_on: date
    asked_at: datetime  # the database's clock before the file was asked for
    partition_ids: list[int]
    landed: list[int]  # offers in each so far


def land_snapshot(
    held: Claim,
    *,
    engine: Engine,
    source: SnapshotSource,
    offers_max: int,
    lease_s: float,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Bring a whole snapshot into raw_offers, then queue its folds.

    offers_max  in a partition, about

    Safe to call again after any crash. Raises the errors of `source.take`, ClaimLost, Stopped and
    DatabaseUnavailable.
    """
    with transaction(engine) as tx:
        known = tx.execute(query("snapshot_of"), {"run_id": held.run_id}).one()
    place = Place(known.landed_on, known.asked_at, known.partition_ids, known.landed)
    started, sent = time.monotonic(), source.requests()
    with (
        _kept_alive(engine, held, lease_s=lease_s, stopping=stopping) as alive,
        source.take(alive) as snapshot,
    ):
        if snapshot.checksum != known.checksum:
            place = _begin(engine, held, place, snapshot, offers_max, lease_s=lease_s)
        _land(engine, held, place, snapshot, lease_s=lease_s, alive=alive)
    elapsed_ms = round(1000 * (time.monotonic() - started))
    _close(engine, held, requests=source.requests() - sent, elapsed_ms=elapsed_ms)


def partition_of(offer: RawOffer, row: int, partitions: int) -> int:
    """The partition, from 0, of an offer; the same for the same id, or row where there is none."""
    if offer.offer_id is None:
        return row % partitions
    return zlib.crc32(offer.offer_id.encode()) % partitions


@contextmanager
def _kept_alive(
    engine: Engine, held: Claim, *, lease_s: float, stopping: Callable[[], bool]
) -> Iterator[Callable[[], None]]:
    """Lengthen the lease by the clock, since a supplier may take minutes to the first byte.

    Yields what to call now and then: it raises Stopped, ClaimLost or DatabaseUnavailable.
    """
    done = threading.Event()
    failed: list[FacetError] = []

    def beat() -> None:
        while not done.wait(lease_s / BEATS_A_LEASE):
            try:
                with transaction(engine, "heartbeat") as tx:
                    ledger.heartbeat(tx, held, lease_s=lease_s)
            except FacetError as error:
                failed.append(error)
                return

    def alive() -> None:
        if failed:
            raise failed[0]
        if stopping():
            raise Stopped("asked to stop")

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield alive
    finally:
        done.set()
        thread.join()


def _begin(
    engine: Engine,
    held: Claim,
    place: Place,
    snapshot: Snapshot,
    offers_max: int,
    *,
    lease_s: float,
) -> Place:
    """Write down what was taken, and make its partitions. Raises ClaimLost."""
    first_id = place.partition_ids[0]
    parts = max(1, ceil(snapshot.offers_about / offers_max))
    values = {"run_id": held.run_id, "feed": held.feed, "asked_at": place.asked_at}
    taken = {name: getattr(snapshot, name) for name in ("name", "checksum", "size_bytes")}
    keys = {"run_id": held.run_id, "landed_on": place.landed_on, "first_id": first_id}
    with transaction(engine, "begin_file") as tx:
        ledger.heartbeat(tx, held, lease_s=lease_s, progress=True)
        if any(place.landed):
            log.warning("snapshot_changed", landed=sum(place.landed))
        tx.execute(query("forget_landed"), keys)
        same_as = tx.execute(query("snapshot_taken"), values | taken).scalar_one()
        ids = [first_id, *(_add_partition(tx, held) for _ in range(parts - 1))]
        planned = {"run_id": held.run_id, "planned_offers": ceil(snapshot.offers_about / parts)}
        tx.execute(query("share_out"), planned)
    log.info(
        "snapshot_taken",
        snapshot=snapshot.name,
        size_bytes=snapshot.size_bytes,
        offers_about=snapshot.offers_about,
        same_as=None if same_as is None else str(same_as),
    )
    return place._replace(partition_ids=ids, landed=[0] * parts)


def _add_partition(tx: Connection, held: Claim) -> int:
    values = {
        "run_id": held.run_id,
        "parent_id": None,
        "sweep": False,
        "slice": "{}",
        "price_low": None,
        "price_high": None,
        "planned_offers": 0,
        "estimated": True,
        "saturated": False,
        "next_offset": 0,
    }
    return int(tx.execute(query("add_partition"), values).scalar_one())


def _land(
    engine: Engine,
    held: Claim,
    place: Place,
    snapshot: Snapshot,
    *,
    lease_s: float,
    alive: Callable[[], None],
) -> None:
    """Every row that has not landed yet, page by page."""
    landed = list(place.landed)
    row = sum(landed)
    rest = islice(snapshot.offers(), row, None)
    while page := list(islice(rest, PAGE_OFFERS)):
        alive()
        parts: list[list[RawOffer]] = [[] for _ in landed]
        for offer in page:
            parts[partition_of(offer, row, len(parts))].append(offer)
            row += 1
        _land_page(engine, held, place, landed, parts, lease_s=lease_s)
        landed = [before + len(part) for before, part in zip(landed, parts, strict=True)]


def _land_page(
    engine: Engine,
    held: Claim,
    place: Place,
    landed: list[int],
    parts: list[list[RawOffer]],
    *,
    lease_s: float,
) -> None:
    """One page in one transaction. Raises ClaimLost."""
    touched = [number for number, part in enumerate(parts) if part]
    values = {
        "item_id": held.item_id,
        "epoch": held.epoch,
        "lease_s": lease_s,
        "partition_ids": [place.partition_ids[number] for number in touched],
        "landed_before": [landed[number] for number in touched],
        "landed": [len(parts[number]) for number in touched],
    }
    with transaction(engine, "file_page") as tx:
        if len(tx.execute(query("land_offers"), values).all()) != len(touched):
            raise ClaimLost(f"fetch item {held.item_id}, epoch {held.epoch}")
        with cursor(tx).copy(COPY_RAW_OFFERS) as copy:
            for number in touched:
                key = (place.landed_on, place.partition_ids[number])
                for position, offer in enumerate(parts[number], start=landed[number]):
                    said = (offer.offer_id, place.asked_at, offer.payload.decode())
                    copy.write_row((*key, position, *said))


def _close(engine: Engine, held: Claim, *, requests: int, elapsed_ms: int) -> None:
    """All has landed: every partition is to be folded."""
    with transaction(engine, "file_end") as tx:
        ledger.finish(tx, held)
        spent = {"requests": requests, "elapsed_ms": elapsed_ms}
        tx.execute(query("snapshot_spent"), spent | {"partition_id": held.partition_id})
        found = tx.execute(query("snapshot_landed"), {"run_id": held.run_id}).all()
        for part in found:
            ledger.add(
                tx,
                "fold",
                held.run_id,
                partition_id=part.partition_id,
                priority=part.landed,
                traceparent=held.traceparent,
            )
    log.info("snapshot_landed", offers=sum(part.landed for part in found), partitions=len(found))
