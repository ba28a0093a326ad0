"""`facet alert …`: what is wrong, who was told, whether a channel works; and: I have seen it."""

import getpass
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli import system
from cli.acts import Because
from cli.output import Json, ago, emit, say, table
from shared.alerts import incidents
from shared.db import transaction
from sql import query

app = typer.Typer(
    no_args_is_help=True,
    help="What is wrong, who was told of it, whether a channel works; and: I have seen it.",
)

Incident = Annotated[int, typer.Argument(min=1, help="An incident's number.")]


@app.command("list")
def list_incidents(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are over, the latest first.")
    ] = False,
    feed: Annotated[str | None, typer.Option(help="Only incidents of this feed.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as `run_failed`.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: Json = False,
) -> None:
    """The incidents that last, the gravest first, each with the next command.

    \b
    Examples:
      facet alert list
      facet alert list --all --feed nivoda-natural
      facet alert list --kind dead_letters --json
    """
    values = {"everything": everything, "feed": feed, "kind": kind, "limit": limit}
    with transaction(system.engine()) as tx:
        rows = tx.execute(query("list_incidents"), values).mappings().all()
    if json:
        for row in rows:
            emit(dict(row))
        return
    if not rows:
        say("nothing is wrong" if not everything else "there were no incidents")
        return
    table(
        ("id", "severity", "state", "since", "what"),
        [(r["incident_id"], r["severity"], r["state"], ago(r["first_at"]), _what(r)) for r in rows],
        right=("id",),
    )


@app.command()
def show(incident: Incident, json: Json = False) -> None:
    """One incident: what it is, every message that told of it, every attempt and its answer.

    \b
    Examples:
      facet alert show 17
      facet alert show 17 --json | jq .deliveries
    """
    values = {"incident_id": incident}
    with transaction(system.engine()) as tx:
        found = incidents.find(tx, incident)
        alerts = _rows(tx.execute(query("alerts_of_incident"), values).mappings().all())
        attempts = _rows(tx.execute(query("deliveries_of_incident"), values).mappings().all())
    if json:
        emit(found | {"alerts": alerts, "deliveries": attempts})
        return
    table(("", ""), [(name.replace("_", " "), value) for name, value in found.items()])
    if not alerts:
        say("nobody was told: no channel takes it, or the next message has not gone out yet")
        return
    table(
        ("alert", "channel", "told", "state", "when", "in place of"),
        [
            (a["alert_id"], a["channel"], a["news"], a["state"], ago(a["created_at"]), _before(a))
            for a in alerts
        ],
        right=("alert",),
    )
    table(
        ("alert", "try", "outcome", "provider's id", "answer"),
        [
            (d["alert_id"], d["epoch"], d["outcome"], d["provider_id"], d["answer"])
            for d in attempts
        ],
        right=("alert", "try"),
    )


@app.command("test")
def try_channel(
    channel: Annotated[str, typer.Option(help="`slack`, `email` or `webhook`.")],
    json: Json = False,
) -> None:
    """Send a test to a channel now, and print the provider's answer. Exit 1 where it fails.

    \b
    Examples:
      facet alert test --channel slack
      facet alert test --channel email --json
    """
    # Their libraries take a third of a second, which no other command need wait for.
    from shared.alerts import channels, deliver  # noqa: PLC0415

    opened = channels.open_channel(system.settings(), channel)
    answer = deliver.send_test(system.engine(), opened)
    if json:
        emit({"channel": channel, "provider_id": answer.provider_id, "answer": answer.text})
    else:
        say(f"{channel} took it: {answer.text}")


@app.command()
def ack(
    incident: Incident,
    reason: Because,
    json: Json = False,
) -> None:
    """Say that you have seen it: no more messages until it is worse, or over.

    \b
    Examples:
      facet alert ack 17 --because "the supplier knows"
    """
    with transaction(system.engine()) as tx:
        incidents.acknowledge(tx, incident, actor=getpass.getuser(), reason=reason)
    if json:
        emit({"incident_id": incident, "state": "acked"})
    else:
        say(f"incident {incident} is acknowledged")


def _what(row: Any) -> str:
    run = None if row["run_id"] is None else f"run {str(row['run_id'])[:8]}"
    of = ", ".join(part for part in (row["feed"], row["subject"], run) if part)
    what = f"{row['kind']} {of}".strip()
    lines = [what, row["text"]]
    if row["state"] != "resolved":
        lines.append(f"next: {row['next_command']}")
    return "\n".join(lines)


def _before(alert: dict[str, Any]) -> str | None:
    return None if alert["fallback_of"] is None else f"alert {alert['fallback_of']}"


def _rows(found: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in found]
