"""The steward: announces what is due, reaps what fell silent, closes runs whose work is done.

Any number may run: every statement is bounded and safe beside itself. Losing a message, a mark or
a steward costs a delay, never work.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog
from celery import Celery
from sqlalchemy import Engine

from shared import ledger, queue, telemetry, wiring
from shared.db import require_schema, transaction
from shared.errors import Transient
from shared.ledger import Kind
from shared.queue import Wakeup
from shared.settings import settings
from sql import query

log = structlog.get_logger(__name__)

REAP_BATCH = 100
FAILED_PAUSE_S = 2.0


def announce(engine: Engine, app: Celery, kind: Kind, *, again_s: float, announced_max: int) -> int:
    """Send the messages of what is due; returns how many.

    Sent before the mark commits: a crash in between sends twice, which is harmless. Raises
    BrokerUnavailable, DatabaseUnavailable; then nothing is marked.
    """
    with transaction(engine) as tx:
        due = ledger.announce(tx, kind, again_s=again_s, announced_max=announced_max)
        if not due:
            return 0
        wakeups = [
            Wakeup(item=one.item_id, epoch=one.epoch, traceparent=one.traceparent) for one in due
        ]
        return queue.send(app, kind, wakeups)


def reap(engine: Engine) -> int:
    """Make due, or bury, what is held beyond its lease; returns how many items."""
    with transaction(engine) as tx:
        rows = tx.execute(query("reap_items"), {"batch": REAP_BATCH}).mappings().all()
    for row in rows:
        log.warning(
            "lease_ran_out",
            kind=row["kind"],
            item_id=row["item_id"],
            run_id=str(row["run_id"]),
            attempt=row["attempts"],
            now=row["state"],
        )
    return len(rows)


def close_runs(engine: Engine) -> int:
    """Queue what comes after a run's last work item, its sweep or its reconciliation; returns how
    many."""
    queued = 0
    following: dict[str, Kind] = {"runs_to_reconcile": "reconcile", "runs_to_sweep": "sweep"}
    for name, kind in following.items():
        values = {"attempts_max": ledger.ATTEMPTS_MAX[kind]}
        with transaction(engine) as tx:
            queued += len(tx.execute(query(name), values).all())
    return queued


def one_round(engine: Engine, app: Celery, *, again_s: float, announced_max: int) -> int:
    """Everything once; returns how many rows it moved. Raises Transient errors."""
    moved = reap(engine) + close_runs(engine)
    for kind in ledger.KINDS:
        moved += announce(engine, app, kind, again_s=again_s, announced_max=announced_max)
    return moved


def run(
    engine: Engine,
    app: Celery,
    *,
    poll_s: float,
    again_s: float,
    announced_max: int,
    stop: threading.Event,
    wait: Callable[[float], object] | None = None,
) -> None:
    """Rounds until told to stop. A database or broker that is away is waited for, and logged."""
    pause = wait or stop.wait
    away = False
    while not stop.is_set():
        started = time.monotonic()
        try:
            one_round(engine, app, again_s=again_s, announced_max=announced_max)
        except Transient as error:
            if not away:
                log.error("steward_waits", error=str(error))
            away = True
            pause(FAILED_PAUSE_S)
            continue
        if away:
            log.info("steward_goes_on")
            away = False
        pause(max(0.0, poll_s - (time.monotonic() - started)))


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop


def main() -> None:
    """Be a steward, until SIGTERM."""
    given = settings()
    telemetry.configure(json=given.log_json)
    require_schema(wiring.engine())
    run(
        wiring.engine(),
        wiring.app(),
        poll_s=given.steward_poll_s,
        again_s=given.announce_again_s,
        announced_max=given.announced_max,
        stop=stop_on_signals(),
    )


if __name__ == "__main__":
    main()
