"""Which stones a condition can be met by, as boxes: exact, without looking at any stone.

Pure. Along each field the rules' own values cut all that the field can hold into atoms: a word, a
range between two neighbouring bounds, "any other word", "missing". A box is a set of atoms for each
axis, as bits; every condition is a list of boxes, and rules are compared by intersecting and
subtracting them. `cost` and `taxed_cost` are one axis, since either follows from the other.

Fields count as independent. Where two are not (a feed has stones of one kind only), a box may hold
no stone that will ever come.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consolidator.pricing.amounts import CENTS_MAX, ONE
from consolidator.pricing.conditions import All, AnyOf, Condition, InRange, Is, Not, OneOf, Test
from consolidator.pricing.fields import COST, FIELDS, TAXED_COST, WHOLE_MAX, Field, Key, Sort
from consolidator.pricing.matching import tests_of

BOXES_MAX = 5_000  # of one rule, or of what is left over; each step takes time in proportion

Box = tuple[int, ...]  # a set of atoms for each axis, as bits


class TooManyBoxes(Exception):
    """Conditions too entangled to be taken apart."""


@dataclass(frozen=True)
class Axis:
    """A field and its atoms: ranges of numbers, or words, then other words, then missing."""

    field: Field
    bounds: tuple[int, ...]  # ascending, one more than there are numeric atoms; (): no number
    words: tuple[Key, ...]
    others: bool  # words that no rule names
    missing: bool

    @property
    def numbers(self) -> int:
        return max(0, len(self.bounds) - 1)

    @property
    def atoms(self) -> int:
        return self.numbers + len(self.words) + self.others + self.missing

    @property
    def everything(self) -> int:
        return (1 << self.atoms) - 1

    def set_of(self, test: Test, tax: int) -> int:
        """The atoms that meet a test."""
        if isinstance(test, Is):
            absent = 1 << (self.atoms - 1) if self.missing else 0
            return absent if test.missing else self.everything & ~absent
        if isinstance(test, InRange):
            return self._between(*_span(test, tax))
        found = 0
        for key in test.keys:
            if self.bounds:
                found |= self._between(*_span(_point(test, key), tax))
            elif key in self.words:
                found |= 1 << self.words.index(key)
        return found

    def text(self, chosen: int) -> str:
        """A set of atoms as people read it: "cost 499.99 to below 500.00"."""
        said = []
        start: int | None = None
        for number in range(self.numbers + 1):
            inside = number < self.numbers and chosen >> number & 1
            if inside and start is None:
                start = number
            elif not inside and start is not None:
                said.append(self._range(start, number))
                start = None
        said += [
            self.field.text(word)
            for place, word in enumerate(self.words, self.numbers)
            if chosen >> place & 1
        ]
        if self.others and chosen >> (self.numbers + len(self.words)) & 1:
            said.append("any other")
        if self.missing and chosen >> (self.atoms - 1) & 1:
            said.append("missing")
        return f"{self.field.name} {' or '.join(said)}"

    def _range(self, start: int, end: int) -> str:
        low, high = self.field.text(self.bounds[start]), self.field.text(self.bounds[end])
        if end == self.numbers:
            return f"from {low}" if start else "any"
        return f"{low} to below {high}" if start else f"below {high}"

    def _between(self, low: int, high: int) -> int:
        return sum(
            1 << number
            for number in range(self.numbers)
            if low <= self.bounds[number] and self.bounds[number + 1] <= high
        )


class Space:
    """All stones there may be, cut by the values of a ruleset's conditions."""

    def __init__(self, conditions: Sequence[Condition | None], tax: int) -> None:
        """`tax`: what turns a cost into a taxed cost, in parts per million."""
        self._tax = tax
        tests = [test for one in conditions if one is not None for test in tests_of(one)]
        names = dict.fromkeys([COST.name, *(_axis_of(test) for test in tests)])
        self.axes = tuple(
            _axis(FIELDS[name], [t for t in tests if _axis_of(t) == name], tax) for name in names
        )
        self._places = {axis.field.name: place for place, axis in enumerate(self.axes)}
        self.everything: Box = tuple(axis.everything for axis in self.axes)

    def place(self, field: str) -> int:
        """Where a box has a field."""
        return self._places[COST.name if field == TAXED_COST.name else field]

    def boxes(self, condition: Condition | None) -> list[Box]:
        """The stones that meet a condition; boxes may overlap. Raises TooManyBoxes."""
        return [self.everything] if condition is None else self._boxes(condition, wanted=True)

    def text(self, box: Box) -> str:
        """A box as people read it, apart from the axes that it leaves alone."""
        parts = [
            axis.text(chosen)
            for axis, chosen in zip(self.axes, box, strict=True)
            if chosen != axis.everything
        ]
        return ", ".join(parts) or "every stone"

    def _boxes(self, condition: Condition, *, wanted: bool) -> list[Box]:
        """Where a condition is met, or where it is not."""
        if isinstance(condition, Not):
            return self._boxes(condition.part, wanted=not wanted)
        if isinstance(condition, All | AnyOf):
            parts = [self._boxes(part, wanted=wanted) for part in condition.parts]
            if isinstance(condition, All) != wanted:  # `not all` is `any not`
                return _bounded([box for part in parts for box in part])
            joined = parts[0]
            for part in parts[1:]:
                if len(joined) * len(part) > BOXES_MAX * 20:
                    raise TooManyBoxes
                joined = _bounded([c for a in joined for b in part if (c := meet(a, b))])
            return joined
        place = self.place(condition.field)
        chosen = self.axes[place].set_of(condition, self._tax)
        if not wanted:
            chosen = self.axes[place].everything & ~chosen
        if not chosen:
            return []
        return [(*self.everything[:place], chosen, *self.everything[place + 1 :])]


def meet(one: Box, other: Box) -> Box | None:
    """What two boxes share; None for nothing."""
    shared = tuple(a & b for a, b in zip(one, other, strict=True))
    return shared if all(shared) else None


def subtract(boxes: Iterable[Box], hole: Box) -> list[Box]:
    """What is left of boxes without `hole`; the pieces of one box do not overlap."""
    left = []
    for box in boxes:
        if meet(box, hole) is None:
            left.append(box)
            continue
        rest = list(box)
        for place, taken in enumerate(hole):
            outside = rest[place] & ~taken
            if outside:
                left.append((*rest[:place], outside, *rest[place + 1 :]))
                rest[place] &= taken
    return _bounded(left)


def _bounded(boxes: list[Box]) -> list[Box]:
    if len(boxes) > BOXES_MAX:
        raise TooManyBoxes
    return list(dict.fromkeys(boxes))


def _axis_of(test: Test) -> str:
    return COST.name if test.field == TAXED_COST.name else test.field


def _axis(field: Field, tests: Sequence[Test], tax: int) -> Axis:
    keys = [key for test in tests if isinstance(test, OneOf) for key in test.keys]
    if field.sort is Sort.TEXT:
        named: tuple[Key, ...] = tuple(dict.fromkeys(keys))
        words = field.words or named
        return Axis(field, (), words, others=not field.words, missing=not field.always)
    if field.sort is Sort.TRUTH:
        return Axis(field, (), (True, False), others=False, missing=True)
    low, high = _domain(field)
    bounds = {low, high}
    for test in tests:
        if isinstance(test, InRange):
            bounds |= set(_span(test, tax))
        elif isinstance(test, OneOf):
            for key in test.keys:
                bounds |= set(_span(_point(test, key), tax))
    inside = tuple(sorted(bound for bound in bounds if low <= bound <= high))
    return Axis(field, inside, (), others=False, missing=not field.always)


def _domain(field: Field) -> tuple[int, int]:
    """The lowest value a stone may have, and one above the highest."""
    if field.sort is Sort.DECIMAL:
        return 1, 10**10
    if field.sort is Sort.MONEY or field.name == "cost_cents":
        return 1, CENTS_MAX + 1
    return -WHOLE_MAX, WHOLE_MAX


def _point(test: OneOf, key: Key) -> InRange:
    return InRange(test.field, int(key), int(key) + 1)


def _span(test: InRange, tax: int) -> tuple[int, int]:
    """A range from inclusive to exclusive; one of the taxed cost as one of the cost."""
    low, high = _domain(FIELDS[test.field])
    taxed = test.field == TAXED_COST.name
    if test.low is not None:
        low = max(low, _untaxed(test.low, tax) if taxed else test.low)
    if test.high is not None:
        high = min(high, _untaxed(test.high, tax) if taxed else test.high)
    return low, high


def _untaxed(taxed: int, tax: int) -> int:
    """The lowest cost whose taxed cost is at least `taxed`: the chain's rounding, backwards."""
    return max(1, -((ONE // 2 - taxed * ONE) // tax))
