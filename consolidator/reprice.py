"""Reprice one batch: the stones of a range of ids, under what prices now.

Whole or not at all, in one short transaction that also closes the work item. What was folded under
the present ruleset and rates meanwhile is left alone; a stone whose price is refused goes off sale,
and keeps its last price.
"""

import time
from typing import NamedTuple

import polars as pl
import structlog
from sqlalchemy import Engine

from consolidator import rulesets, stock
from consolidator.active import STAMP_SCHEMA, Active
from shared import ledger
from shared.db import cursor, transaction
from shared.ledger import Claim
from sql import query

log = structlog.get_logger(__name__)

STAGED_COLUMNS = ("stone_id", "price_cents", "price_currency", "rule", *STAMP_SCHEMA, "refusal")
COPY_STAGED = f"COPY staged_prices ({', '.join(STAGED_COLUMNS)}) FROM STDIN (FORMAT csv)"


class Repriced(NamedTuple):
    """What a batch did, in stones."""

    repriced: int  # written, be it only with the ruleset's stamp
    price_changes: int
    refused: int  # taken off sale
    returned: int  # back on sale


def reprice_batch(held: Claim, *, engine: Engine) -> Repriced:
    """Price a batch anew and write what is different.

    Safe to call again: what is written already is not read the second time. Raises NotNow where no
    ruleset is active, ClaimLost where the reprice was cancelled, DatabaseUnavailable.
    """
    started = time.monotonic()
    with transaction(engine, "reprice") as tx:
        # Before the item is held: whoever changes what prices waits for us, and cancels our item.
        active = rulesets.active(tx)
        ledger.finish(tx, held)
        batch = tx.execute(query("reprice_batch"), {"item_id": held.item_id}).one()
        stones = stock.stale(tx, batch.stone_low, batch.stone_high, active)
        staged = price_stones(stones, active)
        returned = staged.filter(pl.col("refusal").is_null() & ~pl.col("on_sale")).height
        tx.execute(query("make_price_staging"))
        if staged.height:
            with cursor(tx) as writer, writer.copy(COPY_STAGED) as copy:
                copy.write(staged.select(STAGED_COLUMNS).write_csv(include_header=False).encode())
        ids = {"stone_low": batch.stone_low, "stone_high": batch.stone_high}
        origin = {"cause": batch.cause, "reprice_id": batch.reprice_id, "actor": batch.actor}
        done = tx.execute(query("reprice_stones"), ids | origin).one()
        repriced = Repriced(done.repriced, done.price_changes, done.refused, returned)
        tx.execute(query("batch_repriced"), repriced._asdict() | {"item_id": held.item_id})
    took_ms = round(1000 * (time.monotonic() - started))
    log.info("batch_repriced", reprice_id=batch.reprice_id, took_ms=took_ms, **repriced._asdict())
    return repriced


def price_stones(stones: pl.DataFrame, active: Active) -> pl.DataFrame:
    """Of some stones what has to be written: STAGED_COLUMNS and `on_sale`, as it was.

    Left out is what would change nothing: another stamp is a change, a second refusal is none.
    """
    if active.asks_present:
        stones = stock.present(stones, active.currency)
    priced = active.price(stones)
    names = ("price_cents", "price_currency", "rule", *STAMP_SCHEMA)
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_before")) for name in names)
    refused = pl.col("refusal").is_not_null()
    before = stones.select(
        "stone_id", "on_sale", *(pl.col(name).alias(f"{name}_before") for name in names)
    )
    both = pl.concat([before, priced], how="horizontal")
    return both.filter(pl.col("on_sale") & (refused | ~same) | ~pl.col("on_sale") & ~refused)
