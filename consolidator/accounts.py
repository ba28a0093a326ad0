"""Where every offer of a run is: the account of each of its partitions, and of the whole.

Of what the supplier counted: read, drifted (its stock moved while it was read), or unexplained. Of
what landed: landed again, folded into a stone, rejected, under a dead letter, waiting, or
unexplained. Reads only.
"""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row

from shared import counts
from shared.errors import NotNow
from sql import query


class Account(NamedTuple):
    """One partition, in offers. What was fetched obeys

    counted + drifted = read + missing,     landed = read + again
    read = folded + rejected + overtaken + lost, or all of it is dead or waiting
    """

    partition_id: int
    number: int
    parent_id: int | None  # it was cut out of that one
    sweep: bool  # of what changed while the run was reading
    state: str  # folded, dead, waiting
    counted: int  # at the plan; what was only estimated counts nothing
    closing: int | None  # the supplier's count at its end, where it was asked
    landed: int
    read: int  # different offers
    again: int  # landed once more, since pages overlap and offers change while they are read
    folded: int
    rejected: int
    dead: int  # under a dead letter: landed and not folded, or counted and not read
    waiting: int  # the same of work that is still to be done, or was cancelled
    overtaken: int  # dropped, since a later run had read or missed them
    drifted: int  # read beyond the count, or below it
    missing: int  # counted at its end too, and not read
    lost: int  # landed, and neither stone nor rejected offer

    @property
    def unexplained(self) -> int:
        return self.missing + self.lost


class RunAccount(NamedTuple):
    """The run; `offers` counts an offer once that two partitions have read."""

    run_id: UUID
    feed: str
    kind: str
    state: str
    reason: str | None
    note: str | None
    counted: int | None  # by the supplier, when it was planned
    closing: int | None  # and when it was closed; None: not asked, or no answer
    offers: int
    missing: int  # of the whole, against both counts, beyond what movement explains
    kept: bool  # False: its raw offers are kept no more, so what was counted then stands here
    parts: list[Account]

    @property
    def drift(self) -> int | None:
        """How the supplier's own count moved from the plan to the close."""
        if self.counted is None or self.closing is None:
            return None
        return self.closing - self.counted

    @property
    def unexplained(self) -> int:
        lost = sum(part.lost for part in self.parts)
        return lost + max(self.missing, sum(part.missing for part in self.parts))

    @property
    def unfinished(self) -> int:
        """Offers under dead letters, and offers that wait."""
        return sum(part.dead + part.waiting for part in self.parts)

    def total(self, name: str) -> int:
        """The sum of a column of figures over the partitions."""
        return sum(int(getattr(part, name)) for part in self.parts)


def of_run(tx: Connection, run_id: UUID) -> RunAccount:
    """The account of a run as it stands now. Reads all that it landed.

    Raises NotNow where its partitions were dropped by their age: there is nothing to count.
    """
    run = tx.execute(query("run_to_reconcile"), {"run_id": run_id}).one()
    if run.pruned_at is not None:
        short = str(run_id)[:8]
        raise NotNow(
            f"run {short} cannot be verified any more: its partitions and work items were dropped "
            f"on {run.pruned_at:%Y-%m-%d}, by their age",
            hint=f"`facet run show {short}` has what it counted when it ended",
        )
    keys = {"run_id": run_id, "feed": run.feed, "landed_on": run.landed_on}
    tx.execute(query("join_by_hash"))
    kept = bool(tx.execute(query("raw_offers_kept"), {"run_id": run_id}).scalar_one())
    rows = tx.execute(query("run_accounts"), keys).all()
    parts = [account(row, run, kept=kept) for row in rows]
    offers = tx.execute(query("offers_of_run"), keys).scalar_one() if kept else None
    if offers is None:
        offers = sum(part.read for part in parts)
    whole = run.counted is not None and run.finished_at is not None
    whole = whole and bool(rows) and all(row.fetched for row in rows)
    read = sum(part.landed for part in parts) if run.is_snapshot else offers
    missing = counts.unexplained(run.counted, run.recounted, read) if whole else 0
    return RunAccount(
        run_id,
        run.feed,
        run.kind,
        run.state,
        run.reason,
        run.note,
        run.counted,
        run.recounted,
        offers,
        missing,
        kept,
        parts,
    )


def account(row: Row[Any], run: Row[Any], *, kept: bool) -> Account:
    """The account of one partition, from a row of `run_accounts`.

    kept    its raw offers are still there; else what its fold counted must do
    """
    rejected = row.rejected if kept else row.rejected_then or 0
    stones = row.stones if kept else row.offers_then or 0
    read = row.read if kept else stones + rejected
    landed = row.landed if kept else read
    left = 0 if row.folded else read
    if not row.fetched:
        left = max(left, row.planned_offers)
    lost = read - stones - rejected if row.folded else 0
    drifted = missing = 0
    if row.fetched:
        compared = landed if run.is_snapshot else read
        if not (row.estimated or row.cut):
            missing = counts.unexplained(row.planned_offers, row.recounted, compared)
        drifted = compared - row.planned_offers + missing
    return Account(
        partition_id=row.partition_id,
        number=row.number,
        parent_id=row.parent_id,
        sweep=row.sweep,
        state="folded" if row.folded else "dead" if row.dead else "waiting",
        counted=row.planned_offers,
        closing=row.recounted,
        landed=landed,
        read=read,
        again=landed - read,
        folded=stones if row.folded else 0,
        rejected=rejected if row.folded else 0,
        dead=left if row.dead else 0,
        waiting=0 if row.dead else left,
        overtaken=lost if run.overtaken else 0,
        drifted=drifted,
        missing=missing,
        lost=0 if run.overtaken else lost,
    )
