"""`facet worker …`: who works and on what, and asking some of them to leave."""

import getpass
import time
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Engine

from cli import system
from cli.acts import Because
from cli.output import BAD_USAGE, TIME_OVER, Json, ago, emit, fail, say, span, table
from shared import presence
from shared.db import transaction
from shared.errors import NotNow
from shared.presence import SILENT_S
from sql import query

app = typer.Typer(no_args_is_help=True, help="The processes at work: list, drain.")

POLL_S = 0.5


@app.command("list")
def list_workers(
    ended: Annotated[
        bool, typer.Option("--ended", help="Also those that have ended in the last days.")
    ] = False,
    json: Json = False,
) -> None:
    """Every process of the pipeline, on every host: whether it lives and what it holds.

    \b
    Examples:
      facet worker list
      facet worker list --json

    Each says in the database that it lives, every five seconds; the broker may be away. One that
    has said nothing for half a minute is `silent`: killed, or cut off. What it held lapses by
    itself.
    """
    rows = look(system.engine(), ended=ended)
    if json:
        for row in rows:
            emit(row)
        return
    table(
        ("process", "role", "host", "pid", "state", "holds", "started", "heard"),
        [
            (
                str(r["process_id"])[:8],
                r["role"],
                r["host"],
                str(r["pid"]),
                r["state"],
                f"{r['items']} {r['kinds']}" if r["items"] else None,
                ago(r["started_at"]),
                span(r["beat_s"]),
            )
            for r in rows
        ],
        right=("pid",),
    )
    if not rows:
        say("nobody works; `facet up`, or `facet serve ROLE` on another host")


def look(engine: Engine, *, ended: bool = False) -> list[dict[str, Any]]:
    """The processes, each with its `state`: works, idle, draining, silent or ended."""
    with transaction(engine) as tx:
        rows = tx.execute(query("list_processes"), {"ended": ended}).mappings().all()
    return [dict(row) | {"state": state_of(dict(row))} for row in rows]


def state_of(row: dict[str, Any]) -> str:
    """One word for how a process is."""
    if row["ended_at"] is not None:
        return "ended"
    if row["beat_s"] > SILENT_S:
        return "silent"
    if row["drain_at"] is not None:
        return "draining"
    return "works" if row["items"] else "idle"


@app.command()
def drain(
    because: Because,
    process: Annotated[
        str | None, typer.Argument(help="A process's id of `facet worker list`, or its beginning.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="All processes of this host.")] = None,
    role: Annotated[str | None, typer.Option(help="All of this role.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until they have ended.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait at most; they go on. Exit 124.")
    ] = 600,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which; ask nobody to leave.")
    ] = False,
    json: Json = False,
) -> None:
    """Ask processes to finish what they hold, take nothing new, and exit 0.

    \b
    Examples:
      facet worker drain 3f2a --because "new kernel" --wait
      facet worker drain --host shop-2 --because "taken away" --wait --timeout 900

    A partition that is being fetched is given back at the next page, without using up an attempt.
    Who keeps a process running (`facet up`, Kubernetes) starts a new one in its place; that is a
    rolling restart. systemd does not where it says Restart=on-failure. Audited.
    """
    if (process, host, role) == (None, None, None):
        fail("nobody is named", hint="a process of `facet worker list`, --host or --role", code=2)
    if role is not None and role not in system.ROLES:
        fail(f"there is no role {role!r}", hint=", ".join(system.ROLES), code=BAD_USAGE)
    engine = system.engine()
    chosen = [
        one
        for one in look(engine)
        if (process is None or str(one["process_id"]).startswith(process.lower()))
        and (host is None or one["host"] == host)
        and (role is None or one["role"] == role)
        and one["state"] != "silent"
    ]
    if not chosen or (process is not None and len(chosen) > 1):
        problem = "several such processes live" if chosen else "no such process lives"
        raise NotNow(problem, hint="`facet worker list`")
    ids = [one["process_id"] for one in chosen]
    if not dry_run:
        with transaction(engine) as tx:
            presence.drain(tx, chosen, actor=getpass.getuser(), reason=because)
    for one in chosen:
        if json:
            emit({name: one[name] for name in ("process_id", "role", "host", "pid", "items")})
        else:
            said = "would be asked to leave" if dry_run else "is asked to leave"
            holds = f", holds {one['items']} {one['kinds']}" if one["items"] else ""
            say(f"{one['role']} {str(one['process_id'])[:8]} on {one['host']} {said}{holds}")
    if wait and not dry_run:
        _wait(engine, ids, timeout)


def _wait(engine: Engine, ids: list[UUID], timeout_s: float) -> None:
    """Until all have ended or are silent; ends the command where the time is over."""
    deadline = time.monotonic() + timeout_s
    while left := [
        one for one in look(engine) if one["process_id"] in ids and one["state"] != "silent"
    ]:
        if time.monotonic() >= deadline:
            fail(
                f"{len(left)} still work after {timeout_s:g} s",
                hint="`facet worker list`",
                code=TIME_OVER,
            )
        time.sleep(POLL_S)
    say(f"{len(ids)} have ended" if len(ids) > 1 else "it has ended")
