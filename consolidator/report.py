"""How the arms of the active ruleset's experiment compare."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import Engine

from consolidator import stock
from consolidator.active import Active, Variant
from consolidator.pricing.arms import CONTROL, VARIANT


@dataclass(frozen=True)
class Arm:
    """Stones on sale that carry the arm; amounts in cents, margins in percent of the price."""

    arm: str
    ruleset_id: int
    stones: int
    refused: int  # by that arm's ruleset, off sale
    price_mean: int | None  # None, as the next three, without a stone
    price_median: int | None
    margin_mean: float | None  # over the taxed cost
    margin_median: float | None


@dataclass
class _Seen:
    refused: int = 0
    prices: list[NDArray[np.int64]] = field(default_factory=list)
    margins: list[NDArray[np.float32]] = field(default_factory=list)


def compare(engine: Engine, active: Active, variant: Variant) -> list[Arm]:
    """Control, then variant. A stone that is not assigned yet counts in neither.

    A stone counts with the price it has; its taxed cost is what the ruleset of its arm makes of the
    cost now. Twelve bytes a stone.
    """
    seen = {CONTROL: _Seen(), VARIANT: _Seen()}
    for stones in stock.chunks(engine, active.columns):
        costs = active.price(stones)["taxed_cost_cents"].alias("taxed")
        ours = stones.with_columns(costs).filter(
            (pl.col("experiment") == variant.experiment)
            & (pl.col("price_currency") == active.currency)
        )
        for arm, kept in seen.items():
            of_arm = ours.filter(pl.col("arm") == arm)
            kept.refused += of_arm.filter(~pl.col("on_sale")).height
            on_sale = of_arm.filter(pl.col("on_sale") & pl.col("taxed").is_not_null())
            price, taxed = pl.col("price_cents"), pl.col("taxed")
            margins = on_sale.select((price - taxed) * 100 / price).to_series()
            kept.prices.append(on_sale["price_cents"].to_numpy())
            kept.margins.append(margins.cast(pl.Float32).to_numpy())
    ids = {CONTROL: active.ruleset_id, VARIANT: variant.ruleset_id}
    return [_summed(arm, ids[arm], kept) for arm, kept in seen.items()]


def _summed(arm: str, ruleset_id: int, seen: _Seen) -> Arm:
    prices = np.concatenate(seen.prices) if seen.prices else np.zeros(0)
    if not len(prices):
        return Arm(arm, ruleset_id, 0, seen.refused, None, None, None, None)
    margins = np.concatenate(seen.margins)
    return Arm(
        arm,
        ruleset_id,
        len(prices),
        seen.refused,
        round(float(prices.mean())),
        round(float(np.median(prices))),
        float(margins.mean(dtype=np.float64)),
        float(np.median(margins)),
    )
