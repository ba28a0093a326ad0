"""`facet schedule …`: when the runs of a feed start by themselves."""

import getpass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from cli import completing, system
from cli.acts import Because
from cli.output import Json, emit, say, table
from scheduler import schedules
from scheduler.cron import Cron
from shared.db import transaction
from shared.errors import NotNow
from sql import query

app = typer.Typer(
    no_args_is_help=True, help="When runs start by themselves: list, set, remove, next, history."
)

OnlyFeed = Annotated[
    str | None, typer.Argument(help="Only of this feed.", autocompletion=completing.feeds)
]


class Kind(StrEnum):
    full = "full"
    incremental = "incremental"


class Policy(StrEnum):
    skip = "skip"
    once = "once"
    all = "all"


OfKind = Annotated[Kind, typer.Option("--kind", help="Which runs.")]


@app.command("list")
def list_schedules(feed: OnlyFeed = None, json: Json = False) -> None:
    """Every schedule: when it is due next, and what became of its latest slot.

    \b
    Examples:
      facet schedule list
      facet schedule list nivoda-natural --json
    """
    rows = _rows(feed)
    if json:
        for row in rows:
            emit(row)
        return
    table(
        ("feed", "kind", "cron", "zone", "next", "latest"),
        [
            (
                r["feed"] + (" (paused)" if r["paused_at"] else ""),
                r["kind"],
                r["cron"],
                r["time_zone"],
                _local(r["next_at"], r["time_zone"]),
                _latest(r),
            )
            for r in rows
        ],
    )
    if not rows:
        say("no run starts by itself; `facet schedule set FEED '0 3 * * *' --because TEXT`")


@app.command("set")
def set_schedule(
    feed: completing.Feed,
    cron: Annotated[str, typer.Argument(help="minute hour day month weekday, as in a crontab.")],
    because: Because,
    kind: OfKind = Kind.full,
    zone: Annotated[str, typer.Option(help="IANA time zone, such as Europe/Berlin.")] = "UTC",
    missed: Annotated[
        Policy,
        typer.Option(
            help="Slots that passed while no steward was at work: skip them, make up the latest "
            "once, or all one after another (24 at most, of the last seven days)."
        ),
    ] = Policy.once,
    json: Json = False,
) -> None:
    """Start runs of a feed by themselves; takes the place of its schedule of the same kind.

    \b
    Examples:
      facet schedule set nivoda-natural "0 3 * * *" --zone Europe/Berlin --because "each night"
      facet schedule set nivoda-natural "*/20 6-22 * * *" --kind incremental --because "by day"

    One run of a feed at a time: an incremental slot that meets an open run is skipped, a full one
    waits for an incremental run and is skipped for a full one; a full slot goes before an
    incremental one. All cases, and what happens when the clocks change, are in
    docs/decisions/0022-schedules.md.
    """
    wanted = Cron(cron, zone)
    with transaction(system.engine()) as tx:
        next_at = schedules.set_schedule(
            tx,
            feed,
            kind.value,
            wanted,
            missed=missed.value,
            actor=getpass.getuser(),
            reason=because,
        )
    if json:
        emit({"feed": feed, "kind": kind.value, "cron": wanted.expression, "next_at": next_at})
        return
    say(
        f"{kind.value} runs of {feed} start by '{wanted.expression}' in {zone}; "
        f"the first at {_local(next_at, zone)}"
    )
    say(f"  next: `facet schedule next {feed}`")


@app.command()
def remove(
    feed: completing.Feed, because: Because, kind: OfKind = Kind.full, json: Json = False
) -> None:
    """No run of this kind starts by itself any more. What became of its slots stays on record.

    \b
    Examples:
      facet schedule remove nivoda-natural --kind incremental --because "nightly is enough"
    """
    with transaction(system.engine()) as tx:
        schedules.remove(tx, feed, kind.value, actor=getpass.getuser(), reason=because)
    if json:
        emit({"feed": feed, "kind": kind.value, "removed": True})
    else:
        say(f"no {kind.value} run of {feed} starts by itself any more")


@app.command("next")
def show_next(
    feed: OnlyFeed = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1_000, help="So many.")] = 5,
    json: Json = False,
) -> None:
    """The next slots of all schedules together, in order, each in its own time zone.

    \b
    Examples:
      facet schedule next
      facet schedule next nivoda-natural -n 20
    """
    found: list[tuple[datetime, dict[str, Any]]] = []
    for row in _rows(feed):
        slots = Cron(row["cron"], row["time_zone"]).after(datetime.now(UTC))
        found += [(slot, row) for slot in islice(slots, count)]
    found.sort(key=lambda one: (one[0], one[1]["feed"], one[1]["kind"]))
    if not found:
        raise NotNow(
            "no run starts by itself",
            hint=f"`facet schedule set {feed or 'FEED'} '0 3 * * *' --because TEXT`",
        )
    if json:
        for slot, row in found[:count]:
            emit({"feed": row["feed"], "kind": row["kind"], "slot": slot})
        return
    table(
        ("when", "zone", "feed", "kind"),
        [
            (
                _local(slot, row["time_zone"]),
                row["time_zone"],
                row["feed"] + (" (paused)" if row["paused_at"] else ""),
                row["kind"],
            )
            for slot, row in found[:count]
        ],
    )


@app.command()
def history(
    feed: OnlyFeed = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 20,
    json: Json = False,
) -> None:
    """What became of the slots: the run of each, or why it was skipped.

    \b
    Examples:
      facet schedule history nivoda-natural
    """
    with transaction(system.engine()) as tx:
        rows = tx.execute(query("list_slots"), {"feed": feed, "limit": limit}).mappings().all()
    if json:
        for row in rows:
            emit(dict(row))
        return
    table(
        ("slot", "feed", "kind", "state", "run", "now", "why"),
        [
            (
                f"{r['slot'].astimezone():%m-%d %H:%M}",
                r["feed"],
                r["kind"],
                r["state"],
                str(r["run_id"])[:8] if r["run_id"] else None,
                r["run_state"],
                r["reason"] or (f"also for {r['missed']} missed" if r["missed"] else None),
            )
            for r in rows
        ],
    )


def _rows(feed: str | None) -> list[dict[str, Any]]:
    with transaction(system.engine()) as tx:
        rows = tx.execute(query("list_schedules"), {"feed": feed}).mappings().all()
    return [dict(row) for row in rows]


def _local(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%a %m-%d %H:%M}"


def _latest(row: dict[str, Any]) -> str | None:
    if row["last_slot"] is None:
        return None
    if row["last_state"] == "started":
        return f"run {str(row['last_run'])[:8]}"
    return f"{row['last_state']}: {row['last_reason']}"
