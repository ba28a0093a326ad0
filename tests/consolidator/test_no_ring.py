"""Folds, reprices and reconciliations over the same stones wait for each other, never in a ring."""

import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from consolidator import fold as module
from consolidator import reprices, rulesets
from consolidator.reprice import reprice_batch
from shared import db, ledger
from shared.db import transaction
from shared.errors import ClaimLost
from shared.ledger import Claim
from sql import query
from tests.builders import FEED, open_run, rows
from tests.consolidator.landing import TWICE_THE_COST, activate, fold, folded, land, rejected
from tests.consolidator.test_fold import offer
from tests.consolidator.test_reprice import FIVE_TIMES

NAMES = [f"O{n:02}" for n in range(60)]
FOLDERS, REPRICERS, RECONCILERS = 4, 2, 2
FOLDS_EACH = 3
OFFERS = 40  # of a partition, of which a tenth cannot be priced


@pytest.fixture
def crowded(database_url: str) -> Iterator[Engine]:
    """A connection for each of them."""
    engine = db.connect(database_url, pool_size=FOLDERS + REPRICERS + RECONCILERS)
    yield engine
    engine.dispose()


def test_eight_at_once_over_the_same_stones_never_wait_in_a_ring(
    crowded: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprices, "BATCH_STONES", 20)
    monkeypatch.setattr(module, "CHUNK_OFFERS", 7)  # each written before the next is mapped
    draw = random.Random(7)
    ruleset_ids = [activate(crowded, source) for source in (FIVE_TIMES, TWICE_THE_COST)]
    seen = folded(crowded, [offer(name) for name in draw.sample(NAMES, 60)])  # in no order
    run_id = open_run(crowded)
    folds = [landed(crowded, draw, run_id) for _ in range(FOLDERS * FOLDS_EACH)]
    over = threading.Event()
    with ThreadPoolExecutor(FOLDERS + REPRICERS + RECONCILERS) as pool:
        folding = [pool.submit(fold_all, crowded, folds[n::FOLDERS]) for n in range(FOLDERS)]
        beside = [pool.submit(reprice_on, crowded, ruleset_ids, over)]
        beside += [pool.submit(reprice_on, crowded, [], over) for _ in range(REPRICERS - 1)]
        beside += [pool.submit(miss_on, crowded, seen, over) for _ in range(RECONCILERS)]
        try:
            for one in folding:
                one.result(100)
        finally:
            over.set()
        rounds = [one.result(100) for one in beside]
    assert min(rounds) > 0
    assert rejected(crowded) != []
    (open_folds,) = rows(
        crowded, "SELECT count(*) AS n FROM work_items WHERE kind = 'fold' AND state <> 'done'"
    )
    assert open_folds["n"] == 0


def landed(engine: Engine, draw: random.Random, run_id: UUID) -> Claim:
    chosen = draw.sample(NAMES, OFFERS)
    payloads = [
        offer(name, price=0 if draw.random() < 0.1 else draw.randint(100, 900)) for name in chosen
    ]
    return land(engine, payloads, run_id=run_id)


def fold_all(engine: Engine, folds: Sequence[Claim]) -> None:
    for held in folds:
        fold(engine, held)


def reprice_on(engine: Engine, ruleset_ids: Sequence[int], over: threading.Event) -> int:
    """Activate one ruleset after the other, if any, and do the batches that are due."""
    rounds = 0
    while not over.is_set():
        if ruleset_ids:
            with transaction(engine) as tx:
                wanted = ruleset_ids[rounds % len(ruleset_ids)]
                rulesets.activate(tx, wanted, actor="ana", reason="a test")
        with transaction(engine) as tx:
            due = ledger.announce(tx, "reprice", again_s=0, announced_max=2)
        for one in due:
            with transaction(engine) as tx:
                held = ledger.claim(
                    tx, "reprice", one.item_id, one.epoch, owner=uuid4(), lease_s=60
                )
            if held is not None:
                with suppress(ClaimLost):  # the next activation has cancelled it
                    reprice_batch(held, engine=engine)
        rounds += 1
    return rounds


def miss_on(engine: Engine, run_id: UUID, over: threading.Event) -> int:
    """What a reconciliation does to the stones that its run did not see."""
    (run,) = rows(engine, "SELECT landed_on FROM runs WHERE run_id = :run", run=run_id)
    (now,) = rows(engine, "SELECT now() + interval '1 day' AS at")
    values = {"feed": FEED, "landed_on": run["landed_on"], "opened_at": now["at"]}
    rounds = 0
    while not over.is_set():
        with transaction(engine) as tx:
            nobody = {"run_id": uuid4(), "delist_after_runs": 1_000_000}
            tx.execute(query("miss_unseen"), values | nobody)
        rounds += 1
    return rounds
