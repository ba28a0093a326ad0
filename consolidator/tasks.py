"""The consolidator's Celery process: `celery -A consolidator.tasks worker -Q fold,reconcile`."""

from consolidator.fold import fold_partition
from consolidator.reconcile import reconcile_run
from shared import queue, wiring
from shared.feeds import feed
from shared.ledger import Claim
from shared.settings import settings

app = wiring.app()


@queue.handles(app, "fold", wiring.engine)
def fold(held: Claim) -> None:
    """Fold a partition."""
    fold_partition(held, engine=wiring.engine(), feed=feed(held.feed))


@queue.handles(app, "reconcile", wiring.engine)
def reconcile(held: Claim) -> None:
    """Close a run."""
    reconcile_run(
        held,
        engine=wiring.engine(),
        recount=lambda part: wiring.source(held.feed).count(part),
        delist_after_runs=settings().delist_after_runs,
        empty_below_share=settings().empty_below_share,
    )
