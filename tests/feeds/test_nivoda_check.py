from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from graphql import GraphQLSchema
from pydantic_core import to_json

from shared.errors import FacetError, LoginRefused, SupplierRefused, SupplierUnavailable
from shared.feeds import feed
from shared.feeds.base import Page, RawOffer, Slice, Span
from shared.feeds.health import Finding, Health
from shared.feeds.nivoda_check import check
from shared.feeds.nivoda_contract import known
from tests.feeds.drifting import drifted
from tests.feeds.offers import make_offer

MAP = feed("nivoda-natural").map_offers


class FakeSource:
    """A feed whose filter reads its numbers in hundredths of `unit` dollars per carat."""

    def __init__(self, *usd_per_carat: int, unit: int | None = 100) -> None:
        self.unit = unit
        self.prices = [Decimal(usd) for usd in usd_per_carat]
        self.broken: Sequence[bytes] = ()
        self.pages = 0
        self.schema_is: GraphQLSchema | Exception = known()

    def schema(self) -> GraphQLSchema:
        if isinstance(self.schema_is, Exception):
            raise self.schema_is
        return self.schema_is

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
            found += self.broken
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


def only(health: Health) -> Finding:
    (finding,) = health.findings
    return finding


def test_filters_in_dollars_are_well() -> None:
    assert check(FakeSource(*PRICES[::-1]), MAP).findings == []
    assert check(FakeSource(1_000), MAP).findings == []


@pytest.mark.parametrize("prices", [[1_500, *PRICES], [5_000, 6_000, 7_000], [1]])
def test_filters_in_cents_are_told(prices: list[int]) -> None:
    health = check(FakeSource(*prices, unit=1), MAP)
    assert health.verdict == "incompatible"
    assert only(health)[:3] == ("DiamondQuery.dollar_per_carat", "unit", "breaks")
    assert "filters are in cents" in only(health).says


@pytest.mark.parametrize(
    "source",
    [
        FakeSource(*PRICES, unit=None),  # the filter does nothing
        FakeSource(*PRICES, unit=10_000),  # in hundreds
    ],
    ids=["ignored", "hundreds"],
)
def test_a_unit_that_cannot_be_told_is_refused(source: FakeSource) -> None:
    health = check(source, MAP)
    assert health.verdict == "incompatible"
    assert only(health).drift == "unit"
    assert "cannot be told" in only(health).says
    assert source.pages <= 7


@pytest.mark.parametrize(
    ("broken", "verdict"), [(1, "compatible"), (5, "degraded"), (30, "incompatible")]
)
def test_offers_that_cannot_be_mapped_are_named_and_weigh_by_their_share(
    broken: int, verdict: str
) -> None:
    source = FakeSource(*PRICES, *PRICES)
    source.broken = [to_json(make_offer(table="fifty"))] * broken
    health = check(source, MAP)
    assert health.verdict == verdict
    assert health.findings[0].what == "a real page"
    assert "unreadable: diamond.certificate.table: fifty" in health.findings[0].says


def test_a_feed_of_which_nothing_maps_is_refused() -> None:
    source = FakeSource()
    source.broken = [b'{"id": "a"}'] * 5
    health = check(source, MAP)
    assert health.verdict == "incompatible"
    assert [one.what for one in health.findings] == [
        "a real page",
        "DiamondQuery.dollar_per_carat",
    ]


def test_an_empty_feed_is_well_as_far_as_one_can_see() -> None:
    health = check(FakeSource(), MAP)
    assert health.verdict == "compatible"
    assert "empty" in only(health).says


def test_a_schema_that_is_not_shown_is_noted_and_the_page_looked_at() -> None:
    source = FakeSource(*PRICES)
    source.schema_is = SupplierRefused("introspection is disabled")
    health = check(source, MAP)
    assert health.verdict == "degraded"
    assert only(health).what == "the schema"
    assert source.pages > 1


def test_a_page_that_is_refused_stops_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource(*PRICES)
    monkeypatch.setattr(source, "page", raising(SupplierRefused("limit is at most 10")))
    assert only(check(source, MAP)).says == "refused: limit is at most 10"


@pytest.mark.parametrize("error", [LoginRefused("no"), SupplierUnavailable("no connection")])
def test_who_does_not_let_us_in_or_is_away_has_not_been_checked(
    error: FacetError, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource(*PRICES)
    for name in ("schema", "count"):
        monkeypatch.setattr(source, name, raising(error))
        with pytest.raises(type(error)):
            check(source, MAP)
        monkeypatch.undo()


def test_a_schema_that_says_enough_costs_one_request() -> None:
    source = FakeSource(*PRICES)
    source.schema_is = drifted(removed=["DiamondItem.price"])
    assert check(source, MAP).verdict == "incompatible"
    assert source.pages == 0


def raising(error: Exception) -> Callable[..., Any]:
    def fails(*_: object, **__: object) -> Any:
        raise error

    return fails
