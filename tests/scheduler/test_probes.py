"""What a feed says about itself, and that a plan keeps it."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduler import probes
from scheduler.terms import Leaf, Plan, Range
from shared.errors import SupplierBusy, SupplierRefused, SupplierUnavailable
from shared.feeds.base import Page, Slice, Span
from tests.fakes import SLICING, PricedSource

STONES = [(100 + 10 * n, 50 + n) for n in range(40)]
EDGES = (0, 200, 300, 440)


class Dated(PricedSource):
    """Every stone was changed in 2020."""

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        if part.updated_from is None:
            return super().count(part)
        self.sent += 1
        return len(self.offers) if part.updated_from.year < 2020 else 0


def plan_of(source: PricedSource) -> Plan:
    spans = [Span(low, high) for low, high in zip(EDGES, [*EDGES[1:], None], strict=True)]
    held = [source.count(Slice(price=span)) for span in spans]
    return Plan(
        leaves=[
            Leaf(Slice(price=span), offers, False, False, "")
            for span, offers in zip(spans, held, strict=True)
        ],
        total=len(STONES),
        unreachable=0,
        histogram=[Range(*span, offers) for span, offers in zip(spans, held, strict=True)],
        calls=4,
        rounds=1,
        failed=0,
        estimated=0,
        balance=1.0,
        why_stopped="even",
        probes={},
    )


def told(source: PricedSource) -> dict[str, bool]:
    plan = plan_of(source)
    slicing = SLICING._replace(page_size=20, depth=30)
    before = source.requests()
    answers = probes.ask(source, slicing, Slice(), plan, lambda: None)
    assert source.requests() - before <= 11
    return answers


def test_a_feed_as_we_know_it() -> None:
    source = Dated(STONES)
    with capture_logs() as logs:
        answers = told(source)
    assert answers == dict.fromkeys(probes.EXPECTED, True)
    assert logs == []


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("stops", "open_end"),
        ("shallow", "deep_page"),
        ("shuffled", "same_order"),
        ("counts double", "count_is_read"),
        ("ignores the date", "changed_since"),
    ],
)
def test_what_is_otherwise_is_said(how: str, name: str) -> None:
    class Odd(Dated):
        def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
            held = super().count(part)
            if how == "stops" and part.price and part.price.high is None and self.probing:
                return 0
            if how == "counts double" and not self.probing:
                return 2 * held
            if how == "ignores the date" and part.updated_from:
                return len(self.offers)
            return held

        def page(self, part: Slice, offset: int, limit: int) -> Page:
            if how == "shallow" and offset > 0 and part == Slice():
                raise SupplierRefused("too deep")
            page = super().page(part, offset, limit)
            if how == "shuffled" and self.sent % 2:
                return Page(page.offers[::-1], page.received)
            return page

        probing = False

    source = Odd(STONES)
    plan = plan_of(source)
    source.probing = True
    with capture_logs() as logs:
        answers = probes.ask(
            source, SLICING._replace(page_size=20, depth=30), Slice(), plan, lambda: None
        )
    assert answers[name] is False
    assert name in next(line["what"] for line in logs if line["event"] == "feed_is_unlike")


@pytest.mark.parametrize("error", [SupplierUnavailable, SupplierBusy])
def test_a_question_that_is_not_answered_now_is_left_out(error: type[Exception]) -> None:
    source = PricedSource(STONES)
    plan = plan_of(source)

    def breaks(*_: Any, **__: Any) -> int:
        raise error("away")

    source.count = source.page = breaks  # type: ignore[method-assign,assignment]
    answers = probes.ask(source, SLICING, Slice(), plan, lambda: None)
    assert answers == {"every_price": True}
