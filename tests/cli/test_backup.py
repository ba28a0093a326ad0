"""The drill: a backup, a disaster, a restore; and what may not go wrong on the way."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from cli.backups import making, restoring, shelf
from cli.backups.programs import connection, folder_for
from cli.backups.rotation import kept
from cli.embedded.home import locked
from cli.embedded.servers import Servers
from shared import db, ledger
from shared.db import transaction
from shared.errors import BackupFailed, ClaimLost, NotNow, OldSchema
from tests.builders import claim, due_item, held_item, item_now, open_run, rows
from tests.cli.test_conventions import facet

pytestmark = pytest.mark.timeout(600)  # several processes each, on whatever machine

NOW = datetime(2026, 11, 21, 3, 30, tzinfo=UTC)


@pytest.fixture
def services(database_url: str, servers: Servers) -> dict[str, str]:
    return {"FACET_DATABASE_URL": database_url, "FACET_BROKER_URL": str(servers.broker_url)}


def did(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def database(services: dict[str, str]) -> str:
    return str(make_url(services["FACET_DATABASE_URL"]).database)


def backed_up(services: dict[str, str], folder: Path) -> Path:
    made = json.loads(did(facet("backup", "--to", str(folder), "--json", **services)))
    return Path(made["file"])


def dumped(engine: Engine, url: str, folder: Path) -> tuple[Path, shelf.Manifest]:
    """A backup that nobody has restored to see whether it is whole."""
    made = making.make(engine, url, folder, verify=False)
    engine.dispose()
    return made


def restored(services: dict[str, str], dump: Path) -> subprocess.CompletedProcess[str]:
    words = (f"--confirm={database(services)}", "--reason", "a drill", "--json")
    return facet("restore", str(dump), *words, **services)


def test_the_drill(engine: Engine, services: dict[str, str], tmp_path: Path) -> None:
    """What was there comes back to the row, and what has happened since fits nothing any more."""
    with transaction(engine) as tx:
        tx.execute(text(A_REPRICE_ITEM))
    held = held_item(engine)
    dump = backed_up(services, tmp_path / "backups")
    assert shelf.read(dump).verified_at is not None
    assert dump.stat().st_mode & 0o077 == 0

    # Since then: a claim of the reprice, of which a worker still knows, and a new item.
    later = claim(engine, item_of(engine, "reprice"), "reprice")
    assert later is not None
    lost = due_item(engine, run_id=held.run_id)
    with transaction(engine) as tx:
        tx.execute(text("DELETE FROM dead_letters"))
        tx.execute(text("CREATE TABLE of_a_later_release (run_id uuid REFERENCES runs)"))

    busy = restored(services, dump)
    assert (busy.returncode, "connected to this database" in busy.stderr) == (1, True)
    engine.dispose()
    refused = facet("restore", str(dump), "--reason", "a drill", **services)
    assert (refused.returncode, f"--confirm={database(services)}" in refused.stderr) == (2, True)

    done = json.loads(did(restored(services, dump)))
    assert (done["runs_cancelled"], done["items_freed"]) == (1, 1)
    assert rows(engine, "SELECT to_regclass('of_a_later_release') AS t") == [{"t": None}]
    assert db.migrate(engine) == (db.versions()[-1], db.versions()[-1])

    (run,) = rows(engine, "SELECT * FROM runs")
    assert (run["state"], "restored from the backup of" in run["reason"]) == ("cancelled", True)
    assert item_now(engine, held.item_id)["state"] == "cancelled"
    reprice = item_now(engine, later.item_id)
    assert (reprice["state"], reprice["attempts"], reprice["announced_at"]) == ("due", 0, None)
    assert reprice["epoch"] > later.epoch
    with pytest.raises(ClaimLost), transaction(engine) as tx:
        ledger.finish(tx, later)
    assert claim(engine, later.item_id, "reprice", epoch=later.epoch) is None  # the old message
    assert claim(engine, later.item_id, "reprice") is not None
    assert due_item(engine, run_id=open_run(engine)) > lost
    (event,) = rows(engine, "SELECT * FROM audit_events WHERE action = 'database.restore'")
    assert (event["reason"], event["after"]["backup"]) == ("a drill", dump.name)


A_REPRICE_ITEM = "INSERT INTO work_items (kind, attempts_max) VALUES ('reprice', 6)"


def item_of(engine: Engine, kind: str) -> int:
    (found,) = rows(engine, "SELECT item_id FROM work_items WHERE kind = :kind", kind=kind)
    return int(found["item_id"])


def test_an_empty_database_needs_no_confirmation(
    engine: Engine, services: dict[str, str], servers: Servers, tmp_path: Path
) -> None:
    open_run(engine)
    dump, manifest = dumped(engine, services["FACET_DATABASE_URL"], tmp_path)
    assert manifest.verified_at is None
    with admin(servers) as connection:
        connection.execute(text("CREATE DATABASE elsewhere"))
    url = make_url(services["FACET_DATABASE_URL"]).set(database="elsewhere")
    elsewhere = services | {"FACET_DATABASE_URL": url.render_as_string(hide_password=False)}
    try:
        did(facet("restore", str(dump), "--reason", "a copy", **elsewhere))
        assert json.loads(did(facet("run", "list", "--json", **elsewhere)))["state"] == "cancelled"
    finally:
        with admin(servers) as connection:
            connection.execute(text("DROP DATABASE elsewhere WITH (FORCE)"))


def test_a_damaged_backup_is_refused_before_anything_is_touched(
    engine: Engine, services: dict[str, str], tmp_path: Path
) -> None:
    dump, _ = dumped(engine, services["FACET_DATABASE_URL"], tmp_path)
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-100] + bytes(100))
    done = restored(services, dump)
    assert (done.returncode, "is damaged" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
    db.require_schema(engine)


def test_a_restore_that_breaks_off_leaves_everything_as_it_was(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    """Half a dump, with a manifest that believes in it."""
    run_id = open_run(engine)
    dump, manifest = dumped(engine, database_url, tmp_path)
    whole = dump.read_bytes()
    dump.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(BackupFailed, match="pg_restore"):
        restoring.restore(engine, database_url, dump, manifest, actor="ana", reason="a test")
    db.require_schema(engine)
    assert rows(engine, "SELECT run_id, state FROM runs") == [
        {"run_id": run_id, "state": "planning"}
    ]


def test_what_comes_back_otherwise_than_it_was_dumped_stays_shut(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    open_run(engine)
    dump, manifest = dumped(engine, database_url, tmp_path)
    manifest.tables["runs"].checksum = "1"
    with pytest.raises(BackupFailed, match="not what was dumped: runs: 1 rows"):
        restoring.restore(engine, database_url, dump, manifest, actor="ana", reason="a test")
    with pytest.raises(OldSchema, match="restoring"):
        db.require_schema(engine)
    engine.dispose()
    again = shelf.read(dump)  # as it truly was
    restoring.restore(engine, database_url, dump, again, actor="ana", reason="a test")
    db.require_schema(engine)


def test_a_dump_that_does_not_come_back_is_no_backup(
    engine: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_run(engine)
    true_sums = making.sums

    def one_row_less(tx: Connection) -> dict[str, shelf.Table]:
        found = true_sums(tx)
        found["runs"].rows -= 1
        monkeypatch.setattr(making, "sums", true_sums)
        return found

    monkeypatch.setattr(making, "sums", one_row_less)
    with pytest.raises(BackupFailed, match=r"runs: 1 rows .* instead of 0 rows"):
        making.make(engine, database_url, tmp_path)
    assert shelf.listed(tmp_path) == {}


def test_a_second_backup_at_the_same_time_is_refused(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    with locked(tmp_path / ".lock", lambda: "", 1), pytest.raises(NotNow, match="under way"):
        making.make(engine, database_url, tmp_path, verify=False)


def test_no_password_is_among_the_words_of_a_program() -> None:
    name, secret = connection("postgresql+psycopg://ana:hush-hush@db:6432/facet?sslmode=require")
    assert "hush-hush" not in name
    assert secret == {"PGPASSWORD": "hush-hush"}
    assert "sslmode=require" in name
    with pytest.raises(BackupFailed, match="no pg_dump for PostgreSQL 99"):
        folder_for(99)


@contextmanager
def admin(servers: Servers) -> Iterator[Connection]:
    engine = create_engine(str(servers.database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


# Rotation

MOMENTS = st.integers(0, 60 * 24 * 40).map(lambda minutes: NOW - timedelta(minutes=minutes))


def test_of_two_months_of_nights_seven_days_and_four_weeks_stay() -> None:
    nights = [NOW - timedelta(days=n) for n in range(60)]
    assert sorted((NOW - one).days for one in kept(nights, daily=7, weekly=4)) == [
        *range(7),  # NOW is a Saturday; the Sundays of the three weeks before
        13,
        20,
    ]


@given(st.lists(MOMENTS, min_size=1, unique=True), st.integers(1, 9), st.integers(0, 9))
def test_the_newest_backup_always_stays_and_rotating_again_changes_nothing(
    made: list[datetime], daily: int, weekly: int
) -> None:
    keep = kept(made, daily=daily, weekly=weekly)
    assert max(made) in keep
    assert len(keep) <= daily + weekly
    assert kept(keep, daily=daily, weekly=weekly) == keep


def test_rotation_removes_dump_and_manifest(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    dump, manifest = making.make(engine, database_url, tmp_path, verify=False)
    old = manifest.model_copy(update={"made_at": manifest.made_at - timedelta(days=1)})
    older = shelf.named(tmp_path, old.made_at)
    older.write_bytes(b"")
    shelf.manifest_of(older).write_text(old.model_dump_json())
    assert shelf.rotate(tmp_path, daily=1, weekly=0) == [older]
    assert set(shelf.listed(tmp_path)) == {dump}
    assert not shelf.manifest_of(older).exists()
