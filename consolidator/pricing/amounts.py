"""Exact arithmetic on columns of cents.

Pure functions on arrays of 64-bit integers; nothing here can overflow as long as its arguments keep
to the bounds below, and the chain refuses a stone before an amount leaves them. Factors are whole
numbers of parts per million, exchange rates fractions in lowest terms.
"""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

Cents = NDArray[np.int64]
Flags = NDArray[np.bool_]

CENTS_MAX = 10**12  # ten billion: the largest cost and the largest price
ONE = 1_000_000  # parts per million in 1; 10,000 of them are a percent
FACTOR_MAX = 1_000
RATE_MAX = 1_000_000
RATE_DIGITS_MAX = 9  # in all, and behind the point


def half_up(cents: Cents, top: int | Cents, bottom: int | Cents) -> Cents:
    """cents × top / bottom, to the nearest cent, a half upwards. For amounts of at least 0.

    Splitting the amount keeps every product below 2^63: for cents ≤ CENTS_MAX and top / bottom
    ≤ RATE_MAX, where both have at most nine digits or bottom is ONE and top ≤ FACTOR_MAX × ONE.
    """
    return _scaled(cents, top, bottom, bottom // 2)


def up(cents: Cents, top: int | Cents, bottom: int | Cents) -> Cents:
    """The same, a part of a cent upwards."""
    return _scaled(cents, top, bottom, bottom - 1)


def down(cents: Cents, top: int | Cents, bottom: int | Cents) -> Cents:
    """The same, a part of a cent dropped."""
    return _scaled(cents, top, bottom, 0)


def _scaled(cents: Cents, top: int | Cents, bottom: int | Cents, nudge: int | Cents) -> Cents:
    whole = np.floor_divide(cents, bottom)
    part = np.floor_divide((cents - whole * bottom) * top + nudge, bottom)
    return np.add(whole * top, part)


def to_ending(cents: Cents, step: Cents, ending: Cents, upwards: Flags) -> Cents:
    """Move each amount to a price that is `ending` more than a multiple of `step`.

    cents    above 0
    step     at least 1
    ending   0 ≤ ending < step
    upwards  to the next such price that is not lower; else to the nearest, of two the upper

    A price of zero or less is no choice: the lowest one above is taken.
    """
    past: Cents = (cents - ending) % step  # how far above the last such price
    rise: Cents = np.where(past == 0, 0, step - past)
    moved: Cents = np.where(upwards | (2 * past >= step), cents + rise, cents - past)
    lowest: Cents = np.where(ending > 0, ending, step)
    return np.where(moved > 0, moved, lowest)


def text(cents: int) -> str:
    """Cents as an amount: 1234567 as "12,345.67"."""
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}{whole:,}.{part:02d}"


def plain(number: Decimal) -> str:
    """A number without exponent and trailing zeros: Decimal("1.50") as "1.5"."""
    shortest = f"{number:f}"
    return shortest.rstrip("0").rstrip(".") if "." in shortest else shortest


def percent(parts: int) -> str:
    """Parts per million as a percentage: 125000 as "12.5 %"."""
    return f"{plain(Decimal(parts).scaleb(-4))} %"
