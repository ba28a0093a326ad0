"""The worker's Celery process: `celery -A worker.tasks worker -Q fetch`."""

import sys
import threading

from shared import presence, queue, telemetry, wiring
from shared.feeds import feed
from shared.feeds.base import SnapshotFeed
from shared.feeds.coordinates import by_mapping
from shared.ledger import Claim
from shared.settings import settings
from worker.download import land_snapshot
from worker.fetch import fetch_partition

telemetry.be("worker")
app = wiring.app()
presence.of_worker("worker")

# A thread whose turn has come at the supplier shall not wait long for one that reads a page.
sys.setswitchinterval(0.001)

_lead = threading.Lock()


@queue.handles(app, "fetch", wiring.engine)
def fetch(held: Claim) -> None:
    """Fetch a partition, or everything a feed says at once."""
    found = feed(held.feed)
    if isinstance(found, SnapshotFeed):
        land_snapshot(
            held,
            engine=wiring.engine(),
            source=wiring.snapshots(held.feed),
            offers_max=settings().partition_offers_max,
            lease_s=settings().lease_s,
            stopping=queue.stopping.is_set,
        )
        return
    fetch_partition(
        held,
        engine=wiring.engine(),
        source=wiring.source(held.feed).apart(),  # its requests are the partition's
        slicing=found.slicing,
        offers_max=settings().partition_offers_max,
        lease_s=settings().lease_s,
        coordinates=by_mapping(found.map_offers),
        ahead=settings().fetch_ahead(),
        lead=_lead,
        stopping=queue.stopping.is_set,
    )
