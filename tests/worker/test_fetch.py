"""One partition into raw offers: page by page, once, whatever breaks in between."""

from typing import Any

import pytest
from sqlalchemy import Engine

from scheduler import steward
from shared import ledger, runs
from shared.db import transaction
from shared.errors import ClaimLost, Stopped, SupplierRefused, SupplierUnavailable
from shared.feeds.base import RawOffer
from shared.ledger import Claim
from tests.builders import LEASE_S, claim, held_item, item_now, lapse, rows
from tests.fakes import SLICING, FakeSource, raw_offer
from worker.fetch import fetch_partition


def fetch(engine: Engine, held: Claim, source: FakeSource, **wanted: Any) -> None:
    values = {"slicing": SLICING, "lease_s": LEASE_S} | wanted
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
    assert (part["landed"], part["next_offset"], part["requests"]) == (number, number, source.sent)
    assert part["fetched_at"] is not None
    assert item_now(engine, held.item_id)["state"] == "done"
    assert rows(engine, "SELECT state FROM work_items WHERE kind = 'fold'") == [{"state": "due"}]


def test_a_short_page_is_not_the_last(engine: Engine) -> None:
    source = FakeSource(offers(40), short=frozenset({0, 11}))
    fetch(engine, held_item(engine), source)
    assert landed(engine) == ids(source)


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


def test_a_partition_deeper_than_the_offset_reaches_is_refused_with_what_it_has(
    engine: Engine,
) -> None:
    held, source = held_item(engine), FakeSource(offers(400))
    with pytest.raises(SupplierRefused, match="none beyond 200"):
        fetch(engine, held, source, slicing=SLICING._replace(depth=200))
    assert len(landed(engine)) == 210


def test_a_supplier_that_breaks_halfway_costs_the_page_that_was_asked_for(engine: Engine) -> None:
    def breaks_at_30(offset: int) -> None:
        if offset == 30:
            raise SupplierUnavailable("connection reset")

    held = held_item(engine)
    source = FakeSource(offers(55), before_page=breaks_at_30)
    with pytest.raises(SupplierUnavailable):
        fetch(engine, held, source)
    assert landed(engine) == ids(source)[:30]
    whole = FakeSource(source.offers)
    fetch(engine, again(engine, held), whole)
    assert whole.pages == [30, 40, 50, 55]
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
    assert landed(engine) == ids(source)
    assert item_now(engine, late.item_id)["state"] == "done"


def test_who_is_asked_to_stop_stops_at_a_page(engine: Engine) -> None:
    held, source = held_item(engine), FakeSource(offers(35))
    with pytest.raises(Stopped):
        fetch(engine, held, source, stopping=lambda: len(source.pages) == 2)
    assert landed(engine) == ids(source)[:20]


def test_a_run_cancelled_meanwhile_lands_no_further_page(engine: Engine) -> None:
    held = held_item(engine)

    def cancel(offset: int) -> None:
        if offset == 10:
            with transaction(engine) as tx:
                runs.cancel(tx, held.run_id, reason="wrong account", actor="ana")

    source = FakeSource(offers(35), before_page=cancel)
    with pytest.raises(ClaimLost):
        fetch(engine, held, source)
    assert landed(engine) == ids(source)[:10]


def test_an_item_without_an_id_lands_too(engine: Engine) -> None:
    source = FakeSource([raw_offer(1), RawOffer(None, b'{"null_item":true}')])
    fetch(engine, held_item(engine), source)
    assert landed(engine) == ["DIAMOND/1", None]


def test_an_offer_is_dated_by_when_its_page_was_asked_for(engine: Engine) -> None:
    fetch(engine, held_item(engine), FakeSource(offers(3)))
    early = "SELECT count(*) AS n FROM raw_offers WHERE read_at <= now()"
    assert rows(engine, early) == [{"n": 3}]
