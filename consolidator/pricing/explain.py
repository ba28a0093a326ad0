"""Why a stone has its price: the chain step by step, and every rule up to its own.

Pure. The amounts and the conditions met are those that the engine's own work left behind; nothing
is computed a second time here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

from consolidator.pricing import amounts, conditions, wording
from consolidator.pricing.chain import Rates
from consolidator.pricing.conditions import All, Condition
from consolidator.pricing.fields import FIELDS, PRESENT_PRICE, WHOLE_MAX, Field
from consolidator.pricing.matching import tests_of
from consolidator.pricing.refusals import Refusal
from consolidator.pricing.rule import Rule
from consolidator.pricing.ruleset import Ruleset
from consolidator.pricing.wording import Seen
from shared.errors import BadMessage
from shared.stone import DECIMAL, STONE_SCHEMA

COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    **STONE_SCHEMA,
    "feed": pl.String,
    PRESENT_PRICE: pl.Int64,
}


_TYPES = (
    (pl.String, str, "text"),
    (pl.Int64, int, "a whole number"),
    (pl.Boolean, bool, "true or false"),
)


@dataclass(frozen=True)
class Step:
    """One step of the chain, as far as the stone got."""

    name: str
    said: str
    amount_cents: int | None = None  # after the step; None: the step leaves it alone
    currency: str | None = None


@dataclass(frozen=True)
class PassedOver:
    """A rule before the stone's own, and the first of its conditions that was not met."""

    rule: str
    number: int  # its place in the ruleset, from 1
    failed: str
    seen: str  # the stone's values there


@dataclass(frozen=True)
class Explanation:
    ruleset: str
    checksum: str
    steps: tuple[Step, ...]
    passed_over: tuple[PassedOver, ...]
    rule: str | None  # that matched
    met: str | None  # its condition
    price_cents: int | None  # of price and refusal exactly one is None
    price_currency: str | None
    refusal: str | None
    refusal_detail: str | None

    def to_json(self) -> dict[str, Any]:
        """The same as plain values that JSON can hold."""
        return asdict(self)

    def to_text(self) -> str:
        """The same for people, a line for each step and rule."""
        lines = [f"ruleset   {self.ruleset} ({self.checksum[:12]})"]
        for step in self.steps:
            amount = ""
            if step.amount_cents is not None:
                amount = f"{amounts.text(step.amount_cents)} {step.currency}"
            lines.append(f"{step.name:<9} {amount:>18}  {step.said}".rstrip())
        if self.price_cents is None:
            lines.append(f"refused   {self.refusal}: {self.refusal_detail}")
        if self.passed_over:
            lines.append("rules passed over, and why:")
            lines += [
                f"  {one.number}. {one.rule}: needs {one.failed}; the stone has {one.seen}"
                for one in self.passed_over
            ]
        return "\n".join(lines)


def explanation(
    seen: Seen,
    met: Mapping[Condition, bool],
    *,
    ruleset: Ruleset,
    rates: Rates,
    asked: tuple[Field, ...],
) -> Explanation:
    """What the engine's work on one stone amounts to.

    met    every condition of the ruleset, and each part of one: whether the stone meets it
    asked  the fields that they ask about
    """
    rule = ruleset.rules[seen.rule] if seen.rule >= 0 else None
    before = 0
    if rule is not None:
        before = seen.rule
    elif seen.refusal is Refusal.NO_RULE:
        before = len(ruleset.rules)
    priced = seen.refusal is None
    return Explanation(
        ruleset=ruleset.name,
        checksum=ruleset.checksum,
        steps=tuple(_steps(seen, rule, ruleset, rates)),
        passed_over=tuple(_passed_over(number, seen, met, ruleset) for number in range(before)),
        rule=None if rule is None else rule.name,
        met=None if rule is None else wording.condition(rule),
        price_cents=seen.price if priced else None,
        price_currency=ruleset.currency if priced else None,
        refusal=seen.refusal,
        refusal_detail=wording.detail(seen, ruleset, asked),
    )


def one_stone(stone: Mapping[str, Any]) -> pl.DataFrame:
    """A frame of one row, of COLUMNS. Raises BadMessage where a value does not fit its column."""
    unknown = sorted(set(stone) - set(COLUMNS))
    if unknown:
        raise BadMessage(f"a stone has no {unknown[0]!r}", hint=f"it has {', '.join(COLUMNS)}")
    values: dict[str, list[Any]] = {}
    for name, dtype in COLUMNS.items():
        try:
            values[name] = [_fitting(stone.get(name), dtype)]
        except (ValueError, InvalidOperation) as error:
            raise BadMessage(f"{name}: {error}", hint="see docs/pricing.md") from error
    return pl.DataFrame(values, schema=COLUMNS)


def _fitting(value: Any, dtype: object) -> Any:
    """A value as its column holds it."""
    if value is None:
        return None
    if dtype == DECIMAL:
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise ValueError(f"{value!r} is not a number")
        number = Decimal(str(value))
        if not number.is_finite() or abs(number) >= 10**7 or number != round(number, 3):
            raise ValueError(f"{value} is not a number of at most 7 digits and 3 places")
        return number
    for known, expected, name in _TYPES:
        if dtype == known and type(value) is not expected:
            raise ValueError(f"{value!r} is not {name}")
    if isinstance(value, int) and not -WHOLE_MAX - 1 <= value <= WHOLE_MAX:
        raise ValueError(f"{value} is too large")
    return value


def _steps(seen: Seen, rule: Rule | None, ruleset: Ruleset, rates: Rates) -> Iterator[Step]:
    """The steps whose amounts the stone has; a guard only where it was asked."""
    shop, currency = ruleset.currency, seen.stone["cost_currency"]
    if seen.stone["cost_cents"] is not None:
        yield Step("cost", "asked by the supplier", seen.cost, currency)
    if seen.shop_cost:
        yield Step("rate", wording.rate(currency, ruleset, rates.dated), seen.shop_cost, shop)
    if seen.taxed_cost:
        yield Step("tax", wording.tax(ruleset), seen.taxed_cost, shop)
    if rule is None:
        return
    yield Step("rule", wording.rule(rule, ruleset), seen.unrounded or None, shop)
    if seen.price:
        yield Step("rounding", wording.rounding(ruleset.rounding_of(rule)), seen.price, shop)
    if seen.price and seen.refusal is not Refusal.OVERFLOW:
        for why, said in wording.guards(seen, rule, ruleset):
            yield Step("guard", said + (": refused" if why is seen.refusal else ": passed"))
            if why is seen.refusal:
                return


def _passed_over(
    number: int, seen: Seen, met: Mapping[Condition, bool], ruleset: Ruleset
) -> PassedOver:
    rule = ruleset.rules[number]
    failed = _failed(rule.when, met) if rule.when is not None else None
    if failed is None:
        raise AssertionError(f"rule {rule.name} is met, yet a later one has the stone")
    asked = dict.fromkeys(test.field for test in tests_of(failed))
    values = ", ".join(f"{name} {seen.value(FIELDS[name])}" for name in asked)
    return PassedOver(rule.name, number + 1, conditions.describe(failed), values)


def _failed(condition: Condition, met: Mapping[Condition, bool]) -> Condition | None:
    """The first part that is not met, of parts that all must be; None where it is met."""
    if met[condition]:
        return None
    if isinstance(condition, All):
        return next(failed for part in condition.parts if (failed := _failed(part, met)))
    return condition
