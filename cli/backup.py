"""`facet backup` and `facet restore`."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import make_url

from cli import system
from cli.acts import Because
from cli.backups import making, restoring, shelf
from cli.embedded.home import home_dir, live_runtime
from cli.embedded.servers import start_servers
from cli.output import BAD_USAGE, Json, ago, emit, fail, say, table
from cli.retention import in_bytes
from shared import db
from shared.errors import NotNow
from shared.settings import Settings, is_named, load

Folder = Annotated[
    Path | None, typer.Option("--to", file_okay=False, help="Another folder than the setting's.")
]


def backup(
    to: Folder = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not restore it to see whether it is whole.")
    ] = False,
    only_list: Annotated[
        bool, typer.Option("--list", help="Only show the backups that are there.")
    ] = False,
    json: Json = False,
) -> None:
    """Dump the database, prove the dump by restoring it, remove old ones.

    \b
    Examples:
      facet backup
      facet backup --to /mnt/safe --json
      facet backup --list

    Nothing has to stop for it. The proof takes place in a private server that is thrown away; it
    needs as much disk as the database, in the temporary folder. FACET_BACKUP_DAILY days and
    FACET_BACKUP_WEEKLY weeks are kept, in FACET_BACKUP_DIR. Exit 1 where there is no new backup
    that was proved.
    """
    engine, given = system.engine(), system.settings()
    folder = (to or folder_of(given)).absolute()
    if only_list:
        _show(folder, json=json)
        return
    url = given.database_url.get_secret_value()
    dump, manifest = making.make(engine, url, folder, verify=not no_verify)
    gone = shelf.rotate(folder, daily=given.backup_daily, weekly=given.backup_weekly)
    if json:
        document = manifest.model_dump() | {"file": dump, "removed": [str(one) for one in gone]}
        emit(document)
        return
    rows = sum(one.rows for one in manifest.tables.values())
    proof = "restored and compared" if manifest.verified_at else "not verified"
    say(f"{dump}: {in_bytes(manifest.bytes)}, {rows:,} rows, {proof}")
    for one in gone:
        say(f"removed {one.name}")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup, as `facet backup --list` shows them.")],
    reason: Because,
    confirm: Annotated[
        str | None,
        typer.Option(help="The database's name, where what is in it is to be replaced."),
    ] = None,
    json: Json = False,
) -> None:
    """Put a backup in the place of the database. Everything since then is lost.

    \b
    Examples:
      facet backup --list
      facet restore facet-20261121T033000Z.dump --confirm facet --because "the disk died"

    Stop all processes first. It is one transaction: on any error everything is as it was. Runs
    that were open are cancelled; other work goes on. Where the database is not empty its name is
    needed with --confirm, else exit 2.
    """
    manifest = shelf.read(file)
    with _target() as url:
        name = str(make_url(url).database)
        engine = db.connect(url)
        try:
            if not restoring.is_empty(engine) and confirm != name:
                fail(
                    f"the database {name!r} is not empty; all of it would be replaced",
                    hint=f"--confirm={name}",
                    code=BAD_USAGE,
                )
            done = restoring.restore(
                engine, url, file, manifest, actor=getpass.getuser(), reason=reason
            )
        finally:
            engine.dispose()
    if json:
        emit(done | {"file": file, "schema": manifest.schema_version, "made_at": manifest.made_at})
        return
    rows = sum(one.rows for one in manifest.tables.values())
    say(f"{name} is as it was {ago(manifest.made_at)}: {rows:,} rows, compared")
    say(f"{done['runs_cancelled']} open runs cancelled, {done['items_freed']} pieces of work freed")
    if manifest.schema_version != db.versions()[-1]:
        say("  next: `facet db migrate`, since the backup is of an earlier release")
    else:
        say("  next: `facet up`, then `facet run start FEED` for each feed: stock has moved since")


def folder_of(given: Settings) -> Path:
    """Where backups are kept."""
    return given.backup_dir or home_dir() / "backups"


@contextmanager
def _target() -> Iterator[str]:
    """The database to replace: the one a setting names, or the embedded one, started for this.

    Raises NotNow where an embedded Facet runs.
    """
    if is_named("FACET_DATABASE_URL"):
        # The broker has no part in it, and may be away.
        broker = {} if is_named("FACET_BROKER_URL") else {"FACET_BROKER_URL": "redis://none"}
        yield load(broker).database_url.get_secret_value()
        return
    if live_runtime(home_dir()) is not None:
        raise NotNow(f"Facet runs in {home_dir()}", hint="`facet down`, then again")
    with start_servers(home_dir(), broker=False) as servers:
        yield str(servers.database_url)


def _show(folder: Path, *, json: bool) -> None:
    there = shelf.listed(folder)
    if json:
        for dump, one in there.items():
            emit(one.model_dump() | {"file": dump})
        return
    table(
        ("backup", "made", "size", "schema", "verified"),
        [
            (
                dump.name,
                ago(one.made_at),
                in_bytes(one.bytes),
                one.schema_version,
                one.verified_at is not None,
            )
            for dump, one in there.items()
        ],
        right=("size",),
    )
    say(f"in {folder}")
