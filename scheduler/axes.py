"""An axis cut into buckets that tile it, and finer axes below a bucket that is too crowded.

Pure. Whatever is done here, the buckets of a tiling cover their axis without gap or overlap: a
bucket only ever gives way to its own parts, or joins its neighbour. Where the supplier's ranges
include both ends, "without overlap" means that neighbours share nothing but the edge.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Literal, NamedTuple

from scheduler.density import AXIS_MAX, Density
from shared.feeds.base import Slice, Span

AxisName = Literal["price", "carat", "shapes", "labs", "priceless"]

UNCUTTABLE = "one price, and no finer axis cuts it"  # why a bucket may be stuck for good
GIVE_MAX = 3  # units; farther off there is no quieter edge


class Known(IntEnum):
    """Where a bucket's number comes from; the lower the better."""

    COUNTED = 0
    RANKED = 1  # by rank: an upper bound, exact where no two offers share a price
    DERIVED = 2  # by subtraction: exact, but a lower bound where ranges include both ends
    GUESSED = 3


class Axis(NamedTuple):
    """An attribute of offers in whole units. Enumerated values count as their place in `values`.

    Where ranges include both ends, what lies on an edge is fetched twice, so an edge should lie
    where few offers do: people ask 1,500 a carat, and cut stones to just above 0.99.
    """

    name: AxisName
    density: Density
    touching: bool = False  # ranges include both ends
    values: tuple[str, ...] = ()
    grid: tuple[int, int] | None = None  # only these edges: a step, and the place of the first

    @property
    def top(self) -> int | None:
        """The end of the axis; None: there is none."""
        return len(self.values) or None

    def edge(self, at: int, low: int, high: int | None, give: int = 0) -> int | None:
        """The best edge inside (low, high), `at` or up to `give` beside it; None for none."""
        first, last = low + 1, (AXIS_MAX if high is None else high) - 1
        if self.grid is not None:
            step, phase = self.grid
            nearest = round((at - phase) / step) * step + phase
            allowed = (nearest, nearest + step, nearest - step)
            return next((edge for edge in allowed if first <= edge <= last), None)
        if first > last:
            return None
        at = min(max(at, first), last)
        if not self.touching:
            return at
        give = min(give, GIVE_MAX)
        beside = range(max(first, at - give), min(last, at + give) + 1)
        return min(beside, key=lambda edge: (_roundness(edge), abs(edge - at)))

    def ends(self, low: int, high: int | None) -> bool:
        """Is there no edge inside?"""
        return self.edge(low, low, high) is None


def _roundness(number: int) -> int:
    """How many people like a number: 100s, 50s, 10s, 5s, the rest."""
    return sum(number % step == 0 for step in (5, 10, 50, 100))


@dataclass(slots=True, eq=False)
class Bucket:
    """A half-open range of an axis, and what is known of it."""

    low: int
    high: int | None
    offers: int
    known: Known
    ceiling: int | None = None  # a count of something around it: it cannot hold more
    surprises: int = 0  # cuts in a row that put nearly everything on one side
    failures: int = 0  # calls in a row without an answer
    halvings: int = 0  # times it, or what it is a part of, was cut without an answer
    pages: int = 0  # pages read to see what is in it
    busy: bool = False  # a call about it is in flight
    point: bool = False  # one crowded value: no use in cutting it on its own axis
    edges: tuple[int, ...] = ()  # cut here next
    subtracted: int = 0  # edges at which something was subtracted to derive its number
    moved: bool = False  # its edges were moved off a crowded value already
    skipped: int = 0  # finer axes found unfit for it
    uncut: bool = False  # to be cut by rank yet
    stuck: str = ""  # why it stays as it is
    finer: "Tiling | None" = None


@dataclass(slots=True, eq=False)
class Tiling:
    """An axis below a slice, as buckets that tile it."""

    axis: Axis
    base: Slice  # holds for everything in it
    buckets: list[Bucket]
    rung: int = -1  # of the ladder of axes; -1: above it

    def slice_of(self, low: int, high: int | None) -> Slice:
        """The part of the feed between two edges."""
        return narrowed(self.base, self.axis, low, high)

    def replace(self, bucket: Bucket, pieces: Sequence[Bucket]) -> None:
        """Put `pieces` in the place of a bucket. ValueError where they do not tile it."""
        gaps = any(left.high != right.low for left, right in pairwise(pieces))
        if gaps or pieces[0].low != bucket.low or pieces[-1].high != bucket.high:
            raise ValueError(f"pieces do not tile {bucket.low}..{bucket.high}")
        at = self.place(bucket)
        self.buckets[at : at + 1] = pieces

    def join(self, left: Bucket, right: Bucket) -> None:
        """Let `right` reach down to where `left` begins. ValueError for no neighbours."""
        if left.high != right.low:
            raise ValueError(f"{left.high} and {right.low} are no common edge")
        del self.buckets[self.place(left)]
        right.low, right.ceiling = left.low, None

    def place(self, bucket: Bucket) -> int:
        """Where a bucket stands. ValueError where it is none of ours."""
        at = bisect_left(self.buckets, bucket.low, key=_low)
        if at == len(self.buckets) or self.buckets[at] is not bucket:
            raise ValueError(f"no such bucket: {bucket.low}..{bucket.high}")
        return at

    def before(self, bucket: Bucket) -> Bucket | None:
        """The next bucket down the axis."""
        at = self.place(bucket)
        return self.buckets[at - 1] if at else None

    def after(self, bucket: Bucket) -> Bucket | None:
        """The next bucket up the axis."""
        at = self.place(bucket) + 1
        return self.buckets[at] if at < len(self.buckets) else None

    def finest(self) -> Iterator[tuple["Tiling", Bucket]]:
        """Every bucket that is a part of the plan, in order, each with its tiling."""
        for bucket in self.buckets:
            if bucket.finer is None:
                yield self, bucket
            else:
                yield from bucket.finer.finest()


def _low(bucket: Bucket) -> int:
    return bucket.low


def narrowed(base: Slice, axis: Axis, low: int, high: int | None) -> Slice:
    """A slice restricted to a range of one more axis."""
    given = {name: getattr(base, name) for name in type(base).model_fields}
    if axis.name == "priceless":
        return Slice(**given | {"priceless": True})
    if axis.values:
        return Slice(**given | {axis.name: axis.values[low:high]})
    return Slice(**given | {axis.name: Span(low, high)})
