"""The states of a run, in one place.

planning → fetching → reconciling → complete · partial · failed · cancelled (from any open state).
Each function takes the open transaction first.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection

from shared import ledger, tracing
from shared.errors import ClaimLost, FeedPaused, NotNow, RunIsOpen
from shared.feeds import feed as find_feed
from sql import query

RunKind = Literal["full", "incremental"]
Ending = Literal["complete", "partial", "failed"]

# An incremental run asks again for what changed shortly before the last mark: the supplier's clock
# and ours differ, and its index lags (docs/decisions/0005-runs.md).
OVERLAP = timedelta(minutes=15)


class Opened(NamedTuple):
    run_id: UUID
    updated_from: datetime | None


class Totals(NamedTuple):
    """What a run did, summed over its partitions; offers counted once by id."""

    landed: int
    offers: int
    rejected: int
    written: int
    price_changes: int
    requests: int


def start(
    tx: Connection, feed: str, kind: RunKind = "full", *, traceparent: str | None = None
) -> Opened:
    """Open a run and its plan item, and make the tables that its offers will land in.

    Raises FeedPaused, RunIsOpen, and NotNow: the feed never had the complete run that an
    incremental one builds on; or it says everything at once and knows no increment.
    """
    if kind == "incremental" and find_feed(feed).kind == "snapshot":
        raise NotNow(
            f"{feed} sends its whole list every time: there is no incremental run of it",
            hint=f"`facet run start {feed}`",
        )
    tx.execute(query("know_feed"), {"feed": feed})
    state = tx.execute(query("feed_state"), {"feed": feed}).one()
    if state.paused_at is not None:
        raise FeedPaused(
            f"{feed} is paused: {state.paused_reason}",
            hint=f"`facet feed resume {feed} --because TEXT`",
        )
    if kind == "incremental" and state.watermark is None:
        raise NotNow(
            f"{feed} has no complete run that an incremental one could build on",
            hint=f"`facet run start {feed}`",
        )
    updated_from = state.watermark - OVERLAP if kind == "incremental" else None
    root = traceparent or tracing.root()
    values = {"feed": feed, "kind": kind, "updated_from": updated_from, "traceparent": root}
    row = tx.execute(query("open_run"), values).one_or_none()
    if row is None:
        other = tx.execute(query("open_run_of"), {"feed": feed}).one()
        raise RunIsOpen(
            f"run {other.run_id} of {feed} is still {other.state}",
            hint=f"`facet run watch {str(other.run_id)[:8]}`",
        )
    make_room(tx, row.landed_on)
    ledger.add(tx, "plan", row.run_id, traceparent=root)
    if traceparent is None:
        tracing.began(root, "run start", run_id=str(row.run_id), feed=feed, run_kind=kind)
    return Opened(row.run_id, updated_from)


def make_room(tx: Connection, day: date) -> None:
    """Make the tables for that day's raw offers and its month's price changes."""
    tx.execute(query("make_room"), {"day": day})


def fetching(tx: Connection, run_id: UUID, *, counted: int | None) -> None:
    """The plan is written. Raises ClaimLost where the run was cancelled meanwhile."""
    if tx.execute(query("run_fetching"), {"run_id": run_id, "counted": counted}).first() is None:
        raise ClaimLost(f"run {run_id} is not planning any more")


def reconciling(tx: Connection, run_id: UUID) -> None:
    """All its work has closed. Raises ClaimLost where the run is finished."""
    if tx.execute(query("run_reconciling"), {"run_id": run_id}).first() is None:
        raise ClaimLost(f"run {run_id} is finished")


def finish(
    tx: Connection,
    run_id: UUID,
    state: Ending,
    *,
    reason: str | None,
    totals: Totals,
    delisted: int = 0,
    recounted: int | None = None,
    note: str | None = None,
    replayed: bool = False,
) -> None:
    """End a run, or end it anew where some of its work was replayed. Raises ClaimLost.

    reason      a sentence, for anything but complete
    recounted   the supplier's closing count; None: it was not asked, or did not answer
    note        what a reader should know of a run that is complete
    replayed    some of its work was replayed and is not done yet
    """
    values: dict[str, Any] = {"run_id": run_id, "state": state, "reason": reason, "note": note}
    values |= {"delisted": delisted, "recounted": recounted, "replayed": replayed}
    if tx.execute(query("finish_run"), values | totals._asdict()).first() is None:
        raise ClaimLost(f"run {run_id} is finished")


def cancel(tx: Connection, run_id: UUID, *, reason: str, actor: str) -> int:
    """Cancel an open run and its work; returns how many work items that stopped.

    A holder notices at its next write, which is rolled back. Nothing is delisted. The work is taken
    before the run, as whoever closes a run does, and again after it: what a holder added meanwhile
    goes too. Raises NotNow where the run is finished.
    """
    before = tx.execute(query("run_progress"), {"run_id": run_id}).mappings().one_or_none()
    if before is None:
        raise NotNow(f"there is no run {run_id}", hint="`facet run list`")
    audit(
        tx,
        actor=actor,
        action="run.cancel",
        subject=str(run_id),
        reason=reason,
        before={"state": before["state"]},
        after={"state": "cancelled"},
    )
    stopped = _cancel_items(tx, run_id)
    if tx.execute(query("cancel_run"), {"run_id": run_id, "reason": reason}).first() is None:
        raise NotNow(f"run {run_id} is {before['state']} already", hint="`facet run list`")
    while more := _cancel_items(tx, run_id):
        stopped += more
    return stopped


def _cancel_items(tx: Connection, run_id: UUID) -> int:
    return len(tx.execute(query("cancel_items"), {"run_id": run_id}).all())


def replayed(tx: Connection, run_id: UUID) -> bool:
    """Some of its work is due again: once that has closed, the run is reconciled anew.

    False where it is complete or cancelled, and takes nothing more.
    """
    return tx.execute(query("run_replayed"), {"run_id": run_id}).first() is not None


def audit(
    tx: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    reason: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Write down a hand-made change, before it is made and in its transaction."""
    values = {"actor": actor, "action": action, "subject": subject, "reason": reason}
    states = {"before": _json(before), "after": _json(after)}
    tx.execute(query("add_audit_event"), values | states)


def find(tx: Connection, prefix: str) -> UUID:
    """The run whose id starts so. Raises NotNow for none and for several."""
    found: Sequence[object] = ()
    if re.fullmatch(r"[0-9a-f-]+", prefix.lower()):
        found = tx.execute(query("run_by_prefix"), {"prefix": prefix.lower()}).scalars().all()
    if len(found) != 1:
        problem = "no run starts" if not found else "several runs start"
        raise NotNow(f"{problem} with {prefix!r}", hint="`facet run list`")
    return UUID(str(found[0]))


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else to_json(value).decode()
