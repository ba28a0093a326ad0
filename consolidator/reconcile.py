"""Reconcile a run whose work has closed: complete, partial or failed, and why.

Only a full run whose counts add up delists what it did not see and moves the watermark. Anything
less changes nothing on sale.
"""

from collections.abc import Callable

import structlog
from sqlalchemy import Connection, Engine, Row

from shared import ledger, runs
from shared.db import transaction
from shared.feeds.base import Slice
from shared.ledger import Claim
from shared.runs import Ending, Totals
from sql import query

log = structlog.get_logger(__name__)

# How many offers may be missing against the supplier's closing count. Stock moves while a run
# reads; more than this is a part of the feed that was not read.
MISSING_SHARE = 0.001
MISSING_MIN = 50
MISSING_SHARE_MAX = 0.05  # of a small feed, where 50 would be a good part of it


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
               open, and only where fewer offers were read than were counted when it was planned

    Safe to call again after a crash. Raises the errors of `recount`, ClaimLost and
    DatabaseUnavailable.
    """
    with transaction(engine) as tx:
        runs.reconciling(tx, held.run_id)
        run = tx.execute(query("run_to_reconcile"), {"run_id": held.run_id}).one()
        counts = _counts(tx, run)
    totals = Totals(*(getattr(counts, name) for name in Totals._fields))
    counted = run.counted
    if counted is not None and _missing(counted, totals.offers):
        counted = recount(Slice(updated_from=run.updated_from))
    with transaction(engine) as tx:
        ledger.finish(tx, held)
        reason = _why_not_complete(tx, run, counts, counted, empty_below_share)
        state: Ending = "complete"
        delisted = 0
        if reason is not None:
            state = "failed" if run.counted is None and totals.landed == 0 else "partial"
        elif run.kind == "full":
            delisted = _delist(tx, run, delist_after_runs)
        if state == "complete":
            tx.execute(query("move_watermark"), {"feed": run.feed, "run_id": run.run_id})
        runs.finish(tx, run.run_id, state, reason=reason, totals=totals, delisted=delisted)
    log.info("run_closed", state=state, reason=reason, delisted=delisted, **totals._asdict())
    return state


def _counts(tx: Connection, run: Row[tuple[object, ...]]) -> Row[tuple[object, ...]]:
    values = {"run_id": run.run_id, "landed_on": run.landed_on}
    return tx.execute(query("run_totals"), values).one()


def _missing(counted: int, offers: int) -> bool:
    allowed = max(min(MISSING_MIN, counted * MISSING_SHARE_MAX), counted * MISSING_SHARE)
    return counted - offers > allowed


def _why_not_complete(
    tx: Connection,
    run: Row[tuple[object, ...]],
    counts: Row[tuple[object, ...]],
    counted: int | None,
    empty_below_share: float,
) -> str | None:
    dead = tx.execute(query("dead_of_run"), {"run_id": run.run_id, "limit": 1000}).all()
    if dead:
        more = f" (and {len(dead) - 1} more)" if len(dead) > 1 else ""
        return f"{dead[0].kind} gave up: {dead[0].error}{more}"
    for left, what in ((counts.unfetched, "fetched"), (counts.unfolded, "folded")):
        if left:
            return f"{left:,} of {counts.partitions:,} partitions were not {what}"
    if counted is not None and _missing(counted, counts.offers):
        return f"the supplier counts {counted:,} offers, {counts.offers:,} were read"
    on_sale = tx.execute(query("stones_on_sale"), {"feed": run.feed}).scalar_one()
    if run.kind == "full" and counts.offers < on_sale * empty_below_share:
        return f"suspiciously empty: {counts.offers:,} offers, {on_sale:,} stones on sale"
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
