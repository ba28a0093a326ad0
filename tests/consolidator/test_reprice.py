"""Repricing: every stone under the active ruleset, once, whatever goes on beside it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from consolidator import reprices, rulesets
from consolidator.reprice import Repriced, reprice_batch
from scheduler import steward
from shared import dead_letters, ledger
from shared.db import transaction
from shared.errors import ClaimLost, NotNow
from shared.ledger import Claim
from sql import query
from tests.builders import FEED, open_run, rows
from tests.consolidator.landing import (
    NO_PEARS,
    TWICE_THE_COST,
    activate,
    fold,
    folded,
    land,
    price_changes,
    stone,
    stones,
)
from tests.consolidator.test_fold import offer

FIVE_TIMES = TWICE_THE_COST.replace("factor: 2", "factor: 5").replace("twice", "five times")
CHEAP_JUMPS = FIVE_TIMES.replace("rules:", "guards: {rise_max: 100}\nrules:")


@pytest.fixture
def in_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reprices, "BATCH_STONES", 2)


def claims(engine: Engine) -> Iterator[Claim]:
    """Every batch that is due, claimed."""
    with transaction(engine) as tx:
        due = ledger.announce(tx, "reprice", again_s=0, announced_max=100)
    for one in due:
        with transaction(engine) as tx:
            held = ledger.claim(tx, "reprice", one.item_id, one.epoch, owner=uuid4(), lease_s=60)
        assert held is not None
        yield held


def drain(engine: Engine) -> Repriced:
    """Do every batch that is due and close the reprice; returns the sums."""
    done = [reprice_batch(held, engine=engine) for held in claims(engine)]
    steward.close_reprices(engine)
    return Repriced(*map(sum, zip(*done, strict=True))) if done else Repriced(0, 0, 0, 0)


def latest(engine: Engine) -> dict[str, Any]:
    return rows(engine, "SELECT * FROM reprices ORDER BY reprice_id DESC LIMIT 1")[0]


def test_activating_reprices_every_stone_with_a_price_change_each(
    engine: Engine, in_twos: None
) -> None:
    activate(engine)
    run_id = folded(engine, [offer(name) for name in "ABCDE"])
    five = activate(engine, FIVE_TIMES)
    assert len(rows(engine, "SELECT * FROM reprice_batches")) == 3
    assert drain(engine) == (5, 5, 0, 0)
    for row in stones(engine):
        assert (row["price_cents"], row["ruleset_id"]) == (50_000, five)
        assert (row["rule"], row["previous_price_cents"]) == ("five times", 20_000)
        assert (row["run_id"], row["on_sale"]) == (run_id, True)
    changes = rows(engine, "SELECT * FROM price_changes WHERE cause <> 'feed'")
    assert len(changes) == 5
    reprice = latest(engine)
    for change in changes:
        assert (change["old_price_cents"], change["new_price_cents"]) == (20_000, 50_000)
        assert (change["cause"], change["actor"]) == ("activation", "ana")
        assert (change["run_id"], change["reprice_id"]) == (None, reprice["reprice_id"])
    assert (reprice["state"], reprice["why_ended"]) == ("done", None)


def test_a_first_activation_has_nothing_to_reprice(engine: Engine) -> None:
    activate(engine)
    assert rows(engine, "SELECT * FROM reprices") == []


def test_a_price_that_stays_is_stamped_without_a_price_change(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    before = stone(engine)
    other = activate(engine, TWICE_THE_COST.replace("name: twice\n", "name: double\n"))
    assert drain(engine) == (1, 0, 0, 0)
    after = stone(engine)
    assert (after["ruleset_id"], after["rule"]) == (other, "double")
    assert after["changed_at"] == before["changed_at"]
    assert price_changes(engine) == [(None, 20_000)]


def test_a_stone_folded_meanwhile_is_left_alone(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer("A"), offer("B")])
    activate(engine, FIVE_TIMES)
    folded(engine, [offer("A", price=11_000)])
    before = stones(engine)[0]
    assert before["price_cents"] == 55_000
    assert drain(engine) == (1, 1, 0, 0)
    assert stones(engine)[0] == before


def test_a_refused_stone_goes_off_sale_with_its_price_and_returns_with_the_old_rules(
    engine: Engine,
) -> None:
    first = activate(engine)
    folded(engine, [offer("A", shape="PEAR"), offer("B")])
    activate(engine, NO_PEARS)
    assert drain(engine) == (1, 1, 1, 0)
    pear = stones(engine)[0]
    assert (pear["on_sale"], pear["off_sale_reason"]) == (False, "refused")
    assert (pear["price_cents"], pear["ruleset_id"]) == (20_000, first)
    with transaction(engine) as tx:
        assert rulesets.rollback(tx, actor="ana", reason="pears sell") == first
    assert drain(engine) == (2, 1, 0, 1)
    assert [(row["on_sale"], row["price_cents"]) for row in stones(engine)] == [(True, 20_000)] * 2


def test_a_price_that_jumps_is_refused_by_a_reprice_too(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    activate(engine, CHEAP_JUMPS)
    assert drain(engine) == (0, 0, 1, 0)
    assert stone(engine)["off_sale_reason"] == "refused"


def test_what_is_delisted_or_rejected_is_not_repriced(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer("A"), offer("B")])
    with transaction(engine) as tx:
        tx.execute(
            text("""
            UPDATE diamonds SET on_sale = false, off_sale_at = now(),
                   off_sale_reason = CASE offer_id WHEN 'A' THEN 'delisted' ELSE 'rejected' END
        """)
        )
    before = stones(engine)
    activate(engine, FIVE_TIMES)
    assert drain(engine) == (0, 0, 0, 0)
    assert stones(engine) == before


def test_a_refused_stone_that_the_supplier_has_sold_is_delisted(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer("A", shape="PEAR")])
    activate(engine, NO_PEARS)
    drain(engine)
    run_id = open_run(engine)
    with transaction(engine) as tx:
        day = tx.execute(text("SELECT landed_on FROM runs WHERE run_id = :id"), {"id": run_id})
        values = {"feed": FEED, "run_id": run_id, "landed_on": day.scalar_one()}
        opened = {"opened_at": rows(engine, "SELECT now() AS at")[0]["at"]}
        row = tx.execute(query("miss_unseen"), values | opened | {"delist_after_runs": 1}).one()
    assert tuple(row) == (1, 1)
    assert stone(engine)["off_sale_reason"] == "delisted"


def test_a_refused_stone_whose_next_offer_is_rejected_does_not_come_back_by_a_rollback(
    engine: Engine,
) -> None:
    activate(engine)
    folded(engine, [offer("A", shape="PEAR")])
    activate(engine, NO_PEARS)
    drain(engine)
    folded(engine, [offer("A", shape="PEAR", price=99_000)], read_s=[1])
    assert stone(engine)["off_sale_reason"] == "rejected"
    with transaction(engine) as tx:
        rulesets.rollback(tx, actor="ana", reason="pears sell")
    assert drain(engine) == (0, 0, 0, 0)
    assert not stone(engine)["on_sale"]


def test_a_batch_done_twice_writes_once(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    activate(engine, FIVE_TIMES)
    (held,) = claims(engine)
    assert reprice_batch(held, engine=engine) == (1, 1, 0, 0)
    before = stone(engine)
    with pytest.raises(ClaimLost):
        reprice_batch(held, engine=engine)
    assert stone(engine) == before


def test_a_batch_that_breaks_leaves_nothing_and_is_done_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(engine)
    folded(engine, [offer()])
    before = stone(engine)
    activate(engine, FIVE_TIMES)
    (held,) = claims(engine)
    with monkeypatch.context() as broken:
        broken.setattr("consolidator.reprice.COPY_STAGED", "COPY nowhere FROM STDIN")
        with pytest.raises(Exception, match="nowhere"):
            reprice_batch(held, engine=engine)
    assert stone(engine) == before
    assert reprice_batch(held, engine=engine) == (1, 1, 0, 0)


def test_the_next_activation_overtakes_what_is_left_of_the_one_before(
    engine: Engine, in_twos: None
) -> None:
    activate(engine)
    folded(engine, [offer(name) for name in "ABCDE"])
    activate(engine, FIVE_TIMES)
    first, late, _ = claims(engine)
    reprice_batch(first, engine=engine)
    thrice = activate(engine, NO_PEARS)
    with pytest.raises(ClaimLost):
        reprice_batch(late, engine=engine)
    assert drain(engine) == (5, 5, 0, 0)
    assert {(row["price_cents"], row["ruleset_id"]) for row in stones(engine)} == {(30_000, thrice)}
    states = [row["state"] for row in rows(engine, "SELECT state FROM reprices ORDER BY 1")]
    assert states == ["cancelled", "done"]


def test_a_cancelled_reprice_leaves_the_rest_and_another_takes_it_up(
    engine: Engine, in_twos: None
) -> None:
    activate(engine)
    folded(engine, [offer(name) for name in "ABCD"])
    activate(engine, FIVE_TIMES)
    first, _ = claims(engine)
    reprice_batch(first, engine=engine)
    with transaction(engine) as tx:
        reprices.cancel(tx, actor="ana", reason="too dear")
    assert drain(engine) == (0, 0, 0, 0)
    assert (latest(engine)["state"], latest(engine)["why_ended"]) == ("cancelled", "too dear")
    with transaction(engine) as tx, pytest.raises(NotNow, match="no reprice is open"):
        reprices.cancel(tx, actor="ana", reason="again")
    with transaction(engine) as tx:
        reprices.ask(tx, actor="ana", reason="dear after all")
    assert drain(engine) == (2, 2, 0, 0)
    assert {row["price_cents"] for row in stones(engine)} == {50_000}
    last = rows(engine, "SELECT DISTINCT cause FROM price_changes ORDER BY cause")
    assert [row["cause"] for row in last] == ["activation", "feed", "reprice"]
    actions = rows(engine, "SELECT action FROM audit_events ORDER BY event_id")
    assert [row["action"] for row in actions][-2:] == ["reprice.cancel", "reprice.open"]


def test_a_batch_that_was_given_up_makes_the_reprice_fail(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    activate(engine, FIVE_TIMES)
    (held,) = claims(engine)
    with transaction(engine) as tx:
        ledger.bury(tx, held, reason="bug", error="a test")
    assert steward.close_reprices(engine) == 1
    assert (latest(engine)["state"], latest(engine)["why_ended"]) == (
        "failed",
        "1 batches are dead letters",
    )


def give_up(engine: Engine) -> int:
    """Bury the batch that is due, and close its reprice; returns the dead letter."""
    (held,) = claims(engine)
    with transaction(engine) as tx:
        ledger.bury(tx, held, reason="bug", error="a test")
        letter = dead_letters.letter_of(tx, held.item_id)
    assert letter is not None
    assert steward.close_reprices(engine) == 1
    return letter


def test_a_batch_that_is_replayed_completes_its_reprice(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    activate(engine, FIVE_TIMES)
    letter = give_up(engine)
    with transaction(engine) as tx:
        dead_letters.replay(tx, letter, actor="ana", because="mended")
    assert latest(engine)["state"] == "open"
    assert drain(engine) == (1, 1, 0, 0)
    assert (latest(engine)["state"], latest(engine)["why_ended"]) == ("done", None)


def test_a_batch_of_a_reprice_that_a_later_one_overtook_is_not_replayed(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    activate(engine, FIVE_TIMES)
    letter = give_up(engine)
    with transaction(engine) as tx:
        reprices.ask(tx, actor="ana", reason="once more")
    with transaction(engine) as tx, pytest.raises(NotNow, match="a later one prices its stones"):
        dead_letters.replay(tx, letter, actor="ana", because="mended")
    assert drain(engine) == (1, 1, 0, 0)


def test_an_activation_waits_for_a_fold_under_the_ruleset_before(engine: Engine) -> None:
    """Else the fold would write its old price after the reprice has passed."""
    activate(engine)
    folded(engine, [offer()])
    with transaction(engine) as tx:
        assert rulesets.active(tx).name == "twice the cost"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(activate, engine, FIVE_TIMES)
            await_waiter(engine)
            assert not waiting.done()
            tx.commit()
            assert waiting.result(timeout=30) == 2


def await_waiter(engine: Engine) -> None:
    """Until someone waits for the pricing lock."""
    waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    pause = threading.Event()
    for _ in range(500):
        if rows(engine, waiting)[0]["n"]:
            return
        pause.wait(0.02)
    raise AssertionError("nobody waits")


def test_folds_and_a_reprice_at_once_leave_every_stone_at_its_price(
    engine: Engine, in_twos: None
) -> None:
    activate(engine)
    folded(engine, [offer(f"S{n:03}") for n in range(60)])
    run_id = open_run(engine)
    folds = []
    for part in range(3):
        names = [f"S{n:03}" for n in range(part * 20, part * 20 + 20)]
        dearer = [offer(name, price=12_000) for name in reversed(names)]
        folds.append(land(engine, dearer, run_id=run_id))
    activate(engine, FIVE_TIMES)
    batches = list(claims(engine))
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(fold, engine, held) for held in folds]
        jobs += [pool.submit(reprice_batch, held, engine=engine) for held in batches]
        for job in jobs:
            job.result(timeout=60)
    assert {(row["cost_cents"], row["price_cents"]) for row in stones(engine)} == {(12_000, 60_000)}
    walked = rows(
        engine,
        """
        SELECT stone_id, old_price_cents, lag(new_price_cents) OVER stone AS before
          FROM price_changes WINDOW stone AS (PARTITION BY stone_id ORDER BY changed_at)""",
    )
    assert all(row["old_price_cents"] == row["before"] for row in walked)


def test_the_same_number_in_another_currency_is_another_price(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    rates = "rates: {USD: {rate: 1, as_of: 2025-01-01, source: a day of parity}}"
    activate(engine, TWICE_THE_COST.replace("currency: USD", f"currency: EUR\n{rates}"))
    assert drain(engine) == (1, 1, 0, 0)
    (change,) = rows(engine, "SELECT * FROM price_changes WHERE cause = 'activation'")
    assert (change["old_price_cents"], change["old_price_currency"]) == (20_000, "USD")
    assert (change["new_price_cents"], change["price_currency"]) == (20_000, "EUR")
