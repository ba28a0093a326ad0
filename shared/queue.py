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
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_process_shutdown, worker_shutting_down
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import Engine
from structlog.contextvars import bound_contextvars

from shared import ledger, telemetry, tracing
from shared.db import transaction
from shared.errors import BrokerUnavailable, ClaimLost, CommitInDoubt, Permanent, Transient
from shared.ledger import Claim, Kind
from shared.settings import Settings, settings
from shared.wakeup import Wakeup, problem_of

if TYPE_CHECKING:
    from shared.wire import Stray

log = structlog.get_logger(__name__)

VISIBILITY_TIMEOUT_S = 2_100  # above the time limit of a task and the shutdown grace
TASK_LIMIT_S = 1_860  # a supplier may take 15 minutes to send its file, which then has to land
SHUTDOWN_GRACE_S = 25
REQUEST = "shared.acknowledging:Acknowledging"  # a name: only Celery's workers import it

# Why a message claims nothing, where that is worth a person's attention; the rest is every day's.
STRANGE = ("gone", "future")

# Set in the worker's parent when it is asked to stop; its children were forked with it.
stopping = multiprocessing.Event()


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
        task_queues=[_queue(kind, broker) for kind in ledger.ANNOUNCED],
        task_create_missing_queues=False,
        task_soft_time_limit=TASK_LIMIT_S - 60,
        task_time_limit=TASK_LIMIT_S,
        task_publish_retry_policy={"max_retries": 2, "interval_max": 0.5},
        worker_consumer="shared.wire:CheckedConsumer",
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
    held = _claim(wakeup, kind, engine)
    if held is None:
        return "skipped"
    about = {
        "run_id": None if held.run is None else str(held.run),
        "feed": held.run_feed,
        "partition_id": held.partition_id,
        "attempt": held.attempts,
    }
    trace_id = tracing.trace_id(held.traceparent)
    with (
        bound_contextvars(
            kind=kind, item_id=held.item_id, epoch=held.epoch, trace_id=trace_id, **about
        ),
        tracing.work(kind, held.item_id, held.epoch, held.traceparent, **about) as span,
    ):
        held = held._replace(traceparent=tracing.carried(held.traceparent))
        outcome = _work(held, function, engine)
        span.note(outcome=outcome)
        if outcome == "dead":
            span.failed("given up; the dead letter says why")
        return outcome


def _claim(wakeup: Wakeup, kind: Kind, engine: Engine) -> Claim | None:
    """Take the item, or say in the log why not. A claim whose commit was in doubt is looked up."""
    try:
        with transaction(engine, "claim") as tx:
            held = ledger.claim(
                tx, kind, wakeup.item, wakeup.epoch, owner=owner(), lease_s=settings().lease_s
            )
            why = None
            if held is None:
                why = ledger.why_not_claimed(tx, kind, wakeup.item, wakeup.epoch)
    except CommitInDoubt:
        with transaction(engine) as tx:
            held = ledger.claimed_in_doubt(tx, kind, wakeup.item, wakeup.epoch, owner=owner())
        why = "its commit did not happen"
        log.warning("claim_looked_up", item_id=wakeup.item, held=held is not None)
    if held is None:
        say = log.warning if why in STRANGE else log.debug
        say("item_skipped", kind=kind, item_id=wakeup.item, epoch=wakeup.epoch, why=why)
    return held


def _work(held: Claim, function: Callable[[Claim], None], engine: Engine) -> str:
    started = time.monotonic()
    try:
        function(held)
    except ClaimLost:
        log.info("claim_lost")
        return "lost"
    except CommitInDoubt as error:
        with transaction(engine) as tx:
            done = ledger.is_done(tx, held)
        log.warning("commit_looked_up", done=done)
        if not done:
            return _transient(held, error, engine)
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
        with transaction(engine, "give_back") as tx:
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
        with transaction(engine, "bury") as tx:
            ledger.bury(tx, held, reason=reason, error=text, traceback=lines)
    except ClaimLost:
        log.info("claim_lost")
        return False
    return True


def _unreadable(message: dict[str, Any], error: ValidationError, engine: Engine) -> str:
    problem = problem_of(error)
    log.error("message_unreadable", error=problem)
    with transaction(engine, "bad_message") as tx:
        ledger.bury_message(tx, to_json(message, fallback=repr), error=problem)
    return "unreadable"


def keep_stray(stray: "Stray", *, engine: Callable[[], Engine]) -> None:
    """Make a dead letter of a message that nobody can do anything with.

    Raises DatabaseUnavailable; then the broker must keep it. Where the commit is in doubt it is
    kept again, which at most counts it twice: the same bytes are one letter.
    """
    log.error("message_stray", reason=stray.reason, error=stray.error, queue=stray.queue)
    named = [kind for kind in ledger.KINDS if stray.queue == kind or stray.task == task_name(kind)]
    with transaction(engine(), "bad_message") as tx:
        ledger.bury_message(
            tx,
            stray.body,
            error=stray.error,
            reason=stray.reason,
            kind=named[0] if named else None,
            payload={"queue": stray.queue, "task": stray.task, **stray.about},
        )


def handles(
    app: Celery, kind: Kind, engine: Callable[[], Engine]
) -> Callable[[Callable[[Claim], None]], Callable[[Claim], None]]:
    """Register a function as the work of a kind; the function itself never hears of Celery."""
    from shared import wire  # noqa: PLC0415  Celery's worker, which who only sends does not need

    wire.use_checked_redis()
    wire.keep_with(functools.partial(keep_stray, engine=engine))

    def register(function: Callable[[Claim], None]) -> Callable[[Claim], None]:
        @app.task(  # type: ignore[untyped-decorator]
            name=task_name(kind), bind=False, shared=False, Request=REQUEST
        )
        def task(**message: Any) -> None:
            deliver(message, kind, function, engine=engine())

        return function

    return register


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**_: object) -> None:
    stopping.set()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _leave(**_: object) -> None:
    tracing.flush()  # a child of the pool ends without exit handlers


@setup_logging.connect  # type: ignore[untyped-decorator]
def _logging(**_: object) -> None:
    telemetry.configure(json=settings().log_json, reporting=settings())
