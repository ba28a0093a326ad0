"""Ask a feed about itself: what the cutting and the reading of it rest on, stored with the plan.

Eleven requests at most, after the scan, and again only when the answers are a week old. An answer
that is not what we rely on is logged; the run goes on, since what is read is checked in other ways.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from scheduler.terms import Leaf, Plan
from shared.errors import SupplierBusy, SupplierRefused, SupplierUnavailable
from shared.feeds.base import Slice, SlicedSource, Slicing, Span

log = structlog.get_logger(__name__)

GOOD_FOR_DAYS = 7
MOVED_SHARE = 0.01  # of a count: stock moves between two questions
MOVED_MIN = 2
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # no supplier's stone is older

# What is asked, in this order, and what we rely on; None: good to know.
EXPECTED: dict[str, bool | None] = {
    "both_ends": None,  # an offer on the edge of two ranges is in both
    "open_end": True,  # a range without an upper end holds what lies above any number
    "every_price": True,  # offers are on the price axis, all of them
    "deep_page": True,  # the deepest page we ask for is answered
    "same_order": True,  # a page asked for twice is the same twice
    "count_is_read": True,  # a listing holds as many offers as are counted
    "changed_since": True,  # `updated_from` restricts, and to nothing but what changed
}


def ask(
    source: SlicedSource, slicing: Slicing, base: Slice, plan: Plan, alive: Callable[[], None]
) -> dict[str, bool]:
    """The answers by name; a question that the supplier does not answer now is left out.

    alive  called before each question; what it raises ends the asking
    """
    total, edges = plan.total or 0, [span.low for span in plan.histogram[1:]]
    small = _smallest(plan.leaves, slicing.page_size)

    def both_ends() -> bool | None:
        if len(edges) < 2:
            return None
        low, middle, high = edges[0] - 1, edges[0], edges[1]
        parts = [Span(low, middle), Span(middle, high), Span(low, high)]
        below, above, both = (source.count(_priced(base, part)) for part in parts)
        return below + above > both

    def open_end() -> bool | None:
        if not edges:
            return None
        held = source.count(_priced(base, Span(edges[-1], None)))
        return _near(held, plan.histogram[-1].offers)

    def every_price() -> bool:
        return plan.unreachable == 0

    def deep_page() -> bool | None:
        offset = slicing.depth - slicing.page_size
        if total < slicing.depth:
            return None
        return source.page(base, offset, slicing.page_size).received > 0

    def same_order() -> bool | None:
        if total < 2 or total > slicing.depth:
            part, held = (small.slice, small.offers) if small else (base, 0)
        else:
            part, held = base, total
        if held < 2:
            return None
        offset = max(0, held // 2 - slicing.page_size)
        first, second = (source.page(part, offset, slicing.page_size) for _ in range(2))
        return [one.offer_id for one in first.offers] == [one.offer_id for one in second.offers]

    def count_is_read() -> bool | None:
        if small is None:
            return None
        return _near(source.page(small.slice, 0, slicing.page_size).received, small.offers)

    def changed_since() -> bool:
        late = datetime.now(UTC) + timedelta(days=1)
        ever = source.count(base.model_copy(update={"updated_from": EPOCH}))
        never = source.count(base.model_copy(update={"updated_from": late}))
        return _near(ever, total) and never == 0

    questions = (
        both_ends, open_end, every_price, deep_page, same_order, count_is_read, changed_since,
    )  # fmt: skip
    told: dict[str, bool] = {}
    for question in questions:
        alive()
        try:
            answer = question()
        except SupplierRefused:
            answer = False
        except (SupplierUnavailable, SupplierBusy):
            continue
        if answer is not None:
            told[question.__name__] = answer
    unlike = [name for name, answer in told.items() if EXPECTED[name] not in (None, answer)]
    if unlike:
        log.warning("feed_is_unlike", what=unlike)
    return told


def _priced(base: Slice, span: Span) -> Slice:
    return base.model_copy(update={"price": span})


def _smallest(leaves: Sequence[Leaf], page_size: int) -> Leaf | None:
    """A leaf that one page shows whole, the fullest of them; none may be that small."""
    fit = [leaf for leaf in leaves if 0 < leaf.offers < page_size and not leaf.estimated]
    return max(fit, key=lambda leaf: leaf.offers, default=None)


def _near(one: int, other: int) -> bool:
    return abs(one - other) <= max(MOVED_MIN, MOVED_SHARE * other)
