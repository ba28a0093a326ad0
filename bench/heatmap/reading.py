"""Reading a feed that moves, by the stages of the pipeline: plan, fetch, cut and sweep.

The supplier is in memory and lists by creation, so that what is sold shifts what comes after it.
At each of its requests some offers are repriced, some go and some come.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from uuid import UUID

import numpy as np
from pydantic_core import to_json
from sqlalchemy import Engine, text

from bench.heatmap import sets
from bench.heatmap.conditions import Row
from cli import demo
from cli.embedded.supervisor import Supervisor
from scheduler import steward
from scheduler.cut import cut_partition
from scheduler.plan import plan_run, sweep_run
from shared import db, ledger, queue, runs
from shared.db import transaction
from shared.feeds import sliced
from shared.feeds.base import Page, RawOffer, Slice, Slicing
from shared.ledger import Claim, Kind
from shared.settings import Settings, load
from worker.fetch import fetch_partition

NIVODA = sliced("nivoda-natural")
PAGE_SIZE, DEPTH, WORKERS = 50, 5_000, 8
MISSED_MAX, MISSED_UNSWEPT_MAX, PAGES_MAX = 0.0001, 0.0035, 1.15  # T11
CARATS = 100  # hundredths, of every offer
DUMPED = 0.05  # of the offers, put on one price in mid-run


class MovingListing:
    """Offers in order of creation; threads may share it."""

    def __init__(self, prices: sets.Column, *, moving: float, calls: int, seed: int) -> None:
        """moving: share of the offers that change over so many calls"""
        rows = len(prices)
        # Dollars a carat; with room for all that come.
        self.price = np.concatenate([prices, np.zeros(2 * rows, np.int64)])
        self.alive = np.arange(len(self.price)) < rows
        self.changed = np.zeros(len(self.price), bool)
        self.first, self.last = rows, rows  # offers at the start, and where the next one comes
        self._draw = np.random.default_rng(seed)
        self._each_call, self._owed = moving * rows / calls, 0.0
        self._lock = threading.Lock()
        self.sent = self.pages = 0
        self.dump_at: int | None = None  # after so many pages

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:  # noqa: ARG002
        with self._lock:
            self._move()
            return int(self._matching(part).sum())

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        with self._lock:
            self._move()
            self.pages += 1
            listed = np.flatnonzero(self._matching(part))[offset : offset + limit]
            offers = [self._offer(int(at)) for at in listed]
        return Page(offers, len(offers))

    def requests(self) -> int:
        return self.sent

    def apart(self) -> Self:
        return self

    def close(self) -> None:
        """Nothing to give back."""

    def _matching(self, part: Slice) -> sets.Column:
        rows = slice(0, self.last)
        matching = self.alive[rows].copy()
        if part.updated_from is not None:
            matching &= self.changed[rows]
        if part.price is not None:
            matching &= self.price[rows] >= part.price.low
            if part.price.high is not None:
                matching &= self.price[rows] <= part.price.high
        if part.carat is not None:
            matching &= part.carat.low <= CARATS <= (part.carat.high or CARATS)
        return matching

    def _offer(self, at: int) -> RawOffer:
        carat = {"shape": "ROUND", "carats": CARATS / 100}
        told = {"id": f"DIAMOND/{at}", "price": int(self.price[at]) * 100}
        return RawOffer(str(told["id"]), to_json(told | {"diamond": {"certificate": carat}}))

    def _move(self) -> None:
        self.sent += 1
        self._owed += self._each_call
        times, self._owed = int(self._owed), self._owed % 1
        alive = np.flatnonzero(self.alive[: self.last])
        for at in self._draw.choice(alive, times):
            what = self._draw.random()
            if what < 0.5:
                self.price[at] = max(1, round(self.price[at] * self._draw.uniform(0.9, 1.1)))
                self.changed[at] = True
            elif what < 0.75:
                self.alive[at] = False
            else:
                self._comes(int(self.price[at]))
        if self.dump_at is not None and self.pages >= self.dump_at:
            self.dump_at = None
            for _ in range(round(DUMPED * self.first)):
                self._comes(2_500)

    def _comes(self, price: int) -> None:
        self.price[self.last], self.alive[self.last], self.changed[self.last] = price, True, True
        self.last += 1


def read(rows: int, seed: int) -> Iterator[Row]:
    """What is missed of feeds that move; T11 holds for 2 %."""
    with _database() as (engine, settings):
        yield _row(engine, settings, rows, seed, moving=0.0)
        yield _row(engine, settings, rows, seed, moving=0.02)
        yield _row(engine, settings, rows, seed, moving=0.02, sweep=False)
        yield _row(engine, settings, rows, seed, moving=0.1)
        yield _row(engine, settings, rows, seed, moving=0.02, dump=True)


def _row(
    engine: Engine,
    settings: Settings,
    rows: int,
    seed: int,
    *,
    moving: float,
    sweep: bool = True,
    dump: bool = False,
) -> Row:
    prices = sets.offers("real, scaled", rows, seed).price // 100
    # So many requests are expected: pages that repeat a tenth, and counts.
    supplier = MovingListing(prices, moving=moving, calls=ceil(rows / 47 * 1.1), seed=seed)
    supplier.dump_at = ceil(rows / 47 / 2) if dump else None
    run_id = _run(engine, settings, supplier, sweep=sweep)
    known = _read_ids(engine, run_id)
    whole = np.zeros(supplier.last, bool)
    whole[[at for at in known if at < supplier.last]] = True
    alive, changed = supplier.alive[: supplier.last], supplier.changed[: supplier.last]
    there_throughout = alive.copy()
    there_throughout[supplier.first :] = False
    missed = int((alive & ~whole).sum())
    missed_old = int((there_throughout & ~whole).sum())
    doubtful = int((alive & changed).sum())
    pages = supplier.pages / (ceil(rows / PAGE_SIZE))
    most = MISSED_MAX if sweep else MISSED_UNSWEPT_MAX
    held = moving <= 0.02 and not dump
    what = (
        f"{moving:.0%} change"
        + ("" if sweep else ", not swept")
        + (f", {DUMPED:.0%} come on one price" if dump else "")
    )
    return Row(
        what,
        f"{missed_old} missed of {there_throughout.sum():,} there throughout, {missed} of all "
        f"{alive.sum():,} ({missed / alive.sum():.3%}); {doubtful:,} doubtful; {pages:.2f} x pages",
        "T11" if held else "none there throughout",
        (missed_old == 0 or not sweep)
        and (not held or (missed <= most * alive.sum() and pages <= PAGES_MAX)),
    )


def _run(engine: Engine, settings: Settings, supplier: MovingListing, *, sweep: bool) -> UUID:
    """A run of all stages but the folding, `WORKERS` partitions at once."""
    feed = replace(
        NIVODA,
        slicing=Slicing(PAGE_SIZE, DEPTH, True, "USD per carat", ("ROUND",), ("GIA",)),
    )
    given: dict[str, Any] = {
        "engine": engine,
        "source": supplier,
        "feed": feed,
        "settings": settings,
    }

    def fetch(held: Claim) -> None:
        fetch_partition(
            held,
            engine=engine,
            source=supplier,
            slicing=feed.slicing,
            offers_max=settings.partition_offers_max,
            lease_s=settings.lease_s,
        )

    def close(held: Claim) -> None:
        with transaction(engine) as tx:
            ledger.finish(tx, held)

    work: dict[Kind, Callable[[Claim], Any]] = {
        "plan": lambda held: plan_run(held, **given),
        "fetch": fetch,
        "cut": lambda held: cut_partition(held, **given),
        "sweep": (lambda held: sweep_run(held, **given)) if sweep else close,
        "fold": close,
        "reconcile": close,
    }
    with transaction(engine) as tx:
        run_id = runs.start(tx, feed.name).run_id
    kinds: tuple[Kind, ...] = ("plan", "cut", "fetch", "fold", "sweep", "reconcile")
    with ThreadPoolExecutor(WORKERS) as pool:
        while True:
            moved = steward.close_runs(engine)
            for kind in kinds:
                with transaction(engine) as tx:
                    due = ledger.announce(tx, kind, again_s=0, announced_max=WORKERS)
                told = [{"item": one.item_id, "epoch": one.epoch} for one in due]
                done = [
                    pool.submit(queue.deliver, message, kind, work[kind], engine=engine)
                    for message in told
                ]
                for one in done:
                    one.result()
                moved += len(told)
            if not moved:
                break
    with transaction(engine) as tx:
        runs.cancel(tx, run_id, reason="only read", actor="bench")
    return run_id


def _read_ids(engine: Engine, run_id: UUID) -> set[int]:
    read = text(
        "SELECT DISTINCT offer_id FROM raw_offers JOIN partitions USING (partition_id)"
        " WHERE run_id = :run_id"
    )
    with transaction(engine) as tx:
        ids = tx.execute(read, {"run_id": run_id}).scalars()
        return {int(one.removeprefix("DIAMOND/")) for one in ids}


@contextmanager
def _database() -> Iterator[tuple[Engine, Settings]]:
    with TemporaryDirectory(prefix="facet-bench-") as folder, Supervisor(Path(folder)) as servers:
        env = demo.servers(servers) | {"FACET_FETCH_WORKERS": str(WORKERS)}
        os.environ.update(env)  # what a work item's shell reads
        settings = load()
        engine = db.connect(settings.database_url.get_secret_value())
        db.migrate(engine)
        yield engine, settings
        engine.dispose()
