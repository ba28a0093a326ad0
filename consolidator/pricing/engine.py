"""Price stones under one ruleset: compiled once, then column by column.

Pure: no clock, no database, no network. docs/pricing.md is the language and the chain;
`matching.py` finds each stone's rule and `chain.py` does the sums.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from consolidator.pricing.amounts import CENTS_MAX, Cents, Flags
from consolidator.pricing.chain import PRICED, WORDS, Chain, Rates, Terms
from consolidator.pricing.explain import Explanation, explanation, one_stone
from consolidator.pricing.fields import COST, PRESENT_PRICE, TAXED_COST
from consolidator.pricing.matching import NO_RULE, Matcher
from consolidator.pricing.ruleset import DatedRate, Ruleset
from consolidator.pricing.wording import Seen, detail

ENGINES_KEPT = 8
SLICE_STONES = 10_000  # of a longer frame at a time; bounds the memory on the way

# What `Engine.price` answers, a row for each stone.
PRICED_SCHEMA: dict[str, type[pl.DataType]] = {
    "price_cents": pl.Int64,  # above 0; null where refused
    "price_currency": pl.String,  # the shop's; null where refused
    "rule": pl.String,  # that matched, also where the stone was refused after it
    "refusal": pl.String,  # a word of Refusal; null where priced
    "refusal_detail": pl.String,  # the amounts behind it; null where priced
    "shop_cost_cents": pl.Int64,  # null, as the next two, where the chain did not get so far
    "taxed_cost_cents": pl.Int64,
    "unrounded_price_cents": pl.Int64,
}


class Worked(NamedTuple):
    """Stones after the chain, and which conditions they met on the way."""

    stones: pl.DataFrame
    chain: Chain
    present: Cents  # 0: no present price
    met: list[Flags]  # as of Matcher.met


class Engine:
    """A compiled ruleset. Never changes; threads may share it."""

    def __init__(self, ruleset: Ruleset, rates: Mapping[str, DatedRate]) -> None:
        self.ruleset = ruleset
        self.rates = Rates(ruleset.currency, rates)
        self.terms = Terms(ruleset)
        self.matcher = Matcher([rule.when for rule in ruleset.rules])
        asked = [field.name for field in self.matcher.fields if not field.chained]
        # The columns of a stone that its price depends on, apart from its present price.
        self.columns = tuple(dict.fromkeys(["cost_cents", "cost_currency", *asked]))
        guards = map(ruleset.guards_of, ruleset.rules)
        # Whether a price may depend on the present one.
        self.asks_present = any(
            one.rise_max is not None or one.fall_max is not None for one in guards
        )
        self._names = pl.Series([rule.name for rule in ruleset.rules], dtype=pl.String)

    def price(self, stones: pl.DataFrame) -> pl.DataFrame:
        """Price every stone, or say why not.

        stones  at least `columns`, in the types of STONE_SCHEMA (`feed`: String). With
                `present_price_cents` (Int64, in the shop's currency; null: none) the guards of
                rise and fall apply.

        Returns PRICED_SCHEMA, a row for a row; of price and refusal exactly one is null. On one
        core some 3,300,000 stones a second under 10 rules and 1,400,000 under 200; 100,000 where
        all are refused, since each gets its own sentence.
        """
        parts = [self._priced(part) for part in stones.iter_slices(SLICE_STONES)]
        return pl.concat(parts) if parts else pl.DataFrame(schema=PRICED_SCHEMA)

    def explain(self, stone: Mapping[str, Any]) -> Explanation:
        """Why one stone has its price, or none: the chain, and every rule up to its own.

        stone  its values by column of STONE_SCHEMA, `feed` and `present_price_cents`; a column
               left out is missing. Decimals may be text, whole numbers or floats.

        Raises BadMessage for an unknown column, or a value that its column cannot hold.
        """
        worked = self.work(one_stone(stone))
        met = {condition: bool(flags[0]) for condition, flags in self.matcher.named(worked.met)}
        return explanation(
            next(self.seen(worked, np.array([0]))),
            met,
            ruleset=self.ruleset,
            rates=self.rates,
            asked=self.matcher.fields,
        )

    def work(self, stones: pl.DataFrame) -> Worked:
        """Take every stone through the chain."""
        chain = Chain.start(_whole(stones["cost_cents"]))
        self.rates.convert(chain, stones["cost_currency"])
        self.terms.tax_cost(chain)
        chained = {COST.name: chain.shop_cost, TAXED_COST.name: chain.taxed_cost}
        met = self.matcher.met(self.matcher.read(stones, chained))
        first = self.matcher.first(met, stones.height)
        chain.rule = np.where(chain.going(), first, NO_RULE)
        self.terms.apply_rule(chain)
        self.terms.round_price(chain)
        present = np.zeros(stones.height, dtype=np.int64)
        if PRESENT_PRICE in stones.columns:
            present = _whole(stones[PRESENT_PRICE])
            present = np.where((present > 0) & (present <= CENTS_MAX), present, 0)
        self.terms.guard(chain, present)
        return Worked(stones.select(self.columns), chain, present, met)

    def seen(self, worked: Worked, rows: NDArray[np.intp]) -> Iterator[Seen]:
        """Some of the stones, as plain values, in the order of `rows`."""
        chain = worked.chain
        amounts = (
            worked.present, chain.cost, chain.shop_cost, chain.taxed_cost, chain.rule,
            chain.unrounded, chain.price, chain.margin_price, chain.lowest, chain.highest,
        )  # fmt: skip
        words = [None if n == PRICED else WORDS[n] for n in chain.refusal[rows].tolist()]
        values = zip(*(column[rows].tolist() for column in amounts), words, strict=True)
        stones = worked.stones[rows].iter_rows(named=True)
        return (Seen(stone, *value) for stone, value in zip(stones, values, strict=True))

    def _priced(self, stones: pl.DataFrame) -> pl.DataFrame:
        worked = self.work(stones)
        chain = worked.chain
        priced = chain.going()
        refusals: list[str | None] = [None] * stones.height
        details: list[str | None] = [None] * stones.height
        refused = np.flatnonzero(~priced)
        for row, seen in zip(refused.tolist(), self.seen(worked, refused), strict=True):
            refusals[row] = seen.refusal
            details[row] = detail(seen, self.ruleset, self.matcher.fields)
        currency = pl.Series([self.ruleset.currency], dtype=pl.String)
        return pl.DataFrame(
            {
                "price_cents": _amounts(np.where(priced, chain.price, 0)),
                "price_currency": currency.gather(_places(priced, 0)),
                "rule": self._names.gather(_places(chain.rule != NO_RULE, chain.rule)),
                "refusal": refusals,
                "refusal_detail": details,
                "shop_cost_cents": _amounts(chain.shop_cost),
                "taxed_cost_cents": _amounts(chain.taxed_cost),
                "unrounded_price_cents": _amounts(chain.unrounded),
            },
            schema=PRICED_SCHEMA,
        )


_engines: dict[tuple[str, frozenset[tuple[str, DatedRate]]], Engine] = {}


def compile_ruleset(ruleset: Ruleset, rates: Mapping[str, DatedRate] | None = None) -> Engine:
    """The engine of a ruleset; the same one again for the same content and rates.

    rates  by currency; they go before those of the ruleset's file. A currency in neither refuses
           its stones.
    """
    dated = {**ruleset.rates, **(rates or {})}
    key = ruleset.checksum, frozenset(dated.items())
    engine = _engines.get(key)
    if engine is None:
        engine = _engines[key] = Engine(ruleset, dated)
        while len(_engines) > ENGINES_KEPT:
            _engines.pop(next(iter(_engines)), None)
    return engine


def _whole(numbers: pl.Series) -> Cents:
    """Whole numbers, 0 for null."""
    return numbers.cast(pl.Int64).fill_null(0).to_numpy()


def _amounts(cents: Cents) -> pl.Series:
    """Amounts as a column; null where there is none, or none that a price could have."""
    return pl.Series(cents).set(pl.Series((cents <= 0) | (cents > CENTS_MAX)), None)


def _places(known: Flags, place: Cents | int) -> pl.Series:
    """Where to take each row's word from; null where it has none."""
    return pl.Series(np.where(known, place, 0)).set(pl.Series(~known), None)
