"""Faults of counts and pages: what was asked, and which stones answer it.

Each function is the plain thing with the faults of one request applied.
"""

from collections.abc import Mapping
from typing import Any

from simulator.answers import BAD_INPUT, RefusedError
from simulator.board import Hits
from simulator.search import Order, Part, Query, Search
from simulator.switches import (
    BigLimit,
    Cents,
    Churn,
    CountDrift,
    DeepOffset,
    Endless,
    InvertedStrays,
    ShortPage,
)

PRICES = ("dollar_value", "dollar_per_carat")


def query(hits: Hits, asked: Query) -> Query:
    """The query as it is understood."""
    if hits.get(Cents) is None or not any(asked.get(name) for name in PRICES):
        return asked
    hits.show(Cents)
    # Dollars again, with their cents.
    return {
        name: {end: value[end] / 100 for end in value} if name in PRICES and value else value
        for name, value in asked.items()
    }


def bounds(
    hits: Hits,
    offset: int,
    limit: int,
    path: tuple[str, ...],
    *,
    offset_max: int,
    limit_max: int,
) -> tuple[int, int]:
    """Offset, limit, as they are taken. Raises RefusedError."""
    deep, big = hits.get(DeepOffset), hits.get(BigLimit)
    if deep is not None and offset > deep.switch.above:
        hits.show(DeepOffset)
        offset_max = deep.switch.above if deep.switch.how == "refused" else offset
    if big is not None and limit > big.switch.above:
        hits.show(BigLimit)
        limit_max = big.switch.above
        if big.switch.how == "clamped":
            limit = limit_max
    if not 0 <= limit <= limit_max:
        raise RefusedError(f"limit is from 0 to {limit_max}, not {limit}", BAD_INPUT, path)
    if not 0 <= offset <= offset_max:
        raise RefusedError(f"offset is from 0 to {offset_max}, not {offset}", BAD_INPUT, path)
    return offset, limit


def count(hits: Hits, search: Search, asked: Query) -> int:
    """Stones that match, or so it says. Raises UnreadableFilterError."""
    if (strays := hits.get(InvertedStrays)) and _inverted(asked):
        hits.show(InvertedStrays)
        return strays.switch.stones
    found = search.count(asked)
    if drift := hits.get(CountDrift):
        hits.show(CountDrift)
        more = {"more": True, "less": False}.get(drift.switch.how, drift.rng.random() < 0.5)
        off = max(1, round(found * drift.switch.share))
        found = max(0, found + off if more else found - off)
    return found


def page(
    hits: Hits, search: Search, asked: Query, order: Order, offset: int, limit: int
) -> list[Part]:
    """At most `limit` stones from `offset` on, or what comes in their place.

    Raises UnreadableFilterError.
    """
    if (strays := hits.get(InvertedStrays)) and _inverted(asked):
        hits.show(InvertedStrays)
        found = search.strays(asked, order, strays.switch.stones, str(strays.switch.seed))
        return _cut(found, offset, limit)
    offset = _churned(hits, search, offset)
    parts = search.page(asked, order, offset, limit)
    parts = _filled(hits, search, asked, order, parts, offset, limit)
    size = _size(parts)
    short = hits.get(ShortPage)
    if short is None or size < 2:
        return parts
    wanted = short.switch.items
    kept = short.rng.randrange(1, size) if wanted is None else min(wanted, size)
    if kept < size:
        hits.show(ShortPage)
    return _cut(parts, 0, kept)


def _churned(hits: Hits, search: Search, offset: int) -> int:
    churn = hits.get(Churn)
    if churn is None:
        return offset
    hits.show(Churn)
    if churn.switch.how == "ticks":
        for _ in range(churn.switch.n):
            search.stock.advance()
        search.renew()
        return offset
    if churn.switch.how == "removed":  # what stood here stands further up now
        return offset + min(offset, churn.switch.n)  # before the first page none can go
    return max(0, offset - churn.switch.n)


def _filled(
    hits: Hits,
    search: Search,
    asked: Query,
    order: Order,
    parts: list[Part],
    offset: int,
    limit: int,
) -> list[Part]:
    """A page that the end cuts short goes on."""
    missing = limit - _size(parts)
    endless = hits.get(Endless) if missing > 0 else None
    if endless is None:
        return parts
    if endless.switch.what == "strays":
        more = search.strays(asked, order, missing, str(offset))
    else:
        size = search.count(asked)
        more = []
        place = (offset + limit - missing) % size if size else 0
        while size and missing > 0:
            found = search.page(asked, order, place, missing)
            more += found
            missing -= _size(found)
            place = (place + _size(found)) % size
    if more:
        hits.show(Endless)
    return parts + more


def _inverted(asked: Query) -> bool:
    """A range of it ends below its start."""
    return any(_upside_down(one) for value in asked.values() for one in _all(value))


def _all(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _upside_down(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    low, high = value.get("from"), value.get("to")
    return isinstance(low, int | float) and isinstance(high, int | float) and low > high


def _size(parts: list[Part]) -> int:
    return sum(len(part.rows) for part in parts)


def _cut(parts: list[Part], offset: int, limit: int) -> list[Part]:
    """Some of the stones of the parts, as one part each."""
    found = []
    for part in parts:
        rows = part.rows[offset : offset + limit]
        offset, limit = max(0, offset - len(part.rows)), limit - len(rows)
        found.append(Part(part.shelf, rows))
    return [part for part in found if len(part.rows)]
