"""Plan a run of a feed that says everything at once: there is nothing to scan.

One partition and its fetch; whoever fetches sees how much there is, and adds the rest.
"""

from sqlalchemy import Engine

from scheduler import partitions
from scheduler.terms import Leaf
from shared import ledger, runs
from shared.db import transaction
from shared.feeds.base import Slice
from shared.ledger import Claim
from sql import query


def expect_snapshot(held: Claim, *, engine: Engine) -> None:
    """Queue the fetch. Raises ClaimLost, DatabaseUnavailable."""
    with transaction(engine, "expect_file") as tx:
        ledger.finish(tx, held)
        runs.fetching(tx, held.run_id, counted=None)
        tx.execute(query("expect_snapshot"), {"run_id": held.run_id})
        partitions.add(
            tx, held, [Leaf(Slice(), 0, estimated=True, saturated=False, reason="a snapshot")]
        )
