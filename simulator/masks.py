"""Tests on stones: functions from columns to a mask."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Column = Callable[[str], NDArray[Any]]  # a column by name, cut to the rows in question
Test = Callable[[Column], Mask]


def member(name: str, codes: Collection[int], size: int) -> Test:
    """The column's code is one of these, out of `size`."""
    wanted = sorted(set(codes))
    others = [code for code in range(size) if code not in set(wanted)]

    def one_of(values: NDArray[Any], some: list[int]) -> Mask:
        mask = np.zeros(len(values), bool)
        for code in some:
            mask |= values == code
        return mask

    if len(wanted) <= 6:  # some comparisons are quicker than one lookup
        return lambda column: one_of(column(name), wanted)
    if len(others) <= 6:
        return lambda column: ~one_of(column(name), others)
    lookup = np.zeros(256, bool)
    lookup[wanted] = True
    return lambda column: lookup[column(name)]


def between(name: str, low: int, high: int) -> Test:
    """Both ends included; an inverted range holds nothing."""

    def test(column: Column) -> Mask:
        values = column(name)
        limits = np.iinfo(values.dtype)
        if low > high or low > limits.max or high < limits.min:
            return np.zeros(len(values), bool)
        return np.asarray((values >= max(low, limits.min)) & (values <= min(high, limits.max)))

    return test


def any_of(tests: Sequence[Test]) -> Test:
    return lambda column: np.logical_or.reduce([test(column) for test in tests])


def negated(test: Test) -> Test:
    return lambda column: ~test(column)


def medium(bit: int) -> Test:
    """The stone has one of these media, see `make`."""
    return lambda column: (column("media") & bit) != 0
