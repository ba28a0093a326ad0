"""A snapshot into raw offers: all of it once, whatever breaks in between."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from scheduler import steward
from scheduler.snapshot import expect_snapshot
from shared import ledger
from shared.db import transaction
from shared.errors import ClaimLost, Stopped, SupplierUnavailable
from shared.feeds.base import RawOffer
from shared.ledger import Claim
from tests.builders import LEASE_S, claim, item_now, lapse, open_run, rows
from tests.fakes import FakeSnapshots, raw_offer
from worker import download
from worker.download import land_snapshot, partition_of

FEED = "idex-natural"
PAGE = 20


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAGE_OFFERS", PAGE)


def planned(engine: Engine, run_id: UUID | None = None) -> Claim:
    """The held fetch of a planned run."""
    run_id = run_id or open_run(engine, FEED)
    (plan,) = rows(engine, "SELECT item_id FROM work_items WHERE run_id = :id", id=run_id)
    held = claim(engine, plan["item_id"], "plan")
    assert held is not None
    expect_snapshot(held, engine=engine)
    (item,) = rows(
        engine, "SELECT item_id FROM work_items WHERE run_id = :id AND kind = 'fetch'", id=run_id
    )
    return retaken(engine, item["item_id"])


def retaken(engine: Engine, item_id: int) -> Claim:
    held = claim(engine, item_id)
    assert held is not None
    return held


def again(engine: Engine, held: Claim) -> Claim:
    """The next holder, after the first gave the item back."""
    with transaction(engine) as tx:
        ledger.retry(tx, held, Stopped("gave up"))
    return retaken(engine, held.item_id)


def land(engine: Engine, held: Claim, source: FakeSnapshots, **wanted: Any) -> None:
    values = {"offers_max": 30, "lease_s": LEASE_S} | wanted
    land_snapshot(held, engine=engine, source=source, **values)


def offers(number: int, **fields: Any) -> list[RawOffer]:
    return [raw_offer(n, **fields) for n in range(number)]


def landed(engine: Engine) -> list[bytes]:
    found = rows(engine, "SELECT payload::text AS said FROM raw_offers")
    return sorted(row["said"].encode() for row in found)


def said(source: FakeSnapshots) -> list[bytes]:
    return sorted(offer.payload for offer in source.rows)


def breaking_at(row: int) -> Callable[[int], None]:
    def break_at(now: int) -> None:
        if now == row:
            raise SupplierUnavailable("gone")

    return break_at


@pytest.mark.parametrize("number", [0, 1, 19, 20, 21, 200])
def test_every_offer_lands_once_and_every_partition_is_folded(engine: Engine, number: int) -> None:
    held, source = planned(engine), FakeSnapshots(offers(number))
    land(engine, held, source)
    assert landed(engine) == said(source)
    parts = rows(engine, "SELECT * FROM partitions ORDER BY number")
    assert len(parts) == max(1, -(-number // 30))
    assert sum(part["landed"] for part in parts) == number
    assert all(part["fetched_at"] and part["planned_offers"] == part["landed"] for part in parts)
    assert parts[0]["requests"] == 1
    folds = rows(engine, "SELECT partition_id FROM work_items WHERE kind = 'fold'")
    assert {one["partition_id"] for one in folds} == {part["partition_id"] for part in parts}
    assert item_now(engine, held.item_id)["state"] == "done"
    (run,) = rows(engine, "SELECT counted FROM runs")
    assert run["counted"] == number


def test_nothing_is_folded_before_all_has_landed(engine: Engine) -> None:
    held = planned(engine)
    with pytest.raises(SupplierUnavailable):
        land(engine, held, FakeSnapshots(offers(100), before_row=breaking_at(70)))
    assert len(landed(engine)) == 60
    assert rows(engine, "SELECT * FROM work_items WHERE kind = 'fold'") == []


@pytest.mark.parametrize("row", [0, 1, 20, 59, 99])
def test_the_next_holder_of_the_same_file_goes_on_where_the_last_stopped(
    engine: Engine, row: int
) -> None:
    held = planned(engine)
    with pytest.raises(SupplierUnavailable):
        land(engine, held, FakeSnapshots(offers(100), before_row=breaking_at(row)))
    before = {tuple(one.values()) for one in places(engine)}
    source = FakeSnapshots(offers(100))
    land(engine, again(engine, held), source)
    assert landed(engine) == said(source)
    assert before <= {tuple(one.values()) for one in places(engine)}
    assert len(before) == row // PAGE * PAGE


def places(engine: Engine) -> list[dict[str, Any]]:
    return rows(engine, "SELECT partition_id, position, offer_id, read_at FROM raw_offers")


@pytest.mark.parametrize("number", [0, 10, 500])
def test_another_file_after_a_crash_begins_anew(engine: Engine, number: int) -> None:
    held = planned(engine)
    with pytest.raises(SupplierUnavailable):
        land(engine, held, FakeSnapshots(offers(100), before_row=breaking_at(70)))
    source = FakeSnapshots(offers(number, newer=True), checksum="two")
    land(engine, again(engine, held), source)
    assert landed(engine) == said(source)
    (snapshot,) = rows(engine, "SELECT * FROM snapshots")
    assert (snapshot["checksum"], snapshot["offers"]) == ("two", number)
    parts = rows(engine, "SELECT landed FROM partitions")
    assert sum(part["landed"] for part in parts) == number


def test_a_holder_whose_lease_ran_out_lands_nothing_more(engine: Engine) -> None:
    held = planned(engine)
    source = FakeSnapshots(offers(100))

    def lose(row: int) -> None:
        if row == 50:
            lapse(engine, held.item_id)
            steward.reap(engine)
            retaken(engine, held.item_id)

    source.before_row = lose
    with pytest.raises(ClaimLost):
        land(engine, held, source)
    assert len(landed(engine)) == 40


def test_the_lease_lasts_while_the_supplier_lets_us_wait(engine: Engine) -> None:
    held = planned(engine)
    before = item_now(engine, held.item_id)["lease_until"]
    beaten = threading.Event()

    class Slow(FakeSnapshots):
        def take(self, alive: Callable[[], None]) -> Any:
            while item_now(engine, held.item_id)["lease_until"] == before:
                beaten.wait(0.01)
            return super().take(alive)

    land(engine, held, Slow(offers(3)), lease_s=0.4)
    assert item_now(engine, held.item_id)["state"] == "done"


def test_who_is_asked_to_stop_stops_at_a_page(engine: Engine) -> None:
    held, source = planned(engine), FakeSnapshots(offers(100))
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        land(engine, held, source, stopping=lambda: next(asked))
    assert len(landed(engine)) == PAGE


def test_two_rows_of_one_id_lie_in_one_partition_in_their_order(engine: Engine) -> None:
    doubled = [raw_offer(n % 50, version=n // 50) for n in range(150)]
    land(engine, planned(engine), FakeSnapshots(doubled))
    found = rows(
        engine,
        "SELECT partition_id, offer_id, payload ->> 'version' AS version"
        "  FROM raw_offers ORDER BY partition_id, position",
    )
    versions: dict[tuple[int, str], list[str]] = {}
    for row in found:
        versions.setdefault((row["partition_id"], row["offer_id"]), []).append(row["version"])
    assert list(versions.values()) == [["0", "1", "2"]] * 50


@given(st.one_of(st.none(), st.text(min_size=1)), st.integers(0, 10**7), st.integers(1, 500))
def test_an_offer_has_one_place(offer_id: str | None, row: int, partitions: int) -> None:
    offer = RawOffer(offer_id, b"{}")
    place = partition_of(offer, row, partitions)
    assert 0 <= place < partitions
    if offer_id is not None:
        assert place == partition_of(offer, row + 1, partitions)
