"""The story of a run: what happened to it, in the order of time, and who did it.

Told from the rows that every step leaves behind. A run that is reconciled anew has only its latest
ending in its row; each replay's audit event keeps the one before.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from cli.output import text
from shared import tracing
from sql import query

LIMIT = 500  # of each sort; more than anybody reads
PRUNED = "its partitions and work items were dropped, by their age"
ENDED = ("complete", "partial", "failed", "cancelled")


class Event(NamedTuple):
    """One thing that happened."""

    at: datetime
    event: str  # a word for programs
    by: str | None  # who did it by hand; None: Facet itself
    text: str


def tell(tx: Connection, run_id: UUID) -> list[Event]:
    """Everything that happened to a run, the earliest first."""

    def rows(name: str, **more: Any) -> list[dict[str, Any]]:
        values = {"run_id": run_id, "limit": LIMIT, **more}
        return [dict(row) for row in tx.execute(query(name), values).mappings()]

    (run,) = rows("run_began")
    acts = rows("acts_on_run")
    endings = _endings(run, acts)
    events = [
        *_beginning(run, acts),
        *_steps(rows("steps_of_run", cuts=sorted(one.at for one in endings))),
        *(_letter(row) for row in rows("letters_of_run")),
        *_incidents(rows("incidents_of_run")),
        *(_alert(row) for row in rows("alerts_of_run")),
        *(_act(row) for row in acts if row["action"] != "run.start"),
        *endings,
    ]
    return sorted(events, key=lambda one: one.at)  # stable: of one moment, as above


def was_pruned(tx: Connection, run_id: UUID) -> bool:
    """Whether its partitions and work items were dropped by their age."""
    return tx.execute(query("run_began"), {"run_id": run_id}).one().pruned_at is not None


def trace_of(tx: Connection, run_id: UUID) -> str | None:
    """The id of its trace, as a tracing backend shows it."""
    run = tx.execute(query("run_began"), {"run_id": run_id}).one()
    return tracing.trace_id(run.traceparent)


def _beginning(run: Mapping[str, Any], acts: Sequence[Mapping[str, Any]]) -> Iterable[Event]:
    opened = f"{run['kind']} run of {run['feed']} started"
    starts = [act for act in acts if act["action"] == "run.start"]
    if run["slot"] is not None:
        slot = run["slot"].astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        opened += f" by its schedule, for the slot of {slot}"
    yield Event(run["opened_at"], "started", starts[0]["actor"] if starts else None, opened)
    if run["checked_at"] is not None:
        found = f"the supplier was checked: {run['verdict']}"
        yield Event(run["checked_at"], "checked", None, found)
    if run["fetching_at"] is not None:
        counted = "" if run["counted"] is None else f"{text(run['counted'])} offers counted"
        parts = _partitions(run["planned"]) if run["pruned_at"] is None else None
        told = ", ".join(one for one in (parts, counted) if one)
        yield Event(run["fetching_at"], "planned", None, f"planned: {told}" if told else "planned")
    if run["reconciling_at"] is not None:
        closed = "all its work has closed: its counts are compared"
        yield Event(run["reconciling_at"], "reconciling", None, closed)
    if run["pruned_at"] is not None:
        yield Event(run["pruned_at"], "pruned", None, PRUNED)


def _steps(rows: Iterable[Mapping[str, Any]]) -> Iterable[Event]:
    words = {"fetched": "read whole", "folded": "folded"}
    for row in rows:
        told = f"{_partitions(row['partitions'])} {words[row['event']]}: {row['offers']:,} offers"
        yield Event(row["at"], row["event"], None, told)


def _letter(row: Mapping[str, Any]) -> Event:
    what = row["kind"] if row["partition"] is None else f"{row['kind']} of part {row['partition']}"
    offset = (row["payload"] or {}).get("next_offset")
    at = f" at offset {offset:,}" if row["kind"] == "fetch" and offset is not None else ""
    tries = f"{row['attempts']} tr{'y' if row['attempts'] == 1 else 'ies'}"
    told = f"{what} gave up{at} after {tries} ({row['reason']}): {row['error']}"
    return Event(row["buried_at"], "gave_up", None, f"{told}; dead letter {row['dead_letter_id']}")


def _incidents(rows: Iterable[Mapping[str, Any]]) -> Iterable[Event]:
    for row in rows:
        what = f"incident {row['incident_id']}, {_words(row['kind'])}"
        opened = f"{what} ({row['severity']}): {row['text']}"
        yield Event(row["first_at"], "incident_opened", None, opened)
        if row["resolved_at"] is not None:
            yield Event(row["resolved_at"], "incident_resolved", None, f"{what}: over")


def _alert(row: Mapping[str, Any]) -> Event:
    news = ", ".join(
        f"{_words(kind)} {one}" for kind, one in zip(row["kinds"], row["news"], strict=True)
    )
    how = {"sent": "told", "failed": "could not tell", "due": "is telling"}[row["state"]]
    told = f"alert {row['alert_id']} {how} {row['channel']}: {news}"
    event = {"sent": "told", "failed": "not_told", "due": "telling"}[row["state"]]
    return Event(row["at"], event, None, told)


def _act(row: Mapping[str, Any]) -> Event:
    subject = "" if row["action"].startswith(("run.", "feed.")) else f" {row['subject']}"
    return Event(
        row["at"], row["action"], row["actor"], f"{row['action']}{subject}: {row['reason']}"
    )


def _endings(run: Mapping[str, Any], acts: Iterable[Mapping[str, Any]]) -> list[Event]:
    """How it ended, each time that it did, the latest last; of a run that goes on, none."""
    found = {}
    for act in acts:
        before = act["before"] or {}
        if act["action"] == "dead-letter.replay" and before.get("run_finished_at"):
            at = datetime.fromisoformat(before["run_finished_at"])
            found[at] = Event(
                at, before["run_state"], None, f"{before['run_state']}: {before['run_reason']}"
            )
    if run["state"] in ENDED:
        told = run["state"]
        if run["reason"]:
            told += f": {run['reason']}"
        else:
            told += (
                f": {text(run['offers'])} offers, {text(run['written'])} stones written, "
                f"{text(run['delisted'])} delisted, {text(run['rejected'])} rejected"
            )
            told += f"; {run['note']}" if run["note"] else ""
        found[run["finished_at"]] = Event(run["finished_at"], run["state"], None, told)
    return list(found.values())


def _partitions(number: int) -> str:
    return "1 partition" if number == 1 else f"{number:,} partitions"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
