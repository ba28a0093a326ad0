"""Dead letters: what they hold, and what replaying and discarding them does."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from scheduler import steward
from shared import dead_letters, ledger, runs
from shared.db import transaction
from shared.dead_letters import Wanted
from shared.errors import ClaimLost, NotNow, SupplierUnavailable
from tests.builders import claim, due_item, held_item, item_now, lapse, open_run, rows

ALL = Wanted()
BECAUSE = {"actor": "ana", "because": "the supplier is back"}


def given_up(engine: Engine, kind: ledger.Kind = "fetch", **wanted: Any) -> int:
    """A piece of work that gave up; returns its dead letter."""
    held = held_item(engine, kind, **wanted)
    with transaction(engine) as tx:
        return ledger.bury(tx, held, reason="permanent", error="not allowed", traceback="line 1")


def end_run(engine: Engine, run_id: UUID, state: str = "partial", *, planned: bool = True) -> None:
    with transaction(engine) as tx:
        tx.execute(
            text("""
            UPDATE runs
               SET state = :state, reason = CASE WHEN :state <> 'complete' THEN 'a test' END,
                   finished_at = now(), fetching_at = CASE WHEN :planned THEN now() END
             WHERE run_id = :run"""),
            {"run": run_id, "state": state, "planned": planned},
        )
        tx.execute(
            text("UPDATE work_items SET state = 'done', owner = NULL, lease_until = NULL,"
                 " finished_at = now() WHERE run_id = :run AND finished_at IS NULL"),
            {"run": run_id},
        )  # fmt: skip


def letter_now(engine: Engine, letter: int) -> dict[str, Any]:
    with transaction(engine) as tx:
        return dead_letters.show(tx, letter)


def replay(engine: Engine, letter: int) -> int:
    with transaction(engine) as tx:
        return dead_letters.replay(tx, letter, **BECAUSE)


def test_a_dead_letter_has_all_that_is_needed_to_understand_it(engine: Engine) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE partitions SET next_offset = 120, landed = 124"))
        ledger.retry(tx, held, SupplierUnavailable("down"))
        tx.execute(text("UPDATE work_items SET not_before = now(), epoch = 8, attempts = 7"
                        " WHERE kind = 'fetch'"))  # fmt: skip
    last = claim(engine, held.item_id)
    assert last is not None
    with transaction(engine) as tx:
        assert ledger.retry(tx, last, SupplierUnavailable("still down"), traceback="Tr") == "dead"
    (letter,) = rows(engine, "SELECT * FROM dead_letters")
    assert (letter["kind"], letter["reason"], letter["error"], letter["traceback"]) == (
        *("fetch", "attempts", "still down", "Tr"),
    )  # fmt: skip
    assert (letter["attempts"], letter["epoch"]) == (8, 9)
    assert (letter["run_id"], letter["partition_id"]) == (held.run_id, held.partition_id)
    assert letter["first_at"] < letter["buried_at"]
    assert letter["payload"] == {
        "run": "full", "slice": {"price": [0, None]}, "planned_offers": 100, "landed": 124,
        "next_offset": 120,
    }  # fmt: skip


def test_an_error_with_bytes_that_no_text_may_have_is_kept_all_the_same(engine: Engine) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        ledger.bury(tx, held, reason="bug", error="a \x00 and a \ud800", traceback="\x00")
    (letter,) = rows(engine, "SELECT error FROM dead_letters")
    assert letter["error"] == r"a \x00 and a \ud800"


def test_a_replay_makes_the_work_due_with_all_its_attempts_and_says_who_and_why(
    engine: Engine,
) -> None:
    letter = given_up(engine)
    item_id = replay(engine, letter)
    now = item_now(engine, item_id)
    assert (now["state"], now["attempts"], now["announced_at"]) == ("due", 0, None)
    shown = letter_now(engine, letter)
    assert shown["settled_how"] == "replayed"
    (event,) = shown["audit"]
    assert (event["actor"], event["action"], event["reason"]) == (
        *("ana", "dead-letter.replay", "the supplier is back"),
    )  # fmt: skip
    assert (event["before"]["state"], event["after"]["state"]) == ("dead", "due")
    assert claim(engine, item_id) is not None


def test_of_two_who_replay_at_once_one_does(engine: Engine) -> None:
    for _ in range(5):
        letter = given_up(engine, run_id=open_run(engine, f"feed-{_}"))
        start = threading.Barrier(2)

        def attempt(_: int, letter: int = letter, start: threading.Barrier = start) -> str:
            start.wait()
            try:
                replay(engine, letter)
            except NotNow as error:
                return str(error)
            return "replayed"

        with ThreadPoolExecutor(2) as pool:
            outcomes = sorted(pool.map(attempt, range(2)))
        assert outcomes == [f"dead letter {letter} was replayed already", "replayed"]
        events = rows(engine, "SELECT 1 FROM audit_events WHERE subject = :s", s=str(letter))
        assert len(events) == 1


def test_a_replay_that_comes_while_another_is_not_committed_waits_for_it(engine: Engine) -> None:
    letter = given_up(engine)
    with ThreadPoolExecutor(1) as pool, transaction(engine) as tx:
        dead_letters.replay(tx, letter, **BECAUSE)
        second = pool.submit(replay, engine, letter)
        wait_until_blocked(engine)
        tx.commit()
        with pytest.raises(NotNow, match="replayed already"):
            second.result(60)
    assert len(rows(engine, "SELECT 1 FROM audit_events")) == 1


def wait_until_blocked(engine: Engine) -> None:
    """Until some connection waits for a lock."""
    waiting = """
        SELECT 1 FROM pg_stat_activity
         WHERE wait_event_type = 'Lock' AND datname = current_database()"""
    for _ in range(6_000):
        if rows(engine, waiting):
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits for a lock")


def test_a_holder_from_before_the_replay_changes_nothing(engine: Engine) -> None:
    late = held_item(engine)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET attempts_max = 1 WHERE kind = 'fetch'"))
    lapse(engine, late.item_id)
    steward.reap(engine)
    (letter,) = rows(engine, "SELECT dead_letter_id, first_at FROM dead_letters")
    assert letter["first_at"] is not None
    replay(engine, letter["dead_letter_id"])
    writes: list[Callable[[Any], object]] = [
        lambda tx: ledger.finish(tx, late),
        lambda tx: ledger.heartbeat(tx, late, lease_s=60),
    ]
    for write in writes:
        with pytest.raises(ClaimLost), transaction(engine) as tx:
            write(tx)
    assert item_now(engine, late.item_id)["state"] == "due"


def test_work_that_gives_up_again_has_a_second_letter(engine: Engine) -> None:
    letter = given_up(engine)
    item_id = replay(engine, letter)
    again = claim(engine, item_id)
    assert again is not None
    with transaction(engine) as tx:
        second = ledger.bury(tx, again, reason="permanent", error="not allowed either")
    with transaction(engine) as tx:
        assert [one["dead_letter_id"] for one in matching(tx)] == [second]
    replay(engine, second)


def test_a_discarded_letter_is_off_the_list_and_can_be_replayed_after_all(engine: Engine) -> None:
    letter = given_up(engine)
    with transaction(engine) as tx:
        dead_letters.discard(tx, letter, actor="ana", because="not worth it")
        assert matching(tx) == []
        assert [one["dead_letter_id"] for one in matching(tx, settled=True)] == [letter]
    with pytest.raises(NotNow, match="discarded already"), transaction(engine) as tx:
        dead_letters.discard(tx, letter, actor="ana", because="not worth it")
    item_id = replay(engine, letter)
    assert item_now(engine, item_id)["state"] == "due"
    actions = [event["action"] for event in letter_now(engine, letter)["audit"]]
    assert actions == ["dead-letter.discard", "dead-letter.replay"]


def matching(tx: Any, wanted: Wanted = ALL, **more: Any) -> list[dict[str, Any]]:
    return dead_letters.matching(tx, wanted, **({"limit": 100} | more))


def test_letters_are_found_by_reason_kind_feed_run_and_age(engine: Engine) -> None:
    run_id = open_run(engine, "a-feed")
    fetch = given_up(engine, run_id=run_id)
    fold = given_up(engine, "fold", run_id=run_id)
    other = given_up(engine, run_id=open_run(engine, "b-feed"))
    with transaction(engine) as tx:
        message = ledger.bury_message(tx, b"{", error="unreadable")
        tx.execute(text("UPDATE dead_letters SET buried_at = now() - interval '3 h'"
                        " WHERE dead_letter_id = :d"), {"d": other})  # fmt: skip
        for wanted, found in (
            (Wanted(), [fetch, fold, other, message]),
            (Wanted(reason="bad_message"), [message]),
            (Wanted(kind="fold"), [fold]),
            (Wanted(feed="a-feed"), [fetch, fold]),
            (Wanted(run_id=run_id, kind="fetch"), [fetch]),
            (Wanted(since_s=7_200), [fetch, fold, message]),
        ):
            assert [one["dead_letter_id"] for one in matching(tx, wanted)] == found
            assert dead_letters.count(tx, wanted) == len(found)
        assert [one["dead_letter_id"] for one in matching(tx, limit=1, after=fetch)] == [fold]


@pytest.mark.parametrize(
    ("state", "planned", "problem"),
    [
        ("cancelled", True, "was cancelled: a test"),
        ("complete", True, "is complete"),
        ("failed", False, "failed before it had a plan"),
    ],
)
def test_what_can_do_no_good_any_more_is_not_replayed(
    engine: Engine, state: str, planned: bool, problem: str
) -> None:
    run_id = open_run(engine)
    letter = given_up(engine, run_id=run_id)
    end_run(engine, run_id, state, planned=planned)
    with pytest.raises(NotNow, match=problem) as caught:
        replay(engine, letter)
    assert "facet run" in caught.value.hint
    assert letter_now(engine, letter)["settled_at"] is None
    assert rows(engine, "SELECT 1 FROM audit_events") == []


def test_a_run_whose_raw_offers_are_gone_is_not_added_to(engine: Engine) -> None:
    run_id = open_run(engine)
    letter = given_up(engine, run_id=run_id)
    end_run(engine, run_id)
    (run,) = rows(engine, "SELECT to_char(landed_on, 'YYYYMMDD') AS day FROM runs")
    with transaction(engine) as tx:
        tx.execute(text(f"DROP TABLE raw_offers_{run['day']}"))
    with pytest.raises(NotNow, match="are kept no more"):
        replay(engine, letter)


def test_a_message_is_not_replayed_but_discarded(engine: Engine) -> None:
    with transaction(engine) as tx:
        letter = ledger.bury_message(tx, b"{", error="unreadable")
    with pytest.raises(NotNow, match="only a wake-up") as caught:
        replay(engine, letter)
    assert f"facet dead-letter discard {letter}" in caught.value.hint
    with transaction(engine) as tx:
        dead_letters.discard(tx, letter, actor="ana", because="a stray")


def test_the_same_bytes_again_are_one_letter_until_it_is_settled(engine: Engine) -> None:
    with transaction(engine) as tx:
        first = ledger.bury_message(tx, b"\x00\xff", error="no JSON")
    with transaction(engine) as tx:
        assert ledger.bury_message(tx, b"\x00\xff", error="no JSON") == first
        assert ledger.bury_message(tx, b"\x00", error="no JSON") != first
    found = letter_now(engine, first)
    assert (found["attempts"], bytes(found["message"])) == (2, b"\x00\xff")
    assert found["first_at"] < found["last_at"]
    with transaction(engine) as tx:
        dead_letters.discard(tx, first, actor="ana", because="a stray")
        assert ledger.bury_message(tx, b"\x00\xff", error="no JSON") > first


def test_there_is_no_letter_of_that_id(engine: Engine) -> None:
    for act in (dead_letters.replay, dead_letters.discard):
        with pytest.raises(NotNow, match="no dead letter 7"), transaction(engine) as tx:
            act(tx, 7, **BECAUSE)


def test_a_replay_and_a_cancellation_at_once_leave_no_work_behind(engine: Engine) -> None:
    run_id = open_run(engine)
    letter = given_up(engine, run_id=run_id)
    with ThreadPoolExecutor(1) as pool, transaction(engine) as tx:
        dead_letters.replay(tx, letter, **BECAUSE)
        cancelling = pool.submit(cancel, engine, run_id)
        wait_until_blocked(engine)
        tx.commit()
        assert cancelling.result(60) == 2  # the plan and what was replayed
    open_items = "SELECT 1 FROM work_items WHERE finished_at IS NULL"
    assert rows(engine, open_items) == []


def cancel(engine: Engine, run_id: UUID) -> int:
    with transaction(engine) as tx:
        return runs.cancel(tx, run_id, reason="a test", actor="ana")


@pytest.mark.parametrize("state", ["planning", "fetching", "reconciling"])
def test_a_run_is_cancelled_from_any_open_state(engine: Engine, state: str) -> None:
    run_id = open_run(engine)
    due_item(engine, run_id=run_id)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE runs SET state = :state"), {"state": state})
    assert cancel(engine, run_id) == 2
    (run,) = rows(engine, "SELECT state, reason FROM runs")
    assert run == {"state": "cancelled", "reason": "a test"}
    with pytest.raises(NotNow, match="cancelled already"):
        cancel(engine, run_id)
