"""Fetch one partition, page by page, into raw offers.

Each page lands in one transaction: its offers, the next offset, the counters, the lease. So a crash
costs the page that was being asked for, and the next holder goes on from there.

The listing moves while it is read: a stone sold before our place shifts the rest towards the start.
So each page overlaps the one before it, and one that shows nothing of it is not trusted: the
reading steps back until it does. docs/decisions/0006-reading-a-moving-feed.md has the reasons.

Pages are asked for ahead (worker/ahead.py) and land strictly in order; what was not landed is not
known to anybody.
"""

import threading
import time
from collections.abc import Callable
from datetime import date
from math import inf
from typing import NamedTuple

import structlog
from psycopg.types.json import set_json_loads
from sqlalchemy import Connection, Engine

from shared import ledger
from shared.counts import is_missing
from shared.db import as_it_is, cursor, transaction
from shared.errors import ClaimLost, Stopped, SupplierRefused, Transient
from shared.feeds.base import RawOffer, Slice, SlicedSource, Slicing
from shared.feeds.coordinates import Coordinates
from shared.ledger import Claim
from sql import plain, query
from worker.ahead import Ahead, Answered
from worker.reading import Reading, name_of

log = structlog.get_logger(__name__)

# How far past its count a listing is followed: stock moves while we read, but a listing can also
# go on for ever (measured: items at offset 89,850 of a partition counted as 51,906). Where what
# comes is new and belongs there it is the count that is wrong, and the listing is followed on.
PAST_COUNT_SHARE = 0.2
PAST_COUNT_MIN = 500

COUNT_LANDED = """
    SELECT count(DISTINCT offer_id) FROM raw_offers WHERE landed_on = %s AND partition_id = %s
"""

READ_LAST_PAGE = """
    SELECT offer_id, payload
      FROM raw_offers
     WHERE landed_on = %s AND partition_id = %s AND position >= %s
"""


class Part(NamedTuple):
    """A partition as its worker sees it."""

    partition_id: int
    slice: Slice
    planned_offers: int
    estimated: bool  # nobody has counted them
    saturated: bool  # it cannot be cut
    next_offset: int
    landed: int  # raw offers so far, the next one's position
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


class Alive:
    """Says while an answer is waited for that its holder lives, and hears that it is to stop."""

    def __init__(
        self, engine: Engine, held: Claim, *, lease_s: float, stopping: Callable[[], bool]
    ) -> None:
        self._engine = engine
        self._held = held
        self._lease_s = lease_s
        self._stopping = stopping
        self.landed()

    def landed(self) -> None:
        """The lease was just lengthened."""
        self._beat_at = time.monotonic() + self._lease_s / 3

    def tick(self) -> None:
        """Raises Stopped, ClaimLost, DatabaseUnavailable."""
        if self._stopping():
            raise Stopped("asked to stop")
        if time.monotonic() >= self._beat_at:
            with transaction(self._engine, "heartbeat") as tx:
                ledger.heartbeat(tx, self._held, lease_s=self._lease_s)
            self.landed()


def fetch_partition(
    held: Claim,
    *,
    engine: Engine,
    source: SlicedSource,
    slicing: Slicing,
    offers_max: int,
    lease_s: float,
    coordinates: Coordinates | None = None,
    ahead: int = 1,
    lead: "threading.Lock | None" = None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Bring one partition's offers into raw_offers, then queue its fold.

    The listing ends at a page without items, and only there: a short page is not the last. A
    partition that turns out to hold more than `offers_max`, most of it unread, is closed with what
    it has and queued to be cut.

    coordinates  of offers, to know those of this partition; None: its count is believed
    ahead   pages under way at once, at least 1; memory holds no more than these
    lead    shared by the partitions that are fetched at once in this process

    Safe to call again after any crash. Raises the errors of `source.page`, ClaimLost, Stopped,
    DatabaseUnavailable, and SupplierRefused for a partition deeper than the supplier's offset that
    cannot be cut.
    """
    part, last_page = _load(engine, held, slicing)
    reading = Reading(part.next_offset, part.landed, last_page)
    expected = 0 if part.estimated else part.planned_offers
    follow_to = _follow_to(part.planned_offers)
    meter = Meter(source)
    alive = Alive(engine, held, lease_s=lease_s, stopping=stopping)
    outgrown = False
    lead = lead or threading.Lock()
    with Ahead(source, part.slice, slicing, pages=ahead, lead=lead, tick=alive.tick) as pages:
        while not outgrown:
            alive.tick()
            if reading.offset >= follow_to or reading.offset > slicing.depth:
                counted = source.count(part.slice)
                outgrown = _outgrown(part, counted, reading.offset, slicing, offers_max)
                expected, follow_to = counted, _follow_to(counted)
                if not outgrown and _goes_on(engine, part, counted, reading, coordinates):
                    follow_to = _follow_to(max(counted, reading.offset))
                    log.warning("count_below_its_listing", counted=counted, offset=reading.offset)
                elif not outgrown and reading.offset >= follow_to:
                    log.warning("listing_past_its_count", counted=counted, offset=reading.offset)
                    break
                continue
            answered = pages.page(reading, expected)
            page, reading.offset = answered.page, answered.offset
            if reading.lost_touch(page):
                reading.step_back(slicing.page_size)
                continue
            if page.received == 0:
                break
            fresh = reading.fresh(page)
            onward = reading.next_offset(page, fresh)
            _land(
                engine, held, part, reading, answered, fresh, onward, meter.take(), lease_s=lease_s
            )
            alive.landed()
            reading.landed_page(page, fresh, onward)
    closing = None if outgrown else _closing_count(source, part, reading.landed)
    _close(engine, held, part, meter.take(), closing=closing, cut=outgrown)


def _closing_count(source: SlicedSource, part: Part, landed: int) -> int | None:
    """The supplier's count of a partition that listed far fewer offers than were planned.

    It tells stock that was sold from a listing that ended too early. None: nothing is missing, or
    it was not answered; then the count at the plan stands.
    """
    if part.estimated or not is_missing(part.planned_offers, landed):
        return None
    try:
        counted = source.count(part.slice)
    except Transient as error:
        log.warning("closing_count_not_answered", error=str(error))
        return None
    log.warning("partition_shrank", planned=part.planned_offers, landed=landed, counted=counted)
    return counted


def _outgrown(part: Part, counted: int, offset: int, slicing: Slicing, offers_max: int) -> bool:
    """Whether to cut it now: it is too heavy, and most of it lies ahead or out of reach."""
    if offset > slicing.depth and part.saturated:
        raise SupplierRefused(
            f"partition {part.partition_id} goes on at offset {offset:,}, the supplier answers "
            f"none beyond {slicing.depth:,}, and no axis can cut it further",
            hint="lower FACET_PARTITION_OFFERS_MAX",
        )
    too_deep = counted > slicing.depth or offset > slicing.depth
    return not part.saturated and (too_deep or (counted > offers_max and counted > 2 * offset))


def _goes_on(
    engine: Engine, part: Part, counted: int, reading: Reading, coordinates: Coordinates | None
) -> bool:
    """Whether a listing past its count still brings what is new and belongs to the partition: then
    the count is too low. One that goes round, or on with unrelated stones, does not."""
    past = reading.offset - counted
    if coordinates is None or reading.offset < _follow_to(counted):
        return False
    with transaction(engine) as tx, cursor(tx) as reader:
        reader.execute(COUNT_LANDED, (part.landed_on, part.partition_id))
        (different,) = reader.fetchone() or (0,)
    if different - counted <= past / 2:
        return False
    latest = reading.latest()
    prices = coordinates(latest, "price")
    if part.slice.priceless:
        return len(prices) < len(latest) / 2
    if part.slice.price is None:
        return True
    # A unit to spare: computed from cents and carats, a crowded price lies a little beside itself.
    low, high = part.slice.price.low - 1, (part.slice.price.high or inf) + 1
    inside = sum(low <= price <= high for price in prices)
    return inside > len(latest) / 2


def _load(engine: Engine, held: Claim, slicing: Slicing) -> tuple[Part, dict[str, bytes]]:
    """The partition, and the last page that an earlier holder landed."""
    with transaction(engine) as tx:
        row = tx.execute(query("partition_to_fetch"), {"partition_id": held.partition_id}).one()
        part = Part(
            row.partition_id,
            Slice.model_validate(row.slice),
            row.planned_offers,
            row.estimated,
            row.saturated,
            row.next_offset,
            row.landed,
            row.landed_on,
        )
        if not part.landed:
            return part, {}
        with cursor(tx) as reader:
            set_json_loads(as_it_is, context=reader)
            first = max(0, part.landed - slicing.page_size)
            reader.execute(READ_LAST_PAGE, (part.landed_on, part.partition_id, first))
            last_page = [RawOffer(offer_id, payload) for offer_id, payload in reader]
            return part, {name_of(offer): offer.payload for offer in last_page}


def _follow_to(counted: int) -> int:
    return counted + max(PAST_COUNT_MIN, round(counted * PAST_COUNT_SHARE))


def _land(
    engine: Engine,
    held: Claim,
    part: Part,
    reading: Reading,
    answered: Answered,
    fresh: list[RawOffer],
    onward: int,
    spent: Spent,
    *,
    lease_s: float,
) -> None:
    """One page in one transaction. Raises ClaimLost."""
    values = {
        "item_id": held.item_id,
        "epoch": held.epoch,
        "lease_s": lease_s,
        "landed_on": part.landed_on,
        "landed_before": reading.landed,
        "landed": len(fresh),
        "next_offset": onward,
        "age_ms": round(1000 * (time.monotonic() - answered.asked_at)),
        "offer_ids": [offer.offer_id for offer in fresh],
        "payloads": [offer.payload for offer in fresh],
        **spent._asdict(),
    }
    with transaction(engine, "page") as tx:
        if cursor(tx).execute(plain("land_page"), values).fetchone() != (1,):
            raise ClaimLost(f"fetch item {held.item_id}, epoch {held.epoch}")


def _close(
    engine: Engine, held: Claim, part: Part, spent: Spent, *, closing: int | None, cut: bool
) -> None:
    """End the partition: what it has is folded; where it outgrew its plan, the rest is cut."""
    with transaction(engine, "partition_end") as tx:
        ledger.finish(tx, held)
        values = {"partition_id": part.partition_id, "recounted": closing, **spent._asdict()}
        tx.execute(query("partition_fetched"), values)
        _queue(tx, held, part, "fold")
        if cut:
            _queue(tx, held, part, "cut")


def _queue(tx: Connection, held: Claim, part: Part, kind: ledger.Kind) -> None:
    ledger.add(
        tx,
        kind,
        held.run_id,
        partition_id=part.partition_id,
        priority=part.planned_offers,
        traceparent=held.traceparent,
    )
