"""Price one stone, slowly and obviously: written from docs/pricing.md, sharing no code.

A ruleset here is what its file says, as plain values: numbers are int or Decimal, in the file's
units. A stone is a mapping of its columns; money in cents, measures as Decimal. All sums are exact
fractions of cents until a step says how it rounds.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

LARGEST = 10**12


class Outcome(NamedTuple):
    price: int | None = None
    rule: str | None = None
    refusal: str | None = None
    shop_cost: int | None = None
    taxed_cost: int | None = None
    unrounded: int | None = None


class Refused(Exception):
    """The word of the refusal."""


def price(ruleset: Mapping[str, Any], stone: Mapping[str, Any]) -> Outcome:
    """The chain of the documentation, in its order; as far as it gets."""
    got: dict[str, Any] = {}
    try:
        got["shop_cost"] = converted(ruleset, stone)
        got["taxed_cost"] = taxed(ruleset, got["shop_cost"])
        rule = first_rule(ruleset, stone, got)
        got["rule"] = rule["name"]
        got["unrounded"] = made(ruleset, rule, got["taxed_cost"])
        rounded = rounding(got["unrounded"], rule.get("rounding", ruleset.get("rounding", "cent")))
        not_too_large(rounded)
        guarded(ruleset, rule, rounded, got["taxed_cost"], stone.get("present_price_cents"))
    except Refused as refused:
        return Outcome(**got, refusal=str(refused))
    return Outcome(**got, price=rounded)


def converted(ruleset: Mapping[str, Any], stone: Mapping[str, Any]) -> int:
    cost, currency = stone.get("cost_cents"), stone.get("cost_currency")
    if cost is None or cost <= 0:
        raise Refused("bad_cost")
    not_too_large(cost)
    rates = ruleset.get("rates", {})
    if currency == ruleset["currency"]:
        rate = Fraction(1)
    elif currency in rates:
        rate = Fraction(rates[currency]["rate"])
    else:
        raise Refused("no_rate")
    shop_cost = nearest(cost * rate)
    if shop_cost <= 0:
        raise Refused("bad_cost")
    not_too_large(shop_cost)
    return shop_cost


def taxed(ruleset: Mapping[str, Any], shop_cost: int) -> int:
    tax = percent(ruleset["tax"]["percent"]) if "tax" in ruleset else Fraction(0)
    taxed_cost = nearest(shop_cost * (1 + tax))
    not_too_large(taxed_cost)
    return taxed_cost


def first_rule(
    ruleset: Mapping[str, Any], stone: Mapping[str, Any], got: Mapping[str, int]
) -> Mapping[str, Any]:
    chained = {name: Decimal(got[name + "_cost"]) / 100 for name in ("shop", "taxed")}
    seen = {**stone, "cost": chained["shop"], "taxed_cost": chained["taxed"]}
    for rule in ruleset["rules"]:
        if "when" not in rule or met(rule["when"], seen):
            return dict(rule)
    raise Refused("no_rule")


def made(ruleset: Mapping[str, Any], rule: Mapping[str, Any], taxed_cost: int) -> int:
    if "refuse" in rule:
        raise Refused("refused_by_rule")
    unrounded = nearest(taxed_cost * factor(rule["price"], ruleset))
    unrounded += int(Fraction(rule["price"].get("add", 0)) * 100)
    not_too_large(unrounded)
    if unrounded <= 0:
        raise Refused("not_positive")
    return unrounded


def not_too_large(cents: int) -> None:
    if cents > LARGEST:
        raise Refused("overflow")


def met(condition: Mapping[str, Any], stone: Mapping[str, Any]) -> bool:
    return all(entry_met(name, wanted, stone) for name, wanted in condition.items())


def entry_met(name: str, wanted: Any, stone: Mapping[str, Any]) -> bool:
    if name == "all":
        return all(met(part, stone) for part in wanted)
    if name == "any":
        return any(met(part, stone) for part in wanted)
    if name == "not":
        return not met(wanted, stone)
    value = stone.get(name)
    if value is None:
        return bool(wanted == {"is": "missing"})
    return holds_of(value, wanted)


def holds_of(value: Any, wanted: Any) -> bool:
    """A test of a field that is there."""
    if isinstance(wanted, list):
        return value in wanted
    if not isinstance(wanted, dict):
        return bool(value == wanted)
    if "is" in wanted:
        return bool(wanted["is"] == "present")
    above = "from" not in wanted or value >= wanted["from"]
    return above and ("to" not in wanted or value < wanted["to"])


def factor(said: Mapping[str, Any], ruleset: Mapping[str, Any]) -> Fraction:
    if "factor" in said:
        return Fraction(said["factor"])
    if "percent" in said:
        return 1 + percent(said["percent"])
    if "base" in said:
        return 1 + percent(ruleset["bases"][said["base"]]) + percent(said.get("modifier", 0))
    return Fraction(1)


def rounding(cents: int, said: Any) -> int:
    """Walk the allowed prices around the amount."""
    if said == "cent":
        return cents
    if "to" in said:
        step, ending = int(said["to"] * 100), 0
    else:
        units = int(said["ending"])
        digits = len(str(units)) if units else 0
        step, ending = 100 * 10**digits, int(said["ending"] * 100)
    around = (cents - ending) // step
    allowed = [ending + step * n for n in range(around - 2, around + 4)]
    allowed = [one for one in allowed if one > 0]
    if said["mode"] == "up":
        return min(one for one in allowed if one >= cents)
    return min(allowed, key=lambda one: (abs(one - cents), -one))


def guarded(
    ruleset: Mapping[str, Any], rule: Mapping[str, Any], cents: int, cost: int, present: int | None
) -> None:
    guards = {**ruleset.get("guards", {}), **rule.get("guards", {})}
    bound = {name: value for name, value in guards.items() if value is not None}
    holds = {
        "below_cost": not rule.get("sell_below_cost", False) and cents <= cost,
        "low_margin": "margin_min" in bound and cents < cost / (1 - percent(bound["margin_min"])),
        "below_floor": "floor" in bound and cents < bound["floor"] * 100,
        "above_ceiling": "ceiling" in bound and cents > bound["ceiling"] * 100,
        "jump": present is not None and 0 < present <= LARGEST and jumps(bound, cents, present),
    }
    for word, refused in holds.items():
        if refused:
            raise Refused(word)


def jumps(bound: Mapping[str, Any], cents: int, present: int) -> bool:
    too_high = "rise_max" in bound and cents > present * (1 + percent(bound["rise_max"]))
    too_low = "fall_max" in bound and cents < present * (1 - percent(bound["fall_max"]))
    return too_high or too_low


def percent(said: int | Decimal) -> Fraction:
    return Fraction(said) / 100


def nearest(cents: Fraction) -> int:
    """A half upwards."""
    return math.floor(cents + Fraction(1, 2))
