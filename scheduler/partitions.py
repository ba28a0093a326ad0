"""Write partitions and queue their fetches. Each function takes the open transaction first."""

from collections.abc import Iterable

from sqlalchemy import Connection

from scheduler.terms import Leaf
from shared import ledger
from shared.ledger import Claim
from sql import query

# Added to a priority: before everything that was only planned.
FIRST = 1 << 40


def add(
    tx: Connection,
    held: Claim,
    leaves: Iterable[Leaf],
    *,
    parent_id: int | None = None,
    sweep: bool = False,
    next_offset: int = 0,
) -> None:
    """A partition and its fetch item for each leaf; the heaviest is fetched first.

    parent_id    they were cut out of that one, and go before all others
    sweep        they hold what changed while the run was reading
    next_offset  where their reading begins
    """
    for leaf in leaves:
        span = leaf.slice.price
        values = {
            "run_id": held.run_id,
            "parent_id": parent_id,
            "sweep": sweep,
            "slice": leaf.slice.model_dump_json(exclude_defaults=True),
            "price_low": None if span is None else span.low,
            "price_high": None if span is None else span.high,
            "planned_offers": leaf.offers,
            "estimated": leaf.estimated,
            "saturated": leaf.saturated,
            "next_offset": next_offset,
        }
        partition_id = tx.execute(query("add_partition"), values).scalar_one()
        ledger.add(
            tx,
            "fetch",
            held.run_id,
            partition_id=partition_id,
            priority=leaf.offers + (FIRST if parent_id is not None else 0),
            traceparent=held.traceparent,
        )
