"""What holds for every feed and for every supplier, also one that lies."""

import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.heatmap import Ask, Plan, Prior, Scan, ScanSettings
from scheduler.packing import deal
from tests.scheduler.stones import (
    LABS,
    SHAPES,
    Stone,
    Supplier,
    assert_covers,
    owners,
    run,
    slicing,
)

thorough = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
UNCUTTABLE = "one price, and no finer axis cuts it"


@st.composite
def stones(draw: st.DrawFn) -> list[Stone]:
    """Feeds from empty to crowded: a few prices or many, some of them popular."""
    top = draw(st.sampled_from([2, 30, 3_000, 10**6]))
    step = draw(st.sampled_from([1.0, 0.25]))
    price = st.integers(0, top).map(lambda whole: whole * step)
    popular = draw(st.lists(price, min_size=1, max_size=6))
    carat = st.sampled_from(draw(st.lists(st.integers(1, 400), min_size=1, max_size=12)))
    blocks = draw(
        st.lists(
            st.tuples(
                st.one_of(st.sampled_from(popular), price),
                carat,
                st.sampled_from(SHAPES),
                st.sampled_from(LABS),
                st.sampled_from([1, 1, 1, 7, 40]),
            ),
            max_size=60,
        )
    )
    return [Stone(*key) for *key, times in blocks for _ in range(times)]


@st.composite
def wanted(draw: st.DrawFn, **fixed: Any) -> ScanSettings:
    return ScanSettings(
        slicing(
            touching=draw(st.booleans()) if "touching" not in fixed else fixed["touching"],
            depth=draw(st.sampled_from([10, 20, 50, 400])),
            page_size=draw(st.sampled_from([1, 5, 10])),
        ),
        workers=draw(st.sampled_from([1, 2, 3, 8])),
        pages=draw(st.booleans()),
        priceless=draw(st.booleans()) if "priceless" not in fixed else fixed["priceless"],
        calls_max=fixed.get("calls_max"),
    )


def honest(
    given_settings: ScanSettings, feed: list[Stone], in_flight: int
) -> tuple[Plan, Supplier]:
    supplier = Supplier(feed, touching=given_settings.slicing.touching)
    return run(given_settings, supplier.answer, in_flight=in_flight), supplier


@thorough
@given(wanted(touching=False, priceless=False), stones(), st.sampled_from([1, 3, 8]))
def test_every_stone_is_in_exactly_one_partition(
    given_settings: ScanSettings, feed: list[Stone], in_flight: int
) -> None:
    plan, supplier = honest(given_settings, feed, in_flight)
    assert_covers(plan)
    parts = [leaf.slice for leaf in plan.leaves]
    assert all(len(owners(parts, stone)) == 1 for stone in set(feed))
    assert [leaf.offers for leaf in plan.leaves] == [len(supplier.inside(part)) for part in parts]


@thorough
@given(wanted(touching=True, priceless=False), stones(), st.sampled_from([1, 3, 8]))
def test_where_ranges_touch_only_what_lies_on_an_edge_comes_twice(
    given_settings: ScanSettings, feed: list[Stone], in_flight: int
) -> None:
    plan, _ = honest(given_settings, feed, in_flight)
    assert_covers(plan)
    parts = [leaf.slice for leaf in plan.leaves]
    edges = {
        (name, edge)
        for part in parts
        for name, span in (("price", part.price), ("carat", part.carat))
        for edge in span or ()
    }
    for stone in set(feed):
        found = len(owners(parts, stone, touching=True))
        assert found >= 1
        on_edge = ("price", stone.price) in edges or ("carat", stone.carat) in edges
        assert found == 1 or on_edge


@thorough
@given(wanted(priceless=False), stones(), st.sampled_from([1, 3, 8]))
def test_no_partition_is_too_deep_unless_nothing_can_cut_it(
    given_settings: ScanSettings, feed: list[Stone], in_flight: int
) -> None:
    plan, supplier = honest(given_settings, feed, in_flight)
    for leaf in plan.leaves:
        held = len(supplier.inside(leaf.slice))
        assert held <= given_settings.cap or leaf.reason == UNCUTTABLE
        assert not leaf.estimated
        assert leaf.saturated == (held > given_settings.slicing.depth)


@thorough
@given(wanted(touching=False, priceless=False), stones(), st.sampled_from([1, 3, 8]))
def test_the_work_is_even_or_something_cannot_be_cut(
    given_settings: ScanSettings, feed: list[Stone], in_flight: int
) -> None:
    plan, supplier = honest(given_settings, feed, in_flight)
    held = [len(supplier.inside(leaf.slice)) for leaf in plan.leaves]
    page_size = given_settings.slicing.page_size
    workers = max(1, min(given_settings.workers, -(-len(feed) // page_size)))
    dealt = deal(held, workers, page_size)
    assert plan.why_stopped in ("even", "as even as it gets")
    if plan.why_stopped == "even":
        allowed = given_settings.balance + 1e-9
        mean = sum(dealt.requests) / len(dealt.requests)
        assert dealt.balance_offers <= allowed
        assert max(dealt.requests) <= allowed * mean + 1  # a request cannot be shared


@thorough
@given(wanted(priceless=False, calls_max=400), stones(), stones())
def test_any_catalogue_remembered_leads_to_a_plan_that_covers(
    given_settings: ScanSettings, feed: list[Stone], remembered: list[Stone]
) -> None:
    priced = [(stone.price, 1) for stone in remembered if stone.price is not None]
    supplier = Supplier(feed, touching=given_settings.slicing.touching)
    plan = run(given_settings, supplier.answer, prior=Prior.from_density(priced))
    assert_covers(plan)


ANSWERS = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.integers(0, 500),
    st.sampled_from([10**6, 10**18]),
)
PAGES = st.lists(st.one_of(st.floats(-5, 3_000), st.sampled_from([7.0, 7.0, 1_500.0])), max_size=12)


def liar(data: st.DataObject) -> Callable[[Scan, Ask], None]:
    """Answers anything: lies, contradicts itself, fails."""

    def answer(scan: Scan, ask: Ask) -> None:
        if ask.limit:
            scan.paged(ask, data.draw(PAGES))
            return
        count = data.draw(ANSWERS)
        if count is None:
            scan.failed(ask)
        else:
            scan.answered(ask, count)

    return answer


@thorough
@given(wanted(calls_max=40), st.sampled_from([1, 3, 8]), st.data())
def test_whatever_is_answered_the_plan_covers_the_feed_and_the_scan_ends(
    given_settings: ScanSettings, in_flight: int, data: st.DataObject
) -> None:
    plan = run(
        given_settings,
        liar(data),
        in_flight=in_flight,
        after_each=lambda scan: assert_covers(scan.plan()),
    )
    assert_covers(plan)
    assert plan.calls <= 40


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(wanted(), st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 0.9]))
def test_whatever_is_answered_the_calls_are_bounded(
    given_settings: ScanSettings, seed: int, failing: float
) -> None:
    rng = random.Random(seed)

    def answer(scan: Scan, ask: Ask) -> None:
        if rng.random() < failing:
            scan.failed(ask)
        elif ask.limit:
            scan.paged(ask, [rng.uniform(0, 9_000) for _ in range(5)])
        else:
            scan.answered(ask, rng.choice([0, 1, 17, 300]))

    plan = run(given_settings, answer)
    parts = max(given_settings.workers, -(-600 // given_settings.cap))
    assert plan.calls <= 400 + 12 * max(parts, len(plan.leaves))


@thorough
@given(wanted(priceless=False), stones(), st.lists(st.integers(0, 7), min_size=400, max_size=400))
def test_the_order_in_which_answers_come_does_not_matter(
    given_settings: ScanSettings, feed: list[Stone], order: list[int]
) -> None:
    supplier = Supplier(feed, touching=given_settings.slicing.touching)
    scan = Scan(given_settings)
    flying: list[Ask] = []
    for place in order:
        flying += scan.next(8 - len(flying))
        if not flying:
            break
        supplier.answer(scan, flying.pop(place % len(flying)))
        assert_covers(scan.plan())
    scan.stop("enough")
    assert_covers(scan.plan())
