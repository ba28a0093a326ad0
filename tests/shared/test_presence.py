"""Who works, as each process says of itself."""

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from cli.workers import look
from shared import presence, queue
from shared.db import connect, transaction
from shared.presence import Presence
from tests.builders import claim, due_item, rows

LIMIT_S = 60.0


class Left:
    """What a process does when it is asked to leave."""

    def __init__(self) -> None:
        self.times = 0
        self.now = threading.Event()

    def __call__(self) -> None:
        self.times += 1
        self.now.set()


@pytest.fixture
def left() -> Left:
    return Left()


@pytest.fixture
def worker(engine: Engine, left: Left) -> Iterator[Presence]:
    made = Presence(
        connect(engine.url.render_as_string(hide_password=False)),
        "worker",
        concurrency=2,
        leave=left,
        beat_s=0.05,
    )
    made.start()
    yield made
    made.stop()


def one(engine: Engine) -> dict[str, Any]:
    (found,) = look(engine, ended=True)
    return found


def drain(engine: Engine) -> None:
    with transaction(engine) as tx:
        presence.drain(tx, look(engine), actor="ana", reason="new kernel")


def test_a_process_says_who_it_is_and_what_it_and_its_children_hold(
    engine: Engine, worker: Presence
) -> None:
    found = one(engine)
    assert (found["role"], found["concurrency"], found["state"]) == ("worker", 2, "idle")
    claim(engine, due_item(engine), owner=queue.owner())
    assert (one(engine)["items"], one(engine)["kinds"], one(engine)["state"]) == (
        1,
        "fetch",
        "works",
    )
    child = uuid4()
    worker.add_owner(engine, child)
    due = due_item(engine, "fold", run_id=rows(engine, "SELECT run_id FROM runs")[0]["run_id"])
    claim(engine, due, "fold", owner=child)
    assert (one(engine)["items"], one(engine)["kinds"]) == (2, "fetch, fold")
    held_by_another = due_item(
        engine, "cut", run_id=rows(engine, "SELECT run_id FROM runs")[0]["run_id"]
    )
    claim(engine, held_by_another, "cut")
    assert one(engine)["items"] == 2


def test_the_latest_children_are_remembered(engine: Engine, worker: Presence) -> None:
    children = [uuid4() for _ in range(presence.OWNERS_KEPT + 5)]
    for child in children:
        worker.add_owner(engine, child)
    (row,) = rows(engine, "SELECT owners FROM processes")
    assert row["owners"] == children[-presence.OWNERS_KEPT :]


def test_a_process_that_is_asked_to_leave_hears_it_once(
    engine: Engine, worker: Presence, left: Left
) -> None:
    drain(engine)
    assert left.now.wait(LIMIT_S)
    assert one(engine)["state"] == "draining"
    worker.stop()
    assert left.times == 1
    assert one(engine)["state"] == "ended"
    (event,) = rows(engine, "SELECT action, subject, reason FROM audit_events")
    assert event == {
        "action": "worker.drain",
        "subject": str(worker.process_id),
        "reason": "new kernel",
    }


def test_a_process_that_fell_silent_is_seen_as_such(engine: Engine, left: Left) -> None:
    made = Presence(engine, "steward", concurrency=1, leave=left, beat_s=3_600)
    made.start()
    with transaction(engine) as tx:
        tx.execute(text("UPDATE processes SET seen_at = now() - interval '31 s'"))
    assert one(engine)["state"] == "silent"
    made.stop()


def test_a_database_that_is_away_is_waited_for(engine: Engine, left: Left) -> None:
    away = connect("postgresql+psycopg://nobody@127.0.0.1:9/none")
    made = Presence(away, "worker", concurrency=1, leave=left, beat_s=0.02)
    made.start()
    made._engine = connect(engine.url.render_as_string(hide_password=False))
    drained = threading.Event()
    while not drained.is_set():
        if look(engine):
            drain(engine)
            drained.set()
    assert left.now.wait(LIMIT_S)
    made.stop()


def test_rows_of_the_long_gone_are_forgotten(engine: Engine, worker: Presence) -> None:
    assert presence.forget(engine) == 0
    worker.stop()
    with transaction(engine) as tx:
        tx.execute(text("UPDATE processes SET seen_at = now() - interval '8 days'"))
    assert presence.forget(engine) == 1
    assert look(engine, ended=True) == []
