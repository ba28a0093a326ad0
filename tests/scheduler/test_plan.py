"""Plan, cut and sweep: what is queued covers the feed; nothing is written before the scan ends."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from scheduler.cut import cut_partition
from scheduler.plan import plan_run, sweep_run
from scheduler.steward import close_runs
from shared import ledger, runs
from shared.db import transaction
from shared.errors import ClaimLost, Stopped, SupplierUnavailable
from shared.feeds import sliced
from shared.feeds.base import Slice, SlicedFeed
from shared.ledger import Claim, Kind
from shared.settings import Settings, load
from tests.builders import FEED, claim, insert_partition, open_run, rows
from tests.fakes import SLICING, PricedSource

SPREAD = [(100 + 7 * n, 50 + n % 60) for n in range(900)]


def small_feed() -> SlicedFeed:
    """The real mapping with a small supplier's limits."""
    return replace(sliced(FEED), slicing=SLICING._replace(depth=200))


def given_settings(**wanted: str) -> Settings:
    return load({"FACET_PARTITION_OFFERS_MAX": "150", "FACET_FETCH_WORKERS": "2"} | wanted)


def claimed(engine: Engine, kind: Kind) -> Claim:
    due = "SELECT item_id FROM work_items WHERE kind = :kind AND state = 'due'"
    (item,) = rows(engine, due, kind=kind)
    held = claim(engine, item["item_id"], kind)
    assert held is not None
    return held


def planned(engine: Engine, source: PricedSource, **wanted: str) -> Claim:
    open_run(engine)
    held = claimed(engine, "plan")
    values = {"feed": small_feed(), "settings": given_settings(**wanted)}
    plan_run(held, engine=engine, source=source, **values)
    return held


def slices(engine: Engine, where: str = "parent_id IS NULL AND NOT sweep") -> list[Slice]:
    found = rows(engine, f"SELECT slice FROM partitions WHERE {where} ORDER BY number")
    return [Slice.model_validate(row["slice"]) for row in found]


def read(source: PricedSource, parts: Sequence[Slice]) -> set[str]:
    return {str(offer.offer_id) for part in parts for offer in source.matching(part)}


@pytest.mark.parametrize(
    "stones",
    [
        [],
        [(900, 100)],
        SPREAD,
        [(2_500, 30 + n % 300) for n in range(600)],
        [(500, 30 + n % 90) for n in range(180)] + [(9_000, 30 + n % 90) for n in range(180)],
        [(10 + n, 100) for n in range(50)] + [(2_000_000 + n, 100) for n in range(300)],
    ],
    ids=["none", "one", "spread", "one price", "two spikes", "tail beyond any cap"],
)
def test_the_partitions_hold_every_offer_and_none_is_too_deep(
    engine: Engine, stones: list[tuple[int, int]]
) -> None:
    source = PricedSource(stones)
    held = planned(engine, source)
    parts = slices(engine)
    assert read(source, parts) == {str(offer.offer_id) for offer in source.offers}
    assert max(len(source.matching(part)) for part in parts) <= 200
    (run,) = rows(engine, "SELECT state, counted, scan_calls FROM runs")
    assert run == {"state": "fetching", "counted": len(stones), "scan_calls": source.sent}
    due = rows(engine, "SELECT priority FROM work_items WHERE kind = 'fetch'")
    assert len(due) == len(parts)
    (heatmap,) = rows(engine, "SELECT run_id, total, buckets FROM heatmaps")
    assert (heatmap["run_id"], heatmap["total"]) == (held.run_id, len(stones))


def test_a_crash_while_scanning_leaves_nothing_but_the_item(engine: Engine) -> None:
    class Broken(PricedSource):
        def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
            raise SupplierUnavailable("connection refused")

    with pytest.raises(SupplierUnavailable):
        planned(engine, Broken(SPREAD))
    assert rows(engine, "SELECT 1 FROM partitions UNION ALL SELECT 1 FROM heatmaps") == []
    assert rows(engine, "SELECT state FROM runs") == [{"state": "planning"}]


def test_who_is_asked_to_stop_stops_scanning(engine: Engine) -> None:
    open_run(engine)
    values: dict[str, Any] = {"feed": small_feed(), "settings": given_settings()}
    with pytest.raises(Stopped):
        plan_run(
            claimed(engine, "plan"),
            engine=engine,
            source=PricedSource(SPREAD),
            stopping=lambda: True,
            **values,
        )


def test_a_run_cancelled_while_it_is_planned_queues_nothing(engine: Engine) -> None:
    run_id = open_run(engine)
    held = claimed(engine, "plan")
    with transaction(engine) as tx:
        runs.cancel(tx, run_id, reason="wrong account", actor="ana")
    values: dict[str, Any] = {"feed": small_feed(), "settings": given_settings()}
    with pytest.raises(ClaimLost):
        plan_run(held, engine=engine, source=PricedSource(SPREAD), **values)
    assert rows(engine, "SELECT 1 FROM partitions") == []


def outgrown(engine: Engine, source: PricedSource) -> Claim:
    """A partition over everything, closed after its first offers, and its cut claimed."""
    run_id = open_run(engine)
    land = text(
        "INSERT INTO raw_offers SELECT landed_on, :part, :position, :offer_id, now(), :payload"
        "  FROM runs"
    )
    with transaction(engine) as tx:
        part = insert_partition(tx, run_id, next_offset=60)
        ledger.add(tx, "cut", run_id, partition_id=part)
        for position, offer in enumerate(source.offers[:: max(1, len(source.offers) // 60)]):
            values = {"part": part, "position": position, "offer_id": offer.offer_id}
            tx.execute(land, values | {"payload": offer.payload.decode()})
    return claimed(engine, "cut")


def test_a_partition_that_outgrew_its_plan_is_cut_into_children_that_tile_it(
    engine: Engine,
) -> None:
    source = PricedSource(SPREAD)
    held = outgrown(engine, source)
    leaves = cut_partition(
        held, engine=engine, source=source, feed=small_feed(), settings=given_settings()
    )
    children = slices(engine, "parent_id IS NOT NULL")
    assert len(children) == len(leaves) > 5
    assert children[0].price is not None
    assert read(source, children) == {str(offer.offer_id) for offer in source.offers}
    urgent = "SELECT min(priority) AS least FROM work_items WHERE kind = 'fetch'"
    assert rows(engine, urgent)[0]["least"] > 1_000_000_000


def test_a_partition_that_no_axis_cuts_goes_on_as_one_child_where_it_stopped(
    engine: Engine,
) -> None:
    source = PricedSource([(2_500, 100)] * 900)
    cut_partition(
        outgrown(engine, source),
        engine=engine,
        source=source,
        feed=replace(small_feed(), slicing=SLICING._replace(depth=200, shapes=(), labs=())),
        settings=given_settings(),
    )
    child = "SELECT next_offset, saturated FROM partitions WHERE parent_id IS NOT NULL"
    assert rows(engine, child) == [{"next_offset": 60, "saturated": True}]


def test_a_full_run_is_swept_once_before_it_is_reconciled(engine: Engine) -> None:
    source = PricedSource(SPREAD)
    planned(engine, source)
    done = text("UPDATE work_items SET state = 'done', finished_at = now() WHERE kind = 'fetch'")
    with transaction(engine) as tx:
        tx.execute(done)
    assert close_runs(engine) == 1
    held = claimed(engine, "sweep")
    source.changed = [3, 7, 400]
    sweep_run(held, engine=engine, source=source, feed=small_feed(), settings=given_settings())
    parts = slices(engine, "sweep")
    assert parts
    assert read(source, parts) == {str(source.offers[n].offer_id) for n in (3, 7, 400)}
    assert close_runs(engine) == 0
    with transaction(engine) as tx:
        tx.execute(done)
    assert close_runs(engine) == 1
    assert claimed(engine, "reconcile").run_id == held.run_id


def test_a_sweep_that_finds_nothing_queues_nothing(engine: Engine) -> None:
    source = PricedSource(SPREAD)
    planned(engine, source)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET state = 'done', finished_at = now()"))
    close_runs(engine)
    before = source.sent
    sweep_run(
        claimed(engine, "sweep"),
        engine=engine,
        source=source,
        feed=small_feed(),
        settings=given_settings(),
    )
    assert source.sent - before <= 2
    assert slices(engine, "sweep") == []
