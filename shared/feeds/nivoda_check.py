"""What we rely on at Nivoda, looked at before a run could harm: the schema, a real page, and the
unit of the price filters.

Whether the filters are dollars or cents is not written down anywhere that can be trusted; so it is
measured: ask for a narrow band around a stone whose price is known, and compare.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Literal, Protocol

from shared.errors import LoginRefused, SupplierRefused
from shared.feeds.base import Mapped, Slice, SlicedSource, Span
from shared.feeds.health import Finding, Health
from shared.feeds.nivoda_drift import compare
from shared.feeds.nivoda_mapping import PATHS
from shared.feeds.nivoda_query import OFFSET_MAX, PAGE_SIZE

if TYPE_CHECKING:
    from graphql import GraphQLSchema

BAND_SHARE = Decimal("0.02")  # each way: narrow enough to tell a hundredth of it apart
BAND_OFFERS = 10
WITHIN_SHARE = 0.9  # of the answer, since a few prices move while we ask
STONES_MAX = 3  # tried before we give up
REJECTED_SHARE_SOME = 0.1  # of a real page; some always are, for prices or kinds that are wrong
REJECTED_SHARE_MAX = 0.5

FILTER = "DiamondQuery.dollar_per_carat"
PAGE = "a real page"

Map = Callable[[Sequence[bytes]], Mapped]


class Source(SlicedSource, Protocol):
    """A feed that can also tell its schema."""

    def schema(self) -> "GraphQLSchema":
        """Raises as `count` does."""


def check(source: Source, map_offers: Map) -> Health:
    """Compare the schema, map a real page, and measure the unit of the price filter.

    What the supplier refuses is a finding, but for the login. Five requests where all is well and
    15 at most, retries and the login aside; one where the schema alone says that no run is
    possible. Raises LoginRefused, and Transient errors: a supplier that is away is not checked.
    """
    findings = _schema(source)
    if Health(findings).verdict == "incompatible":
        return Health(findings)
    try:
        return Health([*findings, *_page(source, map_offers)])
    except LoginRefused:
        raise
    except SupplierRefused as error:
        return Health([*findings, Finding(PAGE, "answer", "breaks", f"refused: {error}")])


def _schema(source: Source) -> list[Finding]:
    try:
        theirs = source.schema()
    except LoginRefused:
        raise
    except SupplierRefused as error:
        says = f"cannot be read, so only a real page was looked at: {error}"
        return [Finding("the schema", "answer", "some", says)]
    return compare(theirs, {path: name for name, path in PATHS.items()})


def _page(source: Source, map_offers: Map) -> list[Finding]:
    """What a page of real offers shows, and the filters that the next one goes through."""
    counted = source.count(Slice())
    offset = min(counted // 2, OFFSET_MAX)
    page = source.page(Slice(), offset, PAGE_SIZE)
    if page.received == 0:
        if counted > 0:
            says = f"empty at offset {offset:,}, though {counted:,} offers are counted"
            return [Finding(PAGE, "answer", "breaks", says)]
        says = "the feed is empty, so nothing in it could be looked at"
        return [Finding(PAGE, "answer", "none", says)]
    mapped = map_offers([offer.payload for offer in page.offers])
    prices = _usd_per_carat(mapped)
    return [*_rejected(mapped), *_unit(source, map_offers, prices)]


def _rejected(mapped: Mapped) -> list[Finding]:
    """Offers of the page that would be rejected; a few always are."""
    rejected, of = mapped.rejected.height, mapped.rejected.height + mapped.stones.height
    if not rejected:
        return []
    reason, detail = mapped.rejected.select("reason", "detail").row(0)
    says = f"{rejected} of {of} offers would be rejected, the first as {reason}: {detail}"
    if rejected > REJECTED_SHARE_MAX * of:
        return [Finding(PAGE, "answer", "breaks", says)]
    harm: Literal["none", "some"] = "some" if rejected > REJECTED_SHARE_SOME * of else "none"
    return [Finding(PAGE, "answer", harm, says)]


def _unit(source: Source, map_offers: Map, prices: Sequence[Decimal]) -> list[Finding]:
    """Nothing where the price filters are in dollars as we take them to be."""
    tried = prices[:: max(1, len(prices) // STONES_MAX)][:STONES_MAX]
    for usd in tried:
        low = int((usd * (1 - BAND_SHARE)).to_integral_value(ROUND_FLOOR))
        high = int((usd * (1 + BAND_SHARE)).to_integral_value(ROUND_CEILING))
        if _answers(source, map_offers, Span(low, high), 1):
            return []
        if _answers(source, map_offers, Span(100 * low, 100 * high), 100):
            says = (
                "the price filters are in cents, not in dollars, or `DiamondItem.price` is no "
                f"longer in cents: {100 * low:,} to {100 * high:,} finds what costs "
                f"{low:,} to {high:,} dollars a carat; every partition would be cut wrongly"
            )
            return [Finding(FILTER, "unit", "breaks", says)]
    says = "it cannot be told whether the price filters are in dollars; a run could miss offers"
    return [Finding(FILTER, "unit", "breaks", says)]


def _answers(source: Source, map_offers: Map, asked: Span, parts: int) -> bool:
    """Whether a band finds stones at a part of what it was asked for, and hardly any other."""
    low, high = asked.low / Decimal(parts), (asked.high or 0) / Decimal(parts)
    counted = source.count(Slice(price=asked))
    if counted == 0:
        return False
    # No more than are counted: beyond its end a listing may go on with others.
    page = source.page(Slice(price=asked), 0, min(counted, BAND_OFFERS))
    answered = _usd_per_carat(map_offers([offer.payload for offer in page.offers]))
    # Some slack: the supplier's rounding of a price per carat need not be ours.
    within = sum(low - 1 <= usd <= high + 1 for usd in answered)
    return within >= max(1.0, WITHIN_SHARE * len(answered))


def _usd_per_carat(mapped: Mapped) -> list[Decimal]:
    rows = mapped.stones.select("cost_cents", "carat").iter_rows()
    return [Decimal(cents) / 100 / carat for cents, carat in rows]
