"""Runs that start by themselves: once a slot, whatever the number of stewards."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from consolidator import rulesets
from scheduler import chores, schedules
from scheduler.chores import Chore
from scheduler.cron import Cron
from scheduler.schedules import LATE_S, MADE_UP_MAX, MissedPolicy
from shared import pausing, runs
from shared.db import transaction
from shared.errors import NotNow, UnknownFeed
from shared.runs import RunKind
from tests.builders import FEED, rows

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ruleset.yaml"
SLOTS = "SELECT kind, state, reason, missed, run_id FROM schedule_slots ORDER BY slot, kind"


@pytest.fixture(autouse=True)
def priced(engine: Engine) -> None:
    """Without rules no run starts."""
    with transaction(engine) as tx:
        source = EXAMPLE.read_text(encoding="utf-8")
        ruleset_id = rulesets.add(tx, source, source=EXAMPLE.name, author="ana")
        rulesets.activate(tx, ruleset_id, actor="ana", reason="a test")


def schedule(
    engine: Engine,
    cron: str = "* * * * *",
    kind: RunKind = "full",
    missed: MissedPolicy = "once",
    *,
    due_s: float | None = 0.0,
) -> None:
    """A schedule whose next slot lies `due_s` behind us; None: as it is set."""
    with transaction(engine) as tx:
        wanted = Cron(cron, "Europe/Berlin")
        schedules.set_schedule(tx, FEED, kind, wanted, missed=missed, actor="ana", reason="nightly")
        if due_s is not None:
            move = (
                "UPDATE schedules SET next_at = now() - make_interval(secs => :s) WHERE kind = :k"
            )
            tx.execute(text(move), {"s": due_s + 60, "k": kind})


def end_run(engine: Engine) -> None:
    end = """UPDATE runs SET state = 'cancelled', reason = 'x', finished_at = now()
              WHERE finished_at IS NULL"""
    with transaction(engine) as tx:
        tx.execute(text(end))


def slots(engine: Engine) -> list[dict[str, Any]]:
    return rows(engine, SLOTS)


def test_a_schedule_starts_nothing_before_its_slot(engine: Engine) -> None:
    schedule(engine, "0 3 1 1 *", due_s=None)
    assert schedules.start_due(engine) == 0
    assert slots(engine) == []


def test_a_slot_starts_one_run_however_many_stewards_there_are(engine: Engine) -> None:
    schedule(engine)
    begin = threading.Barrier(4)

    def steward(_: int) -> int:
        begin.wait()
        return sum(schedules.start_due(engine) for _ in range(3))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(steward, range(4))) == 1
    (run,) = rows(engine, "SELECT run_id, feed, kind FROM runs")
    assert (run["feed"], run["kind"]) == (FEED, "full")
    started = [one for one in slots(engine) if one["state"] == "started"]
    assert [one["run_id"] for one in started] == [run["run_id"]]
    assert rows(engine, "SELECT kind FROM work_items") == [{"kind": "plan"}]
    (due,) = rows(engine, "SELECT next_at > now() AS later FROM schedules")
    assert due["later"]


def test_the_key_of_a_slot_keeps_a_second_one_out(engine: Engine) -> None:
    schedule(engine)
    assert schedules.start_due(engine) == 1
    end_run(engine)
    with transaction(engine) as tx:  # as a steward that read the schedule before it moved
        tx.execute(text("UPDATE schedules SET next_at = (SELECT max(slot) FROM schedule_slots)"))
    before = slots(engine)
    schedules.start_due(engine)
    again = [one for one in slots(engine) if one not in before]
    assert all(one["run_id"] is None or one["run_id"] != before[0]["run_id"] for one in again)
    assert len(rows(engine, "SELECT 1 FROM runs")) == 1 + len(again)


@pytest.mark.parametrize(
    ("policy", "runs_in_all", "states", "missed"),
    [
        ("skip", 0, ["skipped"], 9),
        ("once", 1, ["started"], 9),
        ("all", 10, ["started"] * 10, 0),
    ],
)
def test_missed_slots_are_made_up_by_their_policy(
    engine: Engine, policy: MissedPolicy, runs_in_all: int, states: list[str], missed: int
) -> None:
    """Ten slots, an hour apart, passed before a steward came."""
    schedule(engine, "0 * 1 1 *", missed=policy, due_s=None)
    with transaction(engine) as tx:
        cron = Cron("0 0-9 * * *", "UTC")
        day = tx.execute(text("SELECT date_trunc('day', now())")).scalar_one()
        note = {"feed": FEED, "kind": "full", "cron": cron.expression, "time_zone": "UTC"}
        note |= {"missed": policy, "next_at": day}
        schedules._note(tx, note, day + timedelta(hours=9, seconds=LATE_S + 1))
    started = 0
    for _ in range(11):
        started += schedules.start_due(engine)
        end_run(engine)
    assert started == runs_in_all
    found = slots(engine)
    assert [one["state"] for one in found] == states
    assert sum(one["missed"] for one in found) == missed


def test_a_slot_that_is_just_seen_is_not_missed(engine: Engine) -> None:
    schedule(engine, missed="skip")
    assert schedules.start_due(engine) == 1


def test_all_makes_up_no_more_than_its_bound(engine: Engine) -> None:
    schedule(engine, missed="all", due_s=3_600 * 3)
    schedules.start_due(engine)
    found = slots(engine)
    assert len(found) == MADE_UP_MAX
    assert found[0]["missed"] > 100
    assert [one["state"] for one in found] == ["started"] + ["waiting"] * (MADE_UP_MAX - 1)


def test_a_full_run_goes_before_an_incremental_one_where_both_are_due(engine: Engine) -> None:
    with transaction(engine) as tx:
        tx.execute(text("INSERT INTO feeds (feed, watermark) VALUES (:f, now())"), {"f": FEED})
    schedule(engine, kind="incremental")
    schedule(engine, kind="full")
    assert schedules.start_due(engine) == 1
    assert {one["kind"]: one["state"] for one in slots(engine)} == {
        "full": "started",
        "incremental": "skipped",
    }
    assert rows(engine, "SELECT kind FROM runs") == [{"kind": "full"}]


@pytest.mark.parametrize(
    ("open_kind", "slot_kind", "state"),
    [
        ("full", "full", "skipped"),
        ("full", "incremental", "skipped"),
        ("incremental", "incremental", "skipped"),
        ("incremental", "full", "waiting"),
    ],
)
def test_a_slot_that_finds_a_run_open(
    engine: Engine, open_kind: RunKind, slot_kind: RunKind, state: str
) -> None:
    with transaction(engine) as tx:
        tx.execute(text("INSERT INTO feeds (feed, watermark) VALUES (:f, now())"), {"f": FEED})
        short = str(runs.start(tx, FEED, open_kind).run_id)[:8]
    schedule(engine, kind=slot_kind)
    assert schedules.start_due(engine) == 0
    found = slots(engine)[-1]
    assert (found["state"], found["reason"]) == (state, f"run {short} is still planning")
    end_run(engine)
    assert schedules.start_due(engine) == (1 if state == "waiting" else 0)


def test_a_slot_that_still_waits_gives_way_to_the_next_one(engine: Engine) -> None:
    with transaction(engine) as tx:
        tx.execute(text("INSERT INTO feeds (feed, watermark) VALUES (:f, now())"), {"f": FEED})
        runs.start(tx, FEED, "incremental")
    schedule(engine)
    schedules.start_due(engine)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE schedule_slots SET slot = slot - interval '1 day'"))
        tx.execute(text("UPDATE schedules SET next_at = now() - interval '1 min'"))
    schedules.start_due(engine)
    assert [(one["state"], one["reason"][:8]) for one in slots(engine)] == [
        ("skipped", "the next"),
        ("waiting", "run " + slots(engine)[1]["reason"][4:8]),
    ]


def test_a_paused_feed_starts_no_run_and_its_slot_says_why(engine: Engine) -> None:
    schedule(engine)
    with transaction(engine) as tx:
        pausing.pause(tx, FEED, actor="ana", reason="contract under review")
    assert schedules.start_due(engine) == 0
    (slot,) = slots(engine)
    assert slot["state"] == "skipped"
    assert "contract under review" in slot["reason"]


def test_without_rules_no_run_starts(engine: Engine) -> None:
    with transaction(engine) as tx:
        tx.execute(text("UPDATE rulesets SET state = 'retired', retired_at = now()"))
    schedule(engine)
    assert schedules.start_due(engine) == 0
    assert "no ruleset is active" in slots(engine)[0]["reason"]


def test_a_schedule_that_cannot_be_read_holds_up_no_other(engine: Engine) -> None:
    schedule(engine)
    schedule(engine, kind="incremental")
    with transaction(engine) as tx:
        tx.execute(text("UPDATE schedules SET time_zone = 'Europe/Atlantis' WHERE kind <> 'full'"))
    assert schedules.start_due(engine) == 1
    assert schedules.start_due(engine) == 0


def test_setting_and_removing_is_audited(engine: Engine) -> None:
    schedule(engine, "0 3 * * *", due_s=None)
    schedule(engine, "0 4 * * *", due_s=None)
    with transaction(engine) as tx:
        schedules.remove(tx, FEED, "full", actor="ana", reason="by hand again")
    events = rows(engine, "SELECT action, subject, before, after FROM audit_events OFFSET 1")
    assert [one["action"] for one in events] == ["schedule.set"] * 2 + ["schedule.remove"]
    assert {one["subject"] for one in events} == {f"{FEED} full"}
    assert events[0]["before"] is None
    assert (events[1]["before"]["cron"], events[1]["after"]["cron"]) == ("0 3 * * *", "0 4 * * *")
    with pytest.raises(NotNow, match="no schedule"), transaction(engine) as tx:
        schedules.remove(tx, FEED, "full", actor="ana", reason="again")


def test_removing_a_schedule_gives_up_what_waits(engine: Engine) -> None:
    schedule(engine, missed="all", due_s=300)
    schedules.start_due(engine)
    with transaction(engine) as tx:
        schedules.remove(tx, FEED, "full", actor="ana", reason="enough")
    end_run(engine)
    assert schedules.start_due(engine) == 0
    assert {one["state"] for one in slots(engine)} == {"started", "skipped"}


def test_a_feed_of_files_has_no_incremental_schedule_and_an_unknown_one_none(
    engine: Engine,
) -> None:
    cron = Cron("0 3 * * *", "UTC")
    with transaction(engine) as tx:
        for feed, error in (("idex-natural", NotNow), ("acme", UnknownFeed)):
            with pytest.raises(error):
                schedules.set_schedule(
                    tx, feed, "incremental", cron, missed="once", actor="ana", reason="x"
                )


def test_a_chore_is_done_at_its_own_pace() -> None:
    now, done = [0.0], []
    chore = Chore(10, lambda: done.append(now[0]) or 1, clock=lambda: now[0])
    for moment in (0, 5, 9, 10, 11, 20):
        now[0] = moment
        chore()
    assert done == [0, 10, 20]


def test_the_steward_does_all_its_chores(engine: Engine) -> None:
    schedule(engine)
    assert sum(chore() for chore in chores.of_steward(engine, lambda: pytest.fail("no order"))) == 1
