"""Fold one partition: its raw offers become priced stones, price changes and rejected offers.

In columns, a chunk at a time, and all of it in one transaction that also closes the work item: a
fold happens whole or not at all, under one ruleset. While a chunk is mapped and priced, a thread
writes the one before it and reads the one after it; it alone talks to the database then. The chunks
follow each other by offer id, since stones are locked in that order and two folds so never wait for
each other in a ring.

Where an offer breaks a fold, the culprits are found first (`isolate.py`), in a transaction that
leaves nothing behind; then the rest is folded.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl
import structlog
from polars.exceptions import PanicException
from sqlalchemy import Connection, Engine, Row

from consolidator import rulesets
from consolidator.active import STAMP_SCHEMA, Active
from consolidator.in_time import in_time
from consolidator.isolate import (
    SEARCH_S_MAX,
    Culprit,
    NotOfSingleOffers,
    Search,
    may_be_of_an_offer,
)
from consolidator.pricing.fields import PRESENT_PRICE
from shared import ledger
from shared.db import cursor, transaction
from shared.errors import NotNow
from shared.feeds.base import Feed
from shared.ledger import Claim
from shared.stone import REJECTED_SCHEMA, STONE_COLUMNS
from sql import query

log = structlog.get_logger(__name__)

CHUNK_OFFERS = 2_500  # at most; two are in memory, and each costs Python a fixed amount
CHUNK_CPU_S_MAX = 30.0  # it takes a tenth of a second
TRY_CPU_S_MAX = 2.0  # of the search for culprits: longer is tried in halves
LEASE_LEFT_S = 60.0  # after a search, for the fold

NOBODY: Mapping[int, Culprit] = MappingProxyType({})

STAGED_COLUMNS = (
    "position", "read_at", *STONE_COLUMNS, "price_cents", "price_currency", "rule", *STAMP_SCHEMA,
)  # fmt: skip
COPY_STAGED = f"COPY staged_stones ({', '.join(STAGED_COLUMNS)}) FROM STDIN (FORMAT csv)"

REFUSED_SCHEMA: dict[str, type[pl.DataType]] = {
    "position": pl.Int64,
    "offer_id": pl.String,
    "reason": pl.String,
    "detail": pl.String,
}

# As bytes and numbers: documents and times that Python has to make cost a tenth of a fold.
READ_RAW_OFFERS = """
    SELECT position, (extract(epoch FROM read_at) * 1000000)::bigint,
           convert_to(payload::text, 'UTF8')
      FROM raw_offers
     WHERE landed_on = %s AND partition_id = %s AND position = ANY(%s)
     ORDER BY position
"""


class Chunk(NamedTuple):
    """Some of a partition's raw offers; the three have one length."""

    positions: Sequence[int]
    read_at: Sequence[int]  # microseconds since 1970
    payloads: Sequence[bytes]


# A feed, offer ids, a currency → `offer_id` and PRESENT_PRICE of those that have one.
PresentPrices = Callable[[str, pl.Series, str], pl.DataFrame]


class Written(NamedTuple):
    """What a fold wrote of some offers; `offers` counts different ids, the others stones."""

    offers: int = 0
    inserted: int = 0
    changed: int = 0
    price_changes: int = 0


class Folded(NamedTuple):
    """What a fold did; `offers` counts different ids, the others stones."""

    offers: int
    inserted: int
    changed: int
    unchanged: int
    rejected: int
    price_changes: int


def fold_partition(held: Claim, *, engine: Engine, feed: Feed) -> Folded:
    """Map, price and write one fetched partition, whole or not at all.

    An offer that mapping, pricing or the database breaks on becomes a rejected offer; what too many
    or none of them alone break is raised as it is.

    Safe to call again: what is written already is unchanged the second time. Raises NotNow where
    no ruleset is active or the raw offers are gone, ClaimLost, DatabaseUnavailable.
    """
    with _collector_resting():
        try:
            return _fold(held, engine, feed)
        except (Exception, PanicException) as error:
            culprits = _isolated(held, engine, feed) if may_be_of_an_offer(error) else {}
            if not culprits:
                raise
            log.exception("offers_isolated", offers=len(culprits))
        return _fold(held, engine, feed, culprits)


def _fold(
    held: Claim, engine: Engine, feed: Feed, culprits: Mapping[int, Culprit] = NOBODY
) -> Folded:
    started = time.monotonic()
    with transaction(engine, "fold") as tx:
        ledger.finish(tx, held)
        part = tx.execute(query("partition_to_fold"), {"partition_id": held.partition_id}).one()
        active = rulesets.active(tx)
        make_ready(tx)
        tx.execute(query("forget_rejected"), {"partition_id": part.partition_id})
        read, rejected, done = _all_written(tx, part, feed, active, culprits)
        if part.landed and not read:
            hint = "`facet run start` reads the feed anew"
            raise NotNow("the raw offers of this partition are gone", hint=hint)
        folded = Folded(
            offers=done.offers,
            inserted=done.inserted,
            changed=done.changed,
            unchanged=done.offers - done.inserted - done.changed,
            rejected=rejected,
            price_changes=done.price_changes,
        )
        fold_ms = round(1000 * (time.monotonic() - started))
        finished = {"partition_id": part.partition_id, "fold_ms": fold_ms}
        tx.execute(query("partition_folded"), finished | folded._asdict())
    log.info("partition_folded", **folded._asdict())
    return folded


def _all_written(
    tx: Connection,
    part: Row[Any],
    feed: Feed,
    active: Active,
    culprits: Mapping[int, Culprit],
) -> tuple[int, int, Written]:
    """Map, price and write the partition; returns offers read, those rejected, and the rest."""
    read = rejected = 0
    done: list[Written] = []
    chunks = _chunks(tx, part)
    with ThreadPoolExecutor(1, thread_name_prefix="fold") as apart:

        def present(*asked: Any) -> pl.DataFrame:
            return apart.submit(_present_prices, tx, *asked).result()

        writing = apart.submit(Written)
        coming = apart.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = apart.submit(next, chunks, None)
            sound, set_apart = _without(chunk, culprits)
            priced, refused = price_chunk(sound, feed=feed, active=active, present=present)
            refused = pl.concat([refused, set_apart])
            done.append(writing.result())  # two chunks are in memory at most; its error comes first
            writing = apart.submit(_write, tx, part, feed, priced, refused)
            read += len(chunk.positions)
            rejected += refused.height
        done.append(writing.result())
    return read, rejected, Written(*map(sum, zip(*done, strict=True)))


def _write(
    tx: Connection, part: Row[Any], feed: Feed, priced: pl.DataFrame, refused: pl.DataFrame
) -> Written:
    """Write what came of a chunk."""
    offers = None
    _stage(tx, priced)
    if part.overtaken:
        offers = int(tx.execute(query("count_staged")).scalar_one())
        tx.execute(query("drop_overtaken"), _keys(part))
    if not refused.is_empty():
        _reject(tx, part, refused)
        rejected = _keys(part) | {"positions": refused["position"].to_list()}
        tx.execute(query("lock_stones"), rejected)
    done = _upsert(tx, part, feed)
    if not refused.is_empty():
        tx.execute(query("withdraw_rejected"), rejected | {"overtaken": part.overtaken})
    tx.execute(query("clear_staging"))
    offers = done.offers if offers is None else offers
    return Written(offers, done.inserted, done.changed, done.price_changes)


def make_ready(tx: Connection) -> None:
    """What `upsert_stones` needs in its transaction."""
    tx.execute(query("make_staging"))
    tx.execute(query("look_up_by_key"))


def _isolated(held: Claim, engine: Engine, feed: Feed) -> dict[int, Culprit]:
    """The offers that a fold breaks on, by position; none where they are too many.

    Each try writes as a fold does and takes it back. Raises as `fold_partition` does.
    """
    search = Search()
    with transaction(engine) as tx:
        ledger.heartbeat(tx, held, lease_s=SEARCH_S_MAX + LEASE_LEFT_S)  # and holds the item
        part = tx.execute(query("partition_to_fold"), {"partition_id": held.partition_id}).one()
        active = rulesets.active(tx)
        make_ready(tx)
        present = partial(_present_prices, tx)

        for chunk in _chunks(tx, part):

            def attempt(positions: Sequence[int], chunk: Chunk = chunk) -> BaseException | None:
                wanted = _only(chunk, set(positions))
                try:
                    priced, _ = price_chunk(
                        wanted, feed=feed, active=active, present=present, cpu_s_max=TRY_CPU_S_MAX
                    )
                    with tx.begin_nested() as tried:
                        _stage(tx, priced)
                        _upsert(tx, part, feed)
                        tried.rollback()
                except (Exception, PanicException) as error:
                    if not may_be_of_an_offer(error):
                        raise
                    return error
                return None

            try:
                search.among(chunk.positions, attempt)
            except NotOfSingleOffers:
                return {}
    return {one.position: one for one in search.found}


def price_chunk(
    chunk: Chunk,
    *,
    feed: Feed,
    active: Active,
    present: PresentPrices,
    cpu_s_max: float = CHUNK_CPU_S_MAX,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Raw offers to priced stones and refused ones; every offer is in exactly one of the two.

    present      what the stones cost now; asked only where a guard of the ruleset looks at it
    cpu_s_max    processor time for the mapping, and the same for the pricing

    The first has STAGED_COLUMNS, the second REFUSED_SCHEMA. Raises TookTooLong, and whatever the
    mapping or the engine breaks with.
    """
    with in_time(cpu_s_max):
        mapped = feed.map_offers(chunk.payloads)
    place = pl.DataFrame(
        {"seq": range(len(chunk.positions)), "position": chunk.positions, "read_at": chunk.read_at},
        schema=dict.fromkeys(("seq", "position", "read_at"), pl.Int64),
    ).with_columns(pl.col("read_at").cast(pl.Datetime("us", "UTC")))
    stones = mapped.stones.with_columns(pl.lit(feed.name).alias("feed"))
    if active.asks_present:
        prices = present(feed.name, stones["offer_id"], active.currency)
        stones = stones.join(prices, on="offer_id", how="left", maintain_order="left")
    with in_time(cpu_s_max):
        prices = active.price(stones)
    here = place.select("position", "read_at")[stones["seq"]]
    priced = pl.concat([stones, prices, here], how="horizontal")
    refusals = priced.filter(pl.col("refusal").is_not_null()).select(
        "seq",
        "offer_id",
        pl.col("refusal").alias("reason"),
        pl.col("refusal_detail").alias("detail"),
    )
    rejected = pl.concat([mapped.rejected.select(list(REJECTED_SCHEMA)), refusals])
    return (
        priced.filter(pl.col("refusal").is_null()).select(STAGED_COLUMNS),
        rejected.join(place, on="seq").select(list(REFUSED_SCHEMA)),
    )


def _without(chunk: Chunk, culprits: Mapping[int, Culprit]) -> tuple[Chunk, pl.DataFrame]:
    """The chunk without the culprits, and those as refused offers."""
    here = [culprits[position] for position in chunk.positions if position in culprits]
    refused = pl.DataFrame(
        [(one.position, None, one.reason.value, one.detail) for one in here],
        schema=REFUSED_SCHEMA,
        orient="row",
    )
    return (_only(chunk, set(chunk.positions) - culprits.keys()) if here else chunk), refused


def _only(chunk: Chunk, positions: Set[int]) -> Chunk:
    rows = [row for row in zip(*chunk, strict=True) if row[0] in positions]
    return Chunk(*zip(*rows, strict=True)) if rows else Chunk((), (), ())


@contextmanager
def _collector_resting() -> Iterator[None]:
    """No collection of cycles: a chunk makes none, but tuples enough to set off many, each of them
    over everything that the process holds. It took a fifth of a fold's time."""
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


def _present_prices(tx: Connection, feed: str, offer_ids: pl.Series, currency: str) -> pl.DataFrame:
    values = {"feed": feed, "offer_ids": offer_ids.to_list(), "currency": currency}
    found = tx.execute(query("present_prices"), values).all()
    return pl.DataFrame(
        [tuple(row) for row in found],
        schema={"offer_id": pl.String, PRESENT_PRICE: pl.Int64},
        orient="row",
    )


def _chunks(tx: Connection, part: Row[Any]) -> Iterator[Chunk]:
    """All of a partition by offer id, chunks of about one size; an offer is in one, however often
    it came."""
    where = {"partition_id": part.partition_id, "landed_on": part.landed_on}
    chunks = tx.execute(query("chunks_by_offer_id"), where | {"chunk_offers": CHUNK_OFFERS})
    with cursor(tx) as reader:
        for positions in chunks.scalars().all():
            values = (part.landed_on, part.partition_id, positions)
            reader.execute(READ_RAW_OFFERS, values, binary=True)
            yield Chunk(*zip(*reader.fetchall(), strict=True))


def _stage(tx: Connection, priced: pl.DataFrame) -> None:
    if priced.is_empty():
        return
    with cursor(tx) as writer, writer.copy(COPY_STAGED) as copy:
        copy.write(priced.write_csv(include_header=False).encode())


def _upsert(tx: Connection, part: Row[Any], feed: Feed) -> Row[Any]:
    values = _keys(part) | {"mapping_version": feed.mapping_version}
    return tx.execute(query("upsert_stones"), values).one()


def _reject(tx: Connection, part: Row[Any], refused: pl.DataFrame) -> None:
    lists = {
        "positions": refused["position"].to_list(),
        "offer_ids": refused["offer_id"].to_list(),
        "reasons": refused["reason"].to_list(),
        "details": refused["detail"].fill_null("").to_list(),
    }
    tx.execute(query("add_rejected"), _keys(part) | lists)


def _keys(part: Row[Any]) -> dict[str, object]:
    names = ("partition_id", "run_id", "feed", "landed_on", "opened_at")
    return {name: getattr(part, name) for name in names}
