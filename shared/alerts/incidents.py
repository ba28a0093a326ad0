"""Incidents: opened, repeated quietly, acknowledged by a person, resolved when they are over.

Each function takes the open transaction first.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import structlog
from sqlalchemy import Connection

from shared import runs
from shared.alerts.kinds import IncidentKind, Sighting
from shared.errors import NotNow
from sql import query

log = structlog.get_logger(__name__)


def see(tx: Connection, sightings: Iterable[Sighting], *, gap_s: float) -> int:
    """Keep what a look saw; returns how many incidents that opened.

    gap_s   a key that was away for longer has happened once more
    """
    opened = 0
    for one in sightings:
        values = one._asdict()
        if tx.execute(query("repeat_incident"), values | {"gap_s": gap_s}).first() is not None:
            continue
        row = tx.execute(query("open_incident"), values).one_or_none()
        if row is None:
            continue
        opened += 1
        log.warning("incident_opened", incident_id=row.incident_id, **_bound(values))
    return opened


def resolve(tx: Connection, kinds: Collection[IncidentKind], *, after_s: float) -> int:
    """Close what was not seen for so long; returns how many.

    kinds   those that were looked for: what nobody looked for may still be there
    """
    rows = tx.execute(query("resolve_incidents"), {"kinds": list(kinds), "after_s": after_s})
    found = rows.mappings().all()
    for row in found:
        log.info("incident_resolved", incident_id=row["incident_id"], **_bound(dict(row)))
    return len(found)


def acknowledge(tx: Connection, incident_id: int, *, actor: str, reason: str) -> None:
    """A person has seen it: nothing more is sent until it is worse, or over. Raises NotNow."""
    found = find(tx, incident_id)
    runs.audit(
        tx,
        actor=actor,
        action="alert.ack",
        subject=f"incident {incident_id}",
        reason=reason,
        before={"state": found["state"]},
        after={"state": "acked"},
    )
    values = {"incident_id": incident_id, "actor": actor}
    if tx.execute(query("acknowledge_incident"), values).first() is None:
        raise NotNow(
            f"incident {incident_id} is {found['state']} already",
            hint=f"`facet alert show {incident_id}`",
        )


def find(tx: Connection, incident_id: int) -> dict[str, Any]:
    """One incident. Raises NotNow where there is none of that number."""
    row = tx.execute(query("incident"), {"incident_id": incident_id}).mappings().one_or_none()
    if row is None:
        raise NotNow(f"there is no incident {incident_id}", hint="`facet alert list --all`")
    return dict(row)


def _bound(values: Mapping[str, Any]) -> dict[str, Any]:
    """What tells an incident from others, for a log line; `kind` is bound by the shell there."""
    run = values["run_id"]
    parts = {"incident": values["kind"], "feed": values["feed"], "subject": values["subject"]}
    return parts | {"run_id": None if run is None else str(run)}
