"""Wake-ups: Celery carries them, the ledger decides.

A message names a work item and an epoch; it may come twice, late, out of order or not at all.
`handles` is the one shell around every piece of work: it reads the message, claims the item, binds
the log context, and gives the item back or buries it where the work fails.
"""

import functools
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID, uuid4

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_shutting_down
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json
from sqlalchemy import Engine
from structlog.contextvars import bound_contextvars

from shared import ledger, telemetry
from shared.db import transaction
from shared.errors import BrokerUnavailable, ClaimLost, Permanent, Transient
from shared.ledger import Claim, Kind
from shared.settings import Settings, settings

log = structlog.get_logger(__name__)

VISIBILITY_TIMEOUT_S = 900  # above the time limit of a task and the shutdown grace
TASK_LIMIT_S = 660
SHUTDOWN_GRACE_S = 25

# Set in the worker's parent when it is asked to stop; its children were forked with it.
stopping = multiprocessing.Event()


class Wakeup(BaseModel):
    """A work item may be claimed at this epoch. Under 300 bytes; never rows, never filters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: int = Field(ge=1)
    epoch: int = Field(ge=0)
    traceparent: str | None = Field(default=None, max_length=64)


def make_app(given: Settings) -> Celery:
    """The Celery application for a broker. Nothing is connected yet."""
    broker = given.broker_url.get_secret_value()
    app = Celery("facet", broker=broker)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # the default gives up after 100
        broker_transport_options=_transport(broker),
        visibility_timeout=VISIBILITY_TIMEOUT_S,
        result_backend_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_S},
        task_acks_late=True,
        task_reject_on_worker_lost=True,  # bounded by the attempts in the claim
        task_retry_on_worker_lost=False,  # a second counter would hide the real one
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[_queue(kind, broker) for kind in ledger.KINDS],
        task_create_missing_queues=False,
        task_soft_time_limit=TASK_LIMIT_S - 60,
        task_time_limit=TASK_LIMIT_S,
        task_publish_retry_policy={"max_retries": 2, "interval_max": 0.5},
        worker_prefetch_multiplier=1,
        worker_eta_task_limit=10,  # a tripwire: no ETA is ever sent
        worker_soft_shutdown_timeout=SHUTDOWN_GRACE_S,
        worker_enable_soft_shutdown_on_idle=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the lease decides
        worker_max_tasks_per_child=500,
        worker_max_memory_per_child=400_000,  # KB; a ceiling, not a plan
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


def _transport(broker: str) -> dict[str, Any]:
    if broker.startswith("amqp"):
        return {"confirm_publish": True}
    return {
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


def _queue(kind: Kind, broker: str) -> Queue:
    quorum = {"x-queue-type": "quorum"} if broker.startswith("amqp") else None
    return Queue(kind, routing_key=kind, queue_arguments=quorum)  # type: ignore[no-untyped-call]


def task_name(kind: Kind) -> str:
    """What the broker calls the work of a kind."""
    return f"facet.{kind}"


def send(app: Celery, kind: Kind, wakeups: Iterable[Wakeup]) -> int:
    """Send messages in this order; returns how many. Raises BrokerUnavailable."""
    sent = 0
    try:
        with app.producer_or_acquire() as producer:
            for wakeup in wakeups:
                app.send_task(
                    task_name(kind),
                    kwargs=wakeup.model_dump(exclude_none=True),
                    queue=kind,
                    producer=producer,
                )
                sent += 1
    except (OperationalError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer: {error}") from error
    return sent


@functools.cache
def _owner(_pid: int) -> UUID:
    return uuid4()


def owner() -> UUID:
    """Who we are in a claim: a new UUID for every process start, forked children included."""
    return _owner(os.getpid())


def deliver(
    message: dict[str, Any], kind: Kind, function: Callable[[Claim], None], *, engine: Engine
) -> str:
    """Do what a message asks for, once; returns what became of it, for the log and for tests.

    done · skipped (nothing to claim) · given_back · dead · lost (another holder) · unreadable.
    Raises DatabaseUnavailable where not even the ledger can be reached, and any bug of ours after
    it is buried.
    """
    try:
        wakeup = Wakeup.model_validate(message)
    except ValidationError as error:
        return _unreadable(message, error, engine)
    lease_s = settings().lease_s
    with transaction(engine) as tx:
        held = ledger.claim(tx, kind, wakeup.item, wakeup.epoch, owner=owner(), lease_s=lease_s)
    if held is None:
        log.debug("item_skipped", kind=kind, item_id=wakeup.item, epoch=wakeup.epoch)
        return "skipped"
    with bound_contextvars(
        kind=kind,
        item_id=held.item_id,
        run_id=str(held.run_id),
        partition_id=held.partition_id,
        epoch=held.epoch,
        attempt=held.attempts,
    ):
        return _work(held, function, engine)


def _work(held: Claim, function: Callable[[Claim], None], engine: Engine) -> str:
    started = time.monotonic()
    try:
        function(held)
    except ClaimLost:
        log.info("claim_lost")
        return "lost"
    except Transient as error:
        return _transient(held, error, engine)
    except Permanent as error:
        log.error("item_buried", error=str(error))
        _bury(held, "permanent", error, engine)
        return "dead"
    except Exception as error:
        log.exception("item_failed")
        _bury(held, "bug", error, engine)
        raise
    log.info("item_done", duration_ms=round(1000 * (time.monotonic() - started)))
    return "done"


def _transient(held: Claim, error: Transient, engine: Engine) -> str:
    lines = "".join(traceback.format_exception(error))
    try:
        with transaction(engine) as tx:
            state = ledger.retry(tx, held, error, traceback=lines)
    except ClaimLost:
        log.info("claim_lost")
        return "lost"
    if state == "dead":
        log.error("item_buried", error=str(error))
    else:
        log.warning("item_given_back", error=str(error))
    return state


def _bury(held: Claim, reason: ledger.Reason, error: Exception, engine: Engine) -> bool:
    text = str(error) or type(error).__name__
    lines = "".join(traceback.format_exception(error))
    try:
        with transaction(engine) as tx:
            ledger.bury(tx, held, reason=reason, error=text, traceback=lines)
    except ClaimLost:
        log.info("claim_lost")
        return False
    return True


def _unreadable(message: dict[str, Any], error: ValidationError, engine: Engine) -> str:
    problem = "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)
    )
    log.error("message_unreadable", error=problem)
    with transaction(engine) as tx:
        ledger.bury_message(tx, to_json(message, fallback=repr), error=problem)
    return "unreadable"


def handles(
    app: Celery, kind: Kind, engine: Callable[[], Engine]
) -> Callable[[Callable[[Claim], None]], Callable[[Claim], None]]:
    """Register a function as the work of a kind; the function itself never hears of Celery."""

    def register(function: Callable[[Claim], None]) -> Callable[[Claim], None]:
        @app.task(name=task_name(kind), bind=False)  # type: ignore[untyped-decorator]
        def task(**message: Any) -> None:
            deliver(message, kind, function, engine=engine())

        return function

    return register


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**_: object) -> None:
    stopping.set()


@setup_logging.connect  # type: ignore[untyped-decorator]
def _logging(**_: object) -> None:
    telemetry.configure(json=settings().log_json)
