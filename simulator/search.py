"""Find stones: counts by bisection and masks, pages in a fixed order.

The axis is price per carat, exact: dollars a carat are cents ÷ hundredths of a carat, and such a
quotient never rounds onto a whole dollar it is not, so comparing it with one is exact. Within a
range of it the other filters are masks over columns kept in the same order.

Every order is total: stones that tie stand by their id. DESC is ASC turned round.
"""

import json
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator import certificates, filters, identity
from simulator.shelf import Rows, Shelf
from simulator.stock import Stock

KEPT_BYTES_MAX = 64 << 20  # of result orders, so that later pages cost only themselves

Query = Mapping[str, Any]


class Order(NamedTuple):
    type: str = "none"  # a word of DiamondOrderType
    descending: bool = False


class Part(NamedTuple):
    """Rows of one shelf, in order."""

    shelf: Shelf
    rows: Rows


def _plain(column: str, lowest: int = 0) -> Callable[[Shelf], NDArray[np.uint64]]:
    """A column as an ascending number below 2**32."""
    return lambda shelf: (shelf.columns[column].astype(np.int64) - lowest).astype(np.uint64)


def _newest_first(shelf: Shelf) -> NDArray[np.uint64]:
    return (2**31 - 1 - shelf.columns["created"].astype(np.int64)).astype(np.uint64)


def _per_carat_rank(shelf: Shelf) -> NDArray[np.uint64]:
    """Equal prices per carat have equal ranks."""
    return np.unique(_per_carat(shelf), return_inverse=True)[1].astype(np.uint64)


# What comes first in each order; the id decides the rest.
_ORDERS: dict[str, Callable[[Shelf], NDArray[np.uint64]] | None] = {
    "createdAt": _plain("created", -(2**31)),
    "price": _plain("price"),
    "discount": _plain("discount", -(2**15)),
    "size": _plain("carat"),
    "color": _plain("color"),
    "clarity": _plain("clarity"),
    "cut": _plain("cut"),
    "price_per_carat": _per_carat_rank,
    "insert": _newest_first,
    "none": None,
    "popular": None,
}


def _per_carat(shelf: Shelf) -> NDArray[np.float64]:
    return np.asarray(shelf.columns["price"] / shelf.columns["carat"], np.float64)


class Index:
    """What makes one shelf quick to search. Good until the shelf moves."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        per_carat = _per_carat(shelf)
        self._rows = np.argsort(per_carat).astype(np.int32)
        self._per_carat = per_carat[self._rows]
        self._columns: dict[str, NDArray[Any]] = {}  # in the order of price per carat
        self._orders: dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]] = {}

    def count(self, asked: filters.Asked) -> int:
        span, mask = self._match(asked)
        return span.stop - span.start if mask is None else int(np.count_nonzero(mask))

    def find(self, asked: filters.Asked, order: Order) -> NDArray[np.int32]:
        """The rows that match, in order."""
        span, mask = self._match(asked)
        rows = self._rows[span] if mask is None else self._rows[span][mask]
        return self.sort(rows, order)

    def sort(self, rows: NDArray[np.int32], order: Order) -> NDArray[np.int32]:
        if order.type not in self._orders:
            self._orders[order.type] = self._ranked(_ORDERS[order.type])
        in_order, rank = self._orders[order.type]
        ranks = np.sort(rank[rows])
        return in_order[ranks[::-1] if order.descending else ranks]

    def _match(self, asked: filters.Asked) -> tuple[slice, NDArray[np.bool_] | None]:
        """The span on the axis, and which of its rows pass; None: all of them."""
        low, high = asked.per_carat or (0, 2**31)
        start = int(np.searchsorted(self._per_carat, low, side="left"))
        stop = int(np.searchsorted(self._per_carat, high, side="right"))
        span = slice(start, max(start, stop))  # an inverted range holds nothing

        def column(name: str) -> NDArray[Any]:
            if name not in self._columns:
                self._columns[name] = self.shelf.columns[name][self._rows]
            return self._columns[name][span]

        mask: NDArray[np.bool_] | None = None
        for test in asked.tests:
            mask = test(column) if mask is None else mask & test(column)
        return span, mask

    def _ranked(
        self, first: Callable[[Shelf], NDArray[np.uint64]] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """All rows in order, and the place of each row in it."""
        keys = self.shelf.columns["key"].astype(np.uint64)
        if first is not None:
            keys |= first(self.shelf) << np.uint64(32)
        in_order = np.argsort(keys).astype(np.int32)
        rank = np.empty_like(in_order)
        rank[in_order] = np.arange(len(in_order), dtype=np.int32)
        return in_order, rank


class Search:
    """Answers about a stock as it stands. Call `renew` when it has moved, or looks different.

    look  how a shelf looks, see `shown.py`
    """

    def __init__(self, stock: Stock, look: Callable[[Shelf], Shelf] = lambda shelf: shelf) -> None:
        self.stock = stock
        self.look = look
        self.renew()

    def renew(self) -> None:
        """Forget what was known: about 0.3 s at 1.4 million stones."""
        self._indexes = (
            Index(self.look(self.stock.natural)),
            Index(self.look(self.stock.labgrown)),
        )
        self.kept: OrderedDict[str, tuple[Part, ...]] = OrderedDict()
        self._kept_bytes = 0
        for index in self._indexes:  # the order that crawlers ask for
            index.find(filters.read({}, self.stock.base), Order("createdAt"))

    def count(self, query: Query) -> int:
        """Stones that match. Raises UnreadableFilterError."""
        asked = filters.read(query, self.stock.base)
        if asked.numbers is not None:
            return sum(len(part.rows) for part in self._by_number(asked.numbers, Order()))
        return self._indexes[asked.labgrown].count(asked)

    def page(self, query: Query, order: Order, offset: int, limit: int) -> list[Part]:
        """At most `limit` stones from `offset` on. Raises UnreadableFilterError."""
        parts = []
        for shelf, rows in self._matches(query, order):
            part = Part(shelf, rows[offset : offset + limit])
            parts.append(part)
            offset = max(0, offset - len(rows))
            limit -= len(part.rows)
        return [part for part in parts if len(part.rows)]

    def strays(self, query: Query, order: Order, stones: int, word: str) -> list[Part]:
        """Some stones of the kind that was asked for, whatever else was asked. In order.

        word  with the query it draws the stones: the same ones again for the same word
        """
        rng = random.Random(json.dumps([query, word], sort_keys=True))
        index = self._indexes[bool(query.get("labgrown"))]
        size = index.shelf.size
        rows = np.array(rng.sample(range(size), min(stones, size)), np.int32)
        return [Part(index.shelf, index.sort(rows, order))] if len(rows) else []

    def by_id(self, diamond_id: str) -> Part | None:
        """The stone with this bare uuid, of either kind; None where it is sold or never was."""
        key = identity.key_of(diamond_id)
        if key is None:
            return None
        for index in self._indexes:
            shelf = index.shelf
            serial = identity.unscramble(key, shelf.naming.offset)
            row = shelf.row_of(serial)
            if row is None:
                continue
            if identity.uuid(key, identity.bits(serial, shelf.naming.salt)) == diamond_id:
                return Part(shelf, np.array([row]))
        return None

    def _matches(self, query: Query, order: Order) -> tuple[Part, ...]:
        key = json.dumps([query, order], sort_keys=True)
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key]
        asked = filters.read(query, self.stock.base)
        if asked.numbers is not None:
            return self._by_number(asked.numbers, order)
        index = self._indexes[asked.labgrown]
        found = (Part(index.shelf, index.find(asked, order)),)
        self.kept[key] = found
        self._kept_bytes += found[0].rows.nbytes
        while self._kept_bytes > KEPT_BYTES_MAX:
            _, old = self.kept.popitem(last=False)
            self._kept_bytes -= sum(part.rows.nbytes for part in old)
        return found

    def _by_number(self, numbers: tuple[str, ...], order: Order) -> tuple[Part, ...]:
        """Stones by certificate number: natural ones first, each kind in order."""
        parts = []
        for index in self._indexes:
            found = {row for number in numbers for row in certificates.find(index.shelf, number)}
            rows = np.array(sorted(found), np.int32)
            parts.append(Part(index.shelf, index.sort(rows, order)))
        return tuple(parts)
