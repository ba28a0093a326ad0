"""From news to messages: which channel is told of what, and when.

Storms become one message: between two tellings is a pause, and an hour has so many of them. In
quiet hours only what is critical is told; the rest follows in one message after. A channel that
gave a message up is stood in for by the next.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection

from shared import ledger
from shared.alerts import channels
from shared.alerts.content import Content, Entry, gravest, reaches
from shared.alerts.settings import SEVERITIES, AlertSettings
from sql import query

log = structlog.get_logger(__name__)

NEWS_MAX = 200  # in one message; more wait for the next


def tell(tx: Connection, given: AlertSettings, *, now: datetime) -> int:
    """Make messages of what nobody was told yet; returns how many, one a channel at most.

    now   decides whether it is quiet
    """
    lately = tx.execute(query("messages_lately")).one()
    if lately.last_s is not None and lately.last_s < given.alert_pause_s:
        return 0
    hours = given.quiet_hours()
    quiet = hours is not None and hours.holds(now)
    values = {"critical_only": quiet or lately.batches >= given.alert_hourly_max}
    rows = tx.execute(query("take_news"), values | {"news_max": NEWS_MAX}).mappings().all()
    if not rows:
        return 0
    entries = [Entry.model_validate(dict(row)) for row in rows]
    batch = uuid4()
    made = 0
    for name in _wanted(given):
        told = [one for one in entries if _is_for(one, name, given)]
        if told:
            held_back = hours is not None and any(hours.holds(_moment(one)) for one in told)
            digest = held_back and not quiet
            _add(tx, batch, name, Content(kind="digest" if digest else "news", entries=tuple(told)))
            made += 1
    tx.execute(query("news_told"), {"incident_ids": [one.incident_id for one in entries]})
    log.info("incidents_told", incidents=len(entries), messages=made)
    return made


def stand_in(tx: Connection, given: AlertSettings) -> int:
    """Hand what a channel gave up to the next one; returns how many messages were given up.

    The next is the first after it, around the order of the settings, that did not fail with the
    same message. What it was told already it is not told again.
    """
    rows = tx.execute(query("alerts_given_up")).all()
    for row in rows:
        log.error("alert_failed", alert_id=row.alert_id, channel=row.channel, why=row.last_error)
        content = Content.model_validate(row.content)
        told = tx.execute(query("told_in_batch"), {"batch": row.batch}).all()
        for name in _after(row.channel, _wanted(given)):
            if any(one.channel == name and one.state == "failed" for one in told):
                continue
            known = {i for one in told if one.channel == name for i in one.incident_ids}
            left = tuple(one for one in content.entries if one.incident_id not in known)
            if left:
                rest = Content(kind=content.kind, entries=left)
                _add(tx, row.batch, name, rest, fallback_of=row.alert_id)
            log.warning("alert_falls_back", alert_id=row.alert_id, channel=name)
            break
        else:
            log.error("alert_undelivered", alert_id=row.alert_id)
    return len(rows)


def _wanted(given: AlertSettings) -> list[str]:
    """The channels that are set up, in order."""
    return [name for name in given.channel_order() if not channels.missing(given, name)]


def _after(channel: str, order: Sequence[str]) -> list[str]:
    """The others, beginning with the one behind it."""
    if channel not in order:
        return list(order)
    place = order.index(channel)
    return [*order[place + 1 :], *order[:place]]


def _is_for(entry: Entry, channel: str, given: AlertSettings) -> bool:
    """By its severity; that a channel fails is not told through that channel."""
    own_failure = entry.kind == "channel_failed" and entry.subject == channel
    return not own_failure and reaches(entry.severity, channels.least(given, channel))


def _moment(entry: Entry) -> datetime:
    """When there was something to tell."""
    return entry.resolved_at or entry.first_at


def _add(
    tx: Connection, batch: UUID, channel: str, content: Content, *, fallback_of: int | None = None
) -> None:
    severity = gravest([one.severity for one in content.entries])
    values = {
        "attempts_max": ledger.ATTEMPTS_MAX["alert"],
        "priority": SEVERITIES.index(severity),
        "run_id": next((one.run_id for one in content.entries if one.run_id), None),
        "batch": batch,
        "channel": channel,
        "kind": content.kind,
        "severity": severity,
        "content": content.model_dump_json(),
        "fallback_of": fallback_of,
    }
    alert_id = tx.execute(query("add_alert"), values).scalar_one()
    told = {
        "alert_id": alert_id,
        "incident_ids": [one.incident_id for one in content.entries],
        "news": [one.news for one in content.entries],
    }
    tx.execute(query("add_alert_incidents"), told)
