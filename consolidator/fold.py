"""Fold one partition: its raw offers become priced stones, price changes and rejected offers.

In columns, a chunk at a time, and all of it in one transaction that also closes the work item: a
fold happens whole or not at all, under one ruleset.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from functools import partial
from typing import NamedTuple

import polars as pl
import structlog
from psycopg.types.json import set_json_loads
from sqlalchemy import Connection, Engine, Row

from consolidator import rulesets
from consolidator.pricing.engine import Engine as PriceEngine
from consolidator.pricing.fields import PRESENT_PRICE
from shared import ledger
from shared.db import as_it_is, cursor, transaction
from shared.feeds.base import Feed
from shared.ledger import Claim
from shared.stone import REJECTED_SCHEMA, STONE_COLUMNS
from sql import query

log = structlog.get_logger(__name__)

CHUNK_OFFERS = 3_000  # about 6 MB of payload, 40 MB while it is mapped

STAGED_COLUMNS = (
    "position", "read_at", *STONE_COLUMNS, "price_cents", "price_currency", "rule",
)  # fmt: skip
COPY_STAGED = f"COPY staged_stones ({', '.join(STAGED_COLUMNS)}) FROM STDIN (FORMAT csv)"

READ_RAW_OFFERS = """
    SELECT position, read_at, payload
      FROM raw_offers
     WHERE landed_on = %s AND partition_id = %s AND position > %s
     ORDER BY position
     LIMIT %s
"""


class Chunk(NamedTuple):
    """Some of a partition's raw offers; the three have one length."""

    positions: Sequence[int]
    read_at: Sequence[datetime]
    payloads: Sequence[bytes]


# A feed, offer ids, a currency → `offer_id` and PRESENT_PRICE of those that have one.
PresentPrices = Callable[[str, pl.Series, str], pl.DataFrame]


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

    Safe to call again: what is written already is unchanged the second time. Raises NotNow where
    no ruleset is active, ClaimLost, DatabaseUnavailable.
    """
    started = time.monotonic()
    with transaction(engine) as tx:
        ledger.finish(tx, held)
        part = tx.execute(query("partition_to_fold"), {"partition_id": held.partition_id}).one()
        ruleset = rulesets.active(tx)
        tx.execute(query("make_staging"))
        tx.execute(query("forget_rejected"), {"partition_id": part.partition_id})
        rejected = 0
        for chunk in _chunks(tx, part.landed_on, part.partition_id):
            priced, refused = price_chunk(
                chunk, feed=feed, engine=ruleset.engine, present=partial(_present_prices, tx)
            )
            _stage(tx, priced)
            _reject(tx, part, refused)
            rejected += refused.height
        if part.overtaken:
            tx.execute(query("drop_overtaken"), _keys(part))
        values = _keys(part) | {
            "ruleset_id": ruleset.ruleset_id,
            "mapping_version": feed.mapping_version,
        }
        done = tx.execute(query("upsert_stones"), values).one()
        if rejected:
            tx.execute(query("withdraw_rejected"), _keys(part) | {"overtaken": part.overtaken})
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


def price_chunk(
    chunk: Chunk, *, feed: Feed, engine: PriceEngine, present: PresentPrices
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Raw offers to priced stones and refused ones; every offer is in exactly one of the two.

    present    what the stones cost now; asked only where a guard of the ruleset looks at it

    The first has STAGED_COLUMNS, the second `position` and REJECTED_SCHEMA without its `seq`.
    """
    mapped = feed.map_offers(chunk.payloads)
    place = pl.DataFrame(
        {"seq": range(len(chunk.positions)), "position": chunk.positions, "read_at": chunk.read_at},
        schema={"seq": pl.Int64, "position": pl.Int64, "read_at": pl.Datetime("us", "UTC")},
    )
    stones = mapped.stones.with_columns(pl.lit(feed.name).alias("feed"))
    if _guards_present(engine):
        prices = present(feed.name, stones["offer_id"], engine.ruleset.currency)
        stones = stones.join(prices, on="offer_id", how="left", maintain_order="left")
    priced = pl.concat([stones, engine.price(stones)], how="horizontal")
    priced = priced.join(place, on="seq", maintain_order="left")
    refusals = priced.filter(pl.col("refusal").is_not_null()).select(
        "seq",
        "offer_id",
        pl.col("refusal").alias("reason"),
        pl.col("refusal_detail").alias("detail"),
    )
    rejected = pl.concat([mapped.rejected.select(list(REJECTED_SCHEMA)), refusals])
    return (
        priced.filter(pl.col("refusal").is_null()).select(STAGED_COLUMNS),
        rejected.join(place, on="seq").select("position", "offer_id", "reason", "detail"),
    )


def _guards_present(engine: PriceEngine) -> bool:
    """Whether a price of the ruleset depends on the present one."""
    guards = map(engine.ruleset.guards_of, engine.ruleset.rules)
    return any(one.rise_max is not None or one.fall_max is not None for one in guards)


def _present_prices(tx: Connection, feed: str, offer_ids: pl.Series, currency: str) -> pl.DataFrame:
    values = {"feed": feed, "offer_ids": offer_ids.to_list(), "currency": currency}
    found = tx.execute(query("present_prices"), values).all()
    return pl.DataFrame(
        [tuple(row) for row in found],
        schema={"offer_id": pl.String, PRESENT_PRICE: pl.Int64},
        orient="row",
    )


def _chunks(tx: Connection, landed_on: date, partition_id: int) -> Iterator[Chunk]:
    with cursor(tx) as reader:
        set_json_loads(as_it_is, context=reader)  # the mapping reads them, all at once
        after = -1
        while True:
            reader.execute(READ_RAW_OFFERS, (landed_on, partition_id, after, CHUNK_OFFERS))
            rows = reader.fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield Chunk(*zip(*rows, strict=True))


def _stage(tx: Connection, priced: pl.DataFrame) -> None:
    if priced.is_empty():
        return
    with cursor(tx) as writer, writer.copy(COPY_STAGED) as copy:
        copy.write(priced.write_csv(include_header=False).encode())


def _reject(tx: Connection, part: Row[tuple[object, ...]], refused: pl.DataFrame) -> None:
    if refused.is_empty():
        return
    lists = {
        "positions": refused["position"].to_list(),
        "offer_ids": refused["offer_id"].to_list(),
        "reasons": refused["reason"].to_list(),
        "details": refused["detail"].fill_null("").to_list(),
    }
    tx.execute(query("add_rejected"), _keys(part) | lists)


def _keys(part: Row[tuple[object, ...]]) -> dict[str, object]:
    names = ("partition_id", "run_id", "feed", "landed_on", "opened_at")
    return {name: getattr(part, name) for name in names}
