"""Check the supplier's contract before a run asks for anything else."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import cast

from sqlalchemy import Engine

from shared import checks, ledger
from shared.checks import Checked
from shared.db import transaction
from shared.errors import SupplierChanged
from shared.feeds.base import Feed
from shared.feeds.health import Verdict
from shared.ledger import Claim
from sql import query

HEARTBEAT_S = 1.0


def check_run(
    held: Claim,
    *,
    engine: Engine,
    feed: Feed,
    make: Callable[[], Checked],
    lease_s: float,
) -> Verdict:
    """Check once a run, at the start of its plan; returns what the run may go on with.

    make    looks at the supplier; may take minutes, while which the lease is kept

    Safe to call again after a crash: a run that was found fit is not checked again. Raises
    SupplierChanged where a run would harm, with nothing asked or written but the check itself; the
    errors of `make`; ClaimLost, DatabaseUnavailable.
    """
    with transaction(engine) as tx:
        known = tx.execute(query("check_of_run"), {"run_id": held.run_id}).scalar_one_or_none()
    if known is not None and known != "incompatible":
        return cast(Verdict, known)
    checked = _patiently(make, lambda: _beat(engine, held, lease_s))
    with transaction(engine, "check") as tx:
        ledger.heartbeat(tx, held, lease_s=lease_s)
        tx.execute(query("add_scan_calls"), {"run_id": held.run_id, "calls": checked.requests})
        checks.keep(tx, feed, checked, run_id=held.run_id)
    if checked.health.verdict == "incompatible":
        raise SupplierChanged(
            f"{feed.name} is incompatible: {checked.health.worst()}; "
            f"`facet feed check {feed.name}` shows all",
            hint=f"`facet feed check {feed.name}`",
        )
    return checked.health.verdict


def _patiently(make: Callable[[], Checked], beat: Callable[[], None]) -> Checked:
    """What `make` answers; meanwhile `beat` every second."""
    with ThreadPoolExecutor(1, thread_name_prefix="check") as pool:
        # Log lines of the check belong to the run that it is made for.
        future = pool.submit(copy_context().run, make)
        while wait([future], timeout=HEARTBEAT_S).not_done:
            beat()
        return future.result()


def _beat(engine: Engine, held: Claim, lease_s: float) -> None:
    with transaction(engine, "heartbeat") as tx:
        ledger.heartbeat(tx, held, lease_s=lease_s)
