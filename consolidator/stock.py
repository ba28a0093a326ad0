"""The catalogue's stones in columns, some at a time: what is priced anew, previewed and compared.

Stones that are on sale, and those that a reprice took off sale: their offers are sound, so another
ruleset may bring them back. Not those whose last offer was rejected, nor delisted ones.
"""

from collections.abc import Iterator, Sequence

import polars as pl
from sqlalchemy import Connection, Engine

from consolidator.active import STAMP_SCHEMA, Active
from consolidator.pricing.fields import PRESENT_PRICE
from shared.db import cursor, transaction
from shared.stone import STONE_SCHEMA

CHUNK_STONES = 10_000

# What is known of a stone's present price, in every frame of stones.
KNOWN_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "stone_id": pl.Int64,
    "price_cents": pl.Int64,
    "price_currency": pl.String,
    "rule": pl.String,
    **STAMP_SCHEMA,
    "on_sale": pl.Boolean,
}
COLUMNS = {"feed": pl.String, **STONE_SCHEMA, **KNOWN_SCHEMA}

READ_CHUNK = """
    COPY (SELECT {columns} FROM diamonds
           WHERE stone_id > %(after)s AND (on_sale OR off_sale_reason = 'refused')
           ORDER BY stone_id
           LIMIT %(limit)s) TO STDOUT (FORMAT csv)
"""

# What a reprice has to look at: another ruleset, rate or experiment than now, or refused. In the
# order in which folds write, so that the two never wait for each other in a ring. Locked, so that
# what is read is what the price is written for.
READ_STALE = """
    COPY (SELECT {columns} FROM diamonds
           WHERE stone_id >= %(low)s AND stone_id < %(high)s
             AND (on_sale OR off_sale_reason = 'refused')
             AND (NOT on_sale OR ruleset_id <> %(ruleset_id)s
                  OR experiment IS DISTINCT FROM %(experiment)s OR rate_id IS DISTINCT FROM
                  (SELECT r.rate_id FROM unnest(%(currencies)s::text[], %(rate_ids)s::int[])
                       AS r (currency, rate_id) WHERE r.currency = cost_currency))
           ORDER BY feed, offer_id
             FOR NO KEY UPDATE) TO STDOUT (FORMAT csv)
"""


def chunks(engine: Engine, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """All stones, CHUNK_STONES at a time in the order of their ids, each in a transaction of its
    own: with `columns`, those of KNOWN_SCHEMA and `feed`."""
    after = -1
    while True:
        with transaction(engine) as tx:
            stones = _read(tx, READ_CHUNK, columns, {"after": after, "limit": CHUNK_STONES})
        if stones.is_empty():
            return
        yield stones
        after = stones["stone_id"][-1]


def stale(tx: Connection, low: int, high: int, active: Active) -> pl.DataFrame:
    """The stones from id `low` to below `high` that are not priced as now; locked until the end of
    the transaction."""
    values: dict[str, object] = {
        "low": low,
        "high": high,
        "ruleset_id": active.ruleset_id,
        "experiment": active.variant.experiment if active.variant else None,
        "currencies": list(active.rate_ids),
        "rate_ids": list(active.rate_ids.values()),
    }
    return _read(tx, READ_STALE, active.columns, values)


def present(stones: pl.DataFrame, currency: str) -> pl.DataFrame:
    """The same with PRESENT_PRICE: the price, where it is in the shop's currency."""
    here = pl.col("price_currency") == currency
    return stones.with_columns(pl.when(here).then("price_cents").alias(PRESENT_PRICE))


def _read(
    tx: Connection, statement: str, columns: Sequence[str], values: dict[str, object]
) -> pl.DataFrame:
    names = tuple(dict.fromkeys(["feed", *columns, *KNOWN_SCHEMA]))
    # A truth value as words, which is how it is read back.
    said = (f"{name}::text" if COLUMNS[name] == pl.Boolean else name for name in names)
    wanted = statement.format(columns=", ".join(said))
    with cursor(tx) as reader, reader.copy(wanted, values) as copy:
        text = b"".join(bytes(block) for block in copy)
    schema = {name: COLUMNS[name] for name in names}
    if not text:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(text, has_header=False, schema=schema)
