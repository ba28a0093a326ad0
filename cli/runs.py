"""`facet run …`: start, list, show, watch and cancel runs."""

import getpass
from typing import Annotated

import typer

from cli import accounts, completing, run_diff, story, system
from cli.acts import Because
from cli.feeds import show_findings
from cli.following import follow, progress
from cli.output import BAD_USAGE, Json, ago, emit, fail, say, table
from shared import feeds, runs
from shared.db import transaction
from shared.errors import NotNow
from shared.runs import RunKind
from sql import query

app = typer.Typer(no_args_is_help=True, help="Start, list, show, watch, compare and cancel runs.")
app.command("diff")(run_diff.diff)

Run = Annotated[
    str, typer.Argument(help="A run's id, or its beginning.", autocompletion=completing.runs)
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0, help="Wait no longer than so many seconds; the run goes on. Exit 124."),
]


@app.command()
def start(
    feed: completing.Feed,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what changed since the last complete run.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Watch to its end, and exit by how it ended.")
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Open a run of one feed; workers take it from there.

    \b
    Examples:
      facet run start nivoda-natural --wait
      facet run start nivoda-natural --incremental --wait --timeout 3600 --json

    For cron, systemd and Kubernetes: with --wait exit 0 is complete, 3 partial, 1 failed,
    2 cancelled, 124 still going on after --timeout. Without a run: 5 the feed has an open run,
    6 it is paused, 2 bad usage or settings.
    """
    if timeout is not None and not wait:
        fail("--timeout is for --wait", hint=f"`facet run start {feed} --wait`", code=BAD_USAGE)
    feeds.feed(feed)
    engine = system.engine()
    system.settings().supplier(feed)
    kind: RunKind = "incremental" if incremental else "full"
    with transaction(engine) as tx:
        if tx.execute(query("active_ruleset")).first() is None:
            raise NotNow(
                "no ruleset is active, so no stone could get a price",
                hint="`facet ruleset activate FILE --because TEXT`",
            )
        opened = runs.start(tx, feed, kind)
        runs.audit(
            tx,
            actor=getpass.getuser(),
            action="run.start",
            subject=str(opened.run_id),
            reason="asked for on the command line",
            before=None,
            after={"feed": feed, "kind": kind},
        )
    if wait:
        raise SystemExit(follow(engine, [opened.run_id], json=json, timeout_s=timeout))
    if json:
        emit({"run_id": opened.run_id, "feed": feed, "kind": kind})
    else:
        say(f"run {opened.run_id} of {feed} is open")
        say(f"  next: `facet run watch {str(opened.run_id)[:8]}`")


@app.command("list")
def list_runs(
    feed: Annotated[
        str | None,
        typer.Option(help="Only runs of this feed.", autocompletion=completing.feeds),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 20,
    json: Json = False,
) -> None:
    """The latest runs.

    \b
    Examples:
      facet run list --feed nivoda-natural
      facet run list --limit 100 --json
    """
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
    """One run: what it planned, read, wrote, why it ended as it did; and its story.

    \b
    Examples:
      facet run show 9a271c73
      facet run show 9a27 --json

    The story is told in the order of time: what started it, what was planned, read and folded, what
    gave up, which incidents that opened and who was told of them, who replayed what and why, how it
    ended each time. `by` has who did it by hand. Of a run whose partitions and work items were
    dropped by their age, there is what its own row has.
    """
    engine = system.engine()
    with transaction(engine) as tx:
        run_id = runs.find(tx, run)
        row = progress(engine, run_id)
        dead = tx.execute(query("dead_of_run"), {"run_id": run_id, "limit": 20}).mappings().all()
        events = story.tell(tx, run_id)
        row["trace_id"] = story.trace_of(tx, run_id)
    if json:
        told = [event._asdict() for event in events]
        emit(row | {"dead_letters": [dict(one) for one in dead], "story": told})
        return
    findings = row.pop("findings") or []
    row["check"] = row.pop("verdict")
    table(("", ""), [(name.replace("_", " "), value) for name, value in row.items()])
    show_findings(findings)
    table(("at", "by", "what happened"), [(one.at, one.by, one.text) for one in events])
    if row["pruned_at"] is not None:
        say(story.PRUNED + "; what is missing above went with them")
    for one in dead:
        say(f"dead letter {one['dead_letter_id']}: {one['kind']}, {one['reason']}: {one['error']}")


@app.command()
def watch(run: Run, timeout: Timeout = None, json: Json = False) -> None:
    """Follow a run to its end. Exit 0 complete, 3 partial, 1 failed, 2 cancelled, 124 time over.

    \b
    Examples:
      facet run watch 9a27
      facet run watch 9a27 --timeout 3600 --json
    """
    engine = system.engine()
    with transaction(engine) as tx:
        run_id = runs.find(tx, run)
    raise SystemExit(follow(engine, [run_id], json=json, timeout_s=timeout))


@app.command()
def cancel(
    run: Run,
    reason: Because,
    json: Json = False,
) -> None:
    """Stop an open run. What is held stops at its next page; what it has written stays; nothing is
    delisted.

    \b
    Examples:
      facet run cancel 9a27 --because "wrong account"
    """
    engine = system.engine()
    with transaction(engine) as tx:
        run_id = runs.find(tx, run)
        stopped = runs.cancel(tx, run_id, reason=reason, actor=getpass.getuser())
    if json:
        emit({"run_id": run_id, "state": "cancelled", "items": stopped})
    else:
        say(f"run {run_id} is cancelled; {stopped} pieces of work with it")


@app.command()
def verify(run: Run, json: Json = False) -> None:
    """Where every offer of a run is: counted, landed, folded, rejected, dead, drifted, unexplained.

    \b
    Examples:
      facet run verify 9a271c73
      facet run verify 9a27 --json

    Exit 0 where all is explained, 3 where some of it waits or is under dead letters, 1 where
    something is unexplained, 2 where nobody can tell any more: its partitions and work items were
    dropped by their age (FACET_KEEP_LEDGER_DAYS).
    """
    raise SystemExit(accounts.show(system.engine(), run, json=json))
