"""A hundred thousand past runs leave the statements of every second as quick as on the first day.

Asked of the planner and of its count of pages read, not of a clock.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from shared.db import transaction
from sql import query
from tests.builders import FEED, due_item, held_item, open_run
from tests.conftest import own_database

RUNS = 100_000
ITEMS_A_RUN = 3  # of the later runs; retention has taken those of the earlier
RUNS_WITH_ITEMS = 50_000

PAST = (
    f"INSERT INTO feeds (feed) VALUES ('{FEED}')",
    f"""INSERT INTO runs (feed, kind, state, opened_at, landed_on, finished_at, pruned_at)
        SELECT '{FEED}', 'full', 'complete', at, at::date, at,
               CASE WHEN n <= {RUNS - RUNS_WITH_ITEMS} THEN now() END
          FROM (SELECT n, now() - make_interval(hours => {RUNS} - n + 1) AS at
                  FROM generate_series(1, {RUNS}) AS n) AS x""",
    """INSERT INTO work_items (kind, run_id, state, epoch, attempts, attempts_max, created_at,
                               not_before, finished_at)
        SELECT k, run_id, 'done', 1, 1, 5, opened_at, opened_at, opened_at
          FROM runs, unnest(ARRAY['plan', 'sweep', 'reconcile']) AS k
         WHERE pruned_at IS NULL""",
    "VACUUM ANALYZE",
)


@pytest.fixture(scope="module")
def crowded(template: str) -> Iterator[Engine]:
    """A database with all of that past, and a present."""
    with own_database(template) as engine:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in PAST:
                connection.execute(text(statement))
        run_id = open_run(engine)
        for _ in range(20):
            due_item(engine, run_id=run_id)
        held_item(engine, run_id=run_id)
        yield engine


def pages_read(engine: Engine, name: str, **values: Any) -> tuple[int, str]:
    """What a statement reads, in pages of 8 kB, and its plan. Whatever it changes is undone."""
    with engine.connect() as connection:
        explained = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query(name).text}")
        (found,) = connection.execute(explained, values).scalar_one()
        connection.rollback()
    plan = found["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], json.dumps(plan)


EVERY_SECOND = {
    "claim_item": {"kind": "fetch", "epoch": 0, "owner": uuid4(), "lease_s": 60},
    "announce_items": {"kind": "fetch", "again_s": 30, "announced_max": 64},
    "reap_items": {"batch": 100},
    "runs_to_reconcile": {"attempts_max": 6},
    "runs_to_sweep": {"attempts_max": 8},
    "backlog": {},
}


@pytest.mark.parametrize("name", EVERY_SECOND)
def test_the_statement_reads_a_handful_of_pages(crowded: Engine, name: str) -> None:
    values = dict(EVERY_SECOND[name])
    if name == "claim_item":
        with transaction(crowded) as tx:
            due = text("SELECT max(item_id) FROM work_items WHERE state = 'due'")
            values["item_id"] = tx.execute(due).scalar_one()
    pages, plan = pages_read(crowded, name, **values)
    assert "Seq Scan" not in scans_of(plan, "work_items")
    # Each of the twenty due rows costs a few pages where it is locked, changed and indexed; the
    # ledger of the past has thousands.
    assert pages < 600, plan


def test_looking_at_one_run_does_not_read_the_others(crowded: Engine) -> None:
    with transaction(crowded) as tx:
        run_id = tx.execute(text("SELECT run_id FROM runs WHERE finished_at IS NULL")).scalar_one()
    pages, plan = pages_read(crowded, "run_progress", run_id=run_id)
    assert "Seq Scan" not in scans_of(plan, "work_items")
    assert pages < 100, plan


def test_the_ledger_of_the_past_is_really_there(crowded: Engine) -> None:
    """What the two tests above would read, if they read all of it."""
    with crowded.connect() as connection:
        pages = connection.execute(
            text("SELECT relpages FROM pg_class WHERE relname = 'work_items'")
        )
        assert pages.scalar_one() > 2_000


def scans_of(plan: str, table: str) -> set[str]:
    """How a plan reads a table."""
    found = set()

    def walk(node: dict[str, Any]) -> None:
        if node.get("Relation Name") == table:
            found.add(str(node["Node Type"]))
        for child in node.get("Plans", ()):
            walk(child)

    walk(json.loads(plan))
    return found
