"""How far a partition is read, and whether that can be trusted. Pure: no network, no database.

docs/decisions/0006-reading-a-moving-feed.md has the reasons.
"""

import structlog

from shared.feeds.base import Page, RawOffer

log = structlog.get_logger(__name__)

OVERLAP = 3  # offers of the page before; as many may be sold between two pages unnoticed
RECENT_MAX = 200  # offers remembered, to know them again
# Besides one for each OVERLAP landed; a listing without an order would send us back for ever.
STEPS_BACK_MAX = 20


def next_offset(offset: int, received: int, *, fresh: bool) -> int:
    """Where the page after one begins: a little before its end, but at its end where it is the
    last and brought nothing new."""
    overlap = min(OVERLAP, received - 1) if fresh or received > OVERLAP else 0
    return offset + received - overlap


def name_of(offer: RawOffer) -> str:
    """What an offer is known by from one page to the next; one without an id by all it says."""
    return offer.offer_id if offer.offer_id is not None else offer.payload.decode()


class Reading:
    """How far a partition is read: the place in its listing, and what was read last."""

    def __init__(self, offset: int, landed: int, last_page: dict[str, bytes]) -> None:
        self.offset = offset
        self.read_to = offset  # where the last page ended
        self.landed = landed
        self._recent = last_page  # by `name_of`, its payload; the latest last
        self._overlaps = len(last_page) > 1  # the next page should show some of it
        self._steps_back = 0

    def fresh(self, page: Page) -> list[RawOffer]:
        """What of a page was not said word for word a moment ago."""
        return [o for o in page.offers if self._recent.get(name_of(o)) != o.payload]

    def latest(self) -> list[RawOffer]:
        """The last few offers read, none twice; without their ids."""
        return [RawOffer(None, payload) for payload in self._recent.values()]

    def lost_touch(self, page: Page) -> bool:
        """Whether offers may lie unread between the page before and this one."""
        if not self._overlaps or self._steps_back > STEPS_BACK_MAX + self.landed // OVERLAP:
            return False
        return not any(name_of(offer) in self._recent for offer in page.offers)

    def step_back(self, page_size: int) -> None:
        """Read the page before once more, and from there."""
        self._steps_back += 1
        self._overlaps = self.offset > page_size  # before the start nothing can lie unread
        self.offset = max(0, self.offset - page_size)
        log.info("stepped_back", offset=self.offset, times=self._steps_back)

    def next_offset(self, page: Page, fresh: list[RawOffer]) -> int:
        """Where the page after this one begins."""
        return next_offset(self.offset, page.received, fresh=bool(fresh))

    def landed_page(self, page: Page, fresh: list[RawOffer], next_offset: int) -> None:
        """Take note of a page whose transaction has committed."""
        self.read_to = self.offset + page.received
        self._overlaps = next_offset < self.read_to
        self.offset = next_offset
        self.landed += len(fresh)
        for offer in page.offers:
            self._recent.pop(name_of(offer), None)
            self._recent[name_of(offer)] = offer.payload
        for name in list(self._recent)[:-RECENT_MAX]:
            del self._recent[name]
