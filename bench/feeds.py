"""Feeds to scan: the real diamonds table and sets made of it, all in memory, all seeded.

A price is in whole cents per carat where ranges are half-open, and in dollars where they include
both ends. Below a price a feed is cut by carat, then by grade (cut and colour stand in for the
shape), then by clarity and the last digits of an id (they stand in for the laboratory).
"""

import csv
import gzip
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.feeds.base import Slice, Slicing, Span

DIAMONDS = Path(__file__).parent.parent / "simulator" / "data" / "diamonds.csv.gz"
CAP_CENTS = 5_000_000  # where the legacy scan stops looking
HASHES = 16

Numbers = NDArray[np.float64]


class Stones(NamedTuple):
    price: Numbers  # cents per carat; NaN: none
    carat: Numbers  # hundredths
    grade: Numbers  # place in GRADES
    mark: Numbers  # place in MARKS


@cache
def table() -> Stones:
    """The real diamonds."""
    with gzip.open(DIAMONDS, "rt", newline="") as lines:
        rows = list(csv.DictReader(lines))
    carat = np.array([round(100 * float(row["carat"])) for row in rows], dtype=np.float64)
    price = np.floor(np.array([100 * float(row["price"]) for row in rows]) / (carat / 100))
    grade = _codes([f"{row['cut']} {row['color']}" for row in rows])
    clarity = _codes([row["clarity"] for row in rows])
    mark = clarity * HASHES + np.random.default_rng(1).integers(0, HASHES, len(rows))
    return Stones(price, carat, grade, mark)


def _codes(words: Sequence[str]) -> Numbers:
    """The commonest word is 0."""
    names, places, times = np.unique(words, return_inverse=True, return_counts=True)
    rank = np.empty(len(names))
    rank[np.argsort(-times)] = np.arange(len(names))
    return rank[places]


GRADES = tuple(f"G{place}" for place in range(35))
MARKS = tuple(f"M{place}" for place in range(8 * HASHES))


def drawn(offers: int, seed: int = 0, jitter: float = 0.03) -> Stones:
    """`offers` stones drawn from the table, prices moved a little."""
    rng = np.random.default_rng(seed)
    real = table()
    at = rng.integers(0, len(real.price), offers)
    price = np.floor(real.price[at] * np.exp(rng.normal(0, jitter, offers)))
    mark = real.mark[at] // HASHES * HASHES + rng.integers(0, HASHES, offers)
    return Stones(price, real.carat[at], real.grade[at], mark)


def priced(stones: Stones, make: Callable[[np.random.Generator, Numbers], Numbers]) -> Stones:
    """The same stones at other prices."""
    return stones._replace(price=make(np.random.default_rng(7), stones.price.copy()))


def lognormal(rng: np.random.Generator, price: Numbers) -> Numbers:
    return np.floor(rng.lognormal(np.log(90_000), 1.0, len(price)))


def uniform(rng: np.random.Generator, price: Numbers) -> Numbers:
    return np.floor(rng.uniform(0, CAP_CENTS, len(price)))


def heavytail(rng: np.random.Generator, price: Numbers) -> Numbers:
    return np.floor(50_000 * (rng.pareto(0.7, len(price)) + 1))


def nulltail(rng: np.random.Generator, price: Numbers) -> Numbers:
    at = rng.random(len(price))
    price[at < 0.03] = np.nan
    price[at > 0.99] = np.floor(rng.uniform(CAP_CENTS, 10 * CAP_CENTS, int((at > 0.99).sum())))
    return price


def zipf(rng: np.random.Generator, price: Numbers) -> Numbers:
    share = np.arange(1, 50_001) ** -1.1
    dollars = rng.permutation(50_000)[rng.choice(50_000, len(price), p=share / share.sum())]
    return 100.0 * dollars


def dup30(rng: np.random.Generator, price: Numbers) -> Numbers:
    at = rng.random(len(price)) < 0.3
    price[at] = 10_000 * np.round(price[at] / 10_000)
    return price


def twospikes(rng: np.random.Generator, price: Numbers) -> Numbers:
    at = rng.random(len(price))
    spread = np.floor(rng.uniform(0, CAP_CENTS, len(price)))
    return np.where(at < 0.48, 150_000.0, np.where(at < 0.96, 420_000.0, spread))


def oddspikes(rng: np.random.Generator, price: Numbers) -> Numbers:
    at = rng.random(len(price)) < 0.5
    price[at] = rng.integers(50_000, 1_000_000, 40)[rng.integers(0, 40, int(at.sum()))]
    return price


def same(rng: np.random.Generator, price: Numbers) -> Numbers:
    return np.full(len(price), 250_000.0)


def labgrown(rng: np.random.Generator, price: Numbers) -> Numbers:
    """Most of the weight on a few hundred dollars, as lab-grown stones have it."""
    return np.floor(rng.lognormal(np.log(16_000), 0.45, len(price)))


class Feed:
    """A feed in memory that answers counts and pages as a supplier does."""

    def __init__(self, stones: Stones, *, touching: bool = False) -> None:
        self.touching = touching
        scale = 100 if touching else 1
        none = np.isnan(stones.price)
        order = np.argsort(stones.price[~none], kind="stable")
        self._priced = Stones(*(column[~none][order] for column in stones))
        self._priced = self._priced._replace(price=self._priced.price / scale)
        self._priceless = Stones(*(column[none] for column in stones))
        self._kept: dict[object, Stones] = {}
        self.offers = len(stones.price)
        self.calls = 0

    def slicing(self, depth: int) -> Slicing:
        unit = "USD per carat" if self.touching else "cents per carat"
        return Slicing(50, depth, self.touching, unit, GRADES, MARKS)

    def count(self, part: Slice) -> int:
        self.calls += 1
        if part.carat is None and part.shapes is None and part.labs is None:
            if part.priceless:
                return len(self._priceless.price)
            if part.price is None:
                return self.offers
            low, high = self._between(self._priced.price, part.price)
            return high - low
        return len(self.stones(part).price)

    def page(self, part: Slice, offset: int, limit: int, axis: str) -> list[float]:
        """Coordinates of one page, in an order that has nothing to do with the price."""
        self.calls += 1
        stones = self.stones(part)
        values = stones.price if axis == "price" else stones.carat
        order = np.random.default_rng(len(values)).permutation(len(values))
        return [float(value) for value in values[order[offset : offset + limit]]]

    def stones(self, part: Slice) -> Stones:
        """Everything in a slice."""
        if part.labs is not None:
            above = self._keep(part.model_copy(update={"labs": None}))
            return _where(above, np.isin(above.mark, _places(part.labs)))
        if part.shapes is not None:
            above = self._keep(part.model_copy(update={"shapes": None}))
            return _where(above, np.isin(above.grade, _places(part.shapes)))
        if part.carat is not None:
            above = self._keep(part.model_copy(update={"carat": None}))
            low, high = self._between(above.carat, part.carat)
            return Stones(*(column[low:high] for column in above))
        if part.priceless:
            return self._by_carat(self._priceless)
        if part.price is None:
            both = zip(self._priced, self._priceless, strict=True)
            return self._by_carat(Stones(*(np.concatenate(pair) for pair in both)))
        low, high = self._between(self._priced.price, part.price)
        return self._by_carat(Stones(*(column[low:high] for column in self._priced)))

    def _keep(self, part: Slice) -> Stones:
        if part not in self._kept:
            self._kept[part] = self.stones(part)
        return self._kept[part]

    def _by_carat(self, stones: Stones) -> Stones:
        order = np.argsort(stones.carat, kind="stable")
        return Stones(*(column[order] for column in stones))

    def _between(self, values: Numbers, span: Span) -> tuple[int, int]:
        low = int(np.searchsorted(values, span.low, "left"))
        if span.high is None:
            return low, len(values)
        return low, int(np.searchsorted(values, span.high, "right" if self.touching else "left"))


def _where(stones: Stones, mask: NDArray[np.bool_]) -> Stones:
    return Stones(*(column[mask] for column in stones))


def _places(names: Sequence[str]) -> list[int]:
    return [int(name[1:]) for name in names]
