"""Put a backup back in the place of what is there.

The old and the new change places in one transaction: until it commits, nothing has changed. What
was under way when the backup was made has been overtaken by what happened since; docs/decisions
says why each of the steps after it is there.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sqlalchemy import Engine, make_url

from cli.backups import programs
from cli.backups.making import difference, sums
from cli.backups.shelf import Manifest
from shared import runs
from shared.db import transaction
from shared.errors import BackupFailed, NotNow
from sql import ROOT, query

SCRIPTS = ROOT / "restore"
PIPE_BYTES = 1 << 20


def is_empty(engine: Engine) -> bool:
    """Whether the database has no table of ours. Safe where a restore was cut off."""
    with transaction(engine) as tx:
        return bool(tx.execute(query("no_tables")).scalar_one())


def require_alone(engine: Engine) -> None:
    """Raise NotNow while others are connected to the database."""
    with transaction(engine) as tx:
        others = tx.execute(query("others_connected")).scalars().all()
    if others:
        names = ", ".join(sorted(set(others)))
        raise NotNow(
            f"{len(others)} others are connected to this database: {names}",
            hint="stop every `facet serve` and who else reads it, then again",
        )


def restore(
    engine: Engine, url: str, dump: Path, manifest: Manifest, *, actor: str, reason: str
) -> dict[str, int]:
    """Replace the database by a backup; returns what became of the work that was under way.

    Raises NotNow where others are connected, BackupFailed where it does not come back as it was:
    before the commit nothing has changed; after it no process starts on the database until a
    restore has come to its end.
    """
    require_alone(engine)
    with transaction(engine) as tx:
        facts = tx.execute(query("restore_facts"), {"roles": manifest.roles}).one()
    engine.dispose()
    _replace(url, dump, facts.server_major, with_grants=not facts.missing_roles)
    with transaction(engine) as tx:
        wrong = difference(manifest.tables, sums(tx))
        if wrong:
            raise BackupFailed(f"restored, but not what was dumped: {wrong}", hint="another backup")
        runs.audit(
            tx,
            actor=actor,
            action="database.restore",
            subject=str(make_url(url).database),
            reason=reason,
            before=None,
            after={"backup": dump.name, "made_at": manifest.made_at.isoformat()},
        )
        why = f"restored from the backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC"
        stopped = len(tx.execute(query("cancel_open_runs"), {"reason": why}).all())
        freed = len(tx.execute(query("free_all_items")).all())
        tx.execute(query("forget_leaders"))
        tx.execute(query("skip_lost_ids")).all()
        tx.execute(query("restore_done"), {"version": manifest.schema_version})
    return {"runs_cancelled": stopped, "items_freed": freed}


def _replace(url: str, dump: Path, server_major: int, *, with_grants: bool) -> None:
    """Drop what is there and load the dump, in one transaction.

    COMMIT is only sent when pg_restore has come to its end; psql leaves at the first error.
    """
    folder = programs.folder_for(server_major)
    name, secret = programs.connection(url)
    grants = () if with_grants else ("--no-privileges",)
    reading = (folder / "pg_restore", "--no-owner", *grants, "--file=-", dump)
    stop = ("--set", "ON_ERROR_STOP=1")
    writing = (folder / "psql", "--no-psqlrc", "--quiet", *stop, "--dbname", name)
    with (
        tempfile.TemporaryFile() as read_errors,
        tempfile.TemporaryFile() as write_errors,
        subprocess.Popen(reading, stdout=subprocess.PIPE, stderr=read_errors) as reader,
        subprocess.Popen(
            writing,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=write_errors,
            env=os.environ | secret,
        ) as writer,
    ):
        whole = _pour(reader, writer)
        if not whole:
            reader.kill()
        writer.wait()
        reader.wait()
        for process, argv, errors in (
            (writer, writing, write_errors),
            (reader, reading, read_errors),
        ):
            errors.seek(0)
            if process.returncode != 0:
                raise BackupFailed(programs.said(argv, errors.read()))


def _pour(reader: "subprocess.Popen[bytes]", writer: "subprocess.Popen[bytes]") -> bool:
    """Send the whole script from one to the other; whether all of it was taken."""
    source, sink = reader.stdout, writer.stdin
    if source is None or sink is None:
        raise TypeError("two pipes expected")
    try:
        with sink:
            sink.write(b"BEGIN;\n" + (SCRIPTS / "clear.sql").read_bytes())
            shutil.copyfileobj(source, sink, PIPE_BYTES)
            if reader.wait() != 0:
                return False
            sink.write((SCRIPTS / "mark.sql").read_bytes() + b"COMMIT;\n")
    except BrokenPipeError:
        return False
    return True
