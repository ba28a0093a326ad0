"""The scan on feeds one can name: what it asks, and that its plan covers them."""

import random
from typing import Any

import pytest

from scheduler.heatmap import Ask, Plan, Prior, Scan, ScanSettings
from scheduler.packing import deal
from shared.feeds.base import Slice, Span
from tests.scheduler.stones import (
    Stone,
    Supplier,
    assert_covers,
    owners,
    run,
    slicing,
)

SPREAD = [Stone(100 + 7.3 * n % 9_000, 30 + n % 270) for n in range(900)]


def given_settings(*, touching: bool = False, depth: int = 100, **wanted: Any) -> ScanSettings:
    return ScanSettings(slicing(touching=touching, depth=depth), **{"pages": True} | wanted)


def scanned(supplier: Supplier, prior: Prior | None = None, **wanted: Any) -> Plan:
    settings = given_settings(touching=supplier.touching, **wanted)
    return run(settings, supplier.answer, prior=prior)


def many(price: float, number: int) -> list[Stone]:
    """Stones at one price, of different sizes."""
    return [Stone(price, 20 + n % 280) for n in range(number)]


FEEDS = {
    "no stone": [],
    "one stone": [Stone()],
    "all at one price": many(2_500, 700),
    "two spikes": many(1_500, 400) + many(4_200, 400) + SPREAD[::9],
    "spread": SPREAD,
    "round prices": [s._replace(price=100 * round((s.price or 0) / 100)) for s in SPREAD],
    "a tail beyond any cap": SPREAD + [Stone(2.0**31 - 2 + n, 30 + n % 200) for n in range(300)],
    "all below a dollar": [Stone(n / 1_000, 30 + n % 200) for n in range(500)],
}


@pytest.mark.parametrize("touching", [False, True], ids=["half-open", "touching"])
@pytest.mark.parametrize("feed", FEEDS)
def test_every_stone_is_in_one_partition_and_none_is_too_deep(feed: str, touching: bool) -> None:
    supplier = Supplier(FEEDS[feed], touching=touching)
    plan = scanned(supplier)
    assert_covers(plan)
    parts = [leaf.slice for leaf in plan.leaves]
    for stone in supplier.stones:
        assert len(owners(parts, stone, touching=touching)) >= 1
    held = [len(supplier.inside(part)) for part in parts]
    assert max(held) <= 90
    assert sum(held) == len(supplier.stones) or touching
    assert plan.total == len(supplier.stones)
    assert plan.calls == len(supplier.asked)
    assert (plan.estimated, plan.failed, plan.unreachable) == (0, 0, 0)


@pytest.mark.parametrize("stones", [[], [Stone()]], ids=["none", "one"])
def test_a_feed_of_nearly_nothing_costs_two_calls_in_one_round(stones: list[Stone]) -> None:
    plan = scanned(Supplier(stones), workers=128)
    assert (plan.calls, plan.rounds, len(plan.leaves)) == (2, 1, 1)
    assert plan.leaves[0].slice == Slice(price=Span(0, None))


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_the_work_is_shared_evenly(workers: int) -> None:
    supplier = Supplier(SPREAD)
    plan = scanned(supplier, workers=workers)
    held = [len(supplier.inside(leaf.slice)) for leaf in plan.leaves]
    assert plan.why_stopped == "even"
    assert deal(held, workers, 10).balance == pytest.approx(plan.balance)
    assert plan.balance <= 1.10


def test_more_workers_than_pages_are_not_all_given_work() -> None:
    plan = scanned(Supplier(SPREAD[:25]), workers=128)
    assert len(plan.leaves) <= 6
    assert plan.calls <= 12


@pytest.mark.parametrize("number", [3, 400])
def test_stones_without_a_price_have_partitions_of_their_own(number: int) -> None:
    priceless = [Stone(None, 20 + n % 280) for n in range(number)]
    supplier = Supplier(SPREAD + priceless)
    plan = scanned(supplier, priceless=True)
    assert_covers(plan)
    parts = [leaf.slice for leaf in plan.leaves]
    assert all(len(owners(parts, stone)) == 1 for stone in supplier.stones)
    assert max(len(supplier.inside(part)) for part in parts) <= 90
    assert plan.unreachable == 0


def test_stones_that_cannot_be_asked_for_are_reported() -> None:
    plan = scanned(Supplier([*SPREAD, Stone(None), Stone(None)]))
    assert (plan.total, plan.unreachable) == (902, 2)


def test_a_stone_without_a_carat_is_not_lost_below_a_crowded_price() -> None:
    lost = [Stone(2_500, None, "OVAL"), Stone(2_500, None, "PEAR")]
    supplier = Supplier(many(2_500, 150) + lost + SPREAD)
    plan = scanned(supplier)
    parts = [leaf.slice for leaf in plan.leaves]
    assert all(len(owners(parts, stone)) == 1 for stone in lost)
    assert plan.probes["carat"] is False


def test_a_stone_of_an_unlisted_shape_is_not_lost() -> None:
    crowd = [Stone(2_500, 100, lab="GIA" if n % 2 else "IGI") for n in range(150)]
    supplier = Supplier([*crowd, Stone(2_500, 100, "KITE")])
    plan = scanned(supplier)
    parts = [leaf.slice for leaf in plan.leaves]
    assert all(len(owners(parts, stone)) == 1 for stone in supplier.stones)
    assert plan.probes["shapes"] is False
    assert max(leaf.offers for leaf in plan.leaves) <= 90


def test_what_nothing_can_cut_is_said_to_be_too_deep() -> None:
    supplier = Supplier([*SPREAD, *[Stone(2_500, 100)] * 150])
    plan = scanned(supplier)
    assert_covers(plan)
    (deep,) = [leaf for leaf in plan.leaves if leaf.saturated]
    assert deep.offers == 150
    assert deep.reason == "one price, and no finer axis cuts it"
    assert max(leaf.offers for leaf in plan.leaves if leaf is not deep) <= 90


def test_a_crowded_price_is_not_fetched_twice_where_ranges_touch() -> None:
    stones = many(2_500, 500) + SPREAD[::3]
    supplier = Supplier(stones, touching=True)
    plan = scanned(supplier, workers=1)
    fetched = sum(len(supplier.inside(leaf.slice)) for leaf in plan.leaves)
    assert fetched <= 1.1 * len(stones)


def test_every_ask_carries_the_conditions_of_the_run() -> None:
    base = Slice(updated_from="2026-01-01T00:00:00Z")
    supplier = Supplier(many(2_500, 300) + SPREAD)
    plan = scanned(supplier, base=base)
    asked = [ask.part for ask in supplier.asked] + [leaf.slice for leaf in plan.leaves]
    assert {part.updated_from for part in asked} == {base.updated_from}


def test_a_page_shows_a_crowded_price_that_counts_must_search_for() -> None:
    supplier = Supplier(many(1_777, 500) + SPREAD)
    blind = Supplier(supplier.stones)
    assert scanned(supplier).calls < scanned(blind, pages=False).calls
    assert any(ask.limit for ask in supplier.asked)
    assert not any(ask.limit for ask in blind.asked)
    assert all(ask.offset + ask.limit <= 100 for ask in supplier.asked)


def prior_of(stones: list[Stone]) -> Prior:
    priced = [(stone.price, 1) for stone in stones if stone.price is not None]
    carats = [(s.price, s.carat, 1) for s in stones if s.price is not None and s.carat is not None]
    return Prior.from_density(priced, carats)


def test_a_catalogue_that_is_still_true_costs_hardly_more_than_a_count_each() -> None:
    supplier = Supplier(many(2_500, 500) + SPREAD)
    plan = scanned(supplier, prior_of(supplier.stones))
    assert plan.calls <= 1.1 * len(plan.leaves) + 8
    assert_covers(plan)


def test_a_catalogue_that_is_all_wrong_costs_calls_and_nothing_else() -> None:
    supplier = Supplier(SPREAD)
    wrong = prior_of([Stone(1_000_000 + n, 20) for n in range(500)])
    plan = scanned(supplier, wrong)
    assert_covers(plan)
    assert plan.why_stopped == "even"
    assert sum(leaf.offers for leaf in plan.leaves) == len(SPREAD)


def test_a_plan_can_be_had_after_every_single_answer() -> None:
    supplier = Supplier(many(2_500, 300) + SPREAD)
    before: list[int] = []

    def check(scan: Scan) -> None:
        plan = scan.plan()
        assert_covers(plan)
        before.append(len(plan.leaves))

    run(given_settings(), supplier.answer, after_each=check)
    assert before[0] == 1
    assert before[-1] > 10


def test_a_scan_stopped_early_covers_the_feed_and_says_so() -> None:
    supplier = Supplier(SPREAD)
    plan = scanned(supplier, calls_max=9)
    assert_covers(plan)
    assert plan.calls == 9
    assert plan.why_stopped == "calls used up"
    assert {leaf.reason for leaf in plan.leaves if leaf.offers > 90} == {"calls used up"}
    assert not any(leaf.saturated for leaf in plan.leaves)


def test_answers_that_come_after_the_end_change_nothing() -> None:
    scan = Scan(given_settings())
    asks = scan.next(8)
    scan.stop("asked to")
    before = scan.plan()
    for ask in asks:
        scan.answered(ask, 500)
        scan.failed(ask)
        scan.paged(ask, [1.0])
    assert scan.plan() == before
    assert scan.next(8) == []


def test_one_count_that_never_answers_is_estimated_or_cut_smaller() -> None:
    supplier = Supplier(SPREAD)

    def answer(scan: Scan, ask: Ask) -> None:
        if ask.part.price is not None and len(supplier.inside(ask.part)) > 300:
            scan.failed(ask)
        else:
            supplier.answer(scan, ask)

    plan = run(given_settings(), answer)
    assert_covers(plan)
    assert plan.failed > 0
    held = {leaf.slice: len(supplier.inside(leaf.slice)) for leaf in plan.leaves}
    assert all(held[leaf.slice] == leaf.offers for leaf in plan.leaves if not leaf.estimated)
    assert max(held.values()) <= 90


def test_a_supplier_that_is_down_ends_the_scan_at_once() -> None:
    plan = run(given_settings(), lambda scan, ask: scan.failed(ask))
    assert_covers(plan)
    assert plan.calls <= 30
    assert plan.total is None
    assert plan.why_stopped == "20 answers lost in a row"
    assert all(leaf.estimated for leaf in plan.leaves)


def test_a_fifth_of_the_counts_failing_costs_half_as_many_again_at_most() -> None:
    rng = random.Random(5)
    supplier, flaky = Supplier(SPREAD * 4), Supplier(SPREAD * 4)

    def answer(scan: Scan, ask: Ask) -> None:
        if rng.random() < 0.2:
            scan.failed(ask)
        else:
            flaky.answer(scan, ask)

    calm = scanned(supplier, workers=8)
    plan = run(given_settings(workers=8), answer)
    assert_covers(plan)
    assert (plan.estimated, plan.why_stopped) == (0, "even")
    assert max(leaf.offers for leaf in plan.leaves) <= 90
    assert plan.calls <= 1.5 * calm.calls


def test_a_feed_that_moves_while_it_is_counted_stays_covered_and_is_not_too_deep() -> None:
    rng = random.Random(3)
    supplier = Supplier(SPREAD * 4)

    def answer(scan: Scan, ask: Ask) -> None:
        for _ in range(len(supplier.stones) // 400):  # 2 % in a round of eight
            at = rng.randrange(len(supplier.stones))
            supplier.stones[at] = rng.choice(SPREAD)
        supplier.answer(scan, ask)

    plan = run(given_settings(workers=8), answer)
    assert_covers(plan)
    assert max(len(supplier.inside(leaf.slice)) for leaf in plan.leaves) <= 100


def test_a_scan_never_asks_for_more_than_it_may() -> None:
    scan = Scan(given_settings())
    assert len(scan.next(1)) == 1
    assert len(scan.next(1)) == 1
    assert scan.next(5) == []
    assert not scan.done


@pytest.mark.parametrize(
    "spans",
    [
        [Span(0, 5), Span(6, None)],
        [Span(0, 7), Span(6, None)],
        [Span(1, 6), Span(6, None)],
        [Span(0, 6), Span(6, 900)],
    ],
    ids=["gap", "overlap", "no start", "no end"],
)
def test_a_plan_that_does_not_cover_the_feed_is_found_out(spans: list[Span]) -> None:
    plan = Scan(given_settings()).plan()
    leaf = plan.leaves[0]
    wrong = [leaf._replace(slice=Slice(price=span)) for span in spans]
    with pytest.raises(AssertionError):
        assert_covers(plan._replace(leaves=wrong))
