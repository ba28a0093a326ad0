"""What prices now: a ruleset with the present rates and, in an experiment, its variant.

Pure: `rulesets.py` reads it from the database.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from consolidator.pricing.arms import CONTROL, VARIANT, in_variant
from consolidator.pricing.engine import PRICED_SCHEMA
from consolidator.pricing.engine import Engine as PriceEngine
from consolidator.pricing.explain import Explanation

# What a stone keeps of how it was priced, beside its price and its rule.
STAMP_SCHEMA: dict[str, type[pl.DataType]] = {
    "ruleset_id": pl.Int64,  # whose rules gave the price: the variant's for its stones
    "rate_id": pl.Int64,  # null: the shop's own currency, or a rate of the ruleset's file
    "experiment": pl.String,  # null, as the arm, where there is none
    "arm": pl.String,
}


class Variant(NamedTuple):
    """The other arm of an experiment."""

    experiment: str
    share: int  # of all stones, in parts per million
    ruleset_id: int
    engine: PriceEngine


class Active(NamedTuple):
    """A ruleset as it prices; an engine is compiled once a process, ruleset and rates."""

    ruleset_id: int
    name: str
    engine: PriceEngine
    rate_ids: Mapping[str, int]  # of the rates that are not the file's, by currency
    variant: Variant | None = None

    @property
    def currency(self) -> str:
        """The shop's, which is the variant's too."""
        return self.engine.ruleset.currency

    @property
    def asks_present(self) -> bool:
        """Whether a price may depend on the stone's present one."""
        return self.engine.asks_present or (
            self.variant is not None and self.variant.engine.asks_present
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a stone that `price` looks at, apart from its present price."""
        if self.variant is None:
            return self.engine.columns
        both = (*self.engine.columns, *self.variant.engine.columns, "feed", "offer_id")
        return tuple(dict.fromkeys(both))

    def price(self, stones: pl.DataFrame) -> pl.DataFrame:
        """As `Engine.price`, with STAMP_SCHEMA: each stone under the ruleset of its arm."""
        schema = PRICED_SCHEMA | STAMP_SCHEMA
        rates = stones["cost_currency"].replace_strict(
            list(self.rate_ids), list(self.rate_ids.values()), default=None, return_dtype=pl.Int64
        )
        rates = rates.alias("rate_id")
        if self.variant is None:
            none = pl.lit(None, dtype=pl.String)
            return (
                self.engine.price(stones)
                .with_columns(rates, ruleset_id=pl.lit(self.ruleset_id), experiment=none, arm=none)
                .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
            )
        chosen = in_variant(self.variant.experiment, self.variant.share, stones)
        parts = [
            engine.price(stones.filter(pl.Series(which))).with_columns(
                ruleset_id=pl.lit(ruleset_id), arm=pl.lit(arm)
            )
            for engine, ruleset_id, arm, which in (
                (self.engine, self.ruleset_id, CONTROL, ~chosen),
                (self.variant.engine, self.variant.ruleset_id, VARIANT, chosen),
            )
        ]
        order = np.argsort(np.concatenate([np.flatnonzero(~chosen), np.flatnonzero(chosen)]))
        return (
            pl.concat(parts)[order]
            .with_columns(rates, experiment=pl.lit(self.variant.experiment))
            .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        )

    def explain(self, stone: Mapping[str, Any]) -> Explanation:
        """As `Engine.explain`, under the ruleset of the stone's arm; one without an offer id is in
        the control."""
        engine = self.engine
        if self.variant is not None and stone.get("offer_id") is not None:
            identity = pl.DataFrame([{"feed": stone.get("feed"), "offer_id": stone["offer_id"]}])
            if in_variant(self.variant.experiment, self.variant.share, identity)[0]:
                engine = self.variant.engine
        return engine.explain(stone)
