"""The steward: announces what is due, reaps what fell silent, closes runs and reprices whose work
is done, looks for what is wrong, starts runs by schedule.

Any number may run, one of them leads (scheduler/leader.py): every statement is bounded and safe
beside itself. Losing a message, a mark or a steward costs a delay, never work.
"""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType

import structlog
from celery import Celery
from sqlalchemy import Engine

from scheduler import alerting, chores, retention
from scheduler.alerting import Alerting
from scheduler.leader import Leadership
from scheduler.watch import Watch
from shared import failpoints, ledger, queue, telemetry, wiring
from shared.db import require_schema, transaction
from shared.errors import Transient
from shared.ledger import Kind
from shared.presence import Presence, own_engine
from shared.settings import settings
from shared.wakeup import Wakeup
from sql import query

log = structlog.get_logger(__name__)

REAP_BATCH = 100
FAILED_PAUSE_S = 2.0


def announce(engine: Engine, app: Celery, kind: Kind, *, again_s: float, announced_max: int) -> int:
    """Send the messages of what is due; returns how many.

    Sent before the mark commits: a crash in between sends twice, which is harmless. Raises
    BrokerUnavailable, DatabaseUnavailable; then nothing is marked.
    """
    with transaction(engine, "announce") as tx:
        due = ledger.announce(tx, kind, again_s=again_s, announced_max=announced_max)
        if not due:
            return 0
        wakeups = [
            Wakeup(item=one.item_id, epoch=one.epoch, traceparent=one.traceparent) for one in due
        ]
        failpoints.reached("announce.before_send")
        sent = queue.send(app, kind, wakeups)
        failpoints.reached("announce.after_send")
        return sent


def reap(engine: Engine) -> int:
    """Make due, or bury, what is held beyond its lease; returns how many items."""
    with transaction(engine, "reap") as tx:
        rows = tx.execute(query("reap_items"), {"batch": REAP_BATCH}).mappings().all()
        for kind, items in sorted(Counter(row["kind"] for row in rows).items()):
            tx.execute(query("note_lapses"), {"kind": kind, "items": items})
    for row in rows:
        log.warning(
            "lease_ran_out",
            kind=row["kind"],
            item_id=row["item_id"],
            run_id=str(row["run_id"]),
            partition_id=row["partition_id"],
            epoch=row["epoch"],
            attempt=row["attempts"],
            now=row["state"],
        )
    return len(rows)


def close_runs(engine: Engine) -> int:
    """Queue what comes after a run's last work item, its sweep or its reconciliation, also of a run
    that was replayed; end runs whose reconciliation gave up. Returns how many."""
    queued = 0
    following: dict[str, Kind] = {"runs_to_reconcile": "reconcile", "runs_to_sweep": "sweep"}
    for name, kind in following.items():
        values = {"attempts_max": ledger.ATTEMPTS_MAX[kind]}
        with transaction(engine, "close_runs") as tx:
            queued += len(tx.execute(query(name), values).all())
    for again in ("runs_to_sweep_again", "runs_to_reconcile_again"):
        with transaction(engine) as tx:
            queued += len(tx.execute(query(again)).all())
    with transaction(engine) as tx:
        given_up = tx.execute(query("close_given_up")).all()
    for run in given_up:
        log.error("run_given_up", run_id=str(run.run_id), state=run.state, reason=run.reason)
    return queued + len(given_up)


def close_reprices(engine: Engine) -> int:
    """End the reprice whose last work item has closed; returns how many, at most one."""
    with transaction(engine, "close_reprices") as tx:
        rows = tx.execute(query("close_reprices")).mappings().all()
    for row in rows:
        log.info("reprice_ended", **row)
    return len(rows)


def one_round(
    engine: Engine,
    app: Celery,
    *,
    again_s: float,
    announced_max: int,
    beside: Sequence[Callable[[], int]] = (),
) -> int:
    """Everything once, the chores `beside` it that are due included; returns how many rows it
    moved. Raises Transient errors."""
    moved = reap(engine) + close_runs(engine) + close_reprices(engine)
    moved += sum(chore() for chore in beside)
    for kind in ledger.ANNOUNCED:
        moved += announce(engine, app, kind, again_s=again_s, announced_max=announced_max)
    return moved


def run(
    engine: Engine,
    app: Celery,
    *,
    poll_s: float,
    again_s: float,
    announced_max: int,
    leader_lease_s: float,
    stop: threading.Event,
    look: Callable[[], None] = lambda: None,
    wait: Callable[[float], object] | None = None,
    beside: Sequence[Callable[[], int]] = (),
) -> None:
    """Rounds while this steward leads, until told to stop; then another one may lead at once.

    look   for what is wrong; before anything else, so that it is seen while the broker is away

    A database or broker that is away is waited for, and logged.
    """
    pause = wait or stop.wait
    away = False
    leadership = Leadership(engine, lease_s=leader_lease_s)
    while not stop.is_set():
        started = time.monotonic()
        try:
            look()
            if leadership.leads():
                one_round(engine, app, again_s=again_s, announced_max=announced_max, beside=beside)
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
    leadership.resign()


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
    telemetry.be("steward")
    given = settings()
    telemetry.configure(json=given.log_json, reporting=given)
    require_schema(wiring.engine())
    stop = stop_on_signals()
    presence = Presence(own_engine(), "steward", concurrency=1, leave=stop.set)
    presence.start()
    retention.keep_house(wiring.engine(), given, stop)
    watch = Watch(wiring.engine(), given, wiring.breaker)
    with alerting.running(Alerting(wiring.engine(), given, watch), stop) as raise_its_end:

        def look() -> None:
            raise_its_end()
            watch.look_if_due()

        run(
            wiring.engine(),
            wiring.app(),
            poll_s=given.steward_poll_s,
            again_s=given.announce_again_s,
            announced_max=given.announced_max,
            leader_lease_s=given.leader_lease_s,
            stop=stop,
            look=look,
            beside=chores.of_steward(wiring.engine(), wiring.redis_client),
        )
    try:
        watch.end()
    except Transient as error:
        log.warning("steward_left_unsaid", error=str(error))
    presence.stop()


if __name__ == "__main__":
    main()
