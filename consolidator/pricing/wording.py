"""What the chain did to one stone, in words.

Pure. Every amount comes from the engine's own chain; nothing is computed a second time here.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from consolidator.pricing import amounts, conditions
from consolidator.pricing.amounts import CENTS_MAX, ONE
from consolidator.pricing.conditions import All
from consolidator.pricing.fields import Field, Sort
from consolidator.pricing.refusals import Refusal
from consolidator.pricing.rule import Rounding, Rule
from consolidator.pricing.ruleset import DatedRate, Ruleset

DETAIL_CHARS_MAX = 200


class Seen(NamedTuple):
    """One stone and the entries of its chain; amounts in cents."""

    stone: Mapping[str, Any]  # the columns that its price depends on
    present: int  # 0: no present price
    cost: int
    shop_cost: int
    taxed_cost: int
    rule: int
    unrounded: int
    price: int
    margin_price: int
    lowest: int
    highest: int
    refusal: Refusal | None

    def value(self, field: Field) -> str:
        """A field as a condition saw it, in words."""
        if field.chained:
            return field.text(self.shop_cost if field.name == "cost" else self.taxed_cost)
        value = self.stone[field.name]
        if isinstance(value, Decimal) and field.sort is Sort.DECIMAL:
            value = int(value.scaleb(3))
        return field.text(value)


def detail(seen: Seen, ruleset: Ruleset, asked: tuple[Field, ...]) -> str | None:
    """The amounts behind a refusal, in one line of at most DETAIL_CHARS_MAX; None where priced.

    asked  the fields that the ruleset's conditions ask about
    """
    if seen.refusal is None:
        return None
    return _detail(seen, seen.refusal, ruleset, asked)[:DETAIL_CHARS_MAX]


def _detail(seen: Seen, why: Refusal, ruleset: Ruleset, asked: tuple[Field, ...]) -> str:
    shop, currency = ruleset.currency, seen.stone["cost_currency"]
    if why is Refusal.BAD_COST:
        if seen.stone["cost_cents"] is None:
            return "cost missing"
        converted = f", {amounts.text(seen.shop_cost)} {shop}" if seen.cost > 0 else ""
        return f"cost {amounts.text(seen.cost)} {currency}{converted}"
    if why is Refusal.NO_RATE:
        return f"no exchange rate from {currency or 'a missing currency'} to {shop}"
    if why is Refusal.OVERFLOW:
        steps = (seen.cost, seen.shop_cost, seen.taxed_cost, seen.unrounded, seen.price)
        too_large = next(step for step in steps if step > CENTS_MAX)
        return f"{amounts.text(too_large)} is above {amounts.text(CENTS_MAX)}"
    if why is Refusal.NO_RULE:
        return ", ".join(f"{field.name} {seen.value(field)}" for field in asked)
    rule = ruleset.rules[seen.rule]
    guards = ruleset.guards_of(rule)
    price, taxed = f"price {amounts.text(seen.price)} {shop}", amounts.text(seen.taxed_cost)
    said = {
        Refusal.REFUSED_BY_RULE: rule.refuse or "",
        Refusal.NOT_POSITIVE: f"price before rounding {amounts.text(seen.unrounded)} {shop}",
        Refusal.BELOW_COST: f"{price} for a cost of {taxed}",
        Refusal.LOW_MARGIN: f"{price} for a cost of {taxed}; a margin of "
        f"{amounts.percent(guards.margin_min or 0)} needs {amounts.text(seen.margin_price)}",
        Refusal.BELOW_FLOOR: f"{price}, floor {amounts.text(guards.floor or 0)}",
        Refusal.ABOVE_CEILING: f"{price}, ceiling {amounts.text(guards.ceiling or 0)}",
        Refusal.JUMP: f"{price} after {amounts.text(seen.present)}; at least "
        f"{amounts.text(seen.lowest)} and at most {amounts.text(seen.highest)} may follow",
    }
    return f"rule {rule.name}: {said[why]}"


def rate(currency: str, ruleset: Ruleset, rates: Mapping[str, DatedRate]) -> str:
    if currency == ruleset.currency:
        return "the shop's own currency"
    dated = rates[currency]
    said = f"1 {currency} is {amounts.plain(dated.rate)} {ruleset.currency}"
    return f"{said} ({dated.source}, {dated.as_of}), to the nearest cent"


def tax(ruleset: Ruleset) -> str:
    if ruleset.tax is None or not ruleset.tax.percent:
        return "no tax or duty"
    return f"plus {amounts.percent(ruleset.tax.percent)} tax or duty, to the nearest cent"


def rule(rule: Rule, ruleset: Ruleset) -> str:
    said = f"{rule.name} ({condition(rule)}): {effect(rule, ruleset)}"
    return said if rule.price is None else f"{said}, to the nearest cent"


def effect(rule: Rule, ruleset: Ruleset) -> str:
    """What a rule makes of a taxed cost."""
    price = rule.price
    if price is None:
        return f"refused, {rule.refuse}"
    parts = []
    if price.factor is not None:
        parts.append(f"× {amounts.plain(Decimal(price.factor) / ONE)}")
    elif price.percent is not None:
        parts.append(f"plus {amounts.percent(price.percent)}")
    elif price.base is not None:
        base, modifier = ruleset.bases[price.base], price.modifier or 0
        parts.append(
            f"plus {amounts.percent(base + modifier)}"
            f" (base {price.base} {amounts.percent(base)}, modifier {amounts.percent(modifier)})"
        )
    if price.add is not None:
        parts.append(f"plus {amounts.text(price.add)}")
    return " ".join(parts)


def condition(rule: Rule) -> str:
    """A rule's whole condition."""
    if isinstance(rule.when, All):
        return " and ".join(conditions.describe(part) for part in rule.when.parts)
    return "every stone" if rule.when is None else conditions.describe(rule.when)


def rounding(rounding: Rounding) -> str:
    if rounding.step_cents == 1:
        return "to the cent"
    way = "up to a" if rounding.mode == "up" else "to the nearest"
    if rounding.ending is not None:
        return f"{way} price ending in {amounts.text(rounding.ending)}"
    return f"{way} multiple of {amounts.text(rounding.step_cents)}"


def guards(seen: Seen, rule: Rule, ruleset: Ruleset) -> Iterator[tuple[Refusal, str]]:
    guards = ruleset.guards_of(rule)
    if not rule.sell_below_cost:
        yield Refusal.BELOW_COST, f"above the taxed cost of {amounts.text(seen.taxed_cost)}"
    if guards.margin_min is not None:
        margin = amounts.percent(guards.margin_min)
        said = f"at least {amounts.text(seen.margin_price)}, for a margin of {margin}"
        yield Refusal.LOW_MARGIN, said
    if guards.floor is not None:
        yield Refusal.BELOW_FLOOR, f"at least the floor of {amounts.text(guards.floor)}"
    if guards.ceiling is not None:
        yield Refusal.ABOVE_CEILING, f"at most the ceiling of {amounts.text(guards.ceiling)}"
    if seen.present and (guards.rise_max is not None or guards.fall_max is not None):
        reach = f"{amounts.text(seen.lowest)} to {amounts.text(seen.highest)}"
        yield (
            Refusal.JUMP,
            f"within {reach}, since the present price is {amounts.text(seen.present)}",
        )
