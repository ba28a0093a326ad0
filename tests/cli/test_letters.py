"""`facet dead-letter`, `partition`, `lease` and `run verify`, as a person calls them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from cli import dead_letters as commands
from cli import system
from cli.main import app
from cli.output import data
from shared import ledger
from shared.db import transaction
from shared.errors import CommitInDoubt, NotNow
from tests.builders import held_item, insert_partition, item_now, open_run, rows

Facet = Callable[..., Result]


@pytest.fixture
def facet(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Facet:
    """Runs a command over the test's database; stdout and stderr apart, nobody to ask."""
    monkeypatch.setattr(system, "engine", lambda: engine)
    monkeypatch.setattr(data, "_width", 80)

    def call(*words: str) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


def given_up(engine: Engine, number: int = 1, kind: ledger.Kind = "fetch") -> list[int]:
    """Dead letters of one run, each of a partition of its own."""
    run_id = open_run(engine)
    letters = []
    for _ in range(number):
        held = held_item(engine, kind, run_id=run_id)
        with transaction(engine) as tx:
            letters.append(ledger.bury(tx, held, reason="permanent", error="not allowed " * 9))
    return letters


def lines(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code in {0, 1, 3}, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def settled(engine: Engine) -> list[str | None]:
    found = rows(engine, "SELECT settled_how FROM dead_letters ORDER BY dead_letter_id")
    return [letter["settled_how"] for letter in found]


def test_letters_are_listed_in_80_columns_and_as_json(engine: Engine, facet: Facet) -> None:
    letters = given_up(engine, 2)
    shown = facet("dead-letter", "list")
    assert shown.exit_code == 0
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "2 unsettled" in shown.stderr
    assert f"facet dead-letter show {letters[0]}" in shown.stderr
    found = lines(facet("dead-letter", "list", "--reason", "permanent", "--json"))
    assert [one["dead_letter_id"] for one in found] == letters
    assert lines(facet("dead-letter", "list", "--kind", "fold", "--json")) == []
    assert (
        lines(facet("dead-letter", "list", "--since", "1h", "--limit", "1", "--json")) == found[:1]
    )


def test_a_letter_is_shown_whole(engine: Engine, facet: Facet) -> None:
    (letter,) = given_up(engine)
    with transaction(engine) as tx:
        stray = ledger.bury_message(tx, b"\x00\xff", error="no JSON", payload={"queue": "fetch"})
    told = facet("dead-letter", "show", letter)
    assert "planned offers" in told.stdout
    assert f"facet dead-letter replay {letter} --because" in told.stderr
    (found,) = lines(facet("dead-letter", "show", letter, "--json"))
    assert (found["kind"], found["payload"]["run"]) == ("fetch", "full")
    told = facet("dead-letter", "show", stray)
    assert r"message, 2 bytes kept: b'\x00\xff'" in told.stdout
    assert f"facet dead-letter discard {stray} --because" in told.stderr


def test_replaying_by_id_needs_a_reason_and_no_question(engine: Engine, facet: Facet) -> None:
    (letter,) = given_up(engine)
    without = facet("dead-letter", "replay", letter)
    assert (without.exit_code, settled(engine)) == (2, [None])
    assert "--because" in without.stderr
    done = facet("dead-letter", "replay", letter, "--because", "they are back", "--json")
    assert lines(done) == [{"dead_letter_id": letter, "outcome": "replayed", "why": None}]
    again = facet("dead-letter", "replay", letter, "--because", "they are back")
    assert again.exit_code == 1
    assert "was replayed already" in again.stderr
    (event,) = rows(engine, "SELECT action, reason FROM audit_events")
    assert event == {"action": "dead-letter.replay", "reason": "they are back"}


def test_a_bulk_replay_is_counted_capped_paced_and_written_down_first(
    engine: Engine, facet: Facet
) -> None:
    letters = given_up(engine, 3)
    words = ("dead-letter", "replay", "--reason", "permanent", "--limit", "2", "--rate", "1000/s")
    planned = facet(*words, "--dry-run", "--json")
    assert [one["dead_letter_id"] for one in lines(planned)] == letters[:2]
    assert "would replay 2 dead letters of 3" in planned.stderr
    nobody = facet(*words, "--because", "they are back")
    assert (nobody.exit_code, settled(engine)) == (2, [None] * 3)
    assert "--yes" in nobody.stderr
    done = facet(*words, "--because", "they are back", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "1 more fit" in done.stderr
    assert settled(engine) == ["replayed", "replayed", None]
    events = rows(engine, "SELECT action, subject, reason FROM audit_events ORDER BY event_id")
    assert [event["action"] for event in events] == [
        *("dead-letters.replay", "dead-letter.replay", "dead-letter.replay"),
    ]  # fmt: skip
    assert (events[0]["subject"], events[0]["reason"]) == ("reason=permanent", "they are back")


def test_what_cannot_be_replayed_is_said_and_the_rest_is(engine: Engine, facet: Facet) -> None:
    (letter,) = given_up(engine)
    with transaction(engine) as tx:
        stray = ledger.bury_message(tx, b"{", error="no JSON")
    both = ("dead-letter", "replay", letter, stray, "--because", "both")
    outcomes = {one["dead_letter_id"]: one["outcome"] for one in lines(facet(*both, "--json"))}
    assert outcomes == {letter: "replayed", stray: "refused"}
    again = facet(*both)
    assert again.exit_code == 1
    assert "only a wake-up" in again.stderr
    every = facet("dead-letter", "replay", "--all", "--because", "all of it", "--yes")
    assert every.exit_code == 0
    assert "1 messages are left out" in every.stderr
    done = facet("dead-letter", "discard", stray, "--because", "a stray")
    assert (done.exit_code, settled(engine)) == (0, ["replayed", "discarded"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "--because", "x"], "which dead letters?"),
        (["replay", "7", "--all", "--because", "x"], "not both"),
        (["replay", "7", "--reason", "they are back"], "--because"),
        (["list", "--since", "soon"], "no span of time"),
        (["replay", "--all", "--because", "x", "--rate", "fast"], "no rate"),
        (["list", "--reason", "weather"], "one of permanent"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_right(
    facet: Facet, words: list[str], said: str
) -> None:
    done = facet("dead-letter", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "  next: " in done.stderr


@pytest.mark.parametrize("happened", [True, False])
def test_a_replay_whose_commit_is_in_doubt_is_looked_up(engine: Engine, happened: bool) -> None:
    (letter,) = given_up(engine)
    tried: list[int] = []

    def in_doubt(tx: Any, one: int, **why: str) -> None:
        tried.append(one)
        if len(tried) == 1:
            if happened:
                commands.dead_letters.replay(tx, one, **why)
                tx.commit()
            raise CommitInDoubt("lost")
        commands.dead_letters.replay(tx, one, **why)

    commands.Act("replay", "replayed", in_doubt).on(engine, letter, "they are back")
    assert len(tried) == (1 if happened else 2)
    assert settled(engine) == ["replayed"]
    assert len(rows(engine, "SELECT 1 FROM audit_events")) == 1


def test_partitions_are_listed_by_state_and_retried(engine: Engine, facet: Facet) -> None:
    given_up(engine, 2)
    (run,) = rows(engine, "SELECT run_id::text AS id FROM runs")
    with transaction(engine) as tx:
        insert_partition(tx, run["id"])
        tx.execute(text("UPDATE partitions SET next_offset = 120 WHERE number = 2"))
    listed = facet("partition", "list", run["id"][:8])
    assert max(map(len, listed.stdout.splitlines()[:4])) <= 80
    assert "partition 2: fetch gave up at offset 120: not allowed" in listed.stdout
    found = lines(facet("partition", "list", run["id"], "--state", "dead", "--json"))
    assert [(one["number"], one["state"]) for one in found] == [(1, "dead"), (2, "dead")]
    states = [one["state"] for one in lines(facet("partition", "list", run["id"], "--json"))]
    assert states == ["dead", "dead", "waiting"]

    words = ("partition", "retry", "--run", run["id"], "--state", "dead")
    assert facet(*words).exit_code == 2
    would = facet(*words, "--dry-run")
    assert "its fetch would go on at offset 120" in would.stderr
    assert settled(engine) == [None, None]
    one = facet("partition", "retry", found[0]["partition_id"], "--because", "they are back")
    assert (one.exit_code, settled(engine)) == (0, ["replayed", None])
    done = facet(*words, "--because", "they are back", "--json")
    assert [(item["number"], item["next_offset"]) for item in lines(done)] == [(2, 120)]
    assert settled(engine) == ["replayed", "replayed"]
    again = facet("partition", "retry", found[0]["partition_id"], "--because", "once more")
    assert again.exit_code == 1
    assert "nothing of it gave up" in again.stderr


def test_a_lease_is_released_and_its_holder_shut_out(engine: Engine, facet: Facet) -> None:
    held = held_item(engine)
    (lease,) = lines(facet("lease", "list", "--json"))
    assert (lease["item_id"], lease["kind"]) == (held.item_id, "fetch")
    assert lease["left_s"] > 0
    assert lines(facet("lease", "list", "--expired", "--json")) == []
    shown = facet("lease", "list").stdout
    assert max(map(len, shown.splitlines())) <= 80
    words = ("lease", "release", held.item_id, "--because", "that machine is gone")
    assert facet(*words, "--dry-run").exit_code == 0
    assert item_now(engine, held.item_id)["state"] == "held"
    assert facet(*words).exit_code == 0
    now = item_now(engine, held.item_id)
    assert (now["state"], now["attempts"]) == ("due", 0)
    (event,) = rows(engine, "SELECT action, subject, reason FROM audit_events")
    assert event["reason"] == "that machine is gone"
    assert isinstance(facet(*words).exception, NotNow)


def test_an_account_is_printed_in_80_columns_with_its_verdict(engine: Engine, facet: Facet) -> None:
    given_up(engine, 2)
    (run,) = rows(engine, "SELECT run_id::text AS id FROM runs")
    done = facet("run", "verify", run["id"][:8])
    assert done.exit_code == 3
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.splitlines()[0].split() == [
        *("part", "counted", "landed", "again", "folded", "rejected", "dead", "drifted"),
        "unexplained",
    ]  # fmt: skip
    (found,) = lines(facet("run", "verify", run["id"], "--json"))
    assert (found["unexplained"], found["unfinished"]) == (0, 200)
    assert [part["dead"] for part in found["parts"]] == [100, 100]
    with transaction(engine) as tx:
        tx.execute(
            text("UPDATE partitions SET fetched_at = now(), recounted = 60 WHERE number = 1")
        )
    assert facet("run", "verify", run["id"]).exit_code == 1
