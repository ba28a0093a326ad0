"""What a ruleset, or a rate, would do to the catalogue, without doing it.

Every stone is priced by the engine itself, some at a time; nothing is written, and what is kept is
counts and the largest moves.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import Engine

from consolidator import stock
from consolidator.active import Active
from consolidator.pricing.refusals import Refusal

PARTS_A_PERCENT = 10_000
MOVERS = 5  # the largest rises, and as many falls
REFUSED_SHOWN = 10
EDGES = (-50, -25, -10, -5, -1, 0, 1, 5, 10, 25, 50)  # percent, between which changes are counted

_MOVER = ("stone_id", "before_cents", "after_cents", "percent", "rule_before", "rule")


@dataclass
class Preview:
    """Counts are stones, amounts in cents of `currency`."""

    ruleset_id: int | None  # None: of a file that is not imported
    name: str
    currency: str
    stones: int = 0  # on sale, or refused by the last reprice
    unchanged: int = 0
    risen: int = 0
    fallen: int = 0
    in_another_currency: int = 0  # until now; neither risen nor fallen
    refused: int = 0  # on sale now
    still_refused: int = 0
    returned: int = 0  # refused now, on sale then
    no_rule: int = 0  # of the refused, still or newly: those that no rule matches
    beyond: int = 0  # change by more than the bound asked for, or are refused
    before_cents: int = 0  # of the risen, fallen and unchanged together
    after_cents: int = 0
    changes: dict[str, int] = field(default_factory=dict)  # "-5 % to -1 %" → stones
    refusals: Counter[str] = field(default_factory=Counter)  # a word of Refusal → stones
    refused_stones: list[dict[str, Any]] = field(default_factory=list)  # REFUSED_SHOWN of them
    movers: list[dict[str, Any]] = field(default_factory=list)  # rises, then falls, largest first

    @property
    def changed(self) -> int:
        return self.risen + self.fallen + self.in_another_currency

    @property
    def share_beyond(self) -> float:
        """Of all stones on sale now."""
        on_sale = self.stones - self.returned - self.still_refused
        return self.beyond / on_sale if on_sale else 0.0


def preview(engine: Engine, active: Active, *, beyond: int = 0) -> Preview:
    """Price all stones by `active`, as a reprice would.

    beyond    the change that `Preview.beyond` counts above, in parts per million

    Reads in short transactions, so stones that are folded meanwhile count as they are when their
    turn comes. About 3 µs a stone.
    """
    found = Preview(active.ruleset_id or None, active.name, active.currency)
    found.changes = dict.fromkeys([*(label(n) for n in range(len(EDGES) + 1))], 0)
    moved: list[pl.DataFrame] = []
    for stones in stock.chunks(engine, active.columns):
        priced = _priced(stones, active)
        _count(found, priced, beyond)
        moved.append(_largest(priced))
        moved = [_largest(pl.concat(moved))]
    found.movers = moved[0].to_dicts() if moved else []
    return found


def label(place: int) -> str:
    """How a stretch between two edges is called; the first and the last have one edge."""
    if place == 0:
        return f"below {EDGES[0]} %"
    if place == len(EDGES):
        return f"{EDGES[-1]:+} % and more"
    low, high = (f"{edge:+}" if edge else "0" for edge in EDGES[place - 1 : place + 1])
    return f"{low} % to {high} %"


def _priced(stones: pl.DataFrame, active: Active) -> pl.DataFrame:
    """Before and after of each stone; `percent` where both are in the shop's currency."""
    stones = stock.present(stones, active.currency)
    priced = active.price(stones)
    before, after = pl.col("before_cents"), pl.col("after_cents")
    return (
        stones.select(
            "stone_id",
            "on_sale",
            pl.col("rule").alias("rule_before"),
            pl.col("present_price_cents").alias("before_cents"),
        )
        .hstack(
            priced.select(
                pl.col("price_cents").alias("after_cents"), "rule", "refusal", "refusal_detail"
            )
        )
        .with_columns(percent=(after - before) * 100 / before)
    )


def _count(found: Preview, priced: pl.DataFrame, beyond: int) -> None:
    before, after = pl.col("before_cents"), pl.col("after_cents")
    on_sale, refused = pl.col("on_sale"), pl.col("refusal").is_not_null()
    kept = on_sale & ~refused
    far = pl.col("percent").abs() > beyond / PARTS_A_PERCENT
    sums = priced.select(
        stones=pl.len(),
        unchanged=(kept & (after == before)).sum(),
        risen=(kept & (after > before)).sum(),
        fallen=(kept & (after < before)).sum(),
        in_another_currency=(kept & before.is_null()).sum(),
        refused=(on_sale & refused).sum(),
        still_refused=(~on_sale & refused).sum(),
        returned=(~on_sale & ~refused).sum(),
        no_rule=(pl.col("refusal") == Refusal.NO_RULE).sum(),
        beyond=(on_sale & (refused | before.is_null() | far)).sum(),
        before_cents=before.filter(kept & before.is_not_null()).sum(),
        after_cents=after.filter(kept & before.is_not_null()).sum(),
    ).row(0, named=True)
    for name, number in sums.items():
        setattr(found, name, getattr(found, name) + number)
    moved = priced.filter(kept & (after != before))["percent"]
    places = np.searchsorted(EDGES, moved.to_numpy(), side="right")
    for place, count in enumerate(np.bincount(places, minlength=len(EDGES) + 1).tolist()):
        found.changes[label(place)] += count
    lost = priced.filter(refused)
    found.refusals.update(lost["refusal"].to_list())
    room = REFUSED_SHOWN - len(found.refused_stones)
    shown = lost.select("stone_id", "on_sale", "refusal", "refusal_detail")
    found.refused_stones += shown.head(room).to_dicts()


def _largest(priced: pl.DataFrame) -> pl.DataFrame:
    """The largest rises and falls among these, in percent; of equal ones the lower stone id."""
    percent = pl.col("percent")
    moved = priced.select(_MOVER)
    rises = moved.filter(percent > 0).sort("percent", "stone_id", descending=[True, False])
    falls = moved.filter(percent < 0).sort("percent", "stone_id")
    return pl.concat([rises.head(MOVERS), falls.head(MOVERS)])
