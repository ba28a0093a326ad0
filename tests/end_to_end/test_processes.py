"""The real thing once: servers, steward and Celery workers as processes, one of them killed."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from sqlalchemy import Engine

from cli import demo, system
from cli.embedded.session import erase
from cli.embedded.supervisor import Supervisor
from shared import db, runs
from shared.db import transaction
from tests.builders import rows
from tests.end_to_end import supplier as simulated
from tests.end_to_end.catalogue import assert_exact
from tests.end_to_end.conftest import EXAMPLE
from tests.end_to_end.shop import FEEDS
from tests.end_to_end.supplier import Supplier
from tests.oracle.oracle import NOTHING, Outcome, after_run, load, offered

SIZE = 600
LIMIT_S = 180.0  # for what takes a second or two on an idle machine
POLL_S = 0.02


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="facet-test-"))
    yield path
    erase(path)


@pytest.fixture
def supplier() -> Iterator[Supplier]:
    """One that takes its time, so that there is a middle to be killed in."""
    with simulated.running(SIZE, 6, "--page-latency-ms", "40") as started:
        yield started


def until(supervisor: Supervisor, what: str, ask: Callable[[], Any]) -> Any:
    """Keep everything running until `ask` answers something, and return it."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := ask()):
        supervisor.tick()
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {LIMIT_S:g} s: {what}\n{logs(supervisor)}")
        time.sleep(POLL_S)
    return found


def logs(supervisor: Supervisor) -> str:
    """The end of every process's log, for whoever must find out why."""
    folder = supervisor.home / "logs"
    parts = [
        f"== {path.name}\n{path.read_text()[-2_000:]}" for path in sorted(folder.glob("*.log"))
    ]
    return "\n".join(parts)


def test_a_fetch_worker_killed_in_the_middle_costs_its_lease_and_nothing_else(
    home: Path, supplier: Supplier
) -> None:
    with Supervisor(home) as supervisor:
        env = demo.servers(supervisor) | {
            "FACET_NIVODA_URL": supplier.url,
            "FACET_NIVODA_USERNAME": "facet",
            "FACET_NIVODA_PASSWORD": "facet",
            "FACET_NIVODA_REQUESTS_PER_S": "0",
            "FACET_LEASE_S": "2",
            "FACET_STEWARD_POLL_S": "0.05",
            "FACET_PARTITION_OFFERS_MAX": "300",
        }
        engine = db.connect(env["FACET_DATABASE_URL"], pool_size=2)
        system.prepare_database(engine, ruleset=EXAMPLE, actor="ana")
        system.start_stages(supervisor, env, workers=1, consolidators=1)
        run_ids = {feed: start(engine, feed) for feed in FEEDS}

        half_read = until(supervisor, "a partition half read", partial(half_read_one, engine))
        worker = process(supervisor, "worker")
        os.kill(worker.pid, signal.SIGKILL)

        for feed in FEEDS:
            run = until(supervisor, f"the end of {feed}", partial(ended, engine, run_ids[feed]))
            assert (run["state"], run["reason"]) == ("complete", None), logs(supervisor)
            assert_exact(engine, run, expected(engine, supplier, feed))
        (item,) = rows(engine, "SELECT * FROM work_items WHERE item_id = :id", id=half_read)
        assert item["state"] == "done"
        assert item["epoch"] >= 2  # another holder has finished it
        assert rows(engine, "SELECT 1 FROM dead_letters") == []
        assert not worker.is_running()
        engine.dispose()


def start(engine: Engine, feed: str) -> UUID:
    with transaction(engine) as tx:
        return runs.start(tx, feed).run_id


def half_read_one(engine: Engine) -> int | None:
    """The item of a partition that is being fetched and has some pages behind and before it."""
    statement = """
        SELECT w.item_id
          FROM work_items AS w
          JOIN partitions AS p USING (partition_id)
         WHERE w.kind = 'fetch' AND w.state = 'held' AND w.epoch = 1
           AND p.landed BETWEEN 1 AND p.planned_offers - 100"""
    found = rows(engine, statement)
    return int(found[0]["item_id"]) if found else None


def process(supervisor: Supervisor, name: str) -> psutil.Process:
    """The process that the supervisor keeps running under a name."""
    found = supervisor.session.runtime.processes[name].find()
    assert found is not None
    return found


def ended(engine: Engine, run_id: UUID) -> dict[str, Any] | None:
    statement = "SELECT * FROM runs WHERE run_id = :id AND finished_at IS NOT NULL"
    found = rows(engine, statement, id=run_id)
    return found[0] if found else None


def expected(engine: Engine, supplier: Supplier, feed: str) -> Outcome:
    (active,) = rows(engine, "SELECT ruleset_id FROM rulesets WHERE state = 'active'")
    kind = feed.removeprefix("nivoda-")
    now = offered(supplier.stock(), kind, load(EXAMPLE), active["ruleset_id"], feed=feed)
    return after_run(NOTHING, now)
