"""The ledger: how work is never lost and never done twice.

The row is the truth; a message is a wake-up that may be lost, doubled or late. A claim gives its
holder an epoch; every later write carries it and takes effect only where it is still the row's.
All times are the database's. Each function takes the open transaction first and is one statement.
"""

import random
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from shared.errors import ClaimLost, Stopped, Transient
from sql import query

Kind = Literal["plan", "fetch", "cut", "fold", "sweep", "reconcile"]
KINDS: tuple[Kind, ...] = ("reconcile", "fold", "sweep", "cut", "fetch", "plan")

# Claims in a row without getting on, after which the work is a dead letter.
ATTEMPTS_MAX: dict[Kind, int] = {
    "plan": 5,
    "fetch": 8,
    "cut": 8,
    "fold": 4,
    "sweep": 8,
    "reconcile": 6,
}

DELAY_S_BASE = 1.0
DELAY_S_MAX = 120.0

Reason = Literal["permanent", "attempts", "bug"]


class Claim(NamedTuple):
    """A work item that is ours until its lease runs out."""

    item_id: int
    kind: Kind
    run_id: UUID
    partition_id: int | None
    epoch: int
    attempts: int  # this one included
    attempts_max: int
    traceparent: str | None
    feed: str


class Announcement(NamedTuple):
    """What a message says: which item may be claimed, at which epoch."""

    item_id: int
    epoch: int
    priority: int
    traceparent: str | None


def add(
    tx: Connection,
    kind: Kind,
    run_id: UUID,
    *,
    partition_id: int | None = None,
    priority: int = 0,
    traceparent: str | None = None,
) -> int:
    """Put a piece of work into the ledger; the steward announces it after the commit."""
    values = {"kind": kind, "run_id": run_id, "partition_id": partition_id, "priority": priority}
    extra = {"attempts_max": ATTEMPTS_MAX[kind], "traceparent": traceparent}
    return int(tx.execute(query("add_item"), values | extra).scalar_one())


def announce(
    tx: Connection, kind: Kind, *, again_s: float, announced_max: int
) -> list[Announcement]:
    """Mark what is to be sent now and return it, the most urgent first. Send, then commit."""
    values = {"kind": kind, "again_s": again_s, "announced_max": announced_max}
    rows = [Announcement(*row) for row in tx.execute(query("announce_items"), values)]
    return sorted(rows, key=lambda row: (-row.priority, row.item_id))


def claim(
    tx: Connection, kind: Kind, item_id: int, epoch: int, *, owner: UUID, lease_s: float
) -> Claim | None:
    """Take the item that a message of that epoch announced; None where that is not to be had."""
    values = {"kind": kind, "item_id": item_id, "epoch": epoch, "owner": owner, "lease_s": lease_s}
    row = tx.execute(query("claim_item"), values).one_or_none()
    return None if row is None else Claim(*row)


def heartbeat(tx: Connection, held: Claim, *, lease_s: float, progress: bool = False) -> None:
    """Lengthen the lease, and hold the row until the transaction ends.

    progress    something was done for good: the attempts start anew. Raises ClaimLost.
    """
    _fenced(tx, "heartbeat_item", held, lease_s=lease_s, progress=progress)


def finish(tx: Connection, held: Claim) -> None:
    """Close the item as done. Raises ClaimLost."""
    _fenced(tx, "finish_item", held)


def retry(tx: Connection, held: Claim, error: Transient, *, traceback: str | None = None) -> str:
    """Make the item due again, later; or bury it where its attempts are used up. Raises ClaimLost.

    Who was asked to stop (`Stopped`) loses no attempt and no time. Returns "due" or "dead".
    """
    stopped = isinstance(error, Stopped)
    fence = {"item_id": held.item_id, "epoch": held.epoch}
    attempts = tx.execute(query("attempts_of_item"), fence).scalar_one_or_none()
    if attempts is None:
        raise ClaimLost(f"{held.kind} item {held.item_id}, epoch {held.epoch}")
    if attempts >= held.attempts_max and not stopped:
        bury(tx, held, reason="attempts", error=str(error), traceback=traceback)
        return "dead"
    wait_s = 0.0 if stopped else delay_s(attempts, error.retry_after_s)
    _fenced(tx, "give_back_item", held, wait_s=wait_s, error=str(error), refund=stopped)
    return "due"


def bury(
    tx: Connection, held: Claim, *, reason: Reason, error: str, traceback: str | None = None
) -> int:
    """Give the item up; returns the dead letter's id. Raises ClaimLost."""
    return _fenced(tx, "bury_item", held, reason=reason, error=error, traceback=traceback)


def bury_message(tx: Connection, message: bytes, *, error: str) -> int:
    """Keep a message that cannot be read; returns the dead letter's id."""
    values = {"message": message, "error": error}
    return int(tx.execute(query("bury_message"), values).scalar_one())


def delay_s(attempts: int, at_least_s: float | None = None) -> float:
    """How long to wait after so many attempts: doubling, jittered, never under `at_least_s`."""
    ceiling = min(DELAY_S_MAX, DELAY_S_BASE * 2**attempts)
    return max(at_least_s or 0.0, random.uniform(ceiling / 2, ceiling))


def _fenced(tx: Connection, name: str, held: Claim, **values: object) -> int:
    row = tx.execute(query(name), {"item_id": held.item_id, "epoch": held.epoch} | values)
    found = row.scalar_one_or_none()
    if found is None:
        raise ClaimLost(f"{held.kind} item {held.item_id}, epoch {held.epoch}")
    return int(found)
