"""Where offers are expected to lie on an axis: the coordinate in which the scan interpolates.

Pure. A density is a guess: it decides where a count is asked, never what the answer is. A bad one
costs counts and nothing else.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import expm1, floor, log1p

AXIS_MAX = 2**31 - 1  # the largest whole number every supplier's filter can say

# What no measurement speaks for still gets this share, spread evenly over the logarithm, so that
# a part of the axis where nothing was ever seen can be cut in a sensible place too.
UNSEEN_SHARE = 0.000_1

# Expected shares below, wide enough for mined stones and grown ones: USD per carat, and carats.
COLD_PRICE_USD = (
    (50, 0.03),
    (250, 0.15),
    (1_000, 0.35),
    (5_000, 0.70),
    (20_000, 0.90),
    (60_000, 0.99),
    (300_000, 0.999),
)
COLD_CARAT = ((0.2, 0.01), (0.5, 0.3), (1.0, 0.55), (2.0, 0.85), (5.0, 0.98), (20.0, 0.999))


class Density:
    """A share of the mass below every whole coordinate, growing all the way from 0 to 1."""

    def __init__(
        self,
        smooth: Sequence[tuple[float, float]] = (),
        points: Iterable[tuple[float, float]] = (),
        *,
        scale: float = 1.0,
    ) -> None:
        """smooth   (value, share below), ascending; between them linear in the logarithm
        points   (value, offers) as counted elsewhere; where there are any, `smooth` only fills in
        scale    units of the axis in one unit of `smooth`
        """
        self._scale = scale
        given = [(log1p(value), share) for value, share in smooth]
        self._knots = [(0.0, 0.0), *given, (log1p(AXIS_MAX / scale), 1.0)]
        self._values: list[float] = []
        self._below: list[float] = [0.0]
        self.offers = 0.0
        seen = sorted((value, offers) for value, offers in points if offers > 0)
        if seen:
            self._values = [value for value, _ in seen]
            self._below = [0.0, *accumulate(offers for _, offers in seen)]
            self.offers = self._below[-1]
        self._unseen = UNSEEN_SHARE if seen else 1.0

    def weighed(self, edges: Sequence[int], offers: Sequence[int]) -> "Density":
        """The same inside every range between `edges`, with the offers that were counted there.

        edges   ascending, inside the axis; the ranges below the first and above the last count too
        offers  of each range, one more than edges
        """
        total = max(1, sum(offers))
        knots: list[tuple[float, float]] = []
        bounds: list[int | None] = [0, *edges, None]
        reached = 0.0
        for low, high, counted in zip(bounds, bounds[1:], offers, strict=False):
            base, mass = self.below(low or 0), self.below(high) - self.below(low or 0)
            for value, share in self._within(low or 0, high):
                knots.append((value, reached + counted / total * (share - base) / mass))
            reached += counted / total
            if high is not None:
                knots.append((high / self._scale, reached))
        return Density(knots, scale=self._scale)

    def _within(self, low: int, high: int | None) -> list[tuple[float, float]]:
        first, last = log1p(low / self._scale), log1p((high or AXIS_MAX) / self._scale)
        return [(expm1(x), share) for x, share in self._knots if first < x < last]

    def below(self, at: int | None) -> float:
        """The share of the mass below a coordinate; all of it for None."""
        if at is None or at >= AXIS_MAX:
            return 1.0
        share = self._unseen * self._smooth(at)
        if self._values:
            seen = self._below[bisect_left(self._values, at)] / self.offers
            share += (1.0 - self._unseen) * seen
        return share

    def cut(self, low: int, high: int | None, fraction: float) -> int:
        """The whole number inside (low, high) that leaves nearest to `fraction` of the mass below.

        Raises ValueError where no whole number lies inside.
        """
        first, last = low + 1, (AXIS_MAX if high is None else high) - 1
        if last < first:
            raise ValueError(f"nothing to cut between {low} and {high}")
        base = self.below(low)
        target = base + fraction * (self.below(high) - base)
        at = bisect_left(_Below(self), target, first, last)
        if at > first and target - self.below(at - 1) <= self.below(at) - target:
            at -= 1
        return at

    def _smooth(self, at: int) -> float:
        x = log1p(at / self._scale)
        position = bisect_right(self._knots, (x, 2.0))
        if position >= len(self._knots):
            return 1.0
        (x0, y0), (x1, y1) = self._knots[position - 1], self._knots[position]
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


class _Below(Sequence[float]):
    """A density as a sorted sequence, for bisect."""

    def __init__(self, density: Density) -> None:
        self._density = density

    def __len__(self) -> int:
        return AXIS_MAX

    def __getitem__(self, at: int) -> float:  # type: ignore[override]
        return self._density.below(at)


class Prior:
    """What is remembered of a feed before it is counted. Never trusted, only tried first."""

    def __init__(self, price: Density, carat: Mapping[int, Density] | None = None) -> None:
        self.price = price
        self.warm = price.offers > 0
        self._carat = dict(carat or {})

    @classmethod
    def from_density(
        cls,
        price: Iterable[tuple[float, int]],
        carat: Iterable[tuple[float, int, int]] = (),
        *,
        scale: float = 1.0,
    ) -> "Prior":
        """From the catalogue's own stones.

        price   (value on the price axis, stones), in any order
        carat   (value on the price axis, hundredths of a carat, stones), at least for the crowded
                prices
        scale   units of the price axis in a US dollar per carat
        """
        by_price: dict[int, list[tuple[float, float]]] = {}
        for value, hundredths, stones in carat:
            by_price.setdefault(floor(value), []).append((hundredths, stones))
        return cls(
            Density(COLD_PRICE_USD, price, scale=scale),
            {value: Density(COLD_CARAT, points, scale=100) for value, points in by_price.items()},
        )

    @classmethod
    def cold(cls, *, scale: float = 1.0) -> "Prior":
        """Nothing is remembered."""
        return cls(Density(COLD_PRICE_USD, scale=scale))

    def carat(self, low: int, high: int | None) -> Density | None:
        """What is remembered of the carats of a price range."""
        inside = [
            density
            for value, density in self._carat.items()
            if low <= value and (high is None or value < high)
        ]
        return max(inside, key=lambda density: density.offers, default=None)
