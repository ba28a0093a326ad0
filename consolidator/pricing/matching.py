"""Which rule is a stone's: conditions compiled to steps over whole columns.

A field is read once a frame, as whole numbers; each different condition is then computed once,
however many rules share it; and the first rule that is met claims the stone. Pure.
"""

import functools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from consolidator.pricing.amounts import Cents, Flags
from consolidator.pricing.conditions import All, AnyOf, Condition, InRange, Is, Not, OneOf, Test
from consolidator.pricing.fields import FIELDS, Field, Sort
from shared.stone import DECIMAL

NO_RULE = -1


class Column(NamedTuple):
    """A field of every stone, as conditions compare it."""

    numbers: NDArray[Any]  # whole numbers; of a text its place among the rules' words, or behind
    present: Flags | None  # None: every stone has it


Columns = Mapping[str, Column]


class Step(NamedTuple):
    """One condition to compute, after its parts."""

    condition: Condition
    parts: tuple[int, ...]  # their places among the steps


class Matcher:
    """Conditions, compiled. Never changes; threads may share it."""

    def __init__(self, conditions: Sequence[Condition | None]) -> None:
        stated = [one for one in conditions if one is not None]
        tests = [test for one in stated for test in tests_of(one)]
        self.fields = tuple(dict.fromkeys(FIELDS[test.field] for test in tests))
        self._words = {field.name: _words(field, tests) for field in self.fields}
        self._steps: list[Step] = []
        self._places: dict[Condition, int] = {}
        self._rules = [None if one is None else self._add(one) for one in conditions]

    def read(self, stones: pl.DataFrame, chained: Mapping[str, Cents]) -> Columns:
        """The fields that the conditions ask about.

        stones   has the fields that are columns of a stone, or the feed
        chained  has those that are amounts of the chain, one a stone
        """
        return {
            field.name: Column(chained[field.name], None)
            if field.chained
            else _column(stones[field.name], field, self._words[field.name])
            for field in self.fields
        }

    def met(self, columns: Columns) -> list[Flags]:
        """Which stones meet each condition, and each part of one."""
        met: list[Flags] = []
        for condition, parts in self._steps:
            met.append(self._compute(condition, [met[part] for part in parts], columns))
        return met

    def named(self, met: Sequence[Flags]) -> Iterator[tuple[Condition, Flags]]:
        """What `met` answered, beside the condition of each."""
        return zip((step.condition for step in self._steps), met, strict=True)

    def first(self, met: Sequence[Flags], height: int) -> NDArray[np.int64]:
        """The first rule that each stone meets, counted from 0; NO_RULE for none."""
        found = np.full(height, NO_RULE, dtype=np.int64)
        for rule in reversed(range(len(self._rules))):
            place = self._rules[rule]
            found[... if place is None else met[place]] = rule
        return found

    def _add(self, condition: Condition) -> int:
        place = self._places.get(condition)
        if place is None:
            parts = tuple(self._add(part) for part in parts_of(condition))
            place = self._places[condition] = len(self._steps)
            self._steps.append(Step(condition, parts))
        return place

    def _compute(self, condition: Condition, parts: list[Flags], columns: Columns) -> Flags:
        if isinstance(condition, Not):
            return ~parts[0]
        if isinstance(condition, All):
            return functools.reduce(operator.and_, parts)
        if isinstance(condition, AnyOf):
            return functools.reduce(operator.or_, parts)
        return _test(condition, columns[condition.field], self._words[condition.field])


def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """The conditions that one is made of; none for a test."""
    if isinstance(condition, All | AnyOf):
        return condition.parts
    return (condition.part,) if isinstance(condition, Not) else ()


def tests_of(condition: Condition) -> Iterator[Test]:
    """Every test in a condition, in the order of the file."""
    if isinstance(condition, OneOf | InRange | Is):
        yield condition
    for part in parts_of(condition):
        yield from tests_of(part)


def _words(field: Field, tests: Iterable[Test]) -> dict[str, int]:
    """Every word that tests compare this field with → its number."""
    keys = (
        key
        for test in tests
        if isinstance(test, OneOf) and test.field == field.name
        for key in test.keys
        if isinstance(key, str)
    )
    return {word: number for number, word in enumerate(dict.fromkeys(keys))}


def _column(values: pl.Series, field: Field, words: Mapping[str, int]) -> Column:
    present = values.is_not_null().to_numpy() if values.null_count() else None
    if field.sort is Sort.TEXT:
        numbers = values.cast(pl.Enum(list(words)), strict=False).to_physical()
        return Column(numbers.fill_null(len(words)).to_numpy(), present)
    if field.sort is Sort.DECIMAL:
        values = values.cast(DECIMAL).to_physical()  # thousandths
    return Column(values.cast(pl.Int64).fill_null(0).to_numpy(), present)


def _test(test: Test, column: Column, words: Mapping[str, int]) -> Flags:
    numbers, present = column
    if isinstance(test, Is):
        there = np.ones(len(numbers), dtype=np.bool_) if present is None else present
        return ~there if test.missing else there
    if isinstance(test, InRange):
        met = _in_range(numbers, test.low, test.high)
    else:
        keys = [words[key] if isinstance(key, str) else int(key) for key in test.keys]
        met = numbers == keys[0] if len(keys) == 1 else np.isin(numbers, keys)
    return met if present is None else met & present


def _in_range(numbers: NDArray[Any], low: int | None, high: int | None) -> Flags:
    if low is None:
        return np.asarray(numbers < high)
    if high is None:
        return np.asarray(numbers >= low)
    return np.asarray((numbers >= low) & (numbers < high))
