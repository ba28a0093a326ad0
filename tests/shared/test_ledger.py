"""Claims, leases, epochs, retries and dead letters, on a real PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from scheduler import steward
from shared import ledger
from shared.db import transaction
from shared.errors import (
    BrokerUnavailable,
    ClaimLost,
    Stopped,
    SupplierBusy,
    SupplierUnavailable,
    Throttled,
    Transient,
)
from tests.builders import (
    LEASE_S,
    claim,
    due_item,
    held_item,
    insert_partition,
    item_now,
    lapse,
    open_run,
    rows,
)


def test_a_claim_takes_the_item_and_raises_its_epoch(engine: Engine) -> None:
    item_id = due_item(engine)
    owner = uuid4()
    held = claim(engine, item_id, owner=owner)
    assert held is not None
    assert (held.epoch, held.attempts, held.feed) == (1, 1, "nivoda-natural")
    now = item_now(engine, item_id)
    assert (now["state"], now["owner"], now["epoch"]) == ("held", owner, 1)


def test_of_many_who_claim_at_once_one_gets_the_item(engine: Engine) -> None:
    item_id = due_item(engine)
    start = threading.Barrier(8)

    def attempt(_: int) -> bool:
        start.wait()
        return claim(engine, item_id, epoch=0) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_a_message_of_an_earlier_epoch_claims_nothing(engine: Engine) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        ledger.retry(tx, held, Stopped("asked to stop"))
    assert claim(engine, held.item_id, epoch=0) is None
    assert claim(engine, held.item_id, epoch=1) is not None


def test_an_item_of_another_kind_is_not_claimed(engine: Engine) -> None:
    item_id = due_item(engine, "fetch")
    assert claim(engine, item_id, "fold") is None


def test_a_holder_who_wakes_too_late_changes_nothing(engine: Engine) -> None:
    late = held_item(engine)
    lapse(engine, late.item_id)
    assert steward.reap(engine) == 1
    present = claim(engine, late.item_id)
    assert present is not None
    for write in (
        lambda tx: ledger.heartbeat(tx, late, lease_s=LEASE_S),
        lambda tx: ledger.finish(tx, late),
        lambda tx: ledger.retry(tx, late, SupplierUnavailable("down")),
        lambda tx: ledger.bury(tx, late, reason="permanent", error="no"),
    ):
        with pytest.raises(ClaimLost), transaction(engine) as tx:
            tx.execute(text("INSERT INTO feeds (feed) VALUES ('written-too-late')"))
            write(tx)
    assert rows(engine, "SELECT 1 FROM feeds WHERE feed = 'written-too-late'") == []
    assert item_now(engine, late.item_id)["epoch"] == present.epoch
    assert rows(engine, "SELECT 1 FROM dead_letters") == []


def test_the_reaper_leaves_a_lease_that_still_runs(engine: Engine) -> None:
    held = held_item(engine)
    assert steward.reap(engine) == 0
    assert item_now(engine, held.item_id)["state"] == "held"


@pytest.mark.parametrize("failed", [None, 3], ids=["silent each time", "another error before"])
def test_holders_that_fall_silent_one_after_another_make_a_dead_letter(
    engine: Engine, failed: int | None
) -> None:
    item_id = due_item(engine, "fold")
    for attempt in range(1, ledger.ATTEMPTS_MAX["fold"] + 1):
        held = claim(engine, item_id, "fold")
        assert held is not None
        if attempt == failed:
            with transaction(engine) as tx:
                ledger.retry(tx, held, SupplierUnavailable("answered 503"))
                tx.execute(text("UPDATE work_items SET not_before = now()"))
        else:
            lapse(engine, item_id)
            steward.reap(engine)
    assert item_now(engine, item_id)["state"] == "dead"
    (letter,) = rows(engine, "SELECT * FROM dead_letters")
    assert (letter["reason"], letter["item_id"], letter["attempts"]) == ("worker_lost", item_id, 4)
    said = "its holder fell silent, in the last of 4 attempts"
    assert letter["error"] == said + ("; before that: answered 503" if failed else "")


def test_two_reapers_at_once_reap_an_item_once(engine: Engine) -> None:
    held = [held_item(engine, run_id=run) for run in [open_run(engine)]]
    lapse(engine, held[0].item_id)
    start = threading.Barrier(4)

    def attempt(_: int) -> int:
        start.wait()
        return steward.reap(engine)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1


def test_progress_starts_the_attempts_anew(engine: Engine) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        ledger.retry(tx, held, Stopped("asked to stop"))
        tx.execute(text("UPDATE work_items SET epoch = 9, attempts = 7 WHERE kind = 'fetch'"))
    again = claim(engine, held.item_id)
    assert again is not None
    assert again.attempts == 8
    with transaction(engine) as tx:
        ledger.heartbeat(tx, again, lease_s=LEASE_S, progress=True)
        assert ledger.retry(tx, again, SupplierUnavailable("down")) == "due"
    assert item_now(engine, held.item_id)["attempts"] == 1


def test_a_retry_waits_at_least_as_long_as_the_supplier_says(engine: Engine) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        assert ledger.retry(tx, held, SupplierBusy("busy", retry_after_s=90)) == "due"
    waits = "SELECT not_before - now() > '89 s' AS long FROM work_items WHERE kind = 'fetch'"
    assert rows(engine, waits) == [{"long": True}]
    assert claim(engine, held.item_id) is None


def test_who_was_asked_to_stop_loses_neither_attempt_nor_time(engine: Engine) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        ledger.retry(tx, held, Stopped("asked to stop"))
    assert item_now(engine, held.item_id)["attempts"] == 0
    assert claim(engine, held.item_id) is not None


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (SupplierBusy("our limit is used up"), 0),
        (BrokerUnavailable("no Redis"), 0),
        (Throttled("429"), 1),
        (SupplierUnavailable("down"), 1),
    ],
)
def test_what_was_not_even_tried_uses_no_attempt(
    engine: Engine, error: Transient, attempts: int
) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        assert ledger.retry(tx, held, error) == "due"
        waits = tx.execute(text("SELECT not_before > now() FROM work_items WHERE kind = 'fetch'"))
        assert waits.scalar_one()
    assert item_now(engine, held.item_id)["attempts"] == attempts


def test_the_last_attempt_makes_a_dead_letter_with_the_error(engine: Engine) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET epoch = 8, attempts = 8 WHERE kind = 'fetch'"))
    last = held._replace(epoch=8)
    with transaction(engine) as tx:
        assert ledger.retry(tx, last, SupplierUnavailable("connection refused")) == "dead"
    (letter,) = rows(engine, "SELECT reason, error FROM dead_letters")
    assert letter == {"reason": "attempts", "error": "connection refused"}


def test_what_is_due_is_announced_once_the_most_urgent_first(engine: Engine) -> None:
    run_id = open_run(engine)
    light, heavy = (due_item_of(engine, run_id, priority=priority) for priority in (5, 9))
    with transaction(engine) as tx:
        sent = ledger.announce(tx, "fetch", again_s=30, announced_max=10)
        assert [one.item_id for one in sent] == [heavy, light]
        assert ledger.announce(tx, "fetch", again_s=30, announced_max=10) == []


def test_an_announcement_that_was_lost_is_made_again(engine: Engine) -> None:
    item_id = due_item(engine)
    with transaction(engine) as tx:
        assert len(ledger.announce(tx, "fetch", again_s=30, announced_max=10)) == 1
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET announced_at = now() - interval '31 s'"))
        (again,) = ledger.announce(tx, "fetch", again_s=30, announced_max=10)
    assert again.item_id == item_id


def test_only_so_many_messages_wait_in_the_broker(engine: Engine) -> None:
    run_id = open_run(engine)
    for number in range(1, 6):
        due_item_of(engine, run_id, priority=number)
    with transaction(engine) as tx:
        assert len(ledger.announce(tx, "fetch", again_s=30, announced_max=2)) == 2
        assert ledger.announce(tx, "fetch", again_s=30, announced_max=2) == []
        tx.execute(text("DELETE FROM work_items WHERE announced_at IS NOT NULL"))
        assert len(ledger.announce(tx, "fetch", again_s=30, announced_max=2)) == 2


def test_the_epoch_never_falls(engine: Engine) -> None:
    held = held_item(engine)
    with pytest.raises(IntegrityError, match="epoch would fall"), transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET epoch = 0 WHERE item_id = :i"), {"i": held.item_id})


def test_a_partition_has_one_item_of_a_kind(engine: Engine) -> None:
    held = held_item(engine)
    with pytest.raises(IntegrityError), transaction(engine) as tx:
        ledger.add(tx, "fetch", held.run_id, partition_id=held.partition_id)


@pytest.mark.parametrize("attempts", range(1, 12))
def test_a_delay_grows_and_stays_within_its_bound(attempts: int) -> None:
    wait_s = ledger.delay_s(attempts)
    assert min(120, 2**attempts) / 2 <= wait_s <= min(120, 2**attempts)


def due_item_of(engine: Engine, run_id: UUID, *, priority: int) -> int:
    """One of several items of a run."""
    with transaction(engine) as tx:
        partition_id = insert_partition(tx, run_id)
        return ledger.add(tx, "fetch", run_id, partition_id=partition_id, priority=priority)
