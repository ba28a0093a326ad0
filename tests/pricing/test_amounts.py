"""The arithmetic at its bounds, against fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consolidator.pricing import amounts
from consolidator.pricing.amounts import CENTS_MAX, FACTOR_MAX, ONE, RATE_MAX

allowed = st.integers(0, CENTS_MAX) | st.sampled_from([0, 1, CENTS_MAX - 1, CENTS_MAX])
parts = st.integers(1, FACTOR_MAX * ONE) | st.just(FACTOR_MAX * ONE)


@st.composite
def rates(draw: st.DrawFn) -> tuple[int, int]:
    """Fractions as an exchange rate of nine digits makes them."""
    digits = draw(st.integers(1, 999_999_999))
    rate = Fraction(digits, 10 ** draw(st.integers(0, 9)))
    if rate > RATE_MAX:
        rate = Fraction(RATE_MAX)
    return rate.numerator, rate.denominator


@given(allowed, parts.map(lambda top: (top, ONE)) | rates())
def test_each_rounding_is_exact_at_any_allowed_size(amount: int, ratio: tuple[int, int]) -> None:
    top, bottom = ratio
    column, exact = np.array([amount]), Fraction(amount) * top / bottom
    assert amounts.half_up(column, top, bottom)[0] == math.floor(exact + Fraction(1, 2))
    assert amounts.up(column, top, bottom)[0] == math.ceil(exact)
    assert amounts.down(column, top, bottom)[0] == math.floor(exact)


@given(allowed, st.integers(1, ONE))
def test_the_lowest_price_for_a_margin_is_exact(amount: int, rest: int) -> None:
    assert amounts.up(np.array([amount]), ONE, rest)[0] == math.ceil(Fraction(amount) * ONE / rest)


@given(st.integers(1, CENTS_MAX), st.integers(1, 10**8), st.integers(0, 10**8), st.booleans())
def test_a_rounded_price_has_the_ending_and_is_the_right_one(
    amount: int, step: int, ending: int, upwards: bool
) -> None:
    ending %= step
    cents, steps, endings = (np.array([n]) for n in (amount, step, ending))
    price = int(amounts.to_ending(cents, steps, endings, np.array([upwards]))[0])
    assert price > 0
    assert price % step == ending
    below = price - step
    if upwards:
        assert price >= amount
        assert below < amount or below <= 0
    else:
        assert price - amount <= step / 2 or below <= 0
        assert amount - price < step / 2


@pytest.mark.parametrize(
    ("amount", "step", "ending", "up", "nearest"),
    [
        (10_000, 100, 0, 10_000, 10_000),
        (10_001, 100, 0, 10_100, 10_000),
        (10_050, 100, 0, 10_100, 10_100),  # in the middle: the upper
        (10_095, 100, 95, 10_095, 10_095),
        (10_096, 100, 95, 10_195, 10_095),
        (10_045, 100, 95, 10_095, 10_095),
        (10_044, 100, 95, 10_095, 9_995),
        (129_501, 10_000, 9_500, 139_500, 129_500),
        (5, 100, 95, 95, 95),  # -0.05 is nearer, and no price
        (5, 100, 0, 100, 100),  # so is 0
        (1, 1, 0, 1, 1),
    ],
)
def test_charm_prices(amount: int, step: int, ending: int, up: int, nearest: int) -> None:
    cents, steps, endings = (np.array([n, n]) for n in (amount, step, ending))
    found = amounts.to_ending(cents, steps, endings, np.array([True, False]))
    assert found.tolist() == [up, nearest]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0.00"), (7, "0.07"), (-7, "-0.07"), (123_456_789, "1,234,567.89"), (-100, "-1.00")],
)
def test_amounts_are_said_in_full(value: int, said: str) -> None:
    assert amounts.text(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0 %"), (125_000, "12.5 %"), (1, "0.0001 %"), (-10_000_000, "-1000 %")]
)
def test_percentages_are_said_in_full(value: int, said: str) -> None:
    assert amounts.percent(value) == said
