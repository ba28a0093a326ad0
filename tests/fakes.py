"""Stand-ins at our own edges."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from pydantic_core import to_json

from shared.feeds.base import Page, RawOffer, Slice, Slicing, Span

SLICING = Slicing(
    page_size=8,
    depth=1_000,
    touching=True,
    price_unit="USD per carat",
    shapes=("ROUND", "OVAL"),
    labs=("GIA", "IGI"),
)


def raw_offer(number: int, **fields: Any) -> RawOffer:
    """An offer with that number in its id."""
    offer_id = f"DIAMOND/{number}"
    return RawOffer(offer_id, to_json({"id": offer_id} | fields))


class FakeSource:
    """A supplier in memory. `before_page` runs at each page and may raise or change the stock."""

    def __init__(
        self,
        offers: Sequence[RawOffer],
        *,
        before_page: Callable[[int], None] = lambda offset: None,
        short: frozenset[int] = frozenset(),
    ) -> None:
        self.offers = list(offers)
        self.before_page = before_page
        self.short = short  # offsets at which a page of one item is answered
        self.pages: list[int] = []
        self.sent = 0
        self._one_by_one = threading.RLock()

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        self.sent += 1
        return len(self.offers)

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        with self._one_by_one:
            self.sent += 1
            self.pages.append(offset)
            self.before_page(offset)
            taken = self.offers[offset : offset + (1 if offset in self.short else limit)]
            return Page(taken, len(taken))

    def requests(self) -> int:
        return self.sent

    def apart(self) -> Self:
        return self

    def close(self) -> None:
        pass


class PricedSource(FakeSource):
    """The same with prices: sliced by dollars per carat and hundredths of a carat, both ends in."""

    def __init__(self, stones: Sequence[tuple[int, int]]) -> None:
        """stones: (dollars per carat, hundredths of a carat)"""
        super().__init__(
            [
                raw_offer(
                    number,
                    price=price * carat,
                    diamond={"certificate": {"shape": "ROUND", "carats": carat / 100}},
                )
                for number, (price, carat) in enumerate(stones)
            ]
        )
        self.stones = list(stones)
        self.changed: list[int] = []  # numbers of stones that `updated_from` finds

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        self.sent += 1
        return len(self.matching(part))

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        self.sent += 1
        taken = self.matching(part)[offset : offset + limit]
        return Page(taken, len(taken))

    def matching(self, part: Slice) -> list[RawOffer]:
        """What a slice holds."""
        numbers = self.changed if part.updated_from else range(len(self.stones))
        return [
            self.offers[n]
            for n in numbers
            if _inside(part.price, self.stones[n][0])
            and _inside(part.carat, self.stones[n][1])
            and not part.priceless
            and (part.shapes is None or "ROUND" in part.shapes)
        ]


def _inside(span: Span | None, value: int) -> bool:
    return span is None or (span.low <= value and (span.high is None or value <= span.high))


class FakeSnapshots:
    """A supplier that says everything at once. `before_row` runs at each row and may raise."""

    def __init__(
        self,
        offers: Sequence[RawOffer],
        *,
        checksum: str = "one",
        before_row: Callable[[int], None] = lambda row: None,
        about: int | None = None,
    ) -> None:
        self.rows = list(offers)
        self.checksum = checksum
        self.before_row = before_row
        self.name = "a fake"
        self.size_bytes = 1
        self.offers_about = len(self.rows) if about is None else about
        self.taken = 0

    @contextmanager
    def take(self, alive: Callable[[], None]) -> Iterator["FakeSnapshots"]:
        self.taken += 1
        alive()
        yield self

    def offers(self) -> Iterator[RawOffer]:
        for row, offer in enumerate(self.rows):
            self.before_row(row)
            yield offer

    def requests(self) -> int:
        return self.taken

    def close(self) -> None:
        pass
