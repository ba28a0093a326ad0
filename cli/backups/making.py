"""Make a backup, prove it, put it on the shelf.

pg_dump and the sums of all tables see one snapshot. The proof is a restore into a private
PostgreSQL that is thrown away, and the same sums there.
"""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, make_url

from cli.backups import programs, shelf
from cli.backups.shelf import Manifest, Table
from cli.embedded.home import locked, write_private
from cli.embedded.servers import temporary_servers
from shared import db
from shared.db import transaction
from shared.errors import BackupFailed
from sql import query

PART = ".part"
LOCK_WAIT_S = 1.0


def make(engine: Engine, url: str, folder: Path, *, verify: bool = True) -> tuple[Path, Manifest]:
    """Back up the database of `url` into `folder`; returns the dump and what it contains.

    Nothing stops meanwhile; old rows are kept from vacuum as long as it takes. Raises NotNow
    where another backup into the folder is under way, BackupFailed, DatabaseUnavailable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BackupFailed(f"{folder} cannot be used: {error.strerror}") from error
    with locked(
        folder / ".lock", lambda: f"another backup into {folder} is under way", LOCK_WAIT_S
    ):
        for left in folder.glob(f"*{PART}"):
            left.unlink()
        made_at = datetime.now(UTC).replace(microsecond=0)
        dump = shelf.named(folder, made_at)
        part = dump.with_name(dump.name + PART)
        manifest = _dump(engine, url, part, made_at)
        if verify:
            _prove(part, manifest)
            manifest = manifest.model_copy(update={"verified_at": datetime.now(UTC)})
        write_private(shelf.manifest_of(dump), manifest.model_dump_json(indent=1) + "\n")
        part.replace(dump)
    return dump, manifest


def sums(tx: Connection) -> dict[str, Table]:
    """What each table holds now. Reads everything."""
    tx.execute(query("without_time_limit"))
    found = tx.execute(query("table_sums"))
    return {row.name: Table(rows=row.rows, checksum=row.checksum) for row in found}


def difference(wanted: dict[str, Table], found: dict[str, Table]) -> str:
    """Where two differ, in words; empty where they do not."""
    wrong = [
        f"{name}: {_rows(found.get(name))} instead of {_rows(wanted.get(name))}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    return "; ".join(wrong)


def _rows(table: Table | None) -> str:
    return "no table" if table is None else f"{table.rows:,} rows ({table.checksum[-6:]})"


def _dump(engine: Engine, url: str, part: Path, made_at: datetime) -> Manifest:
    # Everything read here, and by who is told the snapshot, is of one moment.
    with transaction(engine.execution_options(isolation_level="REPEATABLE READ")) as tx:
        facts = tx.execute(query("backup_facts")).one()
        pg_dump = programs.folder_for(facts.server_major) / "pg_dump"
        name, secret = programs.connection(url)
        words = ("--format=custom", f"--snapshot={facts.snapshot}", f"--file={part}")
        part.touch(mode=0o600)
        programs.run([pg_dump, *words, "--dbname", name], secret)
        tables = sums(tx)
        version = db.schema_version(tx)
    return Manifest(
        made_at=made_at,
        database=str(make_url(url).database),
        schema_version=str(version),
        server_major=facts.server_major,
        bytes=part.stat().st_size,
        sha256=shelf.sha256(part),
        roles=list(facts.roles),
        tables=tables,
    )


def _prove(part: Path, manifest: Manifest) -> None:
    """Restore it where nobody else is, and compare."""
    with temporary_servers(broker=False) as scratch:
        url = str(scratch.database_url)
        folder = programs.folder_for(manifest.server_major)
        name, secret = programs.connection(url)
        words = ("--no-owner", "--no-privileges", "--exit-on-error")
        programs.run([folder / "pg_restore", *words, "--dbname", name, part], secret)
        engine = db.connect(url)
        try:
            with transaction(engine) as tx:
                found = sums(tx)
        finally:
            engine.dispose()
    wrong = difference(manifest.tables, found)
    if wrong:
        raise BackupFailed(f"what was dumped does not come back: {wrong}")
