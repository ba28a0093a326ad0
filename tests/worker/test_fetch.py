"""One partition into raw offers: page by page, once, whatever breaks in between."""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from scheduler import steward
from shared import ledger, runs
from shared.db import transaction
from shared.errors import ClaimLost, Stopped, SupplierRefused, SupplierUnavailable
from shared.feeds.base import RawOffer, Slice, Span
from shared.ledger import Claim
from tests.builders import LEASE_S, claim, held_item, item_now, lapse, open_run, rows
from tests.conftest import own_database
from tests.fakes import SLICING, FakeSource, raw_offer
from worker.fetch import fetch_partition


def fetch(engine: Engine, held: Claim, source: FakeSource, **wanted: Any) -> None:
    values = {"slicing": SLICING, "offers_max": 1_000, "lease_s": LEASE_S} | wanted
    fetch_partition(held, engine=engine, source=source, **values)


def landed(engine: Engine) -> list[str]:
    return [
        row["offer_id"] for row in rows(engine, "SELECT offer_id FROM raw_offers ORDER BY position")
    ]


def ids(source: FakeSource) -> list[str]:
    return [str(offer.offer_id) for offer in source.offers]


def offers(number: int) -> list[RawOffer]:
    return [raw_offer(n) for n in range(number)]


def again(engine: Engine, held: Claim) -> Claim:
    """The next holder, after the first gave the item back."""
    with transaction(engine) as tx:
        ledger.retry(tx, held, Stopped("gave up"))
    taken = claim(engine, held.item_id)
    assert taken is not None
    return taken


@pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 95])
def test_every_offer_lands_once_and_the_fold_is_queued(engine: Engine, number: int) -> None:
    held, source = held_item(engine), FakeSource(offers(number))
    fetch(engine, held, source)
    assert landed(engine) == ids(source)
    (part,) = rows(engine, "SELECT * FROM partitions")
    assert (part["landed"], part["requests"]) == (number, source.sent)
    assert part["fetched_at"] is not None
    assert item_now(engine, held.item_id)["state"] == "done"
    queued = rows(engine, "SELECT kind FROM work_items WHERE state = 'due' AND kind <> 'plan'")
    assert queued == [{"kind": "fold"}]


@pytest.mark.parametrize("short", [{0, 11}, {0}, {5, 6, 7}, set(range(40))])
def test_a_short_page_is_not_the_last(engine: Engine, short: set[int]) -> None:
    source = FakeSource(offers(40), short=frozenset(short))
    fetch(engine, held_item(engine), source)
    assert landed(engine) == ids(source)


def test_what_is_sold_before_our_place_hides_nothing(engine: Engine) -> None:
    """A listing shifts to the left by more than the overlap between two pages, several times."""

    def sell(offset: int) -> None:
        if source.offers and source.sent % 3 == 0:
            gone.extend(source.offers[:9])
            del source.offers[:9]

    gone: list[RawOffer] = []
    source = FakeSource(offers(200), before_page=sell)
    fetch(engine, held_item(engine), source)
    assert gone
    assert set(ids(source)) <= set(landed(engine))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 90), st.integers(0, 2**32), st.integers(1, 6))
def test_a_stone_present_throughout_is_never_missed(
    moving: Engine, number: int, seed: int, ahead: int
) -> None:
    """Whatever is sold and added between any two pages, as long as the order is kept."""
    added, moves = itertools.count(10_000), random.Random(seed)

    def move(offset: int) -> None:
        for _ in range(moves.randint(0, 12)):
            if source.offers:
                del source.offers[moves.randrange(len(source.offers))]
        source.offers += [raw_offer(next(added)) for _ in range(moves.randint(0, 5))]
        present.intersection_update(ids(source))

    source = FakeSource(offers(number), before_page=move)
    present = set(ids(source))
    run_id = open_run(moving, f"feed-{uuid4()}")
    held = held_item(moving, run_id=run_id, planned_offers=number)
    fetch(moving, held, source, ahead=ahead)
    read = "SELECT offer_id FROM raw_offers WHERE partition_id = :p"
    assert present <= {row["offer_id"] for row in rows(moving, read, p=held.partition_id)}


@pytest.fixture(scope="module")
def moving(template: str) -> Iterator[Engine]:
    """One database for all examples of the property above."""
    with own_database(template) as made:
        yield made


def test_a_listing_without_any_order_ends_all_the_same(engine: Engine) -> None:
    def shuffle(offset: int) -> None:
        random.Random(source.sent).shuffle(source.offers)

    source = FakeSource(offers(100), before_page=shuffle)
    fetch(engine, held_item(engine), source)
    assert source.sent < 100


def test_a_listing_that_never_ends_is_followed_a_little_past_its_count(engine: Engine) -> None:
    class Endless(FakeSource):
        def count(self, part: Any, *, timeout_s: float | None = None) -> int:
            super().count(part)
            return 100

        def page(self, part: Any, offset: int, limit: int) -> Any:
            self.offers = offers(offset + limit)
            return super().page(part, offset, limit)

    fetch(engine, held_item(engine), Endless([]))
    assert 100 < len(landed(engine)) <= 610


def dollars(found: Sequence[RawOffer], axis: str) -> list[float]:
    """The number in each id, as its price."""
    assert axis == "price"
    return [float(json.loads(one.payload)["id"].removeprefix("DIAMOND/")) for one in found]


class CountsTooFew(FakeSource):
    """Its counts say a hundredth of what it lists."""

    def count(self, part: Any, *, timeout_s: float | None = None) -> int:
        return super().count(part) // 100


@pytest.mark.parametrize("price", [Span(0, None), Span(0, 2_000)], ids=["open", "to 2,000"])
def test_a_listing_far_past_its_count_is_followed_where_it_brings_what_belongs_there(
    engine: Engine, price: Span
) -> None:
    source = CountsTooFew(offers(1_800))
    held = held_item(engine, planned_offers=18, span=price)
    fetch(engine, held, source, slicing=SLICING._replace(depth=5_000), coordinates=dollars)
    assert landed(engine) == ids(source)


def test_also_where_all_lies_at_one_price_and_a_little_beside_it(engine: Engine) -> None:
    source = CountsTooFew(offers(1_800))
    held = held_item(engine, planned_offers=18, span=Span(500, 501))
    fetch(
        engine,
        held,
        source,
        slicing=SLICING._replace(depth=5_000),
        coordinates=lambda found, _: [499.99] * len(found),
    )
    assert landed(engine) == ids(source)


@pytest.mark.parametrize(
    ("stock", "part"),
    [
        (offers(18) * 100, Slice(price=Span(0, None))),
        (offers(250) * 10, Slice(price=Span(0, None))),
        (offers(2_000), Slice(price=Span(0, 18))),
        (offers(2_000), Slice(priceless=True)),
    ],
    ids=["round and round", "round at length", "strays", "strays without their prices"],
)
def test_and_not_where_it_does_not(engine: Engine, stock: list[RawOffer], part: Slice) -> None:
    source = CountsTooFew(stock)
    held = held_item(engine, planned_offers=18, slice=part.model_dump_json())
    fetch(engine, held, source, slicing=SLICING._replace(depth=5_000), coordinates=dollars)
    assert len(landed(engine)) <= 18 + 500 + 3 * SLICING.page_size


def test_a_partition_that_outgrew_its_plan_is_closed_with_what_it_has_and_cut(
    engine: Engine,
) -> None:
    held, source = held_item(engine), FakeSource(offers(3_000))
    fetch(engine, held, source, offers_max=1_000)
    assert landed(engine) == ids(source)[: len(landed(engine))]
    assert 600 <= len(landed(engine)) < 1_000
    queued = rows(engine, "SELECT kind FROM work_items WHERE state = 'due' AND kind <> 'plan'")
    assert sorted(row["kind"] for row in queued) == ["cut", "fold"]


def test_one_that_outgrew_its_plan_a_little_is_read_to_its_end(engine: Engine) -> None:
    source = FakeSource(offers(1_450))
    slicing = SLICING._replace(depth=5_000)
    fetch(engine, held_item(engine, planned_offers=900), source, slicing=slicing)
    assert landed(engine) == ids(source)


def test_a_partition_that_cannot_be_cut_is_refused_with_what_it_has(engine: Engine) -> None:
    held, source = held_item(engine, saturated=True), FakeSource(offers(400))
    with pytest.raises(SupplierRefused, match="none beyond 200"):
        fetch(engine, held, source, slicing=SLICING._replace(depth=200))
    assert len(landed(engine)) > 200


def test_a_supplier_that_breaks_halfway_costs_the_page_that_was_asked_for(engine: Engine) -> None:
    def breaks_at_30(offset: int) -> None:
        if offset == 30:
            raise SupplierUnavailable("connection reset")

    held = held_item(engine)
    source = FakeSource(offers(55), before_page=breaks_at_30)
    with pytest.raises(SupplierUnavailable):
        fetch(engine, held, source)
    assert landed(engine) == ids(source)[:33]
    whole = FakeSource(source.offers)
    fetch(engine, again(engine, held), whole)
    assert whole.pages[0] == 30
    assert landed(engine) == ids(source)


def test_the_same_work_twice_lands_nothing_twice(engine: Engine) -> None:
    held, source = held_item(engine), FakeSource(offers(25))
    fetch(engine, held, source)
    with pytest.raises(ClaimLost):
        fetch(engine, held, source)
    assert landed(engine) == ids(source)


def test_a_worker_that_wakes_too_late_lands_nothing(engine: Engine) -> None:
    late = held_item(engine)
    present: list[Claim] = []

    def another_takes_over(offset: int) -> None:
        if offset == 20 and not present:
            lapse(engine, late.item_id)
            steward.reap(engine)
            taken = claim(engine, late.item_id)
            assert taken is not None
            present.append(taken)
            fetch(engine, taken, FakeSource(source.offers))

    source = FakeSource(offers(45), before_page=another_takes_over)
    with pytest.raises(ClaimLost):
        fetch(engine, late, source)
    assert present
    assert landed(engine) == ids(source)
    assert item_now(engine, late.item_id)["state"] == "done"


def test_who_is_asked_to_stop_stops_at_a_page(engine: Engine) -> None:
    held, source = held_item(engine), FakeSource(offers(35))
    with pytest.raises(Stopped):
        fetch(engine, held, source, stopping=lambda: len(source.pages) == 2)
    assert landed(engine) == ids(source)[:13]


def test_a_run_cancelled_meanwhile_lands_no_further_page(engine: Engine) -> None:
    held = held_item(engine)

    def cancel(offset: int) -> None:
        if offset == 5:
            with transaction(engine) as tx:
                runs.cancel(tx, held.run_id, reason="wrong account", actor="ana")

    source = FakeSource(offers(35), before_page=cancel)
    with pytest.raises(ClaimLost):
        fetch(engine, held, source)
    assert landed(engine) == ids(source)[:8]


def test_an_item_without_an_id_lands_too(engine: Engine) -> None:
    source = FakeSource([raw_offer(1), RawOffer(None, b'{"null_item":true}')])
    fetch(engine, held_item(engine), source)
    assert landed(engine) == ["DIAMOND/1", None]


def test_an_offer_is_dated_by_when_its_page_was_asked_for(engine: Engine) -> None:
    fetch(engine, held_item(engine), FakeSource(offers(3)))
    early = "SELECT count(*) AS n FROM raw_offers WHERE read_at <= now()"
    assert rows(engine, early) == [{"n": 3}]
