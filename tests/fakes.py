"""Stand-ins at our own edges."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import to_json

from shared.feeds.base import Page, RawOffer, Slice, Slicing

SLICING = Slicing(
    page_size=10,
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

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        self.sent += 1
        return len(self.offers)

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        self.sent += 1
        self.pages.append(offset)
        self.before_page(offset)
        taken = self.offers[offset : offset + (1 if offset in self.short else limit)]
        return Page(taken, len(taken))

    def requests(self) -> int:
        return self.sent

    def close(self) -> None:
        pass
