"""Plan a run: scan the feed, cut it into partitions, queue a fetch for each. And, when all is read,
sweep once over what changed meanwhile.

A scan asks the supplier with no transaction open; what comes of it is then written in one.
"""

import time
from collections.abc import Callable

import structlog
from pydantic_core import to_json
from sqlalchemy import Connection, Engine

from scheduler import partitions, probes
from scheduler.density import Prior
from scheduler.heatmap import Scan
from scheduler.scan import run_scan
from scheduler.terms import Plan, ScanSettings
from shared import ledger, runs
from shared.db import transaction
from shared.errors import Stopped
from shared.feeds.base import Slice, SlicedFeed, SlicedSource
from shared.feeds.coordinates import by_mapping
from shared.ledger import Claim
from shared.settings import Settings
from sql import query

log = structlog.get_logger(__name__)

HEARTBEAT_S = 1.0  # also how often whoever watches sees the count of calls move


def plan_run(
    held: Claim,
    *,
    engine: Engine,
    source: SlicedSource,
    feed: SlicedFeed,
    settings: Settings,
    stopping: Callable[[], bool] = lambda: False,
) -> Plan:
    """Scan, cut and queue; returns the plan.

    Safe to call again after a crash: nothing is written before the scan has ended. Raises the
    errors of `source.count` that no other count can make up for, ClaimLost, Stopped,
    DatabaseUnavailable.
    """
    with transaction(engine) as tx:
        run = tx.execute(query("run_to_plan"), {"run_id": held.run_id}).one()
        prior = _prior(tx, run.feed) if run.kind == "full" else None
        values = {"feed": run.feed, "days": probes.GOOD_FOR_DAYS}
        asked = tx.execute(query("feed_was_asked"), values).scalar_one()
    base = Slice(updated_from=run.updated_from)
    meter = _Meter(engine, held, source, settings.lease_s, stopping)
    plan = _scan(base, prior, source=source, feed=feed, settings=settings, meter=meter)
    if run.kind == "full" and not asked:
        told = probes.ask(source, feed.slicing, base, plan, meter.beat)
        plan = plan._replace(probes={**told, **plan.probes})
    with transaction(engine, "plan") as tx:
        ledger.finish(tx, held)
        meter.note(tx)
        runs.fetching(tx, held.run_id, counted=plan.total)
        _keep_heatmap(tx, held, plan, feed, meter.elapsed_ms())
        partitions.add(tx, held, plan.leaves)
    log.info(
        "run_planned",
        partitions=len(plan.leaves),
        counted=plan.total,
        calls=plan.calls,
        failed=plan.failed,
        why_stopped=plan.why_stopped,
        duration_ms=meter.elapsed_ms(),
    )
    return plan


def sweep_run(
    held: Claim,
    *,
    engine: Engine,
    source: SlicedSource,
    feed: SlicedFeed,
    settings: Settings,
    stopping: Callable[[], bool] = lambda: False,
) -> Plan:
    """Queue the reading of what changed since a little before the run began; returns its plan.

    An offer that was repriced from a partition not read yet into one that was read is found here
    and nowhere else. Where nothing changed it costs one count or two. Raises as `plan_run`.
    """
    with transaction(engine) as tx:
        run = tx.execute(query("run_to_plan"), {"run_id": held.run_id}).one()
    base = Slice(updated_from=run.opened_at - runs.OVERLAP)
    meter = _Meter(engine, held, source, settings.lease_s, stopping)
    plan = _scan(base, None, source=source, feed=feed, settings=settings, meter=meter)
    leaves = [leaf for leaf in plan.leaves if leaf.offers or leaf.estimated]
    with transaction(engine, "sweep") as tx:
        ledger.finish(tx, held)
        meter.note(tx)
        partitions.add(tx, held, leaves, sweep=True)
    log.info("run_swept", changed=plan.total, partitions=len(leaves), calls=plan.calls)
    return plan


def _scan(
    base: Slice,
    prior: Prior | None,
    *,
    source: SlicedSource,
    feed: SlicedFeed,
    settings: Settings,
    meter: "_Meter",
) -> Plan:
    scan_settings = ScanSettings(
        slicing=feed.slicing,
        workers=settings.fetch_workers,
        offers_max=settings.partition_offers_max,
        base=base,
        pages=True,
    )
    return run_scan(
        Scan(scan_settings, prior),
        source,
        coordinates=by_mapping(feed.map_offers),
        in_flight=settings.scan_in_flight,
        count_timeout_s=settings.count_timeout_s,
        deadline_s=settings.scan_deadline_s,
        heartbeat=meter.beat,
    )


def _prior(tx: Connection, feed: str) -> Prior | None:
    """What the catalogue already knows of the feed's density; None for an empty one."""
    rows = tx.execute(query("density"), {"feed": feed}).all()
    return Prior.from_density([(row.price, row.stones) for row in rows]) if rows else None


class _Meter:
    """Counts what a scan costs, and once a second lengthens its lease and shows how far it is."""

    def __init__(
        self,
        engine: Engine,
        held: Claim,
        source: SlicedSource,
        lease_s: float,
        stopping: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._held = held
        self._source = source
        self._lease_s = lease_s
        self._stopping = stopping
        self._noted = source.requests()
        self._began = self._last = time.monotonic()

    def beat(self) -> None:
        """Raises Stopped where we were asked to, ClaimLost, DatabaseUnavailable."""
        if self._stopping():
            raise Stopped("asked to stop")
        now = time.monotonic()
        if now - self._last < HEARTBEAT_S:
            return
        self._last = now
        with transaction(self._engine, "heartbeat") as tx:
            ledger.heartbeat(tx, self._held, lease_s=self._lease_s)
            self.note(tx)

    def note(self, tx: Connection) -> None:
        """Add the requests since the last note to the run's."""
        sent = self._source.requests()
        calls = sent - self._noted
        tx.execute(query("add_scan_calls"), {"run_id": self._held.run_id, "calls": calls})
        self._noted = sent

    def elapsed_ms(self) -> int:
        return round(1000 * (time.monotonic() - self._began))


def _keep_heatmap(
    tx: Connection, held: Claim, plan: Plan, feed: SlicedFeed, duration_ms: int
) -> None:
    values = {
        "run_id": held.run_id,
        "feed": held.feed,
        "price_unit": feed.slicing.price_unit,
        "total": plan.total,
        "buckets": to_json([tuple(bucket) for bucket in plan.histogram]).decode(),
        "calls": plan.calls,
        "rounds": plan.rounds,
        "failed": plan.failed,
        "estimated": plan.estimated,
        "balance": plan.balance,
        "probes": to_json(plan.probes).decode(),
        "why_stopped": plan.why_stopped,
        "duration_ms": duration_ms,
    }
    tx.execute(query("add_heatmap"), values)
