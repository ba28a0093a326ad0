"""The states of a reprice, in one place: open → done · failed · cancelled.

A reprice goes over all stones in batches, each a work item. One is open at a time: whatever opens
the next cancels what is left of the one before, since the next does its work too. Each function
takes the open transaction first.
"""

from typing import Literal

from sqlalchemy import Connection

from shared import ledger, runs, tracing
from shared.errors import NotNow
from sql import query

Cause = Literal["activation", "rate", "reprice"]

BATCH_STONES = 5_000  # a fifth of a second, and so long the longest lock on a stone


def open_reprice(
    tx: Connection, cause: Cause, ruleset_id: int, *, actor: str, reason: str
) -> int | None:
    """Queue all stones to be priced by the active ruleset and the present rates.

    The caller holds the pricing lock. Returns the reprice's id; None where there are no stones.
    A million stones take about a second.
    """
    why = f"overtaken: {reason}"
    for row in tx.execute(query("cancel_reprice"), {"why_ended": why}).all():
        tx.execute(query("cancel_reprice_items"), {"reprice_id": row.reprice_id})
    tx.execute(query("make_room_today"))
    values = {"cause": cause, "ruleset_id": ruleset_id, "actor": actor, "reason": reason}
    limits = {"batch_stones": BATCH_STONES, "attempts_max": ledger.ATTEMPTS_MAX["reprice"]}
    root = {"traceparent": tracing.root()}
    opened = tx.execute(query("open_reprice"), values | limits | root).scalar_one_or_none()
    if opened is not None:
        tracing.began(root["traceparent"], "reprice start", reprice_id=opened, cause=cause)
    return opened


def ask(tx: Connection, *, actor: str, reason: str) -> int | None:
    """Reprice because someone asked, such as after a cancelled one. Raises NotNow."""
    tx.execute(query("lock_pricing"))
    active = tx.execute(query("active_ruleset")).one_or_none()
    if active is None:
        raise NotNow("no ruleset is active", hint="`facet ruleset activate FILE --reason TEXT`")
    reprice_id = open_reprice(tx, "reprice", active.ruleset_id, actor=actor, reason=reason)
    if reprice_id is not None:
        runs.audit(
            tx,
            actor=actor,
            action="reprice.open",
            subject=str(reprice_id),
            reason=reason,
            before=None,
            after={"ruleset": active.ruleset_id},
        )
    return reprice_id


def cancel(tx: Connection, *, actor: str, reason: str) -> int:
    """Stop the open reprice; what it has written stays. Returns its id. Raises NotNow.

    A batch that is being written notices when it ends, and is rolled back.
    """
    row = tx.execute(query("cancel_reprice"), {"why_ended": reason}).one_or_none()
    if row is None:
        raise NotNow("no reprice is open", hint="`facet ruleset status`")
    items = tx.execute(query("cancel_reprice_items"), {"reprice_id": row.reprice_id}).all()
    runs.audit(
        tx,
        actor=actor,
        action="reprice.cancel",
        subject=str(row.reprice_id),
        reason=reason,
        before={"state": "open", "items": len(items)},
        after={"state": "cancelled"},
    )
    return int(row.reprice_id)
