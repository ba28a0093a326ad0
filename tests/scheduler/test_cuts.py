"""Where the scan cuts, and how it deals what it has cut."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import cuts, packing
from scheduler.axes import Axis, Bucket, Known, Tiling
from scheduler.density import AXIS_MAX, COLD_PRICE_USD, Density
from shared.feeds.base import Slice

COLD = Density(COLD_PRICE_USD)


@given(st.integers(1, 10**6), st.integers(1, 10**5), st.floats(0.5, 0.97))
def test_even_parts_fit(offers: int, cap: int, fill: float) -> None:
    fractions = cuts.even(offers, cap, fill)
    parts = len(fractions) + 1
    assert offers / parts <= cap or parts == cuts.PARTS_MAX
    assert all(left < right for left, right in pairwise([0.0, *fractions, 1.0]))


@given(st.lists(st.integers(0, 500), min_size=1, max_size=60), st.integers(1, 12))
def test_after_the_proposed_cuts_neighbours_can_form_groups_that_fit(
    buckets: list[int], parts: int
) -> None:
    total = sum(buckets)
    cap = 1.1 * total / parts
    wanted = cuts.boundaries(buckets, parts, cap) if total else {}
    below = [0, *accumulate(buckets)]
    cut = [
        below[at] + fraction * buckets[at] for at, shares in wanted.items() for fraction in shares
    ]
    edges = sorted([*below, *cut])
    assert all(0 < fraction < 1 for shares in wanted.values() for fraction in shares)
    groups, start = 1, 0.0
    for edge, following in pairwise(edges):
        if following - start > cap + 1e-6:
            groups, start = groups + 1, edge
    assert total - start <= cap + 1e-6
    assert groups <= parts + 1


def test_a_bucket_that_should_stay_whole_is_gone_around() -> None:
    assert cuts.boundaries([80, 40, 70], 2, 110) == {1: [pytest.approx(0.469, abs=0.001)]}
    assert cuts.boundaries([80, 40, 70], 2, 110, {1}) == {}


@pytest.mark.parametrize(
    ("calls", "peel", "chosen"),
    [
        (1, False, [0.4]),
        (2, False, [0.4, 0.6]),
        (9, False, [0.2, 0.4, 0.6, 0.8]),
        (2, True, [0.2, 0.4]),
    ],
)
def test_cuts_are_chosen_from_the_middle_or_from_below(
    calls: int, peel: bool, chosen: list[float]
) -> None:
    assert cuts.choose([0.2, 0.4, 0.6, 0.8], calls, peel=peel) == chosen


def test_between_equal_neighbours_the_density_is_flat_and_else_it_bends() -> None:
    assert cuts.bend(0.3, 5, 5, 5) == pytest.approx(0.3, abs=1e-6)
    assert cuts.bend(0.5, 1, 5, 9) > 0.5
    assert cuts.bend(0.5, 9, 5, 1) < 0.5
    assert 0 <= cuts.bend(0.5, 0, 0, 0) <= 1


@pytest.mark.parametrize(
    ("values", "touching", "fences"),
    [
        ([7.0] * 5 + [8.0, 9.0], False, [(7, 8)]),
        ([7.0] * 5 + [8.0, 9.0], True, [(6, 8)]),
        ([7.003] * 5, False, [(6, 8)]),
        ([7.5] * 5, True, [(7, 8)]),
        ([7.0] * 5 + [8.0] * 5, True, [(6, 9)]),
        ([7.0] * 5 + [90.0] * 5, True, [(6, 8), (89, 91)]),
        ([7.0, 8.0, 9.0, 9.0], True, []),
    ],
)
def test_a_crowded_value_is_fenced_off_beside_it(
    values: list[float], touching: bool, fences: list[tuple[int, int]]
) -> None:
    assert cuts.crowds(values, 1_000, 100, touching=touching) == fences


@given(st.integers(0, 10**7), st.one_of(st.none(), st.integers(2, 10**7)))
def test_halving_gets_to_the_end_of_any_range(low: int, width: int | None) -> None:
    high = None if width is None else low + width
    for _ in range(64):
        middle = cuts.halfway(low, high)
        assert low < middle
        assert high is None or middle < high
        high = middle
        if high - low < 2:
            return
    pytest.fail("still wider than one unit")


@given(st.integers(0, AXIS_MAX - 3), st.integers(2, 10**6), st.floats(0, 1))
def test_a_cut_lies_inside_whatever_the_density_says(low: int, width: int, share: float) -> None:
    high = min(low + width, AXIS_MAX)
    assert low < COLD.cut(low, high, share) < high
    assert low < COLD.cut(low, None, share) < AXIS_MAX


def test_a_remembered_price_that_is_crowded_is_cut_at_its_edges() -> None:
    density = Density(COLD_PRICE_USD, [(100.0, 10), (2_500.0, 80), (9_000.0, 10)])
    assert {density.cut(0, None, share / 10) for share in range(2, 9)} <= {2_500, 2_501}


def test_counts_reshape_a_density_and_leave_its_detail() -> None:
    density = COLD.weighed([1_000], [9, 1])
    assert density.below(1_000) == pytest.approx(0.9)
    assert density.below(250) == pytest.approx(0.9 * COLD.below(250) / COLD.below(1_000))


@pytest.mark.parametrize(
    ("at", "give", "edge"), [(1_500, 3, 1_499), (1_500, 0, 1_500), (1_437, 3, 1_437)]
)
def test_where_ranges_touch_an_edge_avoids_the_prices_people_like(
    at: int, give: int, edge: int
) -> None:
    assert Axis("price", COLD, touching=True).edge(at, 0, None, give) == edge
    assert Axis("price", COLD).edge(at, 0, None, give) == at


def test_an_axis_may_allow_only_some_edges() -> None:
    axis = Axis("carat", COLD, touching=True, grid=(10, 9))
    assert [axis.edge(at, 0, None) for at in (33, 35, 100)] == [29, 39, 99]
    assert axis.edge(95, 89, 99) is None
    assert axis.ends(89, 99)


def test_only_parts_that_tile_a_bucket_can_take_its_place() -> None:
    bucket = Bucket(0, None, 10, Known.COUNTED)
    tiling = Tiling(Axis("price", COLD), Slice(), [bucket])
    for pieces in (
        [Bucket(0, 5, 5, Known.COUNTED), Bucket(6, None, 5, Known.COUNTED)],
        [Bucket(1, None, 5, Known.COUNTED)],
        [Bucket(0, 5, 5, Known.COUNTED)],
    ):
        with pytest.raises(ValueError, match="do not tile"):
            tiling.replace(bucket, pieces)
    assert tiling.buckets == [bucket]


@given(st.lists(st.integers(0, 900), max_size=40), st.integers(1, 9))
def test_every_partition_is_dealt_and_no_worker_gets_much_more_than_the_largest(
    leaves: list[int], workers: int
) -> None:
    dealt = packing.deal(leaves, workers, 50)
    assert sum(dealt.offers) == sum(leaves)
    assert len(dealt.owner) == len(leaves)
    largest = max((packing.requests(leaf, 50) for leaf in leaves), default=0)
    assert max(dealt.requests) <= sum(dealt.requests) / workers + largest
    assert dealt.balance >= 1


@given(st.lists(st.lists(st.integers(0, 90), min_size=1), max_size=5), st.integers(0, 200))
def test_joined_neighbours_hold_no_more_than_allowed(runs: list[list[int]], most: int) -> None:
    for run, sizes in zip(runs, packing.join(runs, most), strict=True):
        assert sum(sizes) == len(run)
        for start, end in pairwise([0, *accumulate(sizes)]):
            assert end - start == 1 or sum(run[start:end]) <= most
