"""Leases by hand: what is held by whom, and taking it from a holder that is known to be dead.

Nobody needs to: a lease that ran out is reaped within seconds. Releasing one spares the wait.
"""

from typing import Any

from sqlalchemy import Connection

from shared import runs
from shared.errors import NotNow
from shared.ledger import printable
from sql import query


def held(tx: Connection, *, expired: bool, limit: int) -> list[dict[str, Any]]:
    """What is held, the lease that ends first before the others; or only leases that ran out."""
    rows = tx.execute(query("list_leases"), {"expired": expired, "limit": limit})
    return [dict(row) for row in rows.mappings()]


def look(tx: Connection, item_id: int) -> dict[str, Any]:
    """A held item. Raises NotNow where it is not held."""
    row = tx.execute(query("lease_to_release"), {"item_id": item_id}).mappings().one_or_none()
    if row is None:
        raise NotNow(f"there is no work item {item_id}", hint="`facet lease list`")
    if row["state"] != "held":
        raise NotNow(
            f"nobody holds item {item_id}: it is {row['state']}", hint="`facet lease list`"
        )
    return dict(row)


def release(tx: Connection, item_id: int, *, actor: str, because: str) -> dict[str, Any]:
    """Make a held item due at once; returns how it was held.

    Its holder, should it be alive, changes nothing more: its next write is rolled back. The attempt
    does not count. Raises NotNow where the item is not held.
    """
    before = look(tx, item_id)
    runs.audit(
        tx,
        actor=actor,
        action="lease.release",
        subject=str(item_id),
        reason=because,
        before={name: before[name] for name in ("owner", "epoch", "attempts", "lease_until")},
        after={"state": "due", "attempts": before["attempts"] - 1},
    )
    values = {"item_id": item_id, "epoch": before["epoch"]}
    error = printable(f"released by {actor}: {because}")
    if tx.execute(query("release_item"), values | {"error": error}).first() is None:
        raise RuntimeError(f"item {item_id} changed while it was locked")
    return before
