"""Idle workers take the largest partition next, so that a slow one holds up nobody."""

import threading
from collections import Counter
from uuid import uuid4

from sqlalchemy import Engine, text

from shared import ledger
from shared.db import transaction
from shared.feeds.base import Page, Slice
from tests.builders import LEASE_S, insert_partition, open_run
from tests.fakes import SLICING, FakeSource, raw_offer
from worker.fetch import fetch_partition

WORKERS, SLOW = 4, 0  # the worker that is slow, by number
SIZES = [5, 90, 15, 40, 60, 25, 75, 10, 55, 30, 20, 70, 35, 45, 65, 50]


def test_a_slow_worker_does_less_and_no_worker_has_twice_the_mean(engine: Engine) -> None:
    run_id = open_run(engine)
    with transaction(engine) as tx:
        for size in SIZES:
            part = insert_partition(tx, run_id, planned_offers=size)
            ledger.add(tx, "fetch", run_id, partition_id=part, priority=size)
    others_done = threading.Event()
    pages: Counter[int] = Counter()
    taken: list[int] = []
    guard = threading.Lock()

    class Listing(FakeSource):
        """The offers of one partition; the slow worker's answers come when nothing else is left."""

        def __init__(self, worker: int, size: int) -> None:
            super().__init__([raw_offer(n) for n in range(size)])
            self.worker = worker

        def page(self, part: Slice, offset: int, limit: int) -> Page:
            if self.worker == SLOW:
                others_done.wait(30)
            with guard:
                pages[self.worker] += 1
            return super().page(part, offset, limit)

    def work(number: int, claimed_first: threading.Barrier) -> None:
        first = True
        while True:
            with guard, transaction(engine) as tx:
                due = ledger.announce(tx, "fetch", again_s=0, announced_max=1)
                held = due and ledger.claim(
                    tx, "fetch", due[0].item_id, due[0].epoch, owner=uuid4(), lease_s=LEASE_S
                )
            if first:
                claimed_first.wait(30)
                first = False
            if not held:
                break
            with transaction(engine) as tx:
                read = text("SELECT planned_offers FROM partitions WHERE partition_id = :id")
                size = tx.execute(read, {"id": held.partition_id}).scalar_one()
            with guard:
                taken.append(size)
            fetch_partition(
                held,
                engine=engine,
                source=Listing(number, size),
                slicing=SLICING,
                offers_max=1_000,
                lease_s=LEASE_S,
            )

    barrier = threading.Barrier(WORKERS)
    threads = [threading.Thread(target=work, args=(n, barrier)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(60)
    others_done.set()
    threads[0].join(60)
    assert sorted(taken) == sorted(SIZES)
    assert set(taken[:WORKERS]) == set(sorted(SIZES)[-WORKERS:])
    mean = sum(pages.values()) / WORKERS
    assert pages[SLOW] < mean
    assert max(pages.values()) <= 2 * mean
