"""Cut a partition that outgrew its plan while it was being fetched.

It was closed with what it had; its children tile it, go before everything else, and name it as
their parent. Where no axis can cut it, one child reads on to where the supplier's offset ends.
"""

import structlog
from psycopg.types.json import set_json_loads
from sqlalchemy import Connection, Engine, Row

from scheduler import partitions
from scheduler.recut import recut
from scheduler.terms import Leaf
from shared import ledger
from shared.db import as_it_is, cursor, transaction
from shared.feeds.base import RawOffer, Slice, SlicedFeed, SlicedSource
from shared.feeds.coordinates import by_mapping
from shared.ledger import Claim
from shared.settings import Settings
from sql import query

log = structlog.get_logger(__name__)

SEEN_MAX = 5_000  # offers looked at to find where to cut

READ_SEEN = """
    SELECT payload FROM raw_offers WHERE landed_on = %s AND partition_id = %s LIMIT %s
"""


def cut_partition(
    held: Claim, *, engine: Engine, source: SlicedSource, feed: SlicedFeed, settings: Settings
) -> list[Leaf]:
    """Cut, count the children and queue them; returns them.

    Safe to call again after a crash: nothing is written before the last count. Raises the errors
    of `source.count`, ClaimLost, DatabaseUnavailable.
    """
    with transaction(engine) as tx:
        row = tx.execute(query("partition_to_cut"), {"partition_id": held.partition_id}).one()
        seen = _seen(tx, row)
    part = Slice.model_validate(row.slice)
    coordinates = by_mapping(feed.map_offers)
    before = source.requests()
    children = recut(
        part,
        source.count(part),
        offers_max=settings.partition_offers_max,
        slicing=feed.slicing,
        prices=coordinates(seen, "price"),
        carats=coordinates(seen, "carat"),
        axes=[axis for axis, whole in (row.probes or {}).items() if whole],
    )
    stuck = children == [part]
    leaves = []
    for child in children:
        offers = source.count(child)
        leaves.append(Leaf(child, offers, False, stuck, "cannot be cut" if stuck else ""))
        with transaction(engine, "heartbeat") as tx:
            ledger.heartbeat(tx, held, lease_s=settings.lease_s)
    with transaction(engine, "cut") as tx:
        ledger.finish(tx, held)
        calls = source.requests() - before
        tx.execute(query("add_scan_calls"), {"run_id": held.run_id, "calls": calls})
        partitions.add(
            tx,
            held,
            leaves,
            parent_id=row.partition_id,
            sweep=row.sweep,
            next_offset=row.next_offset if stuck else 0,
        )
    log.warning("partition_cut", children=len(leaves), offers=[leaf.offers for leaf in leaves])
    return leaves


def _seen(tx: Connection, row: Row[tuple[object, ...]]) -> list[RawOffer]:
    with cursor(tx) as reader:
        set_json_loads(as_it_is, context=reader)
        reader.execute(READ_SEEN, (row.landed_on, row.partition_id, SEEN_MAX))
        return [RawOffer(None, payload) for (payload,) in reader]
