"""Whole runs in this process: every stage by its own function, every claim through the ledger.

What Celery and the steward's loop do between processes is done here by `drain`, in the steward's
order, so that a test can stop between any two pieces of work.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import redis
from sqlalchemy import Engine

from consolidator.fold import fold_partition
from consolidator.reconcile import reconcile_run
from consolidator.reprice import reprice_batch
from scheduler import steward
from scheduler.check import check_run
from scheduler.cut import cut_partition
from scheduler.plan import plan_run, sweep_run
from scheduler.snapshot import expect_snapshot
from shared import checks, ledger, queue, runs
from shared.db import transaction
from shared.edge import Edge
from shared.feeds import feed as find_feed
from shared.feeds import sliced, snapshot
from shared.feeds.base import (
    AnyFeed,
    Slice,
    SlicedSource,
    SnapshotFeed,
    SnapshotSource,
    SupplierSettings,
)
from shared.feeds.coordinates import by_mapping
from shared.ledger import Claim, Kind
from shared.settings import Settings
from tests.builders import rows
from worker.download import land_snapshot
from worker.fetch import fetch_partition

Message = dict[str, Any]

ROUNDS_MAX = 1_000


class Pipeline:
    """All stages over one database and one account at the supplier.

    `sources` and `feeds` may be replaced by a test that wants a stage to meet something else.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        supplier: SupplierSettings,
        client: "redis.Redis",
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.supplier = supplier
        self.edge = Edge.for_account(supplier, client)
        self.source: Callable[[str], SlicedSource] = self._source
        self.snapshots: Callable[[str], SnapshotSource] = self._snapshots
        self.feed: Callable[[str], AnyFeed] = find_feed
        self._sources: dict[str, SlicedSource] = {}

    def run(self, feed: str, kind: runs.RunKind = "full") -> dict[str, Any]:
        """Take a new run to its end; returns its row."""
        run_id = self.start(feed, kind)
        self.drain()
        return self.row(run_id)

    def start(self, feed: str, kind: runs.RunKind = "full") -> UUID:
        with transaction(self.engine) as tx:
            return runs.start(tx, feed, kind).run_id

    def row(self, run_id: UUID) -> dict[str, Any]:
        (found,) = rows(self.engine, "SELECT * FROM runs WHERE run_id = :id", id=run_id)
        return found

    def drain(self, *kinds: Kind) -> None:
        """Do all work of these kinds, or of every kind, until none is due."""
        wanted = kinds or ledger.KINDS
        for _ in range(ROUNDS_MAX):
            moved = steward.close_runs(self.engine) if "reconcile" in wanted else 0
            moved += steward.close_reprices(self.engine) if "reprice" in wanted else 0
            for kind in wanted:
                for message in self.due(kind):
                    self.deliver(kind, message)
                    moved += 1
            if not moved:
                return
        raise AssertionError(f"still at work after {ROUNDS_MAX} rounds: {self.work()}")

    def due(self, kind: Kind) -> list[Message]:
        """The messages of everything of a kind that may start now."""
        with transaction(self.engine) as tx:
            found = ledger.announce(tx, kind, again_s=0, announced_max=1_000)
        return [{"item": one.item_id, "epoch": one.epoch} for one in found]

    def deliver(self, kind: Kind, message: Message) -> str:
        """What the stage's process does with a message; see `shared.queue.deliver`."""
        return queue.deliver(message, kind, getattr(self, kind), engine=self.engine)

    def work(self) -> list[dict[str, Any]]:
        """Every work item as it stands."""
        return rows(self.engine, "SELECT * FROM work_items ORDER BY item_id")

    def plan(self, held: Claim) -> None:
        feed = self.feed(held.feed)
        if isinstance(feed, SnapshotFeed):
            expect_snapshot(held, engine=self.engine)
            return
        check_run(
            held,
            engine=self.engine,
            feed=feed,
            make=lambda: checks.make(feed, self.supplier, self.edge),
            lease_s=self.settings.lease_s,
        )
        plan_run(held, **self._scheduling(held))

    def sweep(self, held: Claim) -> None:
        sweep_run(held, **self._scheduling(held))

    def cut(self, held: Claim) -> None:
        cut_partition(held, **self._scheduling(held))

    def _scheduling(self, held: Claim) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "source": self.source(held.feed),
            "feed": self.feed(held.feed),
            "settings": self.settings,
        }

    def fetch(self, held: Claim) -> None:
        found = self.feed(held.feed)
        if isinstance(found, SnapshotFeed):
            land_snapshot(
                held,
                engine=self.engine,
                source=self.snapshots(held.feed),
                offers_max=self.settings.partition_offers_max,
                lease_s=self.settings.lease_s,
            )
            return
        fetch_partition(
            held,
            engine=self.engine,
            source=self.source(held.feed),
            slicing=found.slicing,
            offers_max=self.settings.partition_offers_max,
            lease_s=self.settings.lease_s,
            coordinates=by_mapping(found.map_offers),
        )

    def fold(self, held: Claim) -> None:
        fold_partition(held, engine=self.engine, feed=self.feed(held.feed))

    def reprice(self, held: Claim) -> None:
        reprice_batch(held, engine=self.engine)

    def reconcile(self, held: Claim) -> None:
        def recount(part: Slice) -> int:
            return self.source(held.feed).count(part)

        reconcile_run(
            held,
            engine=self.engine,
            recount=recount,
            delist_after_runs=self.settings.delist_after_runs,
            empty_below_share=self.settings.empty_below_share,
        )

    def _source(self, feed: str) -> SlicedSource:
        if feed not in self._sources:
            self._sources[feed] = sliced(feed).open(self.supplier, self.edge)
        return self._sources[feed]

    def _snapshots(self, feed: str) -> SnapshotSource:
        return snapshot(feed).open(self.supplier, self.edge)
