"""The scheduler's Celery process: `celery -A scheduler.tasks worker -Q plan,cut,sweep`."""

from scheduler.cut import cut_partition
from scheduler.plan import plan_run, sweep_run
from shared import queue, wiring
from shared.feeds import feed
from shared.ledger import Claim
from shared.settings import settings

app = wiring.app()


@queue.handles(app, "plan", wiring.engine)
def plan(held: Claim) -> None:
    """Plan a run."""
    plan_run(
        held,
        engine=wiring.engine(),
        source=wiring.source(held.feed),
        feed=feed(held.feed),
        settings=settings(),
        stopping=queue.stopping.is_set,
    )


@queue.handles(app, "sweep", wiring.engine)
def sweep(held: Claim) -> None:
    """Read once more what changed while a run was reading."""
    sweep_run(
        held,
        engine=wiring.engine(),
        source=wiring.source(held.feed),
        feed=feed(held.feed),
        settings=settings(),
        stopping=queue.stopping.is_set,
    )


@queue.handles(app, "cut", wiring.engine)
def cut(held: Claim) -> None:
    """Cut a partition that outgrew its plan."""
    cut_partition(
        held,
        engine=wiring.engine(),
        source=wiring.source(held.feed),
        feed=feed(held.feed),
        settings=settings(),
    )
