"""An operator's commands: what they do, say and exit with."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from cli import completing
from cli.embedded.servers import Servers
from shared import ledger, orders
from shared.db import transaction
from tests.builders import FEED, due_item, held_item, open_run, rows
from tests.cli.inside import Facet, forget_settings

WAIT_S = 60.0
ACCOUNT = "nivoda"


@pytest.fixture(autouse=True)
def no_orders(servers: Servers) -> Iterator[None]:
    """Tests of one process share a Valkey, and the account's name."""
    yield
    client = redis.Redis.from_url(str(servers.redis_url))
    client.delete(*(client.keys("facet:*") or ["none"]))  # type: ignore[misc]
    client.close()


def end_run(engine: Engine, state: str) -> None:
    """What the pipeline does: end the open run."""
    end = """
        UPDATE runs
           SET state = :state, finished_at = now(),
               reason = CASE WHEN :state = 'complete' THEN NULL ELSE 'counts differ' END
         WHERE finished_at IS NULL
        RETURNING 1"""
    with transaction(engine) as tx:
        tx.execute(text(end), {"state": state})


def end_when_open(engine: Engine, state: str) -> threading.Thread:
    def wait_and_end() -> None:
        while not rows(engine, "SELECT 1 FROM runs WHERE finished_at IS NULL"):
            pass
        end_run(engine, state)

    thread = threading.Thread(target=wait_and_end)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("state", "code"), [("complete", 0), ("partial", 3), ("failed", 1), ("cancelled", 2)]
)
def test_a_run_that_is_waited_for_exits_by_how_it_ended(
    engine: Engine, facet_inside: Facet, state: str, code: int
) -> None:
    ending = end_when_open(engine, state)
    done = facet_inside("run", "start", FEED, "--wait", "--timeout", "60", "--json")
    ending.join(WAIT_S)
    assert done.code == code, done.err
    assert done.json[-1]["state"] == state
    run = facet_inside("run", "watch", done.json[-1]["run_id"][:8], "--json")
    assert run.code == code


def test_a_wait_that_takes_too_long_leaves_the_run_going_on(
    engine: Engine, facet_inside: Facet
) -> None:
    done = facet_inside("run", "start", FEED, "--wait", "--timeout", "0", "--json")
    assert done.code == 124
    assert "facet run watch" in done.err
    assert done.json[-1]["state"] == "planning"
    assert rows(engine, "SELECT state FROM runs") == [{"state": "planning"}]


def test_why_no_run_was_started_is_in_the_exit_code(engine: Engine, facet_inside: Facet) -> None:
    facet_inside.ok("run", "start", FEED)
    assert facet_inside("run", "start", FEED, "--wait").code == 5
    assert facet_inside("run", "start", "acme").code == 2
    assert facet_inside("run", "start", FEED, "--timeout", "5").code == 2
    end_run(engine, "failed")
    facet_inside.ok("feed", "pause", FEED, "--because", "their prices are in euros")
    refused = facet_inside("run", "start", FEED)
    assert refused.code == 6
    assert f"next: `facet feed resume {FEED}" in refused.err
    assert "in euros" in facet_inside.ok("feed", "list").err
    facet_inside.ok("feed", "resume", FEED, "--reason", "dollars again")
    facet_inside.ok("run", "start", FEED)


def test_the_exit_codes_are_in_the_help_and_on_the_first_page(facet_inside: Facet) -> None:
    help_text = facet_inside.ok("--help").out
    page = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    in_help = set(re.findall(r"^ +(\d+) {2,}\S", help_text, re.MULTILINE))
    in_page = set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE))
    assert in_help == in_page == {"0", "1", "2", "3", "4", "5", "6", "124", "130"}


def test_a_schedule_from_set_to_remove(engine: Engine, facet_inside: Facet) -> None:
    empty = facet_inside("schedule", "next")
    assert empty.code == 1
    assert "facet schedule set FEED" in empty.err
    words = ("schedule", "set", FEED, "30 3 * * *", "--zone", "Europe/Berlin")
    facet_inside.ok(*words, "--because", "each night")
    facet_inside.ok(
        *("schedule", "set", FEED, "*/20 6-22 * * *", "--kind", "incremental"),
        *("--missed", "skip", "--because", "by day"),
    )
    listed = facet_inside.ok("schedule", "list", "--json").json
    assert [(one["kind"], one["cron"], one["missed"]) for one in listed] == [
        ("full", "30 3 * * *", "once"),
        ("incremental", "*/20 6-22 * * *", "skip"),
    ]
    following = facet_inside.ok("schedule", "next", FEED, "-n", "100", "--json").json
    assert len(following) == 100
    assert {one["kind"] for one in following} == {"full", "incremental"}
    assert [one["slot"] for one in following] == sorted(one["slot"] for one in following)
    assert "03:30" in facet_inside.ok("schedule", "next", "-n", "100").out
    assert facet_inside.ok("schedule", "history").out.split()[0] == "slot"
    facet_inside.ok("schedule", "remove", FEED, "--because", "by hand again")
    again = facet_inside("schedule", "remove", FEED, "--because", "twice")
    assert (again.code, "no schedule of full runs" in again.err) == (1, True)
    wrong = facet_inside("schedule", "set", FEED, "61 3 * * *", "--because", "x")
    assert (wrong.code, "bad minute" in wrong.err) == (2, True)
    assert facet_inside("schedule", "set", FEED, "0 3 * * *").code == 2  # nobody said why
    assert len(rows(engine, "SELECT 1 FROM audit_events WHERE action LIKE 'schedule.%'")) == 3


def test_a_limit_is_set_for_all_feeds_of_an_account_and_back(
    engine: Engine, facet_inside: Facet
) -> None:
    def limit() -> dict[str, Any]:
        (row,) = facet_inside.ok("limit", "show", FEED, "--json").json
        return dict(row)

    assert (limit()["nominal_per_s"], limit()["set_by"]) == (25.0, "settings")
    facet_inside.ok("limit", "set", FEED, "300/min", "--because", "they asked")
    assert limit()["nominal_per_s"] == 5.0
    assert limit()["feeds"] == ["nivoda-natural", "nivoda-labgrown"]
    shown = facet_inside.ok("limit", "show").out
    assert re.search(r"nivoda +5/s +5/s", shown)
    more = facet_inside("limit", "set", ACCOUNT, "50/s", "--because", "x")
    assert (more.code, "--above" in more.err) == (2, True)
    facet_inside.ok("limit", "set", ACCOUNT, "50/s", "--above", "--because", "they allow it")
    assert limit()["nominal_per_s"] == 50.0
    facet_inside.ok("limit", "set", ACCOUNT, "default", "--because", "over")
    assert limit()["nominal_per_s"] == 25.0
    for wrong in ("quick", "0/s", "10/d"):
        assert facet_inside("limit", "set", ACCOUNT, wrong, "--because", "x").code == 2
    assert facet_inside("limit", "show", "acme").code == 2
    assert len(rows(engine, "SELECT 1 FROM audit_events WHERE action = 'limit.set'")) == 3


def test_a_breaker_is_opened_and_closed_by_hand(engine: Engine, facet_inside: Facet) -> None:
    def state() -> dict[str, Any]:
        (row,) = facet_inside.ok("breaker", "show", ACCOUNT, "--json").json
        return dict(row)

    assert state()["state"] == "closed"
    facet_inside.ok("breaker", "open", FEED, "--because", "they are migrating", "--for", "2h")
    assert (state()["state"], state()["stopped_reason"]) == ("stopped", "they are migrating")
    assert "they are migrating" in facet_inside.ok("breaker", "show").err
    assert "nivoda is stopped" in facet_inside.ok("status").err
    facet_inside.ok("breaker", "close", ACCOUNT, "--because", "they are back")
    assert state()["state"] == "closed"
    assert facet_inside("breaker", "open", ACCOUNT, "--because", "x", "--for", "soon").code == 2
    kept = rows(engine, "SELECT action FROM audit_events WHERE action LIKE 'breaker.%'")
    assert [one["action"] for one in kept] == ["breaker.open", "breaker.close"]


def test_an_order_is_written_down_where_redis_is_away(
    engine: Engine, facet_inside: Facet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACET_REDIS_URL", "redis://127.0.0.1:9/0")
    forget_settings()
    done = facet_inside.ok("limit", "set", ACCOUNT, "5/s", "--because", "x")
    assert "the steward tells it" in done.err
    with transaction(engine) as tx:
        assert [one.rate_per_s for one in orders.load(tx)] == [5.0]
    found = facet_inside.ok("status", "--json").json[0]
    assert found["accounts_error"]
    assert facet_inside("limit", "show").code == 1


def test_processes_are_listed_and_asked_to_leave_without_any_broker(
    engine: Engine, facet_inside: Facet
) -> None:
    assert "nobody works" in facet_inside.ok("worker", "list").err
    add = """
        INSERT INTO processes (process_id, role, host, pid, concurrency, release, owners, seen_at)
        VALUES (:id, :role, :host, 7, 1, '0.1.0', ARRAY[CAST(:owner AS uuid)],
                now() - make_interval(secs => :silent_s))"""
    held = held_item(engine)
    (item,) = rows(engine, "SELECT owner FROM work_items WHERE item_id = :i", i=held.item_id)
    nobody = "00000000-0000-0000-0000-000000000000"
    with transaction(engine) as tx:
        for n, role, host, owner, silent_s in (
            (1, "worker", "one", item["owner"], 0),
            (2, "steward", "one", nobody, 0),
            (3, "worker", "two", nobody, 0),
            (4, "worker", "two", nobody, 3_600),
        ):
            values = {"id": str(n) * 8 + nobody[8:], "role": role, "host": host}
            tx.execute(text(add), values | {"owner": owner, "silent_s": silent_s})
    listed = facet_inside.ok("worker", "list", "--json").json
    assert {(one["process_id"][0], one["state"], one["kinds"]) for one in listed} == {
        ("1", "works", "fetch"),
        ("2", "idle", None),
        ("3", "idle", None),
        ("4", "silent", None),
    }
    assert "1 fetch" in facet_inside.ok("worker", "list").out
    would = facet_inside.ok("worker", "drain", "--role", "worker", "--dry-run", "--because", "x")
    assert would.err.count("would be asked") == 2  # the silent one hears nothing
    facet_inside.ok("worker", "drain", "1111", "--because", "new kernel")
    facet_inside.ok("worker", "drain", "--host", "two", "--because", "new kernel")
    asked = rows(engine, "SELECT process_id FROM processes WHERE drain_at IS NOT NULL")
    assert sorted(str(one["process_id"])[0] for one in asked) == ["1", "3"]
    assert len(rows(engine, "SELECT 1 FROM audit_events WHERE action = 'worker.drain'")) == 2
    late = facet_inside("worker", "drain", "1111", "--because", "x", "--wait", "--timeout", "0")
    assert (late.code, "still work" in late.err) == (124, True)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE processes SET ended_at = now()"))
    assert facet_inside("worker", "drain", "1111", "--because", "x").code == 1
    assert facet_inside("worker", "drain", "--because", "x").code == 2
    assert facet_inside("worker", "drain", "--role", "cook", "--because", "x").code == 2


def test_status_says_what_wants_a_person_and_with_which_command(
    engine: Engine, facet_inside: Facet
) -> None:
    due_item(engine)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET not_before = now() - interval '2 hours'"))
    done = facet_inside.ok("status")
    assert "work waits and nobody works; `facet up`" in done.err
    assert re.search(r"fetch +1 +2 h +0", done.out)
    found = facet_inside.ok("status", "--json").json[0]
    assert found["lag_s"]["fetch"] > 7_000
    assert found["lag_s"]["fold"] == 0
    assert found["dead_by_reason"] == []


def test_dead_letters_are_counted_by_reason(engine: Engine, facet_inside: Facet) -> None:
    held = held_item(engine)
    with transaction(engine) as tx:
        ledger.bury(tx, held, reason="permanent", error="no")
    found = facet_inside.ok("status", "--json").json[0]
    assert [(d["reason"], d["kind"], d["letters"]) for d in found["dead_by_reason"]] == [
        ("permanent", "fetch", 1)
    ]
    assert re.search(r"permanent +fetch +1", facet_inside.ok("status").out)


def test_plain_tables_are_for_other_programs(engine: Engine, facet_inside: Facet) -> None:
    run_id = open_run(engine)
    for words in (("--plain", "run", "list"), ("run", "list", "--plain")):
        head, row = facet_inside.ok(*words).out.splitlines()
        assert head.split("\t")[0] == "run"
        assert row.split("\t")[:3] == [str(run_id)[:8], FEED, "planning"]
        assert len(row.split("\t")) == len(head.split("\t"))


def test_a_table_in_a_pipe_is_neither_folded_nor_coloured(
    engine: Engine, facet_inside: Facet
) -> None:
    open_run(engine)
    reason = "x" * 300
    with transaction(engine) as tx:
        tx.execute(
            text("INSERT INTO schedules VALUES (:f, 'full', :r, 'UTC', 'once', now(), 'a')"),
            {"f": FEED, "r": reason},
        )
    out = facet_inside.ok("schedule", "list").out
    assert reason in out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(facet_inside: Facet, shell: str) -> None:
    assert "_FACET_COMPLETE" in facet_inside.ok("completion", shell).out


def test_a_shell_completes_runs_and_feeds(engine: Engine, facet_inside: Facet) -> None:
    run_id = str(open_run(engine))
    assert completing.runs(run_id[:2]) == [(run_id[:8], f"{FEED}, planning")]
    assert completing.runs("zz") == []
    assert completing.feeds("nivoda-n") == [FEED]


def test_top_wants_a_terminal(facet_inside: Facet) -> None:
    done = facet_inside("top")
    assert (done.code, "facet status --watch" in done.err) == (2, True)


def test_the_version_is_one_line(facet_inside: Facet) -> None:
    assert re.fullmatch(r"facet \d+\.\d+\.\d+\n", facet_inside.ok("--version").out)
