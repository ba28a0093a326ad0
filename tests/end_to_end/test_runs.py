"""Whole runs against the simulated supplier: the catalogue is what the oracle says, to the cent."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Engine

from simulator.stock import Stock
from tests.builders import rows
from tests.end_to_end.catalogue import assert_exact, assert_untouched, marks
from tests.end_to_end.conftest import MakeShop, StartSupplier
from tests.end_to_end.shop import FEEDS, LABGROWN, NATURAL
from tests.oracle.oracle import NOTHING, Catalogue, Offered, Outcome, after_run


def assert_adds_up(engine: Engine, run: Mapping[str, Any]) -> None:
    """Every offer that landed is a stone or rejected, and the partitions sum up to the run."""
    parts = rows(engine, "SELECT * FROM partitions WHERE run_id = :id", id=run["run_id"])
    assert sum(part["landed"] for part in parts) == run["landed"]
    for part in parts:
        assert part["inserted"] + part["changed"] + part["unchanged"] == part["offers"]
        assert part["offers"] + part["rejected"] == part["landed"]
    assert run["written"] == sum(part["inserted"] + part["changed"] for part in parts)


@pytest.mark.parametrize(
    ("size", "seed"), [(0, 1), (1, 1), (1, 2), (40, 1), (40, 2), (40, 3), (1_500, 1)]
)
def test_a_first_run_leads_to_exactly_what_the_supplier_has_at_our_prices(
    size: int, seed: int, engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(still(size, seed), partition_offers_max=200)
    for feed in FEEDS:
        now = shop.has(feed=feed)
        run = shop.pipeline.run(feed)
        assert (run["state"], run["reason"]) == ("complete", None)
        assert run["offers"] == len(now.ids())
        assert_exact(engine, run, after_run(NOTHING, now))
        assert_adds_up(engine, run)
    assert {item["state"] for item in shop.pipeline.work()} == {"done"}


def test_an_offer_on_an_edge_that_two_partitions_share_is_one_stone(
    engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    # A tenth of the lab-grown stones cost whole dollars a carat.
    shop = make_shop(still(400, 1), partition_offers_max=8)
    now = shop.has(feed=LABGROWN)
    run = shop.pipeline.run(LABGROWN)
    assert run["state"] == "complete"
    assert run["landed"] > run["offers"]
    assert run["offers"] == len(now.ids())
    assert_exact(engine, run, after_run(NOTHING, now))


@pytest.mark.parametrize(("size", "seed", "ticks"), [(40, 5, 30), (1_500, 3, 6)])
def test_a_second_run_changes_what_the_supplier_changed_and_writes_nothing_else(
    size: int, seed: int, ticks: int, engine: Engine, moving: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(moving(size, seed), partition_offers_max=200)
    before = {feed: shop.first_run(feed) for feed in FEEDS}
    shop.supplier.advance(ticks)
    for feed in FEEDS:
        there = marks(engine, feed)
        wanted = after_run(before[feed], shop.has(ticks, feed=feed))
        run = shop.pipeline.run(feed)
        assert run["state"] == "complete"
        assert_exact(engine, run, wanted)
        assert_adds_up(engine, run)
        assert_untouched(there, marks(engine, feed), wanted.touched)
        assert run["delisted"] == len(wanted.delisted) > 0
        assert run["written"] == len(wanted.inserted) + len(wanted.changed) > 0
        assert_as_the_journal_says(wanted, before[feed], shop.supplier.stock(ticks), feed)


def assert_as_the_journal_says(wanted: Outcome, before: Catalogue, stock: Stock, feed: str) -> None:
    """What the supplier noted tick by tick is what was found by comparing."""
    labgrown = feed == LABGROWN
    noted: dict[str, set[str]] = {
        "sold": set(),
        "added": set(),
        "repriced": set(),
        "changed": set(),
    }
    for tick in stock.journal:
        moves = tick.labgrown if labgrown else tick.natural
        for what, found in noted.items():
            found |= {stock.offer_id(labgrown, int(serial)) for serial in getattr(moves, what)}
    # Availability is among what changes: such a stone is as good as sold, or as good as new.
    on_sale = {offer_id for offer_id, stone in wanted.catalogue.items() if stone.off_sale is None}
    assert not on_sale & noted["sold"]
    assert noted["sold"] & before.keys() <= wanted.delisted <= noted["sold"] | noted["changed"]
    assert wanted.inserted <= noted["added"] | noted["changed"]
    assert wanted.changed <= noted["repriced"] | noted["changed"]
    assert wanted.price_changes.keys() - wanted.inserted <= noted["repriced"]


def test_a_second_run_over_a_supplier_that_stood_still_writes_nothing(
    engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(still(400, 1), partition_offers_max=100)
    shop.first_run()
    there = marks(engine, NATURAL)
    second = shop.pipeline.run(NATURAL)
    assert (second["state"], second["written"], second["price_changes"]) == ("complete", 0, 0)
    assert (second["offers"], second["delisted"]) == (len(shop.has().ids()), 0)
    assert marks(engine, NATURAL) == there


def test_runs_over_a_supplier_that_moves_stay_exact_one_after_the_other(
    engine: Engine, moving: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(moving(150, 9), partition_offers_max=40)
    known = NOTHING
    for time in range(0, 120, 20):
        wanted = after_run(known, shop.has(time))
        assert_exact(engine, shop.pipeline.run(NATURAL), wanted)
        known = wanted.catalogue
        shop.supplier.advance(20)
    longest = "SELECT count(*) AS n FROM price_changes GROUP BY stone_id ORDER BY n DESC LIMIT 1"
    assert rows(engine, longest)[0]["n"] >= 3


def test_an_incremental_run_brings_what_changed_and_delists_nothing(
    engine: Engine, moving: StartSupplier, make_shop: MakeShop
) -> None:
    (now,) = rows(engine, "SELECT now() AS time")
    shop = make_shop(moving(600, 4, "--base-time", now["time"].isoformat()))
    before = shop.first_run()
    shop.supplier.advance(4)
    there, then = marks(engine, NATURAL), shop.has(4)
    run = shop.pipeline.run(NATURAL, "incremental")
    assert (run["state"], run["delisted"]) == ("complete", 0)
    assert 0 < run["offers"] < len(before) / 2
    asked = Offered(then.stones, then.only(shop.seen_by(run)).rejected)
    wanted = after_run(before, asked, delists=False)
    assert min(len(wanted.inserted), len(wanted.changed)) > 0
    assert_exact(engine, run, wanted)
    assert_untouched(there, marks(engine, NATURAL), wanted.touched)
    assert len(after_run(before, then).delisted) > 0
