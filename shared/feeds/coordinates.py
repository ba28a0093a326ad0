"""Where offers lie on the axes that a feed is cut along, by the feed's own mapping."""

from collections.abc import Callable, Sequence

from shared.feeds.base import Mapped, RawOffer

# The coordinates of offers on an axis, "price" or "carat"; what is not known is left out.
Coordinates = Callable[[Sequence[RawOffer], str], Sequence[float]]


def by_mapping(map_offers: Callable[[Sequence[bytes]], Mapped]) -> Coordinates:
    """Coordinates from a feed's own mapping: US dollars per carat, hundredths of a carat."""

    def read(offers: Sequence[RawOffer], axis: str) -> list[float]:
        stones = map_offers([offer.payload for offer in offers]).stones
        rows = stones.select("cost_cents", "carat").iter_rows()
        known = [(int(cents), float(carat)) for cents, carat in rows if carat]
        if axis == "carat":
            return [100 * carat for _, carat in known]
        return [cents / 100 / carat for cents, carat in known]

    return read
