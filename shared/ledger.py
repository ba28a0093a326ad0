"""The ledger: how work is never lost and never done twice.

The row is the truth; a message is a wake-up that may be lost, doubled or late. A claim gives its
holder an epoch; every later write carries it and takes effect only where it is still the row's.
All times are the database's. Each function takes the open transaction first and is one statement.
"""

import random
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection

from shared.errors import ClaimLost, Stopped, Transient
from sql import query

Kind = Literal["plan", "fetch", "cut", "fold", "sweep", "reconcile", "reprice", "alert"]
# What is announced through the broker. Alerts are not: they must go out while it is away, and not
# wait behind a scan. The steward delivers them itself (scheduler/alerting.py).
ANNOUNCED: tuple[Kind, ...] = ("reconcile", "fold", "sweep", "cut", "fetch", "plan", "reprice")
KINDS: tuple[Kind, ...] = (*ANNOUNCED, "alert")

# Claims in a row without getting on, after which the work is a dead letter.
ATTEMPTS_MAX: dict[Kind, int] = {
    "plan": 5,
    "fetch": 8,
    "cut": 8,
    "fold": 4,
    "sweep": 8,
    "reconcile": 6,
    "reprice": 6,
    "alert": 6,  # about a minute, then another channel
}

DELAY_S_BASE = 1.0
DELAY_S_MAX = 120.0

MESSAGE_KEPT_BYTES = 65_536  # of one that cannot be read; its size is in the error

Reason = Literal["permanent", "attempts", "bug"]
MessageReason = Literal["bad_message", "unknown_task"]


class Claim(NamedTuple):
    """A work item that is ours until its lease runs out."""

    item_id: int
    kind: Kind
    run: UUID | None  # None, as its feed, for a reprice or an alert
    partition_id: int | None
    epoch: int
    attempts: int  # this one included
    attempts_max: int
    traceparent: str | None
    run_feed: str | None

    @property
    def run_id(self) -> UUID:
        """The run it is a part of. Raises TypeError where it is part of none."""
        if self.run is None:
            raise TypeError(f"{self.kind} item {self.item_id} belongs to no run")
        return self.run

    @property
    def feed(self) -> str:
        """The feed of that run. Raises TypeError where it is part of none."""
        if self.run_feed is None:
            raise TypeError(f"{self.kind} item {self.item_id} belongs to no run")
        return self.run_feed


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


def claimed_in_doubt(
    tx: Connection, kind: Kind, item_id: int, epoch: int, *, owner: UUID
) -> Claim | None:
    """The claim on that message whose commit was in doubt; None where it never happened."""
    values = {"kind": kind, "item_id": item_id, "epoch": epoch, "owner": owner}
    row = tx.execute(query("claim_in_doubt"), values).one_or_none()
    return None if row is None else Claim(*row)


def is_done(tx: Connection, held: Claim) -> bool:
    """Whether the item was closed as done under this very claim."""
    row = tx.execute(query("item_of_claim"), {"item_id": held.item_id}).one_or_none()
    return row is not None and row.state == "done" and row.epoch == held.epoch


def why_not_claimed(tx: Connection, kind: Kind, item_id: int, epoch: int) -> str:
    """Why a message claims nothing, for the log: gone, another kind, future, old, or the item's
    state.

    future  the row's epoch is below the message's: the database was put back to an earlier state
    old     the item was claimed since the message was sent
    """
    row = tx.execute(query("item_of_claim"), {"item_id": item_id}).one_or_none()
    if row is None:
        return "gone"
    if row.kind != kind:
        return f"it is of kind {row.kind}"
    if row.epoch < epoch:
        return "future"
    return "old" if row.epoch > epoch and row.state == "due" else str(row.state)


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

    What was not even tried (asked to stop, our limit used up, our breaker open, no Redis) uses no
    attempt, and who was asked to stop loses no time either. Returns "due" or "dead".
    """
    fence = {"item_id": held.item_id, "epoch": held.epoch}
    attempts = tx.execute(query("attempts_of_item"), fence).scalar_one_or_none()
    if attempts is None:
        raise ClaimLost(f"{held.kind} item {held.item_id}, epoch {held.epoch}")
    if attempts >= held.attempts_max and not error.untried:
        bury(tx, held, reason="attempts", error=str(error), traceback=traceback)
        return "dead"
    wait_s = 0.0 if isinstance(error, Stopped) else delay_s(attempts, error.retry_after_s)
    said = printable(str(error))
    _fenced(tx, "give_back_item", held, wait_s=wait_s, error=said, refund=error.untried)
    return "due"


def bury(
    tx: Connection, held: Claim, *, reason: Reason, error: str, traceback: str | None = None
) -> int:
    """Give the item up; returns the dead letter's id. Raises ClaimLost."""
    lines = None if traceback is None else printable(traceback)
    return _fenced(tx, "bury_item", held, reason=reason, error=printable(error), traceback=lines)


def bury_message(
    tx: Connection,
    message: bytes,
    *,
    error: str,
    reason: MessageReason = "bad_message",
    kind: str | None = None,
    payload: Mapping[str, Any] | None = None,
) -> int:
    """Keep a message that nobody can do anything with; returns the dead letter's id.

    message   its bytes; of a large one the first MESSAGE_KEPT_BYTES are kept
    kind      of the work that was meant, if that can be told
    payload   what came with the bytes
    """
    kept = {"message": message[:MESSAGE_KEPT_BYTES], "error": printable(error), "reason": reason}
    extra = to_json(payload, fallback=repr).decode() if payload else None
    values = kept | {"kind": kind, "payload": extra}
    return int(tx.execute(query("bury_message"), values).scalar_one())


def revive(tx: Connection, item_id: int) -> bool:
    """Make an item that gave up due again, at once and with all its attempts; False: it did not.

    What it had done stays done: a fetch goes on at the offset that was committed.
    """
    return tx.execute(query("revive_item"), {"item_id": item_id}).first() is not None


def delay_s(attempts: int, at_least_s: float | None = None) -> float:
    """How long to wait after so many attempts: doubling, jittered, never under `at_least_s`."""
    ceiling = min(DELAY_S_MAX, DELAY_S_BASE * 2**attempts)
    return max(at_least_s or 0.0, random.uniform(ceiling / 2, ceiling))


def printable(text: str) -> str:
    """A text that PostgreSQL takes: what it does not, such as a NUL, is written out."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")


def _fenced(tx: Connection, name: str, held: Claim, **values: object) -> int:
    row = tx.execute(query(name), {"item_id": held.item_id, "epoch": held.epoch} | values)
    found = row.scalar_one_or_none()
    if found is None:
        raise ClaimLost(f"{held.kind} item {held.item_id}, epoch {held.epoch}")
    return int(found)
