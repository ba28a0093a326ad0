"""`facet retention …`: what is too old, how the database grows, and dropping it by hand."""

import getpass
import shutil
from typing import Annotated, Any

import typer

from cli import system
from cli.acts import Because, ask
from cli.embedded.home import home_dir, live_runtime
from cli.output import Json, ago, emit, fail, say, table
from scheduler import retention
from shared import runs
from shared.db import transaction
from shared.settings import is_named
from sql import query

app = typer.Typer(no_args_is_help=True, help="What is kept for how long, and dropping the rest.")


@app.command()
def plan(json: Json = False) -> None:
    """What would be dropped now, how large everything is, and when the disk is full.

    \b
    Examples:
      facet retention plan
      facet retention plan --json | jq .full_in_days

    Changes nothing. Reads the whole ledger: seconds, where there are millions of rows.
    """
    engine, given = system.engine(), system.settings()
    with transaction(engine) as tx:
        size = int(tx.execute(query("database_bytes")).scalar_one())
        archives = [dict(row) for row in tx.execute(query("list_archives")).mappings()]
        last = retention.latest(tx)
    found = retention.plan(engine, given, free_bytes=_free_bytes(size))
    if json:
        emit(_document(found) | {"archives": archives, "latest": dict(last) if last else None})
        return
    table(
        ("what", "kept", "size", "a day", "goes", "frees"),
        [
            (
                one.name,
                f"{one.keep_days} d" if one.keep_days else "for ever",
                in_bytes(one.bytes),
                in_bytes(one.per_day),
                one.goes_rows,
                in_bytes(one.goes_bytes),
            )
            for one in found.entries
        ],
        right=("size", "a day", "goes", "frees"),
    )
    for one in found.entries:
        for part in one.parts:
            if part.needed_by:
                say(f"{one.name} of {part.day} stay, {in_bytes(part.bytes)}: {part.needed_by}")
    say(f"database {in_bytes(found.database_bytes)}, {in_bytes(found.per_day)} more a day")
    if found.free_bytes is None:
        say("how much is free is not known; FACET_DATABASE_DISK_BYTES would tell")
    elif found.full_in_days is None:
        say(f"{in_bytes(found.free_bytes)} free: enough for ten years at this rate")
    else:
        say(f"{in_bytes(found.free_bytes)} free: the disk is full in {found.full_in_days} days")
    if archives:
        rows = sum(one["rows"] for one in archives)
        say(f"archived: {len(archives)} days, {rows:,} raw offers, to {archives[-1]['url']}")
    if last is None:
        say("never applied yet")
    else:
        done = ago(last["finished_at"]) if last["finished_at"] else "not to its end"
        say(f"last applied: {done}" + (f"; {last['error']}" if last["error"] else ""))
    if any(one.goes_rows or one.goes_bytes for one in found.entries):
        say("  next: `facet retention apply --dry-run --because TEXT`, or let the steward do it")


@app.command()
def apply(
    reason: Because,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would go; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Drop what is older than its age, as a steward does once a day. Cannot be undone.

    \b
    Examples:
      facet retention apply --because "the disk is nearly full" --dry-run
      facet retention apply --because "the disk is nearly full" --yes

    In small transactions: Ctrl-C leaves the rest for another time. With FACET_ARCHIVE_URL raw
    offers are written there first, and read back. What the last complete run of a feed needs
    stays. The ages are settings: FACET_KEEP_RAW_OFFERS_DAYS and the others in docs/settings.md.
    """
    engine, given = system.engine(), system.settings()
    found = retention.plan(engine, given)
    goes = {one.name: one.goes_rows for one in found.entries if one.goes_rows or one.goes_bytes}
    frees = sum(one.goes_bytes for one in found.entries)
    what = ", ".join(f"{rows:,} {name}" for name, rows in goes.items()) or "nothing"
    say(f"too old: {what}; about {in_bytes(frees)}")
    if dry_run:
        if json:
            emit({"dry_run": True, "goes": goes, "bytes": frees})
        return
    if goes:
        ask("drop it, which cannot be undone", yes=yes)
    with transaction(engine) as tx:
        runs.audit(
            tx,
            actor=getpass.getuser(),
            action="retention.apply",
            subject="retention",
            reason=reason,
            before={"goes": goes, "bytes": frees},
            after=None,
        )
    retention_id = retention.begin_by_hand(engine)
    try:
        removed = retention.apply(engine, given, retention_id)
    except KeyboardInterrupt:
        fail("stopped; what is dropped is dropped", hint="`facet retention apply`", code=130)
    retention.finish(engine, retention_id, removed)
    if json:
        emit({"dry_run": False, "removed": removed})
        return
    for name, count in removed.items():
        if count:
            parted = " days or months" if name in ("raw offers", "price changes") else ""
            say(f"dropped {name}: {count:,}{parted}")
    say("done" if any(removed.values()) else "nothing was old enough")


def in_bytes(size: float) -> str:
    """A size as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1_000
    return f"{size:,.1f} TB"


def _free_bytes(database_bytes: int) -> int | None:
    """Free on the database's disk: the embedded server's, or what a setting says."""
    runtime = live_runtime(home_dir())
    if runtime and runtime.database_url and not is_named("FACET_DATABASE_URL"):
        return shutil.disk_usage(home_dir()).free
    disk = system.settings().database_disk_bytes
    return None if disk is None else max(0, disk - database_bytes)


def _document(found: retention.Plan) -> dict[str, Any]:
    entries = [
        one._asdict() | {"parts": [part._asdict() for part in one.parts]} for one in found.entries
    ]
    return found._asdict() | {"entries": entries}
