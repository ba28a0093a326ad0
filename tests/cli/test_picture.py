"""The heatmap's picture: nothing of the feed is lost on paper, and it fits the terminal."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from cli import picture
from cli.heatmaps import differences
from cli.picture import Bucket


@st.composite
def buckets(draw: st.DrawFn) -> list[Bucket]:
    edges = sorted(draw(st.sets(st.integers(1, 100_000), max_size=30)))
    lows, highs = [0, *edges], [*edges, None]
    offers = draw(st.lists(st.integers(0, 50_000), min_size=len(lows), max_size=len(lows)))
    return list(zip(lows, highs, offers, strict=True))


@given(buckets(), st.integers(10, 200))
def test_the_columns_hold_every_offer(given_buckets: list[Bucket], width: int) -> None:
    drawn = picture.columns(given_buckets, picture.axis(given_buckets, width))
    assert len(drawn) == width
    assert round(sum(drawn)) == sum(offers for _, _, offers in given_buckets)


@given(buckets(), st.lists(st.integers(0, 200_000)))
def test_no_line_is_wider_than_the_terminal(given_buckets: list[Bucket], cuts: list[int]) -> None:
    lines = picture.terminal(given_buckets, cuts, width=76, rows=10).splitlines()
    assert len(lines) == 12
    assert max(len(line) for line in lines) <= 76


@given(buckets(), st.lists(st.integers(0, 200_000)))
def test_the_svg_is_well_formed_whatever_it_is_called(
    given_buckets: list[Bucket], cuts: list[int]
) -> None:
    drawn = picture.svg(given_buckets, cuts, title="<acme> & sons", unit="USD per carat")
    root = ET.fromstring(drawn)  # noqa: S314  our own picture
    assert root[0].text == "<acme> & sons"


def test_a_cut_stands_under_its_price() -> None:
    drawn = picture.terminal([(10, 100, 5), (100, 1_000, 5)], [100], width=40, rows=2)
    marks = drawn.splitlines()[2]
    assert [n for n, mark in enumerate(marks) if mark == "┴"] == [20]


@given(buckets())
def test_a_heatmap_does_not_differ_from_itself(given_buckets: list[Bucket]) -> None:
    assert all(change["change"] == 0 for change in differences(given_buckets, given_buckets))


def test_a_difference_says_where_the_offers_came_and_went() -> None:
    changes = differences([(10, 100, 60), (100, 1_000, 40)], [(10, 100, 30), (100, 1_000, 80)])
    assert round(sum(c["change"] for c in changes if c["high"] <= 100)) == -30
    assert round(sum(c["change"] for c in changes if c["low"] >= 100)) == 40
