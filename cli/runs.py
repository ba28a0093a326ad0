"""`facet run …`: start, list, show, watch and cancel runs."""

import getpass
import time
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.live import Live
from rich.table import Table
from sqlalchemy import Engine

from cli import system
from cli.output import COULD_NOT, DONE, NOT_COMPLETE, Json, ago, emit, fail, say, table, text, words
from shared import feeds, runs
from shared.db import transaction
from shared.errors import BrokerUnavailable, NotNow
from shared.limits import Limiter
from shared.runs import RunKind
from sql import query

app = typer.Typer(no_args_is_help=True, help="Start, list, show, watch and cancel runs.")

ENDED = ("complete", "partial", "failed", "cancelled")
WATCH_PAUSE_S = 0.5

Run = Annotated[str, typer.Argument(help="A run's id, or its beginning.")]


@app.command()
def start(
    feed: Annotated[str, typer.Argument(help="The feed, such as `nivoda-natural`.")],
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what changed since the last complete run.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Watch to its end; exit 3 if partial.")
    ] = False,
    json: Json = False,
) -> None:
    """Open a run of one feed; workers take it from there.

    facet run start nivoda-natural --wait
    """
    feeds.feed(feed)
    engine = system.engine()
    system.settings().supplier(feed)
    kind: RunKind = "incremental" if incremental else "full"
    with transaction(engine) as tx:
        if tx.execute(query("active_ruleset")).first() is None:
            raise NotNow(
                "no ruleset is active, so no stone could get a price",
                hint="`facet ruleset activate FILE --reason TEXT`",
            )
        opened = runs.start(tx, feed, kind)
    if wait:
        raise SystemExit(follow(engine, [opened.run_id], json=json))
    if json:
        emit({"run_id": opened.run_id, "feed": feed, "kind": kind})
    else:
        say(f"run {opened.run_id} of {feed} is open")
        say(f"  next: `facet run watch {str(opened.run_id)[:8]}`")


@app.command("list")
def list_runs(
    feed: Annotated[str | None, typer.Option(help="Only runs of this feed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 20,
    json: Json = False,
) -> None:
    """The latest runs."""
    with transaction(system.engine()) as tx:
        rows = tx.execute(query("list_runs"), {"feed": feed, "limit": limit}).mappings().all()
    if json:
        for row in rows:
            emit(dict(row))
        return
    columns = ("run", "feed", "state", "opened", "offers", "written", "delisted", "rejected")
    table(
        columns,
        [
            (
                str(r["run_id"])[:8],
                r["feed"],
                r["state"],
                ago(r["opened_at"]),
                r["offers"],
                r["written"],
                r["delisted"],
                r["rejected"],
            )
            for r in rows
        ],
        right=columns[4:],
    )


@app.command()
def show(run: Run, json: Json = False) -> None:
    """One run: what it planned, read, wrote, and why it ended as it did."""
    engine = system.engine()
    with transaction(engine) as tx:
        run_id = runs.find(tx, run)
        row = progress(engine, run_id)
        dead = tx.execute(query("dead_of_run"), {"run_id": run_id, "limit": 20}).mappings().all()
    if json:
        emit(row | {"dead_letters": [dict(one) for one in dead]})
        return
    table(("", ""), [(name.replace("_", " "), value) for name, value in row.items()])
    for one in dead:
        say(f"dead letter {one['dead_letter_id']}: {one['kind']}, {one['reason']}: {one['error']}")


@app.command()
def watch(run: Run, json: Json = False) -> None:
    """Follow a run to its end. Exit 0 complete, 3 partial, 1 failed or cancelled."""
    engine = system.engine()
    with transaction(engine) as tx:
        run_id = runs.find(tx, run)
    raise SystemExit(follow(engine, [run_id], json=json))


@app.command()
def cancel(
    run: Run,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")],
    json: Json = False,
) -> None:
    """Stop an open run. What it has written stays; nothing is delisted."""
    engine = system.engine()
    with transaction(engine) as tx:
        run_id = runs.find(tx, run)
        stopped = runs.cancel(tx, run_id, reason=reason, actor=getpass.getuser())
    if json:
        emit({"run_id": run_id, "state": "cancelled", "items": stopped})
    else:
        say(f"run {run_id} is cancelled; {stopped} pieces of work with it")


def progress(engine: Engine, run_id: UUID) -> dict[str, Any]:
    """Everything about a run, in one row. Raises NotNow."""
    with transaction(engine) as tx:
        row = tx.execute(query("run_progress"), {"run_id": run_id}).mappings().one_or_none()
    if row is None:
        raise NotNow(f"there is no run {run_id}", hint="`facet run list`")
    return dict(row)


def follow(
    engine: Engine,
    run_ids: list[UUID],
    *,
    json: bool = False,
    used: Limiter | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    """Show runs until all have ended; returns the exit code. Ctrl-C leaves them running.

    used         whose requests to show beside its limit
    meanwhile    called between two looks, such as a supervisor's tick
    """
    show = _Drawn(used) if words.is_terminal else _Lines(used)
    try:
        with show:
            while True:
                rows = [progress(engine, run_id) for run_id in run_ids]
                show.update(rows)
                if all(row["state"] in ENDED for row in rows):
                    break
                meanwhile()
                time.sleep(WATCH_PAUSE_S)
    except KeyboardInterrupt:
        fail("stopped watching", hint=f"`facet run watch {str(run_ids[0])[:8]}`", code=130)
    for row in rows:
        if json:
            emit(row)
        else:
            say(sentence(row))
    states = {row["state"] for row in rows}
    if states <= {"complete"}:
        return DONE
    return NOT_COMPLETE if states <= {"complete", "partial"} else COULD_NOT


def sentence(row: dict[str, Any]) -> str:
    """How a run stands, in one line."""
    what = f"run {str(row['run_id'])[:8]} of {row['feed']}: {row['state']}"
    if row["reason"]:
        return f"{what}: {row['reason']}"
    written = row["inserted"] + row["changed"]
    return (
        f"{what}, {text(row['offers'])} offers, {written:,} stones written, "
        f"{text(row['delisted'])} delisted, {row['rejected']:,} rejected, {row['elapsed_s']:.1f} s"
    )


def requests_used(limiter: Limiter | None) -> str:
    """How much of the limit is in use right now, in words; empty where nobody can tell."""
    if limiter is None:
        return ""
    try:
        used = limiter.used()
    except BrokerUnavailable:
        return "limiter: no answer"
    limit = f"limit {limiter.rate_per_s:g} a second" if limiter.rate_per_s else "no limit"
    return f"{used.in_last_second} in the last second, {limit}"


class _Drawn:
    """The live picture on a terminal: one line a run, and the limit."""

    def __init__(self, used: Limiter | None) -> None:
        self._used = used
        self._live = Live(console=words, refresh_per_second=4)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, rows: list[dict[str, Any]]) -> None:
        drawn = Table(box=None, pad_edge=False, header_style="bold")
        columns = ("feed", "state", "scan", "fetched", "landed", "folded", "requests", "s")
        for name in columns:
            drawn.add_column(name, justify="left" if name in columns[:2] else "right")
        for r in rows:
            parts = f"/{r['partitions']}" if r["partitions"] else ""
            offers = f"/{r['planned_offers']:,}" if r["partitions"] else ""
            drawn.add_row(
                r["feed"],
                r["state"],
                f"{r['scan_calls']} counts",
                f"{r['fetched']}{parts}",
                f"{r['landed']:,}{offers}",
                f"{r['folded']}{parts}",
                f"{r['requests']:,}",
                f"{r['elapsed_s']:.0f}",
            )
        drawn.caption = f"requests: {requests_used(self._used)}" if self._used else None
        self._live.update(drawn)


class _Lines:
    """Off a terminal: a line where something has moved."""

    def __init__(self, used: Limiter | None) -> None:
        self._used = used
        self._shown: dict[UUID, tuple[Any, ...]] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            mark = (row["state"], row["partitions"], row["fetched"], row["folded"])
            if self._shown.get(row["run_id"]) == mark:
                continue
            self._shown[row["run_id"]] = mark
            used = f" ({requests_used(self._used)})" if self._used else ""
            say(
                f"{row['feed']}: {row['state']}, {row['scan_calls']} counts, "
                f"fetched {row['fetched']}/{row['partitions']} partitions, "
                f"landed {row['landed']:,} offers, folded {row['folded']}/{row['partitions']}; "
                f"{row['requests']:,} requests{used}"
            )
