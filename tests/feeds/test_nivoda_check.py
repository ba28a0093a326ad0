from collections.abc import Sequence
from decimal import Decimal

import pytest
from pydantic_core import to_json

from shared.errors import SupplierRefused
from shared.feeds import feed
from shared.feeds.base import Page, RawOffer, Slice, Span
from shared.feeds.nivoda_check import check
from tests.feeds.offers import make_offer

MAP = feed("nivoda-natural").map_offers


class FakeSource:
    """A feed whose filter reads its numbers in hundredths of `unit` dollars per carat."""

    def __init__(self, *usd_per_carat: int, unit: int | None = 100) -> None:
        self.unit = unit
        self.prices = [Decimal(usd) for usd in usd_per_carat]
        self.broken: Sequence[bytes] = ()
        self.pages = 0

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        return len(self.prices) + len(self.broken)

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        self.pages += 1
        found = [
            to_json(make_offer(price=int(200 * usd), carats=2))
            for usd in self.prices
            if part.price is None or self._within(usd, part.price)
        ]
        if part.price is None:
            found = [*self.broken, *found]
        offers = [RawOffer(None, payload) for payload in found[offset : offset + limit]]
        return Page(offers, len(offers))

    def _within(self, usd: Decimal, span: Span) -> bool:
        assert span.high is not None
        if self.unit is None:  # the filter is ignored
            return True
        return span.low * self.unit <= usd * 100 <= span.high * self.unit

    def requests(self) -> int:
        return self.pages

    def close(self) -> None:
        pass


PRICES = [14, 15, 700, 900, 1_000, 1_010, 1_500, 1_520, 1_600, 9_000]


def test_filters_in_dollars_are_well() -> None:
    assert check(FakeSource(*PRICES[::-1]), MAP) == (True, [])
    assert check(FakeSource(1_000), MAP) == (True, [])


def test_filters_in_cents_are_told() -> None:
    source = FakeSource(1_500, *PRICES, unit=1)
    health = check(source, MAP)
    assert not health.ok
    assert health.findings == ["the price filters are in cents, not in dollars"]


@pytest.mark.parametrize(
    "source",
    [
        FakeSource(*PRICES, unit=None),  # the filter does nothing
        FakeSource(5_000, 6_000, 7_000, unit=1),  # in cents, and nothing is so cheap
        FakeSource(*PRICES, unit=10_000),  # in hundreds
    ],
    ids=["ignored", "nothing answered", "hundreds"],
)
def test_a_unit_that_cannot_be_told_is_refused(source: FakeSource) -> None:
    health = check(source, MAP)
    assert not health.ok
    assert health.findings == ["it cannot be told whether the price filters are in dollars"]
    assert source.pages <= 6


def test_an_offer_that_cannot_be_mapped_is_named_and_the_next_one_tried() -> None:
    source = FakeSource(*PRICES)
    source.broken = [to_json(make_offer(table="fifty"))]
    assert check(source, MAP) == (
        True,
        ["an offer cannot be mapped: unreadable, diamond.certificate.table: fifty"],
    )


def test_a_feed_of_which_nothing_maps_is_refused() -> None:
    source = FakeSource()
    source.broken = [b'{"id": "a"}'] * 5
    health = check(source, MAP)
    assert not health.ok
    assert len(health.findings) == 4


def test_an_empty_feed_is_well_as_far_as_one_can_see() -> None:
    health = check(FakeSource(), MAP)
    assert health.ok
    assert "empty" in health.findings[0]


def test_a_supplier_that_refuses_us_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource()

    def refuse(*_: object, **__: object) -> int:
        raise SupplierRefused("Nivoda refused the login", hint="check FACET_NIVODA_PASSWORD")

    monkeypatch.setattr(source, "count", refuse)
    assert check(source, MAP) == (
        False,
        ["Nivoda refused the login (check FACET_NIVODA_PASSWORD)"],
    )
