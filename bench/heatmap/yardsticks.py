"""The yardsticks: the legacy scan, re-made from its description, and plain bisection."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from bench.heatmap.bound import BALANCE
from scheduler import packing
from shared.feeds.base import Slice, Slicing, Span

Count = Callable[[Slice], int]

DOLLAR = 100  # cents
IN_FLIGHT = 8
# The legacy scan: steps of 50 dollars up to 5,000, then 250 and whatever held about 500 offers,
# never less than 100 dollars and five times as wide through emptiness, up to 50,000.
STEP, STEPPED_TO, CAPPED_AT = 50 * DOLLAR, 5_000 * DOLLAR, 50_000 * DOLLAR
WIDE, WIDE_MIN, WANTED, GROWTH_MAX = 250 * DOLLAR, 100 * DOLLAR, 500, 5


class Cut(NamedTuple):
    """What a yardstick makes of a feed."""

    parts: list[Slice]
    calls: int
    rounds: int


def legacy(count: Count, workers: int) -> Cut:
    """Fixed steps, then adaptive ones; greedy buckets; over-full steps cut by assumption.

    Its ranges are whole dollars with both ends included, which leaves out every price between a
    bucket's last dollar and the next one; it knows neither a depth, nor a missing price, nor
    anything above 50,000 dollars a carat.
    """
    steps: list[tuple[int, int, int]] = []
    low, wide = 0, WIDE
    while low < CAPPED_AT:
        high = low + STEP if low < STEPPED_TO else min(low + wide, CAPPED_AT)
        held = count(Slice(price=Span(low, high)))
        steps.append((low, high, held))
        if low >= STEPPED_TO:
            growth = min(GROWTH_MAX, WANTED / held) if held else GROWTH_MAX
            wide = max(WIDE_MIN, int(wide * growth) // DOLLAR * DOLLAR)
        low = high
    ranges = _buckets(steps, sum(held for _, _, held in steps) / workers)
    parts = [Slice(price=Span(low, max(low + 1, high - DOLLAR + 1))) for low, high in ranges]
    return Cut(parts, len(steps), -(-len(steps) // IN_FLIGHT))


def _buckets(steps: list[tuple[int, int, int]], each: float) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    start, filled = 0, 0
    for low, high, held in steps:
        if filled and filled + held > each:
            ranges.append((start, low))
            filled = 0
        if not filled:
            start = low
        filled += held
        if filled > each:  # one step alone; assumed to be spread evenly over its width
            pieces = min(max(1, round(filled / each)), (high - start) // DOLLAR)
            width = (high - start) // DOLLAR / pieces
            edges = [start + int(width * nth) * DOLLAR for nth in range(pieces)] + [high]
            ranges += pairwise(edges)
            filled = 0
    return [*ranges, (start, CAPPED_AT)] if filled else ranges


def bisection(count: Count, slicing: Slicing, workers: int, offers: int) -> Cut:
    """Halve what holds more than M; then halve the heaviest until the parts are dealt evenly.

    workers  that have work to share
    offers   in the feed

    Below a single price carats are halved, then shapes and laboratories, as the scan's ladder
    does. One count a cut, the other half by subtraction. Ends where the heaviest cannot be halved.
    """
    priced = count(Slice(price=Span(0, None)))
    fresh = [(Slice(price=Span(0, None)), priced), (Slice(priceless=True), offers - priced)]
    done: list[tuple[Slice, int]] = []
    calls, rounds = 2, 1  # the total and what has a price
    while True:
        heavy: list[tuple[Slice, int]] = []
        for one in fresh:
            deep = one[1] > slicing.depth and _halves(one[0], slicing) is not None
            (heavy if deep else done).append(one)
        if not heavy:
            done.sort(key=lambda part: part[1])
            dealt = packing.deal([held for _, held in done], workers, slicing.page_size)
            if dealt.balance_offers <= BALANCE or not _halves(done[-1][0], slicing):
                break
            heavy = [done.pop()]
        calls += len(heavy)
        rounds += -(-len(heavy) // IN_FLIGHT)
        fresh = []
        for part, held in heavy:
            low, high = _halves(part, slicing) or (part, part)
            below = count(low)
            fresh += [(low, below), (high, held - below)]
    return Cut([part for part, _ in done], calls, rounds)


def _halves(part: Slice, slicing: Slicing) -> tuple[Slice, Slice] | None:
    """None where there is nothing left to halve."""
    price = part.price
    if price is not None and (price.high is None or price.high - price.low > 1):
        return _spans(part, "price", price, CAPPED_AT)
    carat = part.carat or Span(0, None)
    if carat.high is None or carat.high - carat.low > 1:
        return _spans(part, "carat", carat, 512)
    for name, every in (("shapes", slicing.shapes), ("labs", slicing.labs)):
        values = getattr(part, name) or every
        if len(values) > 1:
            middle = len(values) // 2
            low, high = values[:middle], values[middle:]
            return part.model_copy(update={name: low}), part.model_copy(update={name: high})
    return None


def _spans(part: Slice, name: str, span: Span, top: int) -> tuple[Slice, Slice] | None:
    middle = max(top, 2 * span.low) if span.high is None else (span.low + span.high) // 2
    low, high = Span(span.low, middle), Span(middle, span.high)
    return part.model_copy(update={name: low}), part.model_copy(update={name: high})
