"""The consolidator's Celery process.

`celery -A consolidator.tasks worker -Q fold,reconcile,reprice`
"""

from consolidator.fold import fold_partition
from consolidator.reconcile import reconcile_run
from consolidator.reprice import reprice_batch
from shared import presence, queue, telemetry, wiring
from shared.feeds import feed
from shared.ledger import Claim
from shared.settings import settings

telemetry.be("consolidator")
app = wiring.app()
presence.of_worker("consolidator")


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


@queue.handles(app, "reprice", wiring.engine)
def reprice(held: Claim) -> None:
    """Price a batch of stones anew."""
    reprice_batch(held, engine=wiring.engine())
