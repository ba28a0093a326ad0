"""`facet feed …`: list the feeds, pause and resume them, check a supplier's contract."""

import getpass
from collections.abc import Sequence
from typing import Any

import redis
import typer

from cli import completing, system
from cli.acts import Because
from cli.output import COULD_NOT, DONE, NOT_COMPLETE, Json, ago, emit, pieces, say, table
from shared import checks, feeds, pausing
from shared.db import transaction
from shared.edge import Edge
from shared.feeds.health import Verdict
from sql import query

app = typer.Typer(
    no_args_is_help=True, help="Feeds: list, pause, resume, check a supplier's contract."
)

EXIT_CODES: dict[Verdict, int] = {
    "compatible": DONE,
    "degraded": NOT_COMPLETE,
    "incompatible": COULD_NOT,
}
HARMS = {"none": "harmless", "some": "costs something", "breaks": "breaks a run"}


@app.command("list")
def list_feeds(json: Json = False) -> None:
    """Every feed there is: its last complete run, its watermark, how its last check ended.

    \b
    Examples:
      facet feed list
      facet feed list --json
    """
    there = feeds.known()
    with transaction(system.engine()) as tx:
        rows = tx.execute(query("list_feeds"), {"feeds": list(there)}).mappings().all()
    known = [dict(row) | {"kind": there[row["feed"]].kind} for row in rows]
    if json:
        for row in known:
            emit(row)
        return
    table(
        ("feed", "kind", "complete run", "ended", "watermark", "check", "checked"),
        [
            (
                r["feed"] + (" (paused)" if r["paused_at"] else ""),
                r["kind"],
                str(r["run_id"])[:8] if r["run_id"] else None,
                ago(r["finished_at"]),
                r["watermark"],
                r["verdict"],
                ago(r["checked_at"]),
            )
            for r in known
        ],
    )
    for row in known:
        if row["paused_at"]:
            say(
                f"{row['feed']} is paused, {ago(row['paused_at'])}: {row['paused_reason']}; "
                f"`facet feed resume {row['feed']} --because TEXT`"
            )


@app.command()
def pause(feed: completing.Feed, because: Because, json: Json = False) -> None:
    """Start no runs of a feed, by hand or by schedule, until it is resumed.

    \b
    Examples:
      facet feed pause nivoda-natural --because "their prices are in euros today"

    Of a run that is open, partitions that are being fetched are finished and folded, and the others
    wait. To stop every call at once: `facet breaker open`. To give the run up: `facet run cancel`.
    """
    with transaction(system.engine()) as tx:
        waiting = pausing.pause(tx, feed, actor=getpass.getuser(), reason=because)
    if json:
        emit({"feed": feed, "paused": True, "waiting": waiting.due, "finishing": waiting.held})
        return
    say(f"{feed} is paused; waiting: {pieces(waiting.due)}, being finished: {waiting.held}")
    say(f"  next: `facet feed resume {feed} --because TEXT`")


@app.command()
def resume(feed: completing.Feed, because: Because, json: Json = False) -> None:
    """Let a paused feed start runs again, and its open run go on.

    \b
    Examples:
      facet feed resume nivoda-natural --because "dollars again"

    What its schedule missed meanwhile was skipped and is not made up.
    """
    with transaction(system.engine()) as tx:
        woken = pausing.resume(tx, feed, actor=getpass.getuser(), reason=because)
    if json:
        emit({"feed": feed, "paused": False, "woken": woken})
        return
    say(f"{feed} goes on; {pieces(woken)} with it")
    say(f"  next: `facet run start {feed}`" if not woken else "  next: `facet status`")


@app.command()
def check(
    feed: completing.Feed,
    json: Json = False,
) -> None:
    """Compare the supplier's contract with what the adapter relies on; about eight requests.

    Names each field that drifted and what it would break. Exit 0 compatible, 3 degraded: a run
    goes on with less, 1 incompatible: no run may start. Every run makes this check first.

    \b
    Examples:
      facet feed check nivoda-natural
    """
    found = feeds.feed(feed)
    given = system.settings()
    engine = system.engine()
    account = given.supplier(feed)
    client = redis.Redis.from_url(given.redis(), socket_timeout=5, socket_connect_timeout=5)
    edge = Edge.for_account(account, client)
    try:
        checked = checks.make(found, account, edge)
    finally:
        edge.close()
        client.close()
    with transaction(engine) as tx:
        checks.keep(tx, found, checked)
    findings = [one._asdict() for one in checked.health.findings]
    if json:
        parts = {"feed": feed, "verdict": checked.health.verdict, "findings": findings}
        emit(parts | {"mapping_version": found.mapping_version, "requests": checked.requests})
    else:
        show_findings(findings)
        say(f"{feed} is {checked.health.verdict}; {checked.requests} requests")
    raise SystemExit(EXIT_CODES[checked.health.verdict])


def show_findings(findings: Sequence[dict[str, Any]]) -> None:
    """What a check found, for people; nothing where it found nothing."""
    if findings:
        table(
            ("field", "drift", "harm", "what it means"),
            [(f["what"], f["drift"], HARMS[f["harm"]], f["says"]) for f in findings],
        )
