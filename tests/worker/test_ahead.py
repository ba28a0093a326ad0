"""Pages asked for before their turn: as many as allowed, none in vain, landed in order."""

import itertools
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from shared.errors import Stopped, SupplierUnavailable
from shared.feeds.base import Page, Slice, Slicing
from tests.builders import held_item, item_now
from tests.fakes import SLICING, FakeSource
from tests.worker.test_fetch import fetch, ids, landed, offers
from worker.ahead import Ahead
from worker.reading import OVERLAP, Reading

EVERY_OFFER = Slice()
FIFTY = SLICING._replace(page_size=50)


def reader(source: FakeSource, *, pages: int, **wanted: Any) -> Ahead:
    values = {"slicing": FIFTY, "lead": threading.Lock(), "tick": lambda: None} | wanted
    return Ahead(source, EVERY_OFFER, pages=pages, **values)


def read(source: FakeSource, expected: int, *, pages: int, slicing: Slicing = SLICING) -> Reading:
    """Read a listing to its end, as a worker does, but land nothing."""
    reading = Reading(0, 0, {})
    with reader(source, pages=pages, slicing=slicing) as ahead:
        while True:
            answered = ahead.page(reading, expected)
            page, reading.offset = answered.page, answered.offset
            if reading.lost_touch(page):
                reading.step_back(slicing.page_size)
                continue
            if page.received == 0:
                return reading
            fresh = reading.fresh(page)
            reading.landed_page(page, fresh, reading.next_offset(page, fresh))


class Backwards(FakeSource):
    """One that answers its first pages when all are under way, the last one asked for first."""

    def __init__(self, number: int, *, first: int) -> None:
        super().__init__(offers(number))
        self._number = itertools.count()
        self._all = threading.Barrier(first, timeout=20)
        self._turns = [threading.Event() for _ in range(first + 1)]
        self._turns[first].set()

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        number = next(self._number)
        if number + 1 >= len(self._turns):
            return super().page(part, offset, limit)
        self._all.wait()
        self._turns[number + 1].wait(20)
        page = super().page(part, offset, limit)
        self._turns[number].set()
        return page


@pytest.mark.parametrize("pages", [1, 2, 5])
def test_so_many_pages_are_under_way_at_once_and_land_in_order(engine: Engine, pages: int) -> None:
    source = Backwards(50, first=pages)
    fetch(engine, held_item(engine, planned_offers=50), source, ahead=pages)
    assert source.pages[:pages] == [5 * n for n in reversed(range(pages))]
    assert landed(engine) == ids(source)


@given(st.integers(0, 400), st.integers(2, 9))
def test_a_listing_that_is_as_long_as_counted_costs_no_call_more(number: int, pages: int) -> None:
    alone, ahead = FakeSource(offers(number)), FakeSource(offers(number))
    read(alone, number, pages=1, slicing=FIFTY)
    assert read(ahead, number, pages=pages, slicing=FIFTY).landed == number
    assert sorted(ahead.pages) == alone.pages


@given(st.integers(0, 400), st.integers(-200, 200), st.integers(2, 9))
def test_a_listing_that_is_not_costs_two_calls_and_those_for_what_it_lacks(
    number: int, more: int, pages: int
) -> None:
    alone, ahead = FakeSource(offers(number)), FakeSource(offers(number))
    counted = max(0, number + more)
    read(alone, number, pages=1, slicing=FIFTY)
    assert read(ahead, counted, pages=pages, slicing=FIFTY).landed == number
    assert ahead.sent <= alone.sent + 2 + max(0, counted - number) // (50 - OVERLAP)


@given(st.sets(st.integers(0, 400)), st.integers(2, 9))
def test_a_short_page_costs_one_call_and_none_of_those_under_way(
    short: set[int], pages: int
) -> None:
    source = FakeSource(offers(400), short=frozenset(short))
    assert read(source, 400, pages=pages, slicing=FIFTY).landed == 400
    assert source.sent <= 11 + 2 * len(short & set(source.pages))


def test_of_two_partitions_at_once_one_leads_until_its_end_is_in_sight() -> None:
    lead, first, second = threading.Lock(), FakeSource(offers(400)), FakeSource(offers(400))

    def asked(source: FakeSource, number: int) -> bool:
        while source.sent < number:
            pass
        return source.sent == number

    with reader(first, pages=6, lead=lead) as one, reader(second, pages=6, lead=lead) as two:
        one.page(Reading(0, 0, {}), 400)
        two.page(Reading(0, 0, {}), 400)
        assert asked(first, 6)
        assert asked(second, 2)
        one.page(Reading(329, 329, {}), 400)  # two more, the second of them short
        two.page(Reading(47, 47, {}), 400)
        assert asked(second, 7)


def test_a_page_that_fails_lets_those_before_it_land(engine: Engine) -> None:
    def breaks_at_30(offset: int) -> None:
        if offset == 30:
            raise SupplierUnavailable("connection reset")

    source = FakeSource(offers(55), before_page=breaks_at_30)
    with pytest.raises(SupplierUnavailable):
        fetch(engine, held_item(engine, planned_offers=55), source, ahead=6)
    assert landed(engine) == ids(source)[:33]


@pytest.fixture
def silent() -> Any:
    """A source whose third page never comes, until the test is over."""
    over = threading.Event()

    def wait_at_10(offset: int) -> None:
        if offset == 10:
            over.wait(60)

    yield FakeSource(offers(40), before_page=wait_at_10)
    over.set()


def test_who_waits_for_a_page_still_hears_that_it_is_to_stop(
    engine: Engine, silent: FakeSource
) -> None:
    with pytest.raises(Stopped):
        fetch(engine, held_item(engine), silent, stopping=lambda: 10 in silent.pages)
    assert landed(engine) == ids(silent)[:13]


def test_who_waits_for_a_page_keeps_its_lease(engine: Engine, silent: FakeSource) -> None:
    held = held_item(engine)
    ends: list[object] = []

    def lengthened_twice() -> bool:
        if 10 in silent.pages:
            ends.append(item_now(engine, held.item_id)["lease_until"])
        return len(set(ends)) > 2

    with pytest.raises(Stopped):
        fetch(engine, held, silent, lease_s=1, stopping=lengthened_twice)
    assert ends == sorted(ends)  # type: ignore[type-var]


def test_a_partition_that_nobody_has_counted_is_read_one_page_after_the_other(
    engine: Engine,
) -> None:
    source = FakeSource(offers(35))
    fetch(engine, held_item(engine, planned_offers=10_000, estimated=True), source, ahead=8)
    assert source.pages == sorted(source.pages)
    assert landed(engine) == ids(source)
