"""A partition that outgrew its plan is cut into children that tile it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.recut import recut
from shared.feeds.base import Slice, Span
from tests.scheduler.stones import (
    LABS,
    SHAPES,
    Stone,
    corners,
    matches,
    owners,
    slicing,
)

PART = Slice(price=Span(1_000, 2_000))


def cut(part: Slice, offers: int, **wanted: object) -> list[Slice]:
    given = {"offers_max": 100, "slicing": slicing(touching=True)} | wanted
    return recut(part, offers, **given)  # type: ignore[arg-type]


def assert_tiles(part: Slice, children: list[Slice]) -> None:
    for stone in corners([part, *children]):
        inside = matches(part, stone, touching=False)
        assert len(owners(children, stone)) == inside, stone


def test_it_is_cut_where_the_prices_seen_lie() -> None:
    children = cut(PART, 250, prices=[1_100 + n for n in range(100)])
    assert_tiles(PART, children)
    assert len(children) == 4
    assert [child.price for child in children[1:-1]] == [Span(1_125, 1_150), Span(1_150, 1_175)]


def test_one_price_is_cut_along_the_carats_seen() -> None:
    children = cut(PART, 180, prices=[1_500.0] * 90, carats=[30 + n for n in range(90)])
    assert_tiles(PART, children)
    assert {child.price for child in children} == {PART.price}
    assert children[1].carat == Span(60, 90)


def test_one_price_and_one_carat_are_cut_by_shape_then_by_lab() -> None:
    children = cut(PART, 150, prices=[1_500.0] * 90, carats=[100.0] * 90)
    assert_tiles(PART, children)
    assert [child.shapes for child in children] == [SHAPES[:1], SHAPES[1:2], SHAPES[2:]]
    grandchildren = cut(children[0], 150, prices=[1_500.0] * 90, carats=[100.0] * 90)
    assert_tiles(children[0], grandchildren)
    assert [child.labs for child in grandchildren] == [LABS[:1], LABS[1:]]
    assert cut(grandchildren[0], 150, prices=[1_500.0] * 90) == [grandchildren[0]]


def test_an_axis_that_does_not_hold_everything_is_not_used() -> None:
    children = cut(PART, 150, prices=[1_500.0], carats=[10.0, 90.0], axes=("labs",))
    assert {child.carat for child in children} == {None}
    assert [child.labs for child in children] == [LABS[:1], LABS[1:]]


def test_an_edge_does_not_lie_on_a_crowded_price_where_ranges_touch() -> None:
    seen = [1_500.0] * 50 + [1_000 + 9.9 * n for n in range(100)]
    children = cut(PART, 300, prices=seen)
    assert_tiles(PART, children)
    assert all(child.price and child.price.low != 1_500 for child in children)


def test_without_a_price_range_there_is_no_tiling() -> None:
    with pytest.raises(ValueError, match="without a price range"):
        cut(Slice(), 500)


def test_stones_without_a_price_are_cut_by_carat() -> None:
    part = Slice(priceless=True)
    children = cut(part, 150, carats=[float(n) for n in range(30, 90)])
    assert_tiles(part, children)
    assert all(child.priceless and child.carat for child in children)


PARTS = st.one_of(
    st.builds(lambda low, width: Slice(price=Span(low, low + width)), *[st.integers(1, 500)] * 2),
    st.builds(lambda low: Slice(price=Span(low, None)), st.integers(0, 500)),
    st.builds(
        lambda low, width, shapes: Slice(
            price=Span(500, 501), carat=Span(low, low + width), shapes=shapes
        ),
        st.integers(0, 300),
        st.integers(1, 300),
        st.sampled_from([None, SHAPES, SHAPES[:1]]),
    ),
)


@settings(deadline=None)
@given(
    PARTS,
    st.integers(0, 10**9),
    st.lists(st.floats(-10, 3_000), max_size=60),
    st.lists(st.floats(-10, 700), max_size=60),
    st.booleans(),
)
def test_whatever_was_seen_the_children_tile_their_parent(
    part: Slice, offers: int, prices: list[float], carats: list[float], touching: bool
) -> None:
    children = recut(
        part,
        offers,
        offers_max=100,
        slicing=slicing(touching=touching),
        prices=prices,
        carats=carats,
    )
    assert_tiles(part, children)


@given(st.lists(st.floats(0, 900), min_size=80, max_size=80, unique=True))
def test_children_share_what_was_seen_evenly(prices: list[float]) -> None:
    stones = [Stone(price) for price in prices]
    children = cut(Slice(price=Span(0, None)), 140, prices=prices)
    held = [sum(matches(child, stone, touching=False) for stone in stones) for child in children]
    whole = len({int(price) for price in prices})
    if whole > 60:  # not too many on one whole price
        assert max(held) <= 80
    assert sum(held) == 80
