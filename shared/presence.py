"""Who works: every process of the pipeline says so in a row of its own, every few seconds.

The row says who it is, when it was last heard of, and under which names it and its children hold
work; the process hears there that it is to leave. It goes through the database, so it is known
while the broker is away too. Nothing about work is decided by it: a lease is the ledger's alone.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection, Engine

from shared.db import connect, transaction
from shared.errors import DatabaseUnavailable
from shared.runs import audit
from shared.settings import settings
from sql import query

log = structlog.get_logger(__name__)

Role = Literal["steward", "scheduler", "worker", "consolidator"]

BEAT_S = 5.0
SILENT_S = 30.0  # who says nothing for so long is taken for dead
OWNERS_KEPT = 64  # above any concurrency; a child is followed by another after 500 tasks
FORGET_DAYS = 7


class Presence:
    """A process that says that it lives, from a thread, until it ends.

    leave   called once when somebody asks it to leave; it is to finish what it holds and take
            nothing new
    """

    def __init__(
        self,
        engine: Engine,
        role: Role,
        *,
        concurrency: int,
        leave: Callable[[], None],
        beat_s: float = BEAT_S,
    ) -> None:
        from shared.queue import owner  # noqa: PLC0415  commands that ask who works need no Celery

        self.process_id = uuid4()
        self._engine = engine
        self._leave = leave
        self._beat_s = beat_s
        self._asked = False
        self._away = False
        self._ended = threading.Event()
        self._values = {
            "process_id": self.process_id,
            "role": role,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "concurrency": concurrency,
            "release": version("facet"),
            "owner": owner(),
        }
        self._thread = threading.Thread(target=self._live, name="presence", daemon=True)

    def start(self) -> None:
        """Say it for the first time, and go on from a thread. Never raises for the database."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Say that this process ends. Never raises for the database."""
        self._ended.set()
        self._thread.join()
        self._say("process_ended")

    def add_owner(self, engine: Engine, owner: UUID) -> None:
        """A child of this process holds work under that name; called in the child."""
        try:
            with transaction(engine) as tx:
                values = {"process_id": self.process_id, "owner": owner, "kept": OWNERS_KEPT}
                tx.execute(query("add_owner"), values)
        except DatabaseUnavailable as error:
            log.warning("owner_not_noted", error=str(error))

    def _live(self) -> None:
        while not self._ended.wait(self._beat_s):
            self._beat()

    def _beat(self) -> None:
        drain_at = self._say("beat_process")
        if drain_at is not None and not self._asked:
            self._asked = True
            log.info("process_drains", role=self._values["role"])
            self._leave()

    def _say(self, name: str) -> object:
        """One statement, over a connection that is kept for nothing else."""
        try:
            with transaction(self._engine) as tx:
                done = tx.execute(query(name), self._values)
                heard = done.scalar_one() if done.returns_rows else None
            if self._away:
                log.info("presence_heard_again")
            self._away = False
        except DatabaseUnavailable as error:
            if not self._away:
                log.warning("presence_unheard", error=str(error))
            self._away = True
            return None
        finally:
            self._engine.dispose()
        return heard


def own_engine() -> Engine:
    """For the thread alone: a fork in the middle of its work leaves nothing locked in the child."""
    given = settings()
    return connect(
        given.database_url.get_secret_value(),
        pool_size=1,
        statement_timeout_s=10,
        pooled=given.database_pooled,
    )


def of_worker(role: Role) -> None:
    """Let a Celery worker of this role say that it lives. Asked to leave, it shuts down warm: what
    it holds is finished or given back at the next page, nothing new is taken, and it exits 0."""
    from celery.signals import (  # noqa: PLC0415  the same
        worker_init,
        worker_process_init,
        worker_shutdown,
    )

    from shared import queue, wiring  # noqa: PLC0415  the same

    known: list[Presence] = []

    def begin(sender: object, **_: object) -> None:
        concurrency = int(getattr(sender, "concurrency", 1))
        made = Presence(own_engine(), role, concurrency=concurrency, leave=_shut_down)
        known.append(made)
        made.start()

    def begin_child(**_: object) -> None:
        for one in known:
            one.add_owner(wiring.engine(), queue.owner())

    def end(**_: object) -> None:
        for one in known:
            one.stop()

    worker_init.connect(begin, weak=False)
    worker_process_init.connect(begin_child, weak=False)
    worker_shutdown.connect(end, weak=False)


def drain(
    tx: Connection, processes: Sequence[Mapping[str, Any]], *, actor: str, reason: str
) -> None:
    """Ask processes to leave; each hears it with its next beat. Audited, one event a process.

    processes   rows of `list_processes`
    """
    for one in processes:
        audit(
            tx,
            actor=actor,
            action="worker.drain",
            subject=str(one["process_id"]),
            reason=reason,
            before={name: one[name] for name in ("role", "host", "pid", "items")},
            after={"asked_to_leave": True},
        )
    ids = [one["process_id"] for one in processes]
    tx.execute(query("drain_processes"), {"process_ids": ids})


def forget(engine: Engine) -> int:
    """Drop the rows of processes that are long gone; returns how many."""
    with transaction(engine) as tx:
        return tx.execute(query("forget_processes"), {"days": FORGET_DAYS}).rowcount


def _shut_down() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
