"""Fetch one partition, page by page, into raw offers.

Each page lands in one transaction: its offers, the next offset, the counters, the lease. So a crash
costs the page that was being asked for, and the next holder goes on from there.

The listing moves while it is read: a stone sold before our place shifts the rest towards the start.
So each page overlaps the one before it, and one that shows nothing of it is not trusted: the
reading steps back until it does. docs/decisions/0006-reading-a-moving-feed.md has the reasons.
"""

import time
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import structlog
from psycopg.types.json import set_json_loads
from sqlalchemy import Connection, Engine

from shared import ledger
from shared.db import as_it_is, cursor, transaction
from shared.errors import ClaimLost, Stopped, SupplierRefused
from shared.feeds.base import Page, RawOffer, Slice, SlicedSource, Slicing
from shared.ledger import Claim
from sql import query

log = structlog.get_logger(__name__)

# How far past its count a listing is followed: stock moves while we read, but a listing can also
# go on for ever (measured: items at offset 89,850 of a partition counted as 51,906).
PAST_COUNT_SHARE = 0.2
PAST_COUNT_MIN = 500

OVERLAP = 5  # offers of the page before; as many may be sold between two pages unnoticed
RECENT_MAX = 200  # offers remembered, to know them again
# Besides one for each OVERLAP landed; a listing without an order would send us back for ever.
STEPS_BACK_MAX = 20

COPY_RAW_OFFERS = (
    "COPY raw_offers (landed_on, partition_id, position, offer_id, read_at, payload) FROM STDIN"
)
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


def name_of(offer: RawOffer) -> str:
    """What an offer is known by from one page to the next; one without an id by all it says."""
    return offer.offer_id if offer.offer_id is not None else offer.payload.decode()


class Reading:
    """How far a partition is read: the place in its listing, and what was read last."""

    def __init__(self, part: Part, last_page: dict[str, bytes]) -> None:
        self.offset = part.next_offset
        self.landed = part.landed
        self._recent = last_page  # by `name_of`, its payload; the latest last
        self._overlaps = len(last_page) > 1  # the next page should show some of it
        self._steps_back = 0

    def fresh(self, page: Page) -> list[RawOffer]:
        """What of a page was not said word for word a moment ago."""
        return [o for o in page.offers if self._recent.get(name_of(o)) != o.payload]

    def lost_touch(self, page: Page) -> bool:
        """Whether offers may lie unread between the page before and this one."""
        if not self._overlaps or self._steps_back > STEPS_BACK_MAX + self.landed // OVERLAP:
            return False
        return not any(name_of(offer) in self._recent for offer in page.offers)

    def step_back(self, page_size: int) -> None:
        """Read the page before once more, and from there."""
        self._steps_back += 1
        self._overlaps = self.offset > page_size  # before the start nothing can lie unread
        self.offset = max(0, self.offset - page_size)
        log.info("stepped_back", offset=self.offset, times=self._steps_back)

    def next_offset(self, page: Page, fresh: list[RawOffer]) -> int:
        """Where the next page begins: a little before the end of this one, but at its end where
        it is the last and brought nothing new."""
        overlap = min(OVERLAP, page.received - 1) if fresh or page.received > OVERLAP else 0
        return self.offset + page.received - overlap

    def landed_page(self, page: Page, fresh: list[RawOffer], next_offset: int) -> None:
        """Take note of a page whose transaction has committed."""
        self._overlaps = next_offset < self.offset + page.received
        self.offset = next_offset
        self.landed += len(fresh)
        for offer in page.offers:
            self._recent.pop(name_of(offer), None)
            self._recent[name_of(offer)] = offer.payload
        for name in list(self._recent)[:-RECENT_MAX]:
            del self._recent[name]


def fetch_partition(
    held: Claim,
    *,
    engine: Engine,
    source: SlicedSource,
    slicing: Slicing,
    offers_max: int,
    lease_s: float,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Bring one partition's offers into raw_offers, then queue its fold.

    The listing ends at a page without items, and only there: a short page is not the last. A
    partition that turns out to hold more than `offers_max`, most of it unread, is closed with what
    it has and queued to be cut.

    Safe to call again after any crash. Raises the errors of `source.page`, ClaimLost, Stopped,
    DatabaseUnavailable, and SupplierRefused for a partition deeper than the supplier's offset that
    cannot be cut.
    """
    part, last_page = _load(engine, held, slicing)
    reading = Reading(part, last_page)
    follow_to = _follow_to(part.planned_offers)
    meter = Meter(source)
    outgrown = False
    while not outgrown:
        if stopping():
            raise Stopped("asked to stop")
        if reading.offset >= follow_to or reading.offset > slicing.depth:
            counted = source.count(part.slice)
            outgrown = _outgrown(part, counted, reading.offset, slicing, offers_max)
            follow_to = _follow_to(counted)
            if not outgrown and reading.offset >= follow_to:
                log.warning("listing_past_its_count", counted=counted, offset=reading.offset)
                break
            continue
        page = source.page(part.slice, reading.offset, slicing.page_size)
        if reading.lost_touch(page):
            reading.step_back(slicing.page_size)
            continue
        if page.received == 0:
            break
        fresh = reading.fresh(page)
        next_offset = reading.next_offset(page, fresh)
        _land(engine, held, part, reading, fresh, next_offset, meter.take(), lease_s=lease_s)
        reading.landed_page(page, fresh, next_offset)
    _close(engine, held, part, meter.take(), cut=outgrown)


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


def _load(engine: Engine, held: Claim, slicing: Slicing) -> tuple[Part, dict[str, bytes]]:
    """The partition, and the last page that an earlier holder landed."""
    with transaction(engine) as tx:
        row = tx.execute(query("partition_to_fetch"), {"partition_id": held.partition_id}).one()
        part = Part(
            row.partition_id,
            Slice.model_validate(row.slice),
            row.planned_offers,
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
    fresh: list[RawOffer],
    next_offset: int,
    spent: Spent,
    *,
    lease_s: float,
) -> None:
    """One page in one transaction. Raises ClaimLost."""
    values = {
        "item_id": held.item_id,
        "epoch": held.epoch,
        "lease_s": lease_s,
        "landed_before": reading.landed,
        "landed": len(fresh),
        "next_offset": next_offset,
        **spent._asdict(),
    }
    with transaction(engine) as tx:
        read_at = tx.execute(query("land_page"), values).scalar_one_or_none()
        if read_at is None:
            raise ClaimLost(f"fetch item {held.item_id}, epoch {held.epoch}")
        if not fresh:
            return
        with cursor(tx).copy(COPY_RAW_OFFERS) as copy:
            key = (part.landed_on, part.partition_id)
            for position, offer in enumerate(fresh, start=reading.landed):
                copy.write_row((*key, position, offer.offer_id, read_at, offer.payload.decode()))


def _close(engine: Engine, held: Claim, part: Part, spent: Spent, *, cut: bool) -> None:
    """End the partition: what it has is folded; where it outgrew its plan, the rest is cut."""
    with transaction(engine) as tx:
        ledger.finish(tx, held)
        values = {"partition_id": part.partition_id, **spent._asdict()}
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
