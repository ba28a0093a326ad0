"""Cutting by rank, where a supplier lists offers in order of price."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler import ranks
from scheduler.heatmap import Plan, Scan, ScanSettings
from scheduler.packing import deal
from scheduler.terms import Ask
from tests.scheduler.stones import Stone, Supplier, assert_covers, owners, run, slicing

SPREAD = [Stone(100 + 7.3 * n % 9_000, 30 + n % 270) for n in range(900)]


class Ranked(Supplier):
    """Also lists in order of price; `wrong` calls in a row find the listing down."""

    def __init__(self, stones: list[Stone], *, touching: bool = False, wrong: int = 0) -> None:
        super().__init__(stones, touching=touching)
        self.wrong = wrong

    def answer(self, scan: Scan, ask: Ask) -> None:
        if not ask.ranked:
            super().answer(scan, ask)
            return
        self.asked.append(ask)
        if self.wrong:
            self.wrong -= 1
            scan.failed(ask)
            return
        found = sorted(stone.price for stone in self.inside(ask.part) if stone.price is not None)
        scan.paged(ask, found[ask.offset : ask.offset + 1])


def scanned(supplier: Ranked, *, depth: int = 100, workers: int = 2, chains: int = 1) -> Plan:
    terms = slicing(touching=supplier.touching, depth=depth)._replace(ranked=True)
    wanted = ScanSettings(terms, workers=workers, margin=1.0, pages=True, rank_chains=chains)
    return run(wanted, supplier.answer)


def test_one_call_a_partition_and_two_more() -> None:
    supplier = Ranked(SPREAD)
    plan = scanned(supplier)
    held = [len(supplier.inside(leaf.slice)) for leaf in plan.leaves]
    assert plan.calls == len(plan.leaves) + 2 == 12
    assert max(held) <= 100
    assert deal(held, 2, 10).balance_offers <= 1.10


def test_several_starts_take_a_few_calls_more_and_less_time() -> None:
    alone, together = scanned(Ranked(SPREAD * 5)), scanned(Ranked(SPREAD * 5), chains=8)
    assert together.calls <= alone.calls + 2 * 8
    assert together.rounds < alone.rounds / 2
    assert_covers(together)


@pytest.mark.parametrize("touching", [False, True], ids=["half-open", "touching"])
def test_a_crowded_price_is_fenced_off_and_cut_further(touching: bool) -> None:
    crowd = [Stone(2_500, 20 + n % 280) for n in range(400)]
    supplier = Ranked(SPREAD + crowd, touching=touching)
    plan = scanned(supplier)
    assert_covers(plan)
    assert max(len(supplier.inside(leaf.slice)) for leaf in plan.leaves) <= 100
    assert any(leaf.slice.carat for leaf in plan.leaves)
    assert all(owners([leaf.slice for leaf in plan.leaves], stone) for stone in crowd)


def test_where_the_listing_never_answers_counts_do_it() -> None:
    supplier = Ranked(SPREAD, wrong=19)
    plan = scanned(supplier)
    assert_covers(plan)
    assert plan.why_stopped == "even"
    assert max(len(supplier.inside(leaf.slice)) for leaf in plan.leaves) <= 100
    assert sum(not ask.ranked for ask in supplier.asked) > 9


@settings(deadline=None)
@given(
    offers=st.integers(1, 3_000_000),
    workers=st.integers(1, 128),
    cap=st.integers(100, 50_000),
)
def test_parts_hold_all_offers_and_are_dealt_evenly(offers: int, workers: int, cap: int) -> None:
    workers = min(workers, offers)
    planned = ranks.sizes(offers, workers, cap, 1.10)
    assert sum(planned[:-1]) < offers <= sum(planned)
    assert max(planned) <= cap
    planned[-1] -= sum(planned) - offers
    if offers >= 100 * workers:  # a whole offer is next to nothing
        assert deal(planned, workers, 1).balance_offers <= 1.12


@settings(max_examples=100, deadline=None)
@given(
    prices=st.lists(st.integers(0, 40).map(lambda n: n * 0.5), max_size=120),
    touching=st.booleans(),
    depth=st.sampled_from([10, 30, 100]),
    chains=st.sampled_from([1, 3, 8]),
)
def test_any_feed_is_covered(prices: list[float], touching: bool, depth: int, chains: int) -> None:
    stones = [Stone(price, 30 + 3 * n) for n, price in enumerate(prices)]
    supplier = Ranked(stones, touching=touching)
    plan = scanned(supplier, depth=depth, chains=chains)
    assert_covers(plan)
    assert max(len(supplier.inside(leaf.slice)) for leaf in plan.leaves) <= depth
