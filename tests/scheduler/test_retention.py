"""What is too old goes, and nothing that anybody needs."""

import io
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import Engine, text

from scheduler import retention
from scheduler.archive import archive_day
from scheduler.kept import BOUNDED, FOR_GOOD, KEPT
from shared.db import transaction
from shared.errors import ArchiveFailed, DatabaseUnavailable
from shared.settings import Settings, load
from sql import query, statements
from tests.builders import FEED, rows
from tests.scheduler import fake_s3

Past = Callable[..., UUID]
OFFERS = 3


def settings(**wanted: object) -> Settings:
    return load({f"FACET_{name.upper()}": str(value) for name, value in wanted.items()})


def applied(engine: Engine, **wanted: object) -> dict[str, int]:
    """Apply by hand; what went, without what did not."""
    removed = retention.apply(engine, settings(**wanted), retention.begin_by_hand(engine))
    return {name: count for name, count in removed.items() if count}


@pytest.fixture
def past(engine: Engine) -> Past:
    """Makes runs as they were so many days ago, each with an offer of every kind of trace."""

    def make(days: int, state: str = "complete", *, feed: str = FEED, kind: str = "full") -> UUID:
        values = {"days": days, "state": state, "feed": feed, "kind": kind, "offers": OFFERS}
        with transaction(engine) as tx:
            tx.execute(query("know_feed"), {"feed": feed})
            run = tx.execute(text(PAST_RUN), values).one()
            tx.execute(query("make_room"), {"day": run.landed_on})
            for statement in PAST_DETAIL:
                tx.execute(text(statement), values | dict(run._mapping))
        return UUID(str(run.run_id))

    return make


PAST_RUN = """
    INSERT INTO runs (feed, kind, state, reason, updated_from, opened_at, landed_on, finished_at)
    SELECT :feed, :kind, :state, CASE WHEN :state IN ('partial', 'failed') THEN 'a test' END,
           CASE WHEN :kind = 'incremental' THEN now() END,
           now() - make_interval(days => :days),
           ((now() - make_interval(days => :days)) AT TIME ZONE 'UTC')::date,
           CASE WHEN :state IN ('complete', 'partial', 'failed')
                THEN now() - make_interval(days => :days) END
    RETURNING run_id, landed_on, opened_at"""
PAST_DETAIL = (
    """INSERT INTO partitions (run_id, number, slice, price_low, planned_offers, landed, fetched_at)
       VALUES (:run_id, 1, '{}', 0, :offers, :offers, :opened_at)""",
    """INSERT INTO work_items
              (kind, run_id, partition_id, state, attempts_max, created_at, finished_at)
       SELECT k, p.run_id, p.partition_id, 'done', 3, :opened_at, :opened_at
         FROM partitions AS p, unnest(ARRAY['fetch', 'fold']) AS k
        WHERE p.run_id = :run_id""",
    """INSERT INTO raw_offers (landed_on, partition_id, position, offer_id, read_at, payload)
       SELECT :landed_on, p.partition_id, n, 'o' || n, :opened_at, '{"carat": 1}'
         FROM partitions AS p, generate_series(1, :offers) AS n
        WHERE p.run_id = :run_id""",
    """INSERT INTO rejected_offers (partition_id, position, run_id, feed, offer_id, reason, detail,
                                    read_at, payload, rejected_at)
       SELECT p.partition_id, 1, p.run_id, :feed, 'o1', 'no_carat', '', :opened_at, '{}', :opened_at
         FROM partitions AS p
        WHERE p.run_id = :run_id""",
    """INSERT INTO heatmaps (run_id, feed, price_unit, buckets, calls, rounds, failed, estimated,
                             probes, why_stopped, duration_ms, made_at)
       VALUES (:run_id, :feed, 'total', '[]', 1, 1, 0, 0, '{}', 'balanced', 1, :opened_at)""",
    """INSERT INTO feed_checks
              (feed, run_id, checked_at, verdict, findings, mapping_version, requests)
       VALUES (:feed, :run_id, :opened_at, 'compatible', '[]', 1, 1)""",
)


def bury_an_item(engine: Engine, run_id: UUID, *, settled: bool) -> None:
    statement = """
        INSERT INTO dead_letters (item_id, run_id, partition_id, reason, error, first_at,
                                  settled_at, settled_how)
        SELECT item_id, run_id, partition_id, 'permanent', 'a test', created_at,
               CASE WHEN :settled THEN created_at END, CASE WHEN :settled THEN 'discarded' END
          FROM work_items
         WHERE run_id = :run_id AND kind = 'fold'"""
    with transaction(engine) as tx:
        tx.execute(text(statement), {"run_id": run_id, "settled": settled})


def count(engine: Engine, table: str, run_id: UUID | None = None) -> int:
    where = "" if run_id is None else "WHERE run_id = :run_id"
    found = rows(engine, f"SELECT count(*) AS n FROM {table} {where}", run_id=run_id)
    return int(found[0]["n"])


def days_landed(engine: Engine) -> int:
    with transaction(engine) as tx:
        return len(tx.execute(query("raw_offer_days")).all())


DETAIL = ("work_items", "partitions", "rejected_offers", "heatmaps", "feed_checks")


def test_what_is_older_than_its_age_goes_and_the_run_remains(engine: Engine, past: Past) -> None:
    old, good = past(200), past(1)
    assert applied(engine) == {
        "raw offers": 1,
        "rejected offers": 1,
        "heatmaps": 1,
        "checks of feeds": 1,
        "work of runs": 2,
    }
    assert [count(engine, table, old) for table in DETAIL] == [0, 0, 0, 0, 0]
    assert [count(engine, table, good) for table in DETAIL] == [2, 1, 1, 1, 1]
    assert days_landed(engine) == 1
    (row,) = rows(engine, "SELECT pruned_at FROM runs WHERE run_id = :id", id=old)
    assert row["pruned_at"] is not None
    assert applied(engine) == {}


def test_the_last_good_run_stays_however_old_with_all_that_came_after_it(
    engine: Engine, past: Past
) -> None:
    before, good, later = past(900), past(800), past(700, "partial")
    newest = past(600, kind="incremental")
    applied(engine)
    assert count(engine, "work_items", before) == 0
    for run_id in (good, later, newest):
        assert [count(engine, table, run_id) for table in DETAIL[:4]] == [2, 1, 1, 1]
    assert days_landed(engine) == 3


def test_a_feed_that_was_never_complete_keeps_its_latest_run(engine: Engine, past: Past) -> None:
    older, latest = past(400, "failed"), past(300, "partial")
    applied(engine)
    assert (count(engine, "work_items", older), count(engine, "work_items", latest)) == (0, 2)


def test_a_day_stays_while_one_feed_needs_it(engine: Engine, past: Past) -> None:
    past(100)
    past(1)
    past(100, feed="idex-natural")
    assert "raw offers" not in applied(engine)
    (entry, *_) = retention.plan(engine, settings()).entries
    assert [part.needed_by for part in entry.parts] == ["idex-natural"]
    assert entry.goes_bytes == 0


def test_an_open_run_stays(engine: Engine, past: Past) -> None:
    run_id = past(300, "fetching")
    past(1, "failed", feed="idex-natural")
    applied(engine)
    assert count(engine, "work_items", run_id) == 2


def test_an_age_of_nothing_is_for_ever(engine: Engine, past: Past) -> None:
    past(5_000)
    past(1)
    ages = {entry.setting: 0 for entry in KEPT}
    assert applied(engine, **ages) == {}
    assert all(one.goes_rows == 0 for one in retention.plan(engine, settings(**ages)).entries)


def test_a_run_under_a_dead_letter_keeps_its_detail_until_that_is_settled_and_old(
    engine: Engine, past: Past
) -> None:
    waiting, settled = past(400, "partial"), past(390, "partial")
    past(1)
    bury_an_item(engine, waiting, settled=False)
    bury_an_item(engine, settled, settled=True)
    assert applied(engine)["settled dead letters"] == 1
    assert count(engine, "work_items", waiting) == 2
    assert count(engine, "work_items", settled) == 0
    assert count(engine, "dead_letters", waiting) == 1


def test_detail_outlives_its_raw_offers(engine: Engine, past: Past) -> None:
    run_id = past(200)
    past(1)
    applied(engine, keep_raw_offers_days=0)
    assert count(engine, "partitions", run_id) == 1


TOLD = """
    WITH told AS (
        INSERT INTO incidents (kind, subject, severity, text, next_command, state, news, first_at,
                               last_at, resolved_at)
        SELECT 'disk_low', CAST(:subject AS text), 'error', 'full', 'facet doctor', t.state, NULL,
               t.at, t.at, CASE WHEN t.state = 'resolved' THEN t.at END
          FROM (SELECT now() - make_interval(days => :days) AS at,
                       CAST(:state AS text) AS state) AS t
        RETURNING incident_id, first_at
    ), sent AS (
        INSERT INTO alerts (batch, channel, kind, severity, content, state, created_at, finished_at)
        SELECT gen_random_uuid(), 'slack', 'news', 'error', '{}', 'sent', first_at, first_at
          FROM told
        RETURNING alert_id
    )
    INSERT INTO alert_incidents (alert_id, incident_id, news)
    SELECT alert_id, incident_id, 'opened' FROM sent, told"""


def test_alerts_and_incidents_that_are_over_go_by_their_age(engine: Engine) -> None:
    with transaction(engine) as tx:
        for subject, days, state in (
            ("a", 400, "resolved"),
            ("b", 9, "resolved"),
            ("c", 400, "open"),
        ):
            tx.execute(text(TOLD), {"subject": subject, "days": days, "state": state})
    assert applied(engine) == {"alerts": 2, "incidents that are over": 1}
    left = rows(engine, "SELECT subject FROM incidents ORDER BY subject")
    assert [one["subject"] for one in left] == ["b", "c"]
    assert len(rows(engine, "SELECT FROM alert_incidents")) == 1


BURIED_ALERT = """
    WITH item AS (
        INSERT INTO work_items (kind, attempts_max, state, created_at, finished_at)
        SELECT 'alert', 6, 'dead', t.at, t.at
          FROM (SELECT now() - interval '400 days' AS at) AS t
        RETURNING item_id, finished_at
    ), letter AS (
        INSERT INTO dead_letters (item_id, kind, reason, error, first_at)
        SELECT item_id, 'alert', 'attempts', 'gone', finished_at FROM item
    )
    INSERT INTO alerts (item_id, batch, channel, kind, severity, content, state, finished_at)
    SELECT item_id, gen_random_uuid(), 'slack', 'news', 'error', '{}', 'failed', finished_at
      FROM item"""


def test_an_alert_under_a_dead_letter_stays_until_that_is_gone(engine: Engine) -> None:
    with transaction(engine) as tx:
        tx.execute(text(BURIED_ALERT))
    assert applied(engine) == {}
    with transaction(engine) as tx:
        settle = "UPDATE dead_letters SET settled_how = 'discarded', settled_at = first_at"
        tx.execute(text(settle))
    assert applied(engine) == {"settled dead letters": 1, "alerts": 1}
    assert count(engine, "work_items") == 0


def test_measured_price_moves_go_by_their_age_and_the_latest_of_a_feed_stays(
    engine: Engine,
) -> None:
    measured = """
        INSERT INTO price_moves (run_id, feed, offers, changed, jumped, jump, measured_at)
        SELECT gen_random_uuid(), :feed, n, 0, 0, 0.5, now() - make_interval(days => n)
          FROM unnest(CAST(:ages AS int[])) AS n"""
    with transaction(engine) as tx:
        tx.execute(text(measured), {"feed": FEED, "ages": [900, 366, 364]})
        tx.execute(text(measured), {"feed": "idex-natural", "ages": [800, 700]})
    assert applied(engine) == {"measured price moves": 3}
    left = rows(engine, "SELECT offers FROM price_moves ORDER BY offers")
    assert [one["offers"] for one in left] == [364, 700]


def test_slots_of_schedules_go_by_their_age_and_one_that_waits_stays(engine: Engine) -> None:
    slots = """
        INSERT INTO schedule_slots (feed, kind, slot, state, reason, seen_at, decided_at)
        SELECT :feed, 'full', t.at, :state, 'paused', t.at,
               CASE WHEN :state = 'skipped' THEN t.at END
          FROM unnest(CAST(:ages AS int[])) AS n,
               LATERAL (SELECT now() - make_interval(days => n) AS at) AS t"""
    with transaction(engine) as tx:
        tx.execute(text(slots), {"feed": FEED, "state": "skipped", "ages": [500, 91, 89]})
        tx.execute(text(slots), {"feed": FEED, "state": "waiting", "ages": [400]})
    assert applied(engine) == {"slots of schedules": 2}
    left = rows(engine, "SELECT state FROM schedule_slots ORDER BY slot")
    assert [one["state"] for one in left] == ["waiting", "skipped"]


def test_records_of_retention_go_by_their_age_and_the_latest_stays(engine: Engine) -> None:
    with transaction(engine) as tx:
        began = """
            INSERT INTO retentions (began_at, lease_until, finished_at)
            SELECT t.at, t.at, t.at
              FROM (VALUES (200), (100)) AS a (n),
                   LATERAL (SELECT now() - make_interval(days => n) AS at) AS t"""
        tx.execute(text(began))
    names = {one.name: one.goes_rows for one in retention.plan(engine, settings()).entries}
    assert names["records of retention"] == 1  # the latest stays, however old
    assert applied(engine) == {"records of retention": 2}  # this one is the latest by now
    assert count(engine, "retentions") == 1


def test_every_table_has_an_age_or_a_reason_to_need_none(engine: Engine) -> None:
    with transaction(engine) as tx:
        tables = sorted(row.name for row in tx.execute(query("table_bytes")))
    aged = [entry.table for entry in KEPT]
    assert sorted([*aged, *FOR_GOOD, *BOUNDED]) == tables
    for why in BOUNDED.values():
        assert set(re.findall(r"`(\w+)`", why)) <= set(statements())


def test_price_changes_go_by_whole_months(engine: Engine) -> None:
    for days in (800, 400):
        with transaction(engine) as tx:
            tx.execute(
                text("SELECT make_room((now() - make_interval(days => :d))::date)"), {"d": days}
            )
    with transaction(engine) as tx:
        months = tx.execute(query("price_change_months")).all()
    removed = applied(engine, keep_price_changes_days=600)
    with transaction(engine) as tx:
        left = tx.execute(query("price_change_months")).all()
    assert removed["price changes"] == 2
    assert [row.day for row in left] == [row.day for row in months][2:]


def test_the_plan_says_what_apply_then_does(engine: Engine, past: Past) -> None:
    for days in (400, 300, 200):
        past(days, "partial")
    past(1)
    planned = {one.name: one.goes_rows for one in retention.plan(engine, settings()).entries}
    # The ledger's turn comes when the raw offers have gone.
    removed = applied(engine)
    assert planned["rejected offers"] == removed["rejected offers"] == 3
    assert planned["heatmaps"] == removed["heatmaps"] == 3
    assert removed["raw offers"] == 3
    assert removed["work of runs"] == 6


def test_what_is_locked_is_left_for_another_time(engine: Engine, past: Past) -> None:
    past(100)
    past(1)
    with transaction(engine) as tx:
        tx.execute(text("SELECT 1 FROM raw_offers LIMIT 1")).all()  # a reader, all the while
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            applied(engine)
    assert applied(engine)["raw offers"] == 1


def test_a_batch_is_a_transaction_and_the_rest_comes_after_it(engine: Engine, past: Past) -> None:
    """Stopped after its first step, it has done that step, and the next one goes on."""
    for days in range(100, 160):
        past(days, "partial")
    past(1)
    told: list[int] = []

    def cut_off(name: str, so_far: int) -> None:
        if name == "work of runs":
            told.append(so_far)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retention.apply(engine, settings(), retention.begin_by_hand(engine), tell=cut_off)
    assert told == [40]  # 20 runs of two items
    assert applied(engine) == {"work of runs": 80}


# Archive


def test_raw_offers_are_archived_before_they_are_dropped(
    engine: Engine, past: Past, tmp_path: Path
) -> None:
    run_id = past(100)
    past(1)
    assert applied(engine, archive_url=tmp_path)["raw offers"] == 1
    kept = pl.read_parquet(tmp_path / "raw_offers" / "day=*" / "*.parquet").sort("position")
    assert kept["offer_id"].to_list() == ["o1", "o2", "o3"]
    assert set(kept["run_id"]) == {str(run_id)}
    assert set(kept["payload"]) == {'{"carat": 1}'}
    (noted,) = rows(engine, "SELECT * FROM archives")
    assert (noted["rows"], noted["files"]) == (OFFERS, 1)


def test_an_archive_may_be_in_s3(
    engine: Engine, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past(100)
    past(1)
    with fake_s3.running() as bucket:
        for name, value in {
            "AWS_ENDPOINT_URL": bucket.url,
            "AWS_ACCESS_KEY_ID": "ana",
            "AWS_SECRET_ACCESS_KEY": "hush-hush",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }.items():
            monkeypatch.setenv(name, value)
        day = landed_on(engine)
        place = f"raw_offers/day={day}"
        bucket[f"facet/{place}/part-00007.parquet"] = b"of an attempt that broke off"
        assert applied(engine, archive_url=f"s3://{bucket.name}/facet")["raw offers"] == 1
        assert list(bucket) == [f"facet/{place}/part-00000.parquet"]
        (stored,) = bucket.values()
        assert len(rows(engine, "SELECT FROM archives")) == 1
    assert pl.read_parquet(io.BytesIO(stored)).height == OFFERS


def test_what_does_not_come_back_from_the_archive_is_not_dropped(
    engine: Engine, past: Past, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A disk that takes everything and keeps nothing."""
    past(100)
    past(1)
    monkeypatch.setattr(LocalFileSystem, "put_file", lambda fs, local, path: fs.touch(path))
    with pytest.raises(ArchiveFailed, match="read back"):
        applied(engine, archive_url=tmp_path)
    assert days_landed(engine) == 2
    assert rows(engine, "SELECT FROM archives") == []


def test_an_archive_in_several_files_holds_each_row_once(
    engine: Engine, past: Past, tmp_path: Path
) -> None:
    past(100)
    day = landed_on(engine)
    for _ in range(2):  # the second replaces the first
        done = archive_day(engine, day, str(tmp_path), file_rows=2)
        assert (done.files, done.rows) == (2, OFFERS)
    kept = pl.read_parquet(tmp_path / "raw_offers" / "day=*" / "*.parquet")
    assert sorted(kept["position"]) == [1, 2, 3]
    assert len(rows(engine, "SELECT FROM archives")) == 1


def test_what_cannot_be_archived_is_not_dropped(engine: Engine, past: Past, tmp_path: Path) -> None:
    past(100)
    past(1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArchiveFailed, match="cannot be written"):
        applied(engine, archive_url=tmp_path / "file")
    assert days_landed(engine) == 2


def test_rows_that_came_after_the_archive_are_not_dropped_with_it(
    engine: Engine, past: Past
) -> None:
    past(100)
    past(1)
    day = landed_on(engine)
    with pytest.raises(DatabaseUnavailable, match="3 rows, 2 expected"), transaction(engine) as tx:
        tx.execute(query("drop_raw_offers"), {"day": day, "expected": 2})
    with transaction(engine) as tx:
        freed = tx.execute(query("drop_raw_offers"), {"day": day, "expected": 3}).scalar_one()
    assert freed > 0


def test_a_day_that_is_needed_cannot_be_dropped_at_all(engine: Engine, past: Past) -> None:
    past(100)
    with pytest.raises(DatabaseUnavailable, match="are needed"), transaction(engine) as tx:
        tx.execute(query("drop_raw_offers"), {"day": landed_on(engine), "expected": None})


def landed_on(engine: Engine) -> date:
    """The oldest day that has raw offers."""
    with transaction(engine) as tx:
        found: Any = tx.execute(query("raw_offer_days")).first()
    return date.fromisoformat(str(found.day))


# Once a day


def test_any_number_of_stewards_do_it_once_a_day(engine: Engine, past: Past) -> None:
    past(100)
    past(1)
    given = settings(retention_at="00:00")
    assert [retention.once_a_day(engine, given) for _ in range(3)] == [True, False, False]
    (row,) = rows(engine, "SELECT * FROM retentions")
    assert row["removed"]["raw offers"] == 1
    assert row["sizes"]["diamonds"] > 0


def test_before_its_hour_or_without_one_nothing_is_done(engine: Engine) -> None:
    (now,) = rows(engine, "SELECT to_char(now() AT TIME ZONE 'UTC' + '1 min', 'HH24:MI') AS at")
    if now["at"] != "00:00":
        assert not retention.once_a_day(engine, settings(retention_at=now["at"]))
    assert not retention.once_a_day(engine, settings(retention_at=""))
    assert rows(engine, "SELECT FROM retentions") == []


def test_one_that_was_cut_off_is_taken_over_when_its_lease_has_run_out(
    engine: Engine, past: Past, tmp_path: Path
) -> None:
    past(100)
    past(1)
    (tmp_path / "file").write_text("in the way")
    wrong = settings(retention_at="00:00", archive_url=tmp_path / "file")
    with pytest.raises(ArchiveFailed):
        retention.once_a_day(engine, wrong)
    (row,) = rows(engine, "SELECT * FROM retentions")
    assert "cannot be written" in row["error"]
    right = settings(retention_at="00:00")
    assert not retention.once_a_day(engine, right)  # its lease lasts
    with transaction(engine) as tx:
        tx.execute(text("UPDATE retentions SET lease_until = now() - interval '1 s'"))
    assert retention.once_a_day(engine, right)
    (row,) = rows(engine, "SELECT * FROM retentions")
    assert (row["error"], row["finished_at"] is None) == (None, False)
