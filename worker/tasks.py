"""The worker's Celery process: `celery -A worker.tasks worker -Q fetch`."""

from shared import queue, wiring
from shared.feeds import feed
from shared.ledger import Claim
from shared.settings import settings
from worker.fetch import fetch_partition

app = wiring.app()


@queue.handles(app, "fetch", wiring.engine)
def fetch(held: Claim) -> None:
    """Fetch a partition."""
    fetch_partition(
        held,
        engine=wiring.engine(),
        source=wiring.source(held.feed),
        slicing=feed(held.feed).slicing,
        offers_max=settings().partition_offers_max,
        lease_s=settings().lease_s,
        stopping=queue.stopping.is_set,
    )
