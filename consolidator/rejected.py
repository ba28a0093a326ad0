"""Rejected offers: which there are, and folding their partitions again after a fix.

A fold is safe to do again: what is written already stays as it is, what a later run has read is
left to that run, and what still cannot be read is rejected anew. So the whole partition is folded
again, through the ledger. Each function takes the open transaction first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from shared.runs import audit
from sql import query


class Wanted(NamedTuple):
    """Which rejected offers; None: whichever."""

    feed: str | None = None
    reason: str | None = None  # a word of docs/rejected-offers.md or docs/pricing.md
    run_id: UUID | None = None
    since_s: float | None = None  # rejected in the last so many seconds


class Plan(NamedTuple):
    """What folding again would come to; offers that meet the filters, by what stands in the way."""

    partition_ids: Sequence[int]  # to be folded again
    offers: int  # rejected ones in these
    left: int  # in further partitions, beyond the limit
    overtaken: int  # a later full run is complete and knows better
    gone: int  # the raw offers are no longer kept
    open: int  # the fold is due, held or dead and sees to them by itself


def plan(tx: Connection, wanted: Wanted, *, partitions_max: int) -> Plan:
    """Which partitions to fold again, the earliest first."""
    found = tx.execute(query("rejected_partitions"), wanted._asdict()).all()
    ready = [row for row in found if row.state == "ready"]
    offers = {
        state: sum(row.offers for row in found if row.state == state)
        for state in ("overtaken", "gone", "open")
    }
    chosen = ready[:partitions_max]
    return Plan(
        [row.partition_id for row in chosen],
        sum(row.offers for row in chosen),
        sum(row.offers for row in ready[partitions_max:]),
        **offers,
    )


def fold_again(
    tx: Connection, wanted: Wanted, planned: Plan, *, actor: str, reason: str
) -> list[int]:
    """Make the planned folds due again; returns the partitions, fewer where someone else was
    quicker. The audit event comes first."""
    said: Mapping[str, Any] = {k: v for k, v in wanted._asdict().items() if v is not None}
    audit(
        tx,
        actor=actor,
        action="rejected.fold_again",
        subject=", ".join(f"{k}={v}" for k, v in said.items()) or "all",
        reason=reason,
        before={"rejected": planned.offers},
        after={"due": list(planned.partition_ids)},
    )
    values = {"partition_ids": list(planned.partition_ids)}
    return sorted(tx.execute(query("fold_again"), values).scalars())
