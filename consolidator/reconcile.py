"""Reconcile a run whose work has closed: complete, partial or failed, and why.

Only a full run whose counts add up delists what it did not see and moves the watermark. Anything
less changes nothing on sale. A run that ended partial and had its dead letters replayed comes here
once more; where another run of its feed was opened since, it is completed and changes nothing else
(docs/decisions/0011-replays.md).
"""

from collections.abc import Callable

import structlog
from sqlalchemy import Connection, Engine, Row

from shared import ledger, runs, tracing
from shared.counts import is_missing, unexplained
from shared.db import transaction
from shared.errors import FacetError
from shared.feeds.base import Slice
from shared.ledger import Claim
from shared.runs import Ending, Totals
from sql import query

log = structlog.get_logger(__name__)

OVERTAKEN = (
    "a later run of this feed had begun when it was completed: it delisted nothing and moved no "
    "watermark"
)


def reconcile_run(
    held: Claim,
    *,
    engine: Engine,
    recount: Callable[[Slice], int],
    delist_after_runs: int,
    empty_below_share: float,
) -> Ending:
    """Close a run and return its ending.

    recount    the supplier's count of a slice now; asked for the whole feed, with no transaction
               open; never of a snapshot, which is as large as it is

    Safe to call again after a crash. Raises the errors of `recount` where fewer offers were read
    than were counted at the plan, so that the answer decides; ClaimLost and DatabaseUnavailable.
    """
    with transaction(engine, "reconciling") as tx:
        run = tx.execute(query("run_to_reconcile"), {"run_id": held.run_id}).one()
        if run.replayed_at is None or run.finished_at is None:
            runs.reconciling(tx, held.run_id)
        counts = _counts(tx, run)
        if tracing.on():
            folds = tx.execute(query("folds_of_run"), {"run_id": held.run_id}).all()
            tracing.link((fold.item_id, fold.epoch) for fold in folds)
        lost = _lost(tx, run)
    totals = Totals(*(getattr(counts, name) for name in Totals._fields))
    missing = run.counted is not None and is_missing(run.counted, _read(run, counts))
    recounted = _recount(run, recount, needed=missing)
    counted = recounted if missing and recounted is not None else run.counted
    with transaction(engine, "reconcile") as tx:
        ledger.finish(tx, held)
        # No run of the feed is opened, and nothing of this one replayed, until all is written.
        tx.execute(query("lock_feed"), {"feed": run.feed})
        locked = tx.execute(query("lock_run"), {"run_id": run.run_id}).one()
        standing = tx.execute(query("run_standing"), {"run_id": run.run_id}).one()
        replayed = bool(standing.open) or locked.replayed_at != run.replayed_at
        if replayed:
            reason: str | None = "some of its work was replayed while it was reconciled"
        else:
            reason = _why_not_complete(tx, run, counts, counted, lost, empty_below_share)
        state: Ending = "complete"
        delisted = 0
        if reason is not None:
            state = "failed" if run.counted is None and totals.landed == 0 else "partial"
        elif standing.newest:
            if run.kind == "full":
                delisted = _delist(tx, run, delist_after_runs)
            tx.execute(query("move_watermark"), {"feed": run.feed, "run_id": run.run_id})
        runs.finish(
            tx,
            run.run_id,
            state,
            reason=reason,
            totals=totals,
            delisted=delisted,
            recounted=recounted,
            note=None if reason or standing.newest else OVERTAKEN,
            replayed=replayed,
        )
    log.info("run_closed", state=state, reason=reason, delisted=delisted, **totals._asdict())
    return state


def _recount(
    run: Row[tuple[object, ...]], recount: Callable[[Slice], int], *, needed: bool
) -> int | None:
    """The closing count. Where nothing is missing it is only shown: then no answer is none."""
    if run.is_snapshot or run.counted is None:
        return None
    try:
        return recount(Slice(updated_from=run.updated_from))
    except FacetError as error:
        if needed:
            raise
        log.warning("closing_count_not_answered", error=str(error))
        return None


def _counts(tx: Connection, run: Row[tuple[object, ...]]) -> Row[tuple[object, ...]]:
    values = {"run_id": run.run_id, "landed_on": run.landed_on}
    return tx.execute(query("run_totals"), values).one()


def _read(run: Row[tuple[object, ...]], counts: Row[tuple[object, ...]]) -> int:
    """What is compared with the count: of a snapshot the rows, of which two may be one offer."""
    return int(counts.landed if run.is_snapshot else counts.offers)


def _why_not_complete(
    tx: Connection,
    run: Row[tuple[object, ...]],
    counts: Row[tuple[object, ...]],
    counted: int | None,
    lost: int,
    empty_below_share: float,
) -> str | None:
    dead = tx.execute(query("dead_of_run"), {"run_id": run.run_id, "limit": 1000}).all()
    if dead:
        more = f" (and {len(dead) - 1} more)" if len(dead) > 1 else ""
        return f"{dead[0].kind} gave up: {dead[0].error}{more}"
    for left, what in ((counts.unfetched, "fetched"), (counts.unfolded, "folded")):
        if left:
            return f"{left:,} of {counts.partitions:,} partitions were not {what}"
    if counted is not None and is_missing(counted, _read(run, counts)):
        return f"the supplier counts {counted:,} offers, {_read(run, counts):,} were read"
    if lost:
        return f"{lost:,} offers were read and are neither a stone nor a rejected offer"
    return _why_short(tx, run) or _why_empty(tx, run, counts.offers, empty_below_share)


def _why_short(tx: Connection, run: Row[tuple[object, ...]]) -> str | None:
    """Whether a partition's listing ended before what the supplier counts in it."""
    for part in tx.execute(query("short_partitions"), {"run_id": run.run_id}):
        if unexplained(part.planned_offers, part.recounted, part.landed):
            return (
                f"partition {part.number} listed {part.landed:,} offers, "
                f"the supplier counts {part.recounted:,} in it"
            )
    return None


def _lost(tx: Connection, run: Row[tuple[object, ...]]) -> int:
    """How many offers came to nothing. What a later run overtook was dropped on purpose."""
    if run.overtaken:
        return 0
    tx.execute(query("join_by_hash"))
    keys = {"run_id": run.run_id, "feed": run.feed, "landed_on": run.landed_on}
    return int(tx.execute(query("lost_of_run"), keys).scalar_one())


def _why_empty(
    tx: Connection, run: Row[tuple[object, ...]], offers: int, empty_below_share: float
) -> str | None:
    """Whether a full run saw far fewer offers than are on sale, or than the one before saw."""
    if run.kind != "full":
        return None
    on_sale = tx.execute(query("stones_on_sale"), {"feed": run.feed}).scalar_one()
    if offers < on_sale * empty_below_share:
        return f"suspiciously empty: {offers:,} offers, {on_sale:,} stones on sale"
    before = {"feed": run.feed, "opened_at": run.opened_at}
    last = tx.execute(query("last_complete"), before).one_or_none()
    if last is not None and offers < last.offers * empty_below_share:
        return (
            f"suspiciously empty: {offers:,} offers, run {str(last.run_id)[:8]} "
            f"read {last.offers:,}"
        )
    return None


def _delist(tx: Connection, run: Row[tuple[object, ...]], delist_after_runs: int) -> int:
    values = {
        "run_id": run.run_id,
        "feed": run.feed,
        "landed_on": run.landed_on,
        "opened_at": run.opened_at,
        "delist_after_runs": delist_after_runs,
    }
    return int(tx.execute(query("miss_unseen"), values).one().delisted)
