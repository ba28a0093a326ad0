"""A smoke test of what we rely on at Nivoda, before a run harms.

Whether the price filters are dollars or cents is not written down anywhere that can be trusted;
so it is measured: ask for a narrow band around a stone whose price is known, and compare.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from shared.errors import FacetError
from shared.feeds.base import Health, Mapped, Slice, SlicedSource, Span

BAND_SHARE = Decimal("0.02")  # each way: narrow enough to tell a hundredth of it apart
BAND_OFFERS = 10
WITHIN_SHARE = 0.9  # of the answer, since a few prices move while we ask
STONES_MAX = 3  # tried before we give up

Map = Callable[[Sequence[bytes]], Mapped]


def check(source: SlicedSource, map_offers: Map) -> Health:
    """Log in, count, map one offer, and measure the unit of the price filter.

    Raises none of our errors: each becomes a finding. Eight requests at most, retries aside.
    """
    try:
        return _check(source, map_offers)
    except FacetError as error:
        return Health(False, [f"{error} ({error.hint})" if error.hint else str(error)])


def _check(source: SlicedSource, map_offers: Map) -> Health:
    counted = source.count(Slice())
    if counted == 0:
        return Health(True, ["the feed is empty, so nothing in it could be checked"])
    findings: list[str] = []
    for nth in range(STONES_MAX):
        page = source.page(Slice(), min(nth * counted // STONES_MAX, 50_000), 1)
        mapped = map_offers([offer.payload for offer in page.offers])
        for reason, detail in mapped.rejected.select("reason", "detail").iter_rows():
            findings.append(f"an offer cannot be mapped: {reason}, {detail}")
        for usd in _usd_per_carat(mapped):
            unit = _unit(source, map_offers, usd)
            if unit == "dollars":
                return Health(True, findings)
            if unit == "cents":
                return Health(False, [*findings, "the price filters are in cents, not in dollars"])
    return Health(False, [*findings, "it cannot be told whether the price filters are in dollars"])


def _unit(
    source: SlicedSource, map_offers: Map, usd_per_carat: Decimal
) -> Literal["dollars", "cents"] | None:
    """What a band of dollars around a known stone is taken for; None: it cannot be told."""
    low = int((usd_per_carat * (1 - BAND_SHARE)).to_integral_value(ROUND_FLOOR))
    high = int((usd_per_carat * (1 + BAND_SHARE)).to_integral_value(ROUND_CEILING))
    page = source.page(Slice(price=Span(low, high)), 0, BAND_OFFERS)
    answered = _usd_per_carat(map_offers([offer.payload for offer in page.offers]))
    needed = max(1.0, WITHIN_SHARE * len(answered))
    # Some slack: the supplier's rounding of a price per carat need not be ours.
    if sum(low - 1 <= usd <= high + 1 for usd in answered) >= needed:
        return "dollars"
    if sum(low - 1 <= 100 * usd <= high + 1 for usd in answered) >= needed:
        return "cents"
    return None


def _usd_per_carat(mapped: Mapped) -> list[Decimal]:
    rows = mapped.stones.select("cost_cents", "carat").iter_rows()
    return [Decimal(cents) / 100 / carat for cents, carat in rows]
