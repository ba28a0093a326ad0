"""A supplier in memory for the scan, and what must be true of any plan."""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from scheduler.density import Prior
from scheduler.heatmap import Ask, Plan, Scan, ScanSettings
from shared.feeds.base import Slice, Slicing, Span

SHAPES = ("ROUND", "OVAL", "PEAR")
LABS = ("GIA", "IGI")


class Stone(NamedTuple):
    price: float | None = 1_000  # on the price axis
    carat: float | None = 100  # hundredths
    shape: str = "ROUND"
    lab: str = "GIA"


def slicing(*, touching: bool = False, depth: int = 100, page_size: int = 10) -> Slicing:
    return Slicing(page_size, depth, touching, "USD per carat", SHAPES, LABS)


def within(value: float | None, span: Span | None, *, touching: bool) -> bool:
    if span is None:
        return True
    if value is None or value < span.low:
        return False
    return span.high is None or value < span.high or (touching and value == span.high)


def matches(part: Slice, stone: Stone, *, touching: bool) -> bool:
    return (
        (not part.priceless or stone.price is None)
        and within(stone.price, part.price, touching=touching)
        and within(stone.carat, part.carat, touching=touching)
        and (part.shapes is None or stone.shape in part.shapes)
        and (part.labs is None or stone.lab in part.labs)
    )


class Supplier:
    """Counts and pages honestly."""

    def __init__(self, stones: Iterable[Stone], *, touching: bool = False, seed: int = 0) -> None:
        self.stones = list(stones)
        self.touching = touching
        self.asked: list[Ask] = []
        random.Random(seed).shuffle(self.stones)

    def inside(self, part: Slice) -> list[Stone]:
        return [stone for stone in self.stones if matches(part, stone, touching=self.touching)]

    def answer(self, scan: Scan, ask: Ask) -> None:
        self.asked.append(ask)
        found = self.inside(ask.part)
        if not ask.limit:
            scan.answered(ask, len(found))
            return
        page = found[ask.offset : ask.offset + ask.limit]
        values = [stone.price if ask.axis == "price" else stone.carat for stone in page]
        scan.paged(ask, [value for value in values if value is not None])


def run(
    settings: ScanSettings,
    answer: Callable[[Scan, Ask], None],
    *,
    prior: Prior | None = None,
    in_flight: int = 8,
    after_each: Callable[[Scan], None] = lambda scan: None,
) -> Plan:
    """Drive a scan to its end, all calls of a round answered before the next."""
    scan = Scan(settings, prior)
    while not scan.done:
        asks = scan.next(in_flight)
        assert asks or scan.done, "nothing to ask, nothing in flight, and not done"
        assert len(asks) <= in_flight
        for ask in asks:
            answer(scan, ask)
            after_each(scan)
    return scan.plan()


def owners(parts: Sequence[Slice], stone: Stone, *, touching: bool = False) -> list[Slice]:
    return [part for part in parts if matches(part, stone, touching=touching)]


def corners(parts: Sequence[Slice]) -> list[Stone]:
    """Stones at and beside every edge of some slices, where a gap or an overlap would show."""
    found: set[Stone] = set()
    for part in parts:
        prices: list[float | None] = [None] if part.priceless else _beside(part.price)
        shapes, labs = part.shapes or SHAPES, part.labs or LABS
        found |= {
            Stone(price, carat, shape, lab)
            for price in prices
            for carat in _beside(part.carat)
            for shape in {shapes[0], shapes[-1]}
            for lab in {labs[0], labs[-1]}
        }
    return list(found)


def _beside(span: Span | None) -> list[float | None]:
    low, high = span or Span(0, None)
    return [low, low + 0.5, *([2.0**40] if high is None else [high - 0.5, high])]


def assert_covers(plan: Plan) -> None:
    """No gap, no overlap: read as half-open ranges, the leaves hold every stone exactly once."""
    parts = [leaf.slice for leaf in plan.leaves]
    ends = [Stone(0), Stone(2.0**40)] + [Stone(None)] * any(part.priceless for part in parts)
    for stone in [*ends, *corners(parts)]:
        assert len(owners(parts, stone)) == 1, stone
    assert plan.histogram[0].low == 0
    assert plan.histogram[-1].high is None
    assert all(left.high == right.low for left, right in pairwise(plan.histogram))
