"""Rows that tests start from: each sets only what its test is about."""

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from shared import ledger, runs
from shared.db import transaction
from shared.feeds.base import Slice, Span
from shared.ledger import Claim, Kind
from sql import query

FEED = "nivoda-natural"
LEASE_S = 60.0


def open_run(engine: Engine, feed: str = FEED) -> UUID:
    """A run in `planning`, with its plan item."""
    with transaction(engine) as tx:
        return runs.start(tx, feed).run_id


def insert_partition(tx: Connection, run_id: UUID, **wanted: Any) -> int:
    """A partition over the whole axis."""
    span = wanted.pop("span", Span(0, None))
    values = {
        "run_id": run_id,
        "parent_id": None,
        "sweep": False,
        "next_offset": 0,
        "slice": Slice(price=span).model_dump_json(exclude_defaults=True),
        "price_low": span.low,
        "price_high": span.high,
        "planned_offers": 100,
        "estimated": False,
        "saturated": False,
    }
    return int(tx.execute(query("add_partition"), values | wanted).scalar_one())


def due_item(engine: Engine, kind: Kind = "fetch", **wanted: Any) -> int:
    """A work item that is due, on a partition of a run of its own."""
    run_id = wanted.pop("run_id", None) or open_run(engine)
    with transaction(engine) as tx:
        partition_id = insert_partition(tx, run_id, **wanted)
        return ledger.add(tx, kind, run_id, partition_id=partition_id)


def claim(engine: Engine, item_id: int, kind: Kind = "fetch", **wanted: Any) -> Claim | None:
    """Claim it at its present epoch."""
    values = {"owner": uuid4(), "lease_s": LEASE_S} | wanted
    with transaction(engine) as tx:
        epoch = wanted.pop("epoch", None)
        if epoch is None:
            epoch = item(tx, item_id)["epoch"]
        values.pop("epoch", None)
        return ledger.claim(tx, kind, item_id, epoch, **values)


def held_item(engine: Engine, kind: Kind = "fetch", **wanted: Any) -> Claim:
    """A work item that we hold."""
    held = claim(engine, due_item(engine, kind, **wanted), kind)
    assert held is not None
    return held


def item(tx: Connection, item_id: int) -> dict[str, Any]:
    """A work item as it stands."""
    row = tx.execute(text("SELECT * FROM work_items WHERE item_id = :id"), {"id": item_id})
    return dict(row.mappings().one())


def item_now(engine: Engine, item_id: int) -> dict[str, Any]:
    """The same, in a transaction of its own."""
    with transaction(engine) as tx:
        return item(tx, item_id)


def lapse(engine: Engine, item_id: int) -> None:
    """Let a lease run out, without waiting for it."""
    move = text("UPDATE work_items SET lease_until = now() - interval '1 s' WHERE item_id = :id")
    with transaction(engine) as tx:
        tx.execute(move, {"id": item_id})


def rows(engine: Engine, statement: str, **values: Any) -> list[dict[str, Any]]:
    """What a statement answers."""
    with transaction(engine) as tx:
        return [dict(row) for row in tx.execute(text(statement), values).mappings()]
