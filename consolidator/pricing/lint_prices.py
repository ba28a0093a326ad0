"""The checks of a ruleset that compute prices, by the engine's own chain. Pure."""

import functools
import operator
from collections.abc import Iterator

import numpy as np

from consolidator.pricing import amounts
from consolidator.pricing.amounts import Cents
from consolidator.pricing.chain import WORDS, Chain, Terms
from consolidator.pricing.findings import Finding, Kind, about
from consolidator.pricing.regions import Box, meet
from consolidator.pricing.ruleset import Ruleset
from consolidator.pricing.survey import Surveyed


def dearer_cheaper(surveyed: Surveyed) -> Iterator[Finding]:
    """At each bound of the cost: the rule just below it and that from it on, for the same stone."""
    steps = sorted(_steps(surveyed))
    if not steps:
        return
    ruleset = surveyed.ruleset
    bounds, below, above = (np.array(column, dtype=np.int64) for column in zip(*steps, strict=True))
    cheap, dear = _price(ruleset, bounds - 1, below), _price(ruleset, bounds, above)
    worse = cheap.going() & dear.going() & (cheap.price > dear.price)
    for place in np.flatnonzero(worse).tolist():
        bound, first, second = steps[place]
        said = (
            f"a cost of {amounts.text(bound - 1)} is priced {amounts.text(int(cheap.price[place]))}"
            f" by {ruleset.rules[first].name!r}, one of {amounts.text(bound)} only"
            f" {amounts.text(int(dear.price[place]))} by this rule; raise `add` by the difference"
        )
        yield about(ruleset, second, Kind.DEARER_CHEAPER, said)


def _steps(surveyed: Surveyed) -> set[tuple[int, int, int]]:
    """(bound of the cost, rule just below it, rule from it on), where a stone may have either."""
    axis, ruleset = surveyed.space.axes[0], surveyed.ruleset
    starts: dict[int, list[tuple[int, Box]]] = {}
    ends: dict[int, list[tuple[int, Box]]] = {}
    for number, reach in enumerate(surveyed.reach):
        if ruleset.rules[number].price is not None:
            for box in reach:
                for atom in range(axis.numbers):
                    here, before = box[0] >> atom & 1, atom and box[0] >> (atom - 1) & 1
                    if here and not before:
                        starts.setdefault(atom, []).append((number, box))
                    if before and not here:
                        ends.setdefault(atom, []).append((number, box))
    return {
        (axis.bounds[atom], first, second)
        for atom, above in starts.items()
        for first, one in ends.get(atom, ())
        for second, other in above
        if first != second and meet(one[1:], other[1:]) is not None
    }


def always_refused(surveyed: Surveyed) -> Iterator[Finding]:
    """A rule that prices nothing at the ends and in the middle of any bracket that it reaches."""
    axis, ruleset = surveyed.space.axes[0], surveyed.ruleset
    for number, reach in enumerate(surveyed.reach):
        chosen = functools.reduce(operator.or_, (box[0] for box in reach), 0)
        atoms = [atom for atom in range(axis.numbers) if chosen >> atom & 1]
        if ruleset.rules[number].price is None or not atoms:
            continue
        spans = [(axis.bounds[atom], axis.bounds[atom + 1] - 1) for atom in atoms]
        costs = sorted({cost for low, high in spans for cost in (low, (low + high) // 2, high)})
        chain = _price(ruleset, np.array(costs), np.full(len(costs), number))
        if not chain.going().any():
            middle = len(costs) // 2
            why, price = WORDS[chain.refusal[middle]], int(chain.price[middle])
            said = (
                f"refuses every stone: {why}, such as a price of {amounts.text(price)}"
                f" for a cost of {amounts.text(costs[middle])}"
            )
            yield about(ruleset, number, Kind.ALWAYS_REFUSED, said)


def _price(ruleset: Ruleset, cost: Cents, rule: Cents) -> Chain:
    """What the rules make of costs in the shop's currency, without present prices."""
    terms, chain = Terms(ruleset), Chain.start(cost)
    chain.shop_cost = chain.cost
    terms.tax_cost(chain)
    chain.rule = rule
    terms.apply_rule(chain)
    terms.round_price(chain)
    terms.guard(chain, np.zeros(len(cost), dtype=np.int64))
    return chain
