"""The scheduler's Celery process: `celery -A scheduler.tasks worker -Q plan,cut,sweep`."""

from scheduler.check import check_run
from scheduler.cut import cut_partition
from scheduler.plan import plan_run, sweep_run
from scheduler.snapshot import expect_snapshot
from shared import presence, queue, telemetry, wiring
from shared.feeds import feed, sliced
from shared.feeds.base import SnapshotFeed
from shared.ledger import Claim
from shared.settings import settings

telemetry.be("scheduler")
app = wiring.app()
presence.of_worker("scheduler")


@queue.handles(app, "plan", wiring.engine)
def plan(held: Claim) -> None:
    """Check the supplier, then plan a run; a file is looked over when it is taken."""
    found = feed(held.feed)
    if isinstance(found, SnapshotFeed):
        expect_snapshot(held, engine=wiring.engine())
        return
    check_run(
        held,
        engine=wiring.engine(),
        feed=found,
        make=lambda: wiring.check(held.feed),
        lease_s=settings().lease_s,
    )
    plan_run(
        held,
        engine=wiring.engine(),
        source=wiring.source(held.feed),
        feed=found,
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
        feed=sliced(held.feed),
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
        feed=sliced(held.feed),
        settings=settings(),
    )
