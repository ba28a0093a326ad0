"""Real processes: they say that they live, do the steward's chores, and leave when asked to."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from cli import system
from cli.embedded.servers import Servers
from cli.workers import look
from scheduler import schedules
from scheduler.cron import Cron
from shared import orders, presence
from shared.db import transaction
from tests.builders import FEED, rows

LIMIT_S = 280.0  # on a machine with much else to do
ROLES: tuple[system.Role, ...] = ("steward", "worker", "consolidator")


@pytest.fixture
def started(
    database_url: str, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A process of each role, over the test's database."""
    monkeypatch.setenv("FACET_DATABASE_URL", database_url)
    monkeypatch.setenv("FACET_BROKER_URL", str(servers.broker_url))
    monkeypatch.setenv("FACET_REDIS_URL", str(servers.redis_url))
    with ExitStack() as stack:
        running = {}
        for role in ROLES:
            process = subprocess.Popen(
                system.process(role, 1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            running[role] = process
        yield running


def until(what: str, ask: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := ask()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@pytest.mark.timeout(900)
def test_processes_are_known_do_their_chores_and_exit_with_0_when_asked_to_leave(
    engine: Engine, servers: Servers, started: dict[str, subprocess.Popen[bytes]]
) -> None:
    with transaction(engine) as tx:
        cron = Cron("0 3 1 1 *", "UTC")
        schedules.set_schedule(tx, FEED, "full", cron, missed="once", actor="ana", reason="x")
        tx.execute(
            text("UPDATE schedules SET cron = '* * * * *', next_at = now() - interval '2 min'")
        )
        orders.stop(tx, "an-account", for_s=None, actor="ana", reason="a test")

    def alive() -> bool:
        here = {one["role"]: one["pid"] for one in look(engine) if one["state"] == "idle"}
        return here == {role: process.pid for role, process in started.items()}

    until("all of them say that they live", alive)
    owners = "SELECT cardinality(owners) AS n FROM processes WHERE role = 'consolidator'"
    until("its child is known", lambda: rows(engine, owners)[0]["n"] == 2)
    skipped = "SELECT reason FROM schedule_slots WHERE state = 'skipped'"
    (slot,) = until("the steward decides the slot", lambda: rows(engine, skipped))[:1]
    assert "no ruleset is active" in slot["reason"]
    client = redis.Redis.from_url(str(servers.redis_url))
    key = orders.redis_key("an-account")
    assert until("the steward tells Redis", lambda: client.hget(key, "stopped_reason")) == b"a test"
    client.delete(key)
    client.close()

    with transaction(engine) as tx:
        presence.drain(tx, look(engine), actor="ana", reason="new kernel")
    assert {role: process.wait(LIMIT_S) for role, process in started.items()} == dict.fromkeys(
        ROLES, 0
    )
    assert {one["state"] for one in look(engine, ended=True)} == {"ended"}
