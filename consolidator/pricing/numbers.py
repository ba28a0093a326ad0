"""The kinds of number and date in a ruleset file, each read exactly and bounded.

What is read as a decimal becomes a whole number in the unit of its kind; nothing passes through a
binary fraction.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from consolidator.pricing.amounts import CENTS_MAX, FACTOR_MAX, ONE, RATE_DIGITS_MAX, RATE_MAX, text

STEP_CENTS_MAX = 100 * 1_000_000
PERCENT_MAX = (FACTOR_MAX - 1) * ONE  # what a factor of FACTOR_MAX adds


def exact_rate(rate: Decimal) -> Decimal:
    """A rate without trailing zeros. Raises ValueError where the arithmetic cannot hold it."""
    if not rate.is_finite() or not 0 < rate <= RATE_MAX:
        raise ValueError(f"a rate lies above 0 and is at most {RATE_MAX:,}")
    shortest = rate.normalize()
    _, digits, exponent = shortest.as_tuple()
    behind = max(0, -int(exponent))
    if max(len(digits), behind) > RATE_DIGITS_MAX:
        raise ValueError(f"a rate has at most {RATE_DIGITS_MAX} digits, as many behind the point")
    return shortest


def _whole(value: Any, places: int, what: str) -> int:
    """A number in units of its last place."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{what} is a number, without quotes, signs of currency or commas")
    moved = Decimal(value).scaleb(places)
    if moved != int(moved):
        raise ValueError(f"{what} has at most {places} places behind the point")
    return int(moved)


def _cents(value: Any) -> int:
    cents = _whole(value, 2, "an amount")
    if abs(cents) > CENTS_MAX:
        raise ValueError(f"an amount is at most {text(CENTS_MAX)}")
    return cents


def _percent(value: Any) -> int:
    return _whole(value, 4, "a percentage")


def _factor(value: Any) -> int:
    return _whole(value, 6, "a factor")


def _rate(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("a rate is a number")
    return exact_rate(Decimal(value))


def _day(value: Any) -> date:
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except (TypeError, ValueError) as error:
        raise ValueError("a date is written as 2025-11-20") from error


def _within(low: int, high: int, said: str) -> AfterValidator:
    """Both ends inclusive, in the unit of the number; `said` has the file's."""

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(said)
        return value

    return AfterValidator(check)


_AMOUNT, _PERCENT = BeforeValidator(_cents), BeforeValidator(_percent)

# Cents.
Amount = Annotated[int, _AMOUNT]
Bound = Annotated[int, _AMOUNT, _within(1, CENTS_MAX, "a floor or ceiling lies above 0")]
Step = Annotated[
    int, _AMOUNT, _within(1, STEP_CENTS_MAX, "`to` is an amount from 0.01 to 1,000,000")
]
Ending = Annotated[
    int, _AMOUNT, _within(1, STEP_CENTS_MAX - 1, "an ending lies from 0.01 to below 1,000,000")
]

# Parts per million.
Percent = Annotated[int, _PERCENT]
Markup = Annotated[
    int,
    _PERCENT,
    _within(1 - ONE, PERCENT_MAX, "a markup lies above -100 and is at most 99,900 percent"),
]
Rise = Annotated[int, _PERCENT, _within(0, PERCENT_MAX, "this lies from 0 to 99,900 percent")]
Fall = Annotated[int, _PERCENT, _within(0, ONE, "this lies from 0 to 100 percent")]
Margin = Annotated[int, _PERCENT, _within(0, ONE - 1, "a margin lies from 0 to below 100 percent")]
Share = Annotated[int, _PERCENT, _within(1, ONE - 1, "a share lies above 0 and below 100 percent")]
Factor = Annotated[
    int,
    BeforeValidator(_factor),
    _within(1, FACTOR_MAX * ONE, f"a factor lies above 0 and is at most {FACTOR_MAX:,}"),
]

Rate = Annotated[Decimal, BeforeValidator(_rate)]
Day = Annotated[date, BeforeValidator(_day)]
