"""A supplier in memory that counts two million offers in microseconds. It answers the truth."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.heatmap.sets import LABS, NO_PRICE, SHAPES, Column, Offers
from shared.feeds.base import Slice, Slicing, Span

PAGE_SIZE = 50


def slicing(depth: int, *, touching: bool = False, ranked: bool = False) -> Slicing:
    """What the scan is told of this supplier. Half-open ranges in cents, unless `touching`."""
    return Slicing(PAGE_SIZE, depth, touching, "cents per carat", SHAPES, LABS, ranked)


class Supplier:
    """Offers in order of price, carat, shape and laboratory."""

    def __init__(self, offers: Offers, *, touching: bool = False, seed: int = 0) -> None:
        self.offers = offers.taken(_in_order(offers))
        self.touching = touching
        self.requests = 0
        self._sorted = True  # below one price by carat
        self._draw = np.random.default_rng(seed)

    def count(self, part: Slice) -> int:
        """One request."""
        self.requests += 1
        return self._held(part).number

    def page(self, part: Slice, offset: int, limit: int, axis: str) -> list[float]:
        """Coordinates of a page, in no order that has to do with the price. One request."""
        self.requests += 1
        held = self._held(part)
        size = min(limit, max(0, held.number - offset))
        at = held.places()[self._draw.choice(held.number, size, replace=False)]
        column = self.offers.price if axis == "price" else self.offers.carat
        return [float(value) for value in column[at]]

    def ranked(self, part: Slice, rank: int) -> float | None:
        """The price at a rank from 0, in order of price; None beyond the end. One request."""
        self.requests += 1
        held = self._held(part)
        return float(self.offers.price[held.first + rank]) if rank < held.number else None

    def add_to(self, times: NDArray[np.int64], part: Slice) -> None:
        """Note for each offer, in the order of `self.offers`, that a slice holds it."""
        held = self._held(part)
        if held.mask is None:
            times[held.first : held.last] += 1
        else:
            times[held.first : held.last] += held.mask

    def _held(self, part: Slice) -> "_Held":
        price = self.offers.price
        if part.priceless:
            first, last = self._between(price, Span(NO_PRICE, 0), 0, len(price), touching=False)
        elif part.price is not None:
            first, last = self._between(price, part.price, 0, len(price), touching=self.touching)
        else:
            first, last = 0, len(price)
        carats = part.carat
        if (
            carats is not None
            and self._sorted
            and (first == last or price[first] == price[last - 1])
        ):
            carat = self.offers.carat  # in order, where there is one price
            first, last = self._between(carat, carats, first, last, touching=self.touching)
            carats = None
        return _Held(first, last, self._mask(part, carats, first, last))

    def _mask(
        self, part: Slice, carats: Span | None, first: int, last: int
    ) -> NDArray[np.bool_] | None:
        masks = []
        if carats is not None:
            carat = self.offers.carat[first:last]
            masks.append(carat >= carats.low)
            if carats.high is not None:
                masks.append(carat <= carats.high if self.touching else carat < carats.high)
        for column, values, wanted in (
            (self.offers.shape, SHAPES, part.shapes),
            (self.offers.lab, LABS, part.labs),
        ):
            if wanted is not None and wanted != values:
                masks.append(np.isin(column[first:last], [values.index(one) for one in wanted]))
        return np.logical_and.reduce(masks) if masks else None

    @staticmethod
    def _between(
        column: Column, span: Span, first: int, last: int, *, touching: bool
    ) -> tuple[int, int]:
        inside = column[first:last]
        low = first + int(np.searchsorted(inside, span.low, "left"))
        if span.high is None:
            return low, last
        high = np.searchsorted(inside, span.high, "right" if touching else "left")
        return low, max(low, first + int(high))


class Moving(Supplier):
    """A supplier whose stock changes at every request: some offers become other ones."""

    def __init__(self, offers: Offers, changes: int, *, seed: int = 0) -> None:
        """changes: offers redrawn at each request, from what the feed held at first."""
        super().__init__(offers, seed=seed)
        self._first, self._changes, self._sorted = self.offers, changes, False

    def count(self, part: Slice) -> int:
        self._move()
        return super().count(part)

    def page(self, part: Slice, offset: int, limit: int, axis: str) -> list[float]:
        self._move()
        return super().page(part, offset, limit, axis)

    def _move(self) -> None:
        """In place: the new ones take the places of old ones, so the order must be made anew."""
        rows = len(self.offers)
        gone = self._draw.integers(0, rows, self._changes)
        come = self._first.taken(self._draw.integers(0, rows, self._changes))
        kept = np.ones(rows, bool)
        kept[gone] = False
        kept_offers = self.offers.taken(np.flatnonzero(kept))
        come = come.taken(np.arange(rows - len(kept_offers)))
        come = come.taken(_in_order(come))
        at = np.searchsorted(kept_offers.price, come.price)
        columns = zip(kept_offers.columns(), come.columns(), strict=True)
        self.offers = Offers(*(np.insert(old, at, new) for old, new in columns))


def _in_order(offers: Offers) -> NDArray[np.intp]:
    return np.lexsort((offers.lab, offers.shape, offers.carat, offers.price))


class _Held(NamedTuple):
    """Offers `first` to `last`, exclusive; of these what the mask says, or all."""

    first: int
    last: int
    mask: NDArray[np.bool_] | None

    @property
    def number(self) -> int:
        return self.last - self.first if self.mask is None else int(self.mask.sum())

    def places(self) -> NDArray[np.intp]:
        if self.mask is None:
            return np.arange(self.first, self.last)
        return self.first + np.flatnonzero(self.mask)
