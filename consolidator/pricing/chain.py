"""The chain from a cost to a price, on columns of stones, step by step.

cost → exchange rate → tax or duty → the rule → rounding → guards. Pure; every step ends in whole
cents, and a stone that a step refuses keeps the amount that was refused and goes no further: its
later amounts are 0.
docs/pricing.md fixes the order of the steps and the rounding of each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from consolidator.pricing import amounts
from consolidator.pricing.amounts import CENTS_MAX, ONE, Cents, Flags
from consolidator.pricing.matching import NO_RULE
from consolidator.pricing.refusals import Refusal
from consolidator.pricing.rule import Price
from consolidator.pricing.ruleset import DatedRate, Ruleset

WORDS = tuple(Refusal)  # a refusal's number is its place here
PRICED = -1  # the number of none
NO_GUARD = -1


@dataclass
class Chain:
    """What has become of each stone so far; one entry a stone in every array."""

    cost: Cents  # the supplier's, in its currency
    shop_cost: Cents
    taxed_cost: Cents
    rule: NDArray[np.int64]  # place in the ruleset, or NO_RULE
    unrounded: Cents  # what the rule makes of the taxed cost
    price: Cents
    margin_price: Cents  # the lowest price that leaves the least margin; 0: no such guard
    lowest: Cents  # the lowest price that may follow the present one; 0: any
    highest: Cents  # the highest; CENTS_MAX: any
    refusal: NDArray[np.int8]  # place in WORDS, or PRICED

    @classmethod
    def start(cls, cost: Cents) -> "Chain":
        zero = np.zeros(len(cost), dtype=np.int64)
        none = np.full(len(cost), PRICED, dtype=np.int8)
        return cls(cost, zero, zero, zero + NO_RULE, zero, zero, zero, zero, zero, none)

    def going(self) -> Flags:
        """The stones that nothing has refused yet."""
        return np.equal(self.refusal, PRICED)

    def refuse(self, which: Flags, why: Refusal) -> None:
        """Refuse those of them that are still going."""
        if which.any():
            self.refusal[which & self.going()] = WORDS.index(why)

    def kept(self, cents: Cents) -> Cents:
        """The amounts of the stones that are still going; 0 for the others."""
        return np.where(self.going(), cents, 0)


class Rates:
    """Exchange rates as fractions: currency → what one unit of it is worth in the shop's."""

    def __init__(self, shop: str, rates: Mapping[str, DatedRate]) -> None:
        self.dated = rates
        ratios = {currency: one.rate.as_integer_ratio() for currency, one in rates.items()}
        self.fractions = {**ratios, shop: (1, 1)}
        self._words = pl.Enum(list(self.fractions))
        pairs = [*self.fractions.values(), (0, 1)]  # the last is for a currency without a rate
        self._tops = np.array([top for top, _ in pairs], dtype=np.int64)
        self._bottoms = np.array([bottom for _, bottom in pairs], dtype=np.int64)

    def convert(self, chain: Chain, currencies: pl.Series) -> None:
        """The cost in the shop's currency, to the nearest cent, a half upwards."""
        chain.refuse(chain.cost <= 0, Refusal.BAD_COST)
        chain.refuse(chain.cost > CENTS_MAX, Refusal.OVERFLOW)
        places = currencies.cast(self._words, strict=False).to_physical()
        place = places.fill_null(len(self.fractions)).to_numpy()
        chain.refuse(place == len(self.fractions), Refusal.NO_RATE)
        tops, bottoms = self._tops[place], self._bottoms[place]
        cost = chain.kept(chain.cost)
        if (tops != bottoms).any():
            cost = amounts.half_up(cost, tops, bottoms)
        chain.shop_cost = cost
        chain.refuse(cost <= 0, Refusal.BAD_COST)
        chain.refuse(cost > CENTS_MAX, Refusal.OVERFLOW)


class Terms:
    """What the rules say of price, rounding and guards, as columns: an entry a rule."""

    def __init__(self, ruleset: Ruleset) -> None:
        rules = ruleset.rules
        prices = [rule.price or Price(add=0) for rule in rules]
        roundings = [ruleset.rounding_of(rule) for rule in rules]
        guards = [ruleset.guards_of(rule) for rule in rules]
        self.tax = ONE + (ruleset.tax.percent if ruleset.tax else 0)
        self.refuses = _column(rule.refuse is not None for rule in rules)
        self.factor = _column(ruleset.factor_parts(rule) for rule in rules)
        self.add = _column(price.add for price in prices)
        self.step = _column(rounding.step_cents for rounding in roundings)
        self.ending = _column(rounding.ending for rounding in roundings)
        self.upwards = _column(rounding.mode == "up" for rounding in roundings)
        self.below_cost = _column(rule.sell_below_cost for rule in rules)
        self.margin_min = _column((one.margin_min for one in guards), NO_GUARD)
        self.floor = _column((one.floor for one in guards), NO_GUARD)
        self.ceiling = _column((one.ceiling for one in guards), CENTS_MAX)
        self.rise_max = _column((one.rise_max for one in guards), NO_GUARD)
        self.fall_max = _column((one.fall_max for one in guards), NO_GUARD)

    def tax_cost(self, chain: Chain) -> None:
        """Tax or duty on top, to the nearest cent, a half upwards."""
        chain.taxed_cost = amounts.half_up(chain.kept(chain.shop_cost), self.tax, ONE)
        chain.refuse(chain.taxed_cost > CENTS_MAX, Refusal.OVERFLOW)

    def apply_rule(self, chain: Chain) -> None:
        """taxed cost × factor, to the nearest cent, a half upwards; then the fixed amount."""
        rule = chain.rule
        chain.refuse(rule == NO_RULE, Refusal.NO_RULE)
        chain.refuse(self.refuses[rule] == 1, Refusal.REFUSED_BY_RULE)
        scaled = amounts.half_up(chain.kept(chain.taxed_cost), self.factor[rule], ONE)
        chain.unrounded = chain.kept(scaled + self.add[rule])
        chain.refuse(chain.unrounded > CENTS_MAX, Refusal.OVERFLOW)
        chain.refuse(chain.unrounded <= 0, Refusal.NOT_POSITIVE)

    def round_price(self, chain: Chain) -> None:
        """To a price that the rounding allows."""
        rule, cents = chain.rule, chain.kept(chain.unrounded)
        upwards = self.upwards[rule] == 1
        chain.price = chain.kept(
            amounts.to_ending(cents, self.step[rule], self.ending[rule], upwards)
        )
        chain.refuse(chain.price > CENTS_MAX, Refusal.OVERFLOW)

    def guard(self, chain: Chain, present: Cents) -> None:
        """Refuse what a guard forbids.

        present  the stones' present prices in the shop's currency; 0: none
        """
        rule, price, cost = chain.rule, chain.price, chain.taxed_cost
        chain.refuse((price <= cost) & (self.below_cost[rule] == 0), Refusal.BELOW_COST)
        chain.margin_price = self._margin_price(rule, chain.kept(cost))
        chain.refuse(price < chain.margin_price, Refusal.LOW_MARGIN)
        chain.refuse(price < self.floor[rule], Refusal.BELOW_FLOOR)
        chain.refuse(price > self.ceiling[rule], Refusal.ABOVE_CEILING)
        chain.lowest, chain.highest = self._reach(rule, present)
        chain.refuse((price < chain.lowest) | (price > chain.highest), Refusal.JUMP)

    def _margin_price(self, rule: Cents, taxed_cost: Cents) -> Cents:
        margin = self.margin_min[rule]
        lowest = amounts.up(taxed_cost, ONE, ONE - np.maximum(margin, 0))
        return np.where(margin == NO_GUARD, 0, lowest)

    def _reach(self, rule: Cents, present: Cents) -> tuple[Cents, Cents]:
        rise, fall = self.rise_max[rule], self.fall_max[rule]
        known = present > 0
        lowest = amounts.up(present, ONE - np.maximum(fall, 0), ONE)
        highest = amounts.down(present, ONE + np.maximum(rise, 0), ONE)
        return (
            np.where(known & (fall != NO_GUARD), lowest, 0),
            np.where(known & (rise != NO_GUARD), highest, CENTS_MAX),
        )


def _column(values: Iterable[int | None], missing: int = 0) -> Cents:
    return np.array([missing if v is None else int(v) for v in values], dtype=np.int64)
