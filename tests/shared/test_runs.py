"""The states of a run."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from scheduler import steward
from shared import runs
from shared.db import transaction
from shared.errors import ClaimLost, NotNow
from shared.feeds.base import Span
from tests.builders import FEED, insert_partition, open_run, rows


def test_a_run_opens_with_its_plan_item_and_room_for_its_offers(engine: Engine) -> None:
    open_run(engine)
    assert rows(engine, "SELECT kind, state FROM work_items") == [{"kind": "plan", "state": "due"}]
    with transaction(engine) as tx:
        tx.execute(
            text("INSERT INTO raw_offers SELECT landed_on, 1, 0, 'x', now(), '{}' FROM runs")
        )


def test_one_run_of_a_feed_at_a_time(engine: Engine) -> None:
    start = threading.Barrier(4)

    def attempt(_: int) -> bool:
        start.wait()
        try:
            open_run(engine)
        except NotNow:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1
    with pytest.raises(NotNow, match="is still planning"):
        open_run(engine)
    open_run(engine, "nivoda-labgrown")


def test_a_paused_feed_opens_no_run(engine: Engine) -> None:
    with transaction(engine) as tx:
        tx.execute(
            text("INSERT INTO feeds VALUES (:f, NULL, now(), 'contract under review')"), {"f": FEED}
        )
    with pytest.raises(NotNow, match="contract under review"):
        open_run(engine)


def test_an_incremental_run_asks_from_a_little_before_the_watermark(engine: Engine) -> None:
    with pytest.raises(NotNow, match="no complete run"), transaction(engine) as tx:
        runs.start(tx, FEED, "incremental")
    with transaction(engine) as tx:
        tx.execute(text("INSERT INTO feeds (feed, watermark) VALUES (:f, now())"), {"f": FEED})
        mark = tx.execute(text("SELECT watermark FROM feeds")).scalar_one()
        assert runs.start(tx, FEED, "incremental").updated_from == mark - timedelta(minutes=15)


def test_a_run_can_be_cancelled_once_and_its_work_with_it(engine: Engine) -> None:
    run_id = open_run(engine)
    with transaction(engine) as tx:
        assert runs.cancel(tx, run_id, reason="wrong account", actor="ana") == 1
    assert rows(engine, "SELECT state, reason FROM runs") == [
        {"state": "cancelled", "reason": "wrong account"}
    ]
    (event,) = rows(engine, "SELECT actor, action, before, after FROM audit_events")
    assert event["before"] == {"state": "planning"}
    with pytest.raises(NotNow, match="cancelled already"), transaction(engine) as tx:
        runs.cancel(tx, run_id, reason="again", actor="ana")
    assert len(rows(engine, "SELECT 1 FROM audit_events")) == 1


def test_a_cancelled_run_cannot_be_planned_any_more(engine: Engine) -> None:
    run_id = open_run(engine)
    with transaction(engine) as tx:
        runs.cancel(tx, run_id, reason="no", actor="ana")
    with pytest.raises(ClaimLost), transaction(engine) as tx:
        runs.fetching(tx, run_id, counted=1)


@pytest.mark.parametrize(
    "spans",
    [
        [Span(1, None)],
        [Span(0, 10)],
        [Span(0, 10), Span(11, None)],
        [Span(0, 10), Span(9, None)],
        [Span(0, 10), Span(0, None)],
        [Span(0, None), Span(10, None)],
    ],
)
def test_the_database_refuses_partitions_that_do_not_tile(
    engine: Engine, spans: list[Span]
) -> None:
    run_id = open_run(engine)
    with pytest.raises(IntegrityError, match="do not tile"), transaction(engine) as tx:
        for span in spans:
            insert_partition(tx, run_id, span=span)
        runs.fetching(tx, run_id, counted=1)


def test_partitions_that_tile_are_taken_pieces_of_one_price_together(engine: Engine) -> None:
    run_id = open_run(engine)
    with transaction(engine) as tx:
        for span in (Span(0, 9), Span(9, 10), Span(9, 10), Span(10, None)):
            insert_partition(tx, run_id, span=span)
        runs.fetching(tx, run_id, counted=1)


def test_a_run_whose_work_has_closed_gets_one_reconcile_item(engine: Engine) -> None:
    run_id = open_run(engine)
    assert steward.close_runs(engine) == 0
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET state = 'done', finished_at = now()"))
    start = threading.Barrier(3)

    def attempt(_: int) -> int:
        start.wait()
        return steward.close_runs(engine)

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(attempt, range(3))) == 1
    found = rows(engine, "SELECT run_id FROM work_items WHERE kind = 'reconcile'")
    assert found == [{"run_id": run_id}]


def test_a_run_is_found_by_the_beginning_of_its_id(engine: Engine) -> None:
    run_id = open_run(engine)
    with transaction(engine) as tx:
        assert runs.find(tx, str(run_id)[:8]) == run_id
        assert runs.find(tx, str(run_id).upper()) == run_id
        for wrong in ("zz", "%", "", "_", "0123456789abcdef"):
            with pytest.raises(NotNow):
                runs.find(tx, wrong)
