"""The watch: what is wrong becomes an incident, and what is not any more is over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
from pydantic_core import to_json
from sqlalchemy import Engine, text

from cli.embedded.servers import Servers
from scheduler import steward, watch
from scheduler.watch import Watch
from shared.breaker import Breaker, State
from shared.db import transaction
from shared.errors import SupplierUnavailable
from sql import query, statements
from tests.alerts.conftest import Alarm, MakeAlarm
from tests.builders import FEED, claim, due_item, held_item, lapse, open_run, rows

NIVODA = {
    "FACET_NIVODA_URL": "http://127.0.0.1:9/api/diamonds",
    "FACET_NIVODA_USERNAME": "ana",
    "FACET_NIVODA_PASSWORD": "hush-hush",
}


@pytest.fixture
def alarm(make_alarm: MakeAlarm) -> Alarm:
    return make_alarm()


def change(engine: Engine, statement: str, **values: Any) -> None:
    with transaction(engine) as tx:
        tx.execute(text(statement), values)


def end_run(engine: Engine, run_id: UUID, state: str, reason: str | None = None) -> None:
    """As a reconciliation ends it."""
    change(
        engine,
        "UPDATE runs SET state = :state, reason = :reason, finished_at = now(), offers = 1000"
        " WHERE run_id = :run",
        state=state,
        reason=reason,
        run=run_id,
    )
    change(
        engine,
        "UPDATE work_items SET state = 'cancelled', finished_at = now(), owner = NULL,"
        " lease_until = NULL WHERE run_id = :run AND finished_at IS NULL",
        run=run_id,
    )


def lasting(alarm: Alarm) -> list[dict[str, Any]]:
    return [one for one in alarm.incidents() if one["state"] != "resolved"]


def kinds(alarm: Alarm) -> list[str]:
    return sorted(one["kind"] for one in lasting(alarm))


def test_where_nothing_is_wrong_there_is_no_incident(engine: Engine, alarm: Alarm) -> None:
    end_run(engine, open_run(engine), "complete")
    alarm.look()
    assert alarm.incidents() == []


def test_a_failed_run_is_an_incident_until_a_complete_one(engine: Engine, alarm: Alarm) -> None:
    first = open_run(engine)
    end_run(engine, first, "failed", "plan gave up: no answer")
    for _ in range(3):
        alarm.look()
    (one,) = lasting(alarm)
    assert (one["kind"], one["feed"], one["run_id"]) == ("run_failed", FEED, first)
    assert one["next_command"] == f"facet dead-letter list --run {str(first)[:8]}"
    assert one["count"] == 1
    alarm.look_later()
    assert kinds(alarm) == ["run_failed"]  # it was away from nobody's sight: still the same
    end_run(engine, open_run(engine), "complete")
    alarm.look_later()
    assert kinds(alarm) == []


@pytest.mark.parametrize(
    ("reason", "severity", "command"),
    [
        ("the supplier counts 900 offers, 300 were read", "warning", "facet run verify"),
        ("suspiciously empty: 3 offers, 900 stones on sale", "error", "facet run show"),
        ("fold gave up: no rule (and 2 more)", "warning", "facet dead-letter list --run"),
    ],
)
def test_a_partial_run_says_why_and_what_to_do(
    engine: Engine, alarm: Alarm, reason: str, severity: str, command: str
) -> None:
    run_id = open_run(engine)
    end_run(engine, run_id, "partial", reason)
    alarm.look()
    (one,) = lasting(alarm)
    assert (one["kind"], one["severity"], one["text"]) == ("run_partial", severity, reason)
    assert one["next_command"] == f"{command} {str(run_id)[:8]}"


def test_an_incremental_run_does_not_make_good_a_full_one(engine: Engine, alarm: Alarm) -> None:
    end_run(engine, open_run(engine), "partial", "fold gave up: x")
    later = open_run(engine)
    change(
        engine,
        "UPDATE runs SET kind = 'incremental', updated_from = now() WHERE run_id = :r",
        r=later,
    )
    end_run(engine, later, "complete")
    alarm.look()
    assert kinds(alarm) == ["run_partial"]
    last = open_run(engine)
    change(
        engine,
        "UPDATE runs SET kind = 'incremental', updated_from = now() WHERE run_id = :r",
        r=last,
    )
    end_run(engine, last, "failed", "no answer")
    alarm.look()
    assert kinds(alarm) == ["run_failed", "run_partial"]
    end_run(engine, open_run(engine), "complete")
    alarm.look_later()
    assert kinds(alarm) == []


def test_dead_letters_are_counted_by_run_until_they_are_settled(
    engine: Engine, alarm: Alarm
) -> None:
    run_id = open_run(engine)
    bury = """
        INSERT INTO dead_letters (kind, run_id, reason, error, message, digest, first_at)
        VALUES (:kind, :run, 'bug', :error, 'x', sha256(convert_to(:error, 'UTF8')), now())"""
    for n in range(3):
        change(engine, bury, kind="fold", run=run_id, error=f"error {n}")
    change(engine, bury, kind=None, run=None, error="unreadable")
    change(engine, bury, kind="alert", run=None, error="Slack is gone")
    alarm.look()
    by_run = {one["run_id"]: one for one in lasting(alarm)}
    assert {one["kind"] for one in by_run.values()} == {"dead_letters"}
    assert set(by_run) == {run_id, None}
    assert by_run[run_id]["count"] == 3
    assert by_run[run_id]["text"] == "3 dead letters (fold), the latest: error 2"
    assert by_run[None]["text"] == "a dead letter (message), the latest: unreadable"
    change(engine, "UPDATE dead_letters SET settled_at = now(), settled_how = 'replayed'")
    alarm.look_later()
    assert kinds(alarm) == []


@pytest.fixture
def breaker(servers: Servers) -> Iterator[Breaker]:
    client = redis.Redis.from_url(str(servers.redis_url))
    for key in client.scan_iter("facet:breaker:{nivoda}*"):
        client.delete(key)
    yield Breaker(client, "nivoda", failures_max=1, cooldown_s=0.0)
    for key in client.scan_iter("facet:breaker:{nivoda}*"):
        client.delete(key)
    client.close()


def down() -> None:
    raise SupplierUnavailable("down")


def fail(breaker: Breaker) -> None:
    with pytest.raises(SupplierUnavailable):
        breaker.call(down)


def test_a_breaker_is_seen_opening_and_closing_and_counted(
    engine: Engine,
    make_alarm: MakeAlarm,
    breaker: Breaker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    alarm = make_alarm(NIVODA)
    breaker.call(lambda: None)
    alarm.look()
    assert kinds(alarm) == []
    fail(breaker)
    alarm.look()
    alarm.look()
    (one,) = lasting(alarm)
    assert (one["kind"], one["subject"], one["count"]) == ("breaker_open", "nivoda", 1)
    assert one["next_command"] == "facet breaker show nivoda"
    breaker.call(lambda: None)
    fail(breaker)  # closed and opened again between two looks
    alarm.look()
    assert [one["count"] for one in lasting(alarm)] == [2]
    breaker.call(lambda: None)
    change(engine, "UPDATE breakers SET opened_at = opened_at - interval '1 h'")
    alarm.watch._breaker = lambda account: Stopped(breaker)  # type: ignore[method-assign,return-value]
    alarm.look_later()
    assert kinds(alarm) == []
    (kept,) = rows(engine, "SELECT state, opened, openings FROM breakers")
    assert (kept["state"], kept["opened"]) == ("closed", 2)
    logged = capsys.readouterr().out
    assert logged.count("breaker_opened") == 2
    assert logged.count("breaker_closed") == 1


class Stopped:
    """A breaker that opened long ago, as it will stand in an hour."""

    def __init__(self, breaker: Breaker) -> None:
        self._state = breaker.state()

    def state(self) -> State:
        return self._state._replace(open_s=3_600.0)


def test_what_redis_forgot_is_counted_on(
    engine: Engine, make_alarm: MakeAlarm, breaker: Breaker
) -> None:
    alarm = make_alarm(NIVODA)
    alarm.look()
    fail(breaker)
    alarm.look()
    client: Any = breaker._state._client
    client.delete("facet:breaker:{nivoda}")
    alarm.look()
    fail(breaker)
    alarm.look()
    assert [one["opened"] for one in rows(engine, "SELECT opened FROM breakers")] == [2]


def test_a_redis_that_is_away_is_an_incident_and_nothing_of_its_kind_is_over(
    engine: Engine, make_alarm: MakeAlarm, breaker: Breaker
) -> None:
    alarm = make_alarm(NIVODA)
    fail(breaker)
    alarm.look()
    away = redis.Redis.from_url("redis://127.0.0.1:9/0")
    alarm.watch = Watch(engine, alarm.given, lambda account: Breaker(away, account))
    alarm.look_later()
    assert kinds(alarm) == ["breaker_open", "watch_blind"]
    assert "cannot be read" in next(o["text"] for o in lasting(alarm) if o["kind"] == "watch_blind")


def test_a_contract_that_drifted_is_an_incident_until_a_check_finds_nothing(
    engine: Engine, alarm: Alarm
) -> None:
    open_run(engine)
    finding = {"what": "DiamondItem.price", "drift": "removed", "harm": "breaks", "says": "x"}
    for verdict, findings in (("degraded", [finding]), ("incompatible", [finding])):
        check(engine, verdict, findings)
        alarm.look()
    (one,) = lasting(alarm)
    assert (one["severity"], one["feed"]) == ("critical", FEED)
    assert "DiamondItem.price" in one["text"]
    assert one["next_command"] == f"facet feed check {FEED}"
    check(engine, "compatible", [])
    alarm.look_later()
    assert kinds(alarm) == []


def check(engine: Engine, verdict: str, findings: list[dict[str, str]]) -> None:
    change(
        engine,
        "INSERT INTO feed_checks (feed, verdict, findings, mapping_version, requests)"
        " VALUES (:feed, :verdict, CAST(:findings AS jsonb), 1, 1)",
        feed=FEED,
        verdict=verdict,
        findings=to_json(findings).decode(),
    )


def test_leases_that_run_out_in_numbers_are_an_incident(
    engine: Engine, make_alarm: MakeAlarm
) -> None:
    alarm = make_alarm(FACET_WATCH_LAPSES="3")
    run_id = open_run(engine)
    for lapsed in range(1, 4):
        held = held_item(engine, run_id=run_id)
        lapse(engine, held.item_id)
        assert steward.reap(engine) == 1
        alarm.look()
        assert ("leases_expiring" in kinds(alarm)) == (lapsed == 3)
    one = next(one for one in lasting(alarm) if one["kind"] == "leases_expiring")
    assert one["count"] == 3
    change(engine, "UPDATE lapsed_leases SET minute = minute - interval '1 h'")
    alarm.look_later()
    assert "leases_expiring" not in kinds(alarm)


def test_partitions_that_wait_to_be_folded_are_an_incident(
    engine: Engine, make_alarm: MakeAlarm
) -> None:
    alarm = make_alarm(FACET_WATCH_UNFOLDED="2")
    run_id = open_run(engine)
    for waiting in range(1, 4):
        due_item(engine, "fold", run_id=run_id)
        alarm.look()
        assert (kinds(alarm) == ["folds_waiting"]) == (waiting == 3)
    change(engine, "UPDATE work_items SET state = 'cancelled', finished_at = now()")
    alarm.look_later()
    assert kinds(alarm) == []


PRICE = """
    INSERT INTO price_changes (stone_id, old_price_cents, old_price_currency, new_price_cents,
           price_currency, new_cost_cents, cost_currency, ruleset_id, rule, cause, run_id, actor,
           changed_at)
    SELECT n, :old, 'USD', :new, 'USD', 1, 'USD', 1, 'x', 'feed', :run, 'fold',
           (SELECT finished_at FROM runs WHERE run_id = :run)
      FROM generate_series(1, :stones) AS n"""


@pytest.mark.parametrize(
    ("old", "new", "stones", "seen"),
    [
        (100, 110, 500, False),  # half of a thousand
        (100, 110, 501, True),
        (None, 110, 900, False),  # new stones
        (100, 151, 10, False),  # one in a hundred jumps
        (100, 151, 11, True),
        (100, 150, 11, False),  # by half and not by more
        (100, 49, 11, True),
    ],
)
def test_prices_beyond_a_bound_are_an_incident_until_a_usual_run(
    engine: Engine, alarm: Alarm, old: int | None, new: int, stones: int, seen: bool
) -> None:
    run_id = open_run(engine)
    end_run(engine, run_id, "complete")
    values = {"old": old, "new": new, "stones": stones, "run": run_id}
    change(engine, PRICE if old else PRICE.replace("'USD', :new", "NULL, :new"), **values)
    assert watch.measure_prices(engine, alarm.given)
    assert not watch.measure_prices(engine, alarm.given)  # once a run
    alarm.look()
    assert (kinds(alarm) == ["prices_moved"]) == seen
    if seen:
        (one,) = lasting(alarm)
        assert one["run_id"] == run_id
        assert f"{stones:,} of 1,000 stones" in one["text"]
    end_run(engine, open_run(engine), "complete")
    assert watch.measure_prices(engine, alarm.given)
    alarm.look_later()
    assert kinds(alarm) == []


REPRICED = """
    INSERT INTO price_changes (stone_id, old_price_cents, old_price_currency, new_price_cents,
           price_currency, new_cost_cents, cost_currency, ruleset_id, rule, cause, reprice_id,
           actor)
    SELECT n, 100, 'USD', :new, 'USD', 1, 'USD', 1, 'x', :cause, :reprice, 'ana'
      FROM generate_series(1, :stones) AS n"""


def repriced(
    engine: Engine, cause: str, *, new: int, stones: int, state: str = "done", of: int = 1_000
) -> int:
    """A reprice of a thousand stones that came to `of` of them, and ended."""
    change(
        engine,
        "INSERT INTO rulesets (ruleset_id, name, checksum, source, author)"
        " OVERRIDING SYSTEM VALUE VALUES (1, 'x', 'x', 'x', 'ana') ON CONFLICT DO NOTHING",
    )
    with transaction(engine) as tx:
        tx.execute(query("make_room_today"))
        opened = text(
            "INSERT INTO reprices (cause, ruleset_id, actor, reason)"
            " VALUES (:cause, 1, 'ana', 'spring') RETURNING reprice_id"
        )
        reprice_id = int(tx.execute(opened, {"cause": cause}).scalar_one())
    for low, stones_of, done in ((1, of, True), (of + 1, 1_000 - of, False)):
        if stones_of:
            change(
                engine,
                "WITH item AS (INSERT INTO work_items (kind, attempts_max, state, finished_at)"
                "              VALUES ('reprice', 5, 'done', now()) RETURNING item_id)"
                " INSERT INTO reprice_batches"
                "        (item_id, reprice_id, stone_low, stone_high, stones, repriced)"
                " SELECT item_id, :id, :low, :high, :stones, :done FROM item",
                id=reprice_id,
                low=low,
                high=low + stones_of,
                stones=stones_of,
                done=stones_of if done else None,
            )
    change(engine, REPRICED, new=new, stones=stones, cause=cause, reprice=reprice_id)
    change(
        engine,
        "UPDATE reprices SET state = :state, finished_at = now(), why_ended = :why"
        " WHERE reprice_id = :id",
        state=state,
        why=None if state == "done" else "wrong",
        id=reprice_id,
    )
    return reprice_id


@pytest.mark.parametrize("cause", ["activation", "rate", "reprice"])
def test_a_reprice_that_moves_prices_far_is_an_incident_until_a_usual_one(
    engine: Engine, alarm: Alarm, cause: str
) -> None:
    reprice_id = repriced(engine, cause, new=151, stones=11)
    assert watch.measure_reprice(engine, alarm.given)
    assert not watch.measure_reprice(engine, alarm.given)  # once
    alarm.look()
    alarm.look()
    (one,) = lasting(alarm)
    assert (one["kind"], one["feed"], one["run_id"]) == ("prices_moved", None, None)
    assert (one["subject"], one["severity"]) == (f"reprice {reprice_id}", "error")
    assert "11 of 1,000 stones" in one["text"]
    assert "spring" in one["text"]
    assert one["next_command"] == "facet ruleset status"
    repriced(engine, "activation", new=150, stones=1_000)
    assert watch.measure_reprice(engine, alarm.given)
    alarm.look_later()
    assert kinds(alarm) == []


@pytest.mark.parametrize(
    ("new", "stones", "of", "seen"),
    [
        (110, 1_000, 1_000, False),  # every price another, none far: what an activation is for
        (151, 10, 1_000, False),  # one in a hundred jumps
        (151, 6, 500, True),  # cancelled half way: of those that it came to
        (151, 49, 49, False),  # too few to say anything
    ],
)
def test_what_counts_of_a_reprice_is_how_far_prices_moved(
    engine: Engine, alarm: Alarm, new: int, stones: int, of: int, seen: bool
) -> None:
    state = "done" if of == 1_000 else "cancelled"
    repriced(engine, "activation", new=new, stones=stones, state=state, of=of)
    assert watch.measure_reprice(engine, alarm.given)
    alarm.look()
    assert (kinds(alarm) == ["prices_moved"]) == seen


def test_a_reprice_is_measured_when_it_has_ended_and_again_when_it_ends_again(
    engine: Engine, alarm: Alarm
) -> None:
    assert not watch.measure_reprice(engine, alarm.given)
    repriced(engine, "activation", new=110, stones=1_000, state="failed")
    assert watch.measure_reprice(engine, alarm.given)
    change(engine, "UPDATE reprices SET state = 'open', finished_at = NULL, why_ended = NULL")
    assert not watch.measure_reprice(engine, alarm.given)
    change(engine, REPRICED, new=300, stones=100, cause="activation", reprice=1)
    change(engine, "UPDATE reprices SET state = 'done', finished_at = now()")
    assert watch.measure_reprice(engine, alarm.given)
    assert not watch.measure_reprice(engine, alarm.given)
    alarm.look()
    assert kinds(alarm) == ["prices_moved"]


def test_due_work_that_nobody_takes_is_an_incident_until_somebody_does(
    engine: Engine, alarm: Alarm
) -> None:
    item_id = due_item(engine, run_id=run_without_work(engine))
    alarm.look()
    assert kinds(alarm) == []  # it may be taken any moment
    older(engine)
    alarm.look()
    (one,) = lasting(alarm)
    assert (one["kind"], one["subject"], one["severity"]) == ("workers_silent", "fetch", "critical")
    assert claim(engine, item_id) is not None
    alarm.look_later()
    assert kinds(alarm) == []


@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE unclaimed_kinds SET seen_at = now() - interval '1 h'",  # nobody looked
        "UPDATE work_items SET not_before = now() + interval '1 h' WHERE kind = 'fetch'",
    ],
)
def test_work_that_waits_for_a_reason_is_none(engine: Engine, alarm: Alarm, meanwhile: str) -> None:
    due_item(engine, run_id=run_without_work(engine))
    alarm.look()
    older(engine)
    change(engine, meanwhile)
    alarm.look()
    assert kinds(alarm) == []


def test_work_beside_which_some_is_held_is_none(engine: Engine, alarm: Alarm) -> None:
    run_id = run_without_work(engine)
    due_item(engine, run_id=run_id)
    alarm.look()
    older(engine)
    held_item(engine, run_id=run_id)
    alarm.look()
    assert kinds(alarm) == []


def run_without_work(engine: Engine) -> UUID:
    run_id = open_run(engine)
    change(engine, "UPDATE work_items SET state = 'cancelled', finished_at = now()")
    return run_id


def older(engine: Engine) -> None:
    """As if what is due had been so for ten minutes, looked at all the while."""
    change(engine, "UPDATE unclaimed_kinds SET since = since - interval '10 min'")
    change(
        engine,
        "UPDATE work_items SET not_before = not_before - interval '10 min',"
        " created_at = created_at - interval '10 min'",
    )


def test_a_time_without_a_steward_is_told_by_the_next_one(engine: Engine, alarm: Alarm) -> None:
    alarm.look()
    change(engine, "UPDATE watch_marks SET looked_at = now() - interval '14 min'")
    assert alarm.watch.look()
    (one,) = lasting(alarm)
    assert (one["kind"], one["severity"]) == ("steward_silent", "critical")
    assert "(14 min)" in one["text"]
    change(engine, "UPDATE watch_marks SET silent_until = now() - interval '1 h'")
    alarm.look_later()
    assert kinds(alarm) == []


def test_a_steward_that_said_that_it_stops_is_not_missed(engine: Engine, alarm: Alarm) -> None:
    alarm.look()
    alarm.watch.end()
    change(engine, "UPDATE watch_marks SET looked_at = now() - interval '14 h'")
    assert alarm.watch.look()
    assert kinds(alarm) == []


def test_connections_disks_and_the_database_have_bounds(
    engine: Engine, make_alarm: MakeAlarm, tmp_path: Path
) -> None:
    near = make_alarm(
        FACET_WATCH_CONNECTIONS_SHARE="0.000001",
        FACET_WATCH_DISK_FREE_SHARE="0.999999",
        FACET_WATCH_DISKS=f"{tmp_path}, {tmp_path.parent}, {tmp_path}/nowhere",
        FACET_WATCH_DATABASE_GB="0.001",
    )
    near.look()
    found = {(one["kind"], one["subject"]) for one in lasting(near)}
    assert found == {
        ("connections_near", None),
        ("disk_low", str(tmp_path)),  # one disk, told once
        ("disk_low", "database"),
        ("watch_blind", f"the disk of {tmp_path}/nowhere"),
    }
    far = make_alarm(FACET_WATCH_DISK_FREE_SHARE="0", FACET_WATCH_CONNECTIONS_SHARE="1")
    far.look_later()
    assert kinds(far) == []


def test_a_condition_that_fails_is_an_incident_and_the_others_are_looked_at(
    engine: Engine, alarm: Alarm
) -> None:
    end_run(engine, open_run(engine), "failed", "no answer")
    alarm.look()
    change(engine, "DROP TABLE lapsed_leases CASCADE")
    change(engine, "CREATE TABLE lapsed_leases (minute timestamptz)")
    alarm.look_later()
    assert kinds(alarm) == ["run_failed", "watch_blind"]
    blind = next(one for one in lasting(alarm) if one["kind"] == "watch_blind")
    assert blind["subject"] == "leases_running_out"


def test_two_stewards_look_in_turn_and_open_an_incident_once(
    engine: Engine, make_alarm: MakeAlarm
) -> None:
    first, second = make_alarm(), make_alarm()
    end_run(engine, open_run(engine), "failed", "no answer")
    assert first.watch.look()
    assert not second.watch.look()  # the first just did
    with transaction(engine) as tx:
        change_marks = text("UPDATE watch_marks SET looked_at = looked_at - interval '1 min'")
        tx.execute(change_marks)
    with transaction(engine) as tx:  # one is at it
        tx.execute(text("SELECT pg_advisory_xact_lock(hashtext('facet.watch'))"))
        assert not second.watch.look()
    assert second.watch.look()
    assert len(first.incidents()) == 1


def test_what_flaps_stays_one_incident_and_counts(engine: Engine, alarm: Alarm) -> None:
    run_id = open_run(engine)
    end_run(engine, run_id, "failed", "no answer")
    alarm.look()
    change(
        engine,
        "UPDATE incidents SET last_at = now() - interval '20 s', first_at = now() - interval '1 h'",
    )
    alarm.look()  # seen again, within the time after which it would be over
    (one,) = alarm.incidents()
    assert (one["state"], one["count"]) == ("open", 2)


def test_a_look_is_quick_over_many_past_runs(engine: Engine, alarm: Alarm) -> None:
    """Every condition finds its rows by an index, however long the history is."""
    open_run(engine)
    change(
        engine,
        "INSERT INTO runs (feed, kind, state, reason, opened_at, finished_at, offers)"
        " SELECT 'nivoda-natural', 'full', CASE WHEN n % 3 = 0 THEN 'failed' ELSE 'complete' END,"
        "        CASE WHEN n % 3 = 0 THEN 'x' END, now() - make_interval(mins => n),"
        "        now() - make_interval(mins => n), 5"
        "   FROM generate_series(1, 20000) AS n",
    )
    change(engine, "ANALYZE runs")
    for name in ("runs_in_trouble", "run_to_measure"):
        assert blocks_read(engine, name) < 200


def blocks_read(engine: Engine, name: str) -> int:
    """How many blocks of tables and indexes a statement touches."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statements()[name]}"
    with transaction(engine) as tx:
        (plan,) = tx.execute(text(explain), {"rows_max": 500}).scalar_one()
    top: dict[str, int] = plan["Plan"]
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"]
