"""Fetch one partition, page by page, into raw offers.

Each page lands in one transaction: its offers, the next offset, the counters, the lease. So a crash
costs the page that was being asked for, and the next holder goes on from there.
"""

import time
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import structlog
from sqlalchemy import Engine

from shared import ledger
from shared.db import cursor, transaction
from shared.errors import ClaimLost, Stopped, SupplierRefused
from shared.feeds.base import Page, Slice, SlicedSource, Slicing
from shared.ledger import Claim
from sql import query

log = structlog.get_logger(__name__)

# How far past its count a listing is followed: stock moves while we read, but a listing can also
# go on for ever (measured: items at offset 89,850 of a partition counted as 51,906).
PAST_COUNT_SHARE = 0.2
PAST_COUNT_MIN = 500

COPY_RAW_OFFERS = (
    "COPY raw_offers (landed_on, partition_id, position, offer_id, read_at, payload) FROM STDIN"
)


class Part(NamedTuple):
    """A partition as its worker sees it."""

    partition_id: int
    slice: Slice
    planned_offers: int
    next_offset: int
    landed_on: date


class Spent(NamedTuple):
    """Requests and time since the last landing; failed attempts and counts are in it."""

    requests: int
    elapsed_ms: int


class Meter:
    """Reads off a source what was spent between two landings."""

    def __init__(self, source: SlicedSource) -> None:
        self._source = source
        self._requests = source.requests()
        self._started = time.monotonic()

    def take(self) -> Spent:
        """What was spent since the last call."""
        requests, now = self._source.requests(), time.monotonic()
        spent = Spent(requests - self._requests, round(1000 * (now - self._started)))
        self._requests, self._started = requests, now
        return spent


def fetch_partition(
    held: Claim,
    *,
    engine: Engine,
    source: SlicedSource,
    slicing: Slicing,
    lease_s: float,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Bring one partition's offers into raw_offers, then queue its fold.

    The listing ends at a page without items, and only there: a short page is not the last. Safe to
    call again after any crash. Raises the errors of `source.page`, ClaimLost, Stopped,
    DatabaseUnavailable, and SupplierRefused for a partition deeper than the supplier's offset.
    """
    part = _load(engine, held)
    offset = part.next_offset
    follow_to = _follow_to(part.planned_offers)
    meter = Meter(source)
    while True:
        if stopping():
            raise Stopped("asked to stop")
        if offset >= follow_to:
            counted = source.count(part.slice)
            follow_to = _follow_to(counted)
            if offset >= follow_to:
                log.warning("listing_past_its_count", counted=counted, offset=offset)
                break
        if offset > slicing.depth:
            raise SupplierRefused(
                f"partition {part.partition_id} goes on at offset {offset:,}, the supplier answers "
                f"none beyond {slicing.depth:,}",
                hint="lower FACET_PARTITION_OFFERS_MAX",
            )
        page = source.page(part.slice, offset, slicing.page_size)
        if page.received == 0:
            break
        offset = _land(engine, held, part, offset, page, meter.take(), lease_s=lease_s)
    with transaction(engine) as tx:
        ledger.finish(tx, held)
        spent = {"partition_id": part.partition_id, **meter.take()._asdict()}
        tx.execute(query("partition_fetched"), spent)
        ledger.add(
            tx,
            "fold",
            held.run_id,
            partition_id=part.partition_id,
            priority=part.planned_offers,
            traceparent=held.traceparent,
        )


def _load(engine: Engine, held: Claim) -> Part:
    with transaction(engine) as tx:
        row = tx.execute(query("partition_to_fetch"), {"partition_id": held.partition_id}).one()
    return Part(
        row.partition_id,
        Slice.model_validate(row.slice),
        row.planned_offers,
        row.next_offset,
        row.landed_on,
    )


def _follow_to(counted: int) -> int:
    return counted + max(PAST_COUNT_MIN, round(counted * PAST_COUNT_SHARE))


def _land(
    engine: Engine,
    held: Claim,
    part: Part,
    offset: int,
    page: Page,
    spent: Spent,
    *,
    lease_s: float,
) -> int:
    """One page in one transaction; returns the next offset. Raises ClaimLost."""
    next_offset = offset + page.received
    values = {
        "item_id": held.item_id,
        "epoch": held.epoch,
        "lease_s": lease_s,
        "offset": offset,
        "next_offset": next_offset,
        "landed": len(page.offers),
        **spent._asdict(),
    }
    with transaction(engine) as tx:
        read_at = tx.execute(query("land_page"), values).scalar_one_or_none()
        if read_at is None:
            raise ClaimLost(f"fetch item {held.item_id}, epoch {held.epoch}, offset {offset}")
        with cursor(tx).copy(COPY_RAW_OFFERS) as copy:
            key = (part.landed_on, part.partition_id)
            for position, offer in enumerate(page.offers, start=offset):
                copy.write_row((*key, position, offer.offer_id, read_at, offer.payload.decode()))
    return next_offset
