"""The steward's own schedule: runs that start by themselves.

A feed has a schedule for full runs, one for incremental ones, or both. Each slot is a row under a
unique key, and it is decided in one transaction with the run that it starts, so any number of
stewards is safe. What a slot meets, and what then becomes of it, is in
docs/decisions/0022-schedules.md.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from sqlalchemy import Connection, Engine

from scheduler.cron import Cron
from shared import runs
from shared.db import transaction
from shared.errors import BadSettings, NotNow, UnknownFeed
from shared.feeds import feed as find_feed
from shared.runs import RunKind, audit
from sql import query

log = structlog.get_logger(__name__)

MissedPolicy = Literal["skip", "once", "all"]

LATE_S = 90.0  # who is seen later than this was missed: no steward was at work
MADE_UP_MAX = 24  # slots that `all` makes up after an absence, the latest
UNREADABLE_WAIT = timedelta(hours=1)  # until a schedule that cannot be read is looked at again


def set_schedule(
    tx: Connection,
    feed: str,
    kind: RunKind,
    cron: Cron,
    *,
    missed: MissedPolicy,
    actor: str,
    reason: str,
) -> datetime:
    """Set when runs of a kind start, in place of what was set; returns the first slot. Audited.

    Raises UnknownFeed, NotNow for an incremental run of a feed that knows none, BadSettings.
    """
    if kind == "incremental" and find_feed(feed).kind == "snapshot":
        raise NotNow(
            f"{feed} sends its whole list every time: there is no incremental run of it",
            hint=f"`facet schedule set {feed} '{cron.expression}' --because TEXT`",
        )
    find_feed(feed)
    tx.execute(query("know_feed"), {"feed": feed})
    before = tx.execute(query("get_schedule"), {"feed": feed, "kind": kind}).mappings().first()
    next_at = cron.next(tx.execute(query("present_time")).scalar_one())
    values = {"cron": cron.expression, "time_zone": cron.zone, "missed": missed}
    audit(
        tx,
        actor=actor,
        action="schedule.set",
        subject=f"{feed} {kind}",
        reason=reason,
        before=None if before is None else dict(before),
        after=values | {"next_at": next_at},
    )
    names = {"feed": feed, "kind": kind, "actor": actor, "next_at": next_at}
    tx.execute(query("set_schedule"), values | names)
    return next_at


def remove(tx: Connection, feed: str, kind: RunKind, *, actor: str, reason: str) -> None:
    """No run of a kind starts by itself any more; a slot that waits is given up. Audited.

    Raises NotNow where there is no such schedule.
    """
    key = {"feed": feed, "kind": kind}
    before = tx.execute(query("get_schedule"), key).mappings().first()
    if before is None:
        raise NotNow(f"{feed} has no schedule of {kind} runs", hint="`facet schedule list`")
    audit(
        tx,
        actor=actor,
        action="schedule.remove",
        subject=f"{feed} {kind}",
        reason=reason,
        before=dict(before),
        after=None,
    )
    now = tx.execute(query("present_time")).scalar_one()
    tx.execute(query("overtake_slots"), key | {"before": now, "reason": "its schedule was removed"})
    tx.execute(query("remove_schedule"), key)


def start_due(engine: Engine) -> int:
    """Decide every slot that has come; returns how many runs were started.

    Safe beside itself, and to be called as often as one likes. Raises DatabaseUnavailable.
    """
    with transaction(engine) as tx:
        feeds = tx.execute(query("feeds_with_slots")).scalars().all()
    return sum(_decide(engine, feed) for feed in feeds)


def _decide(engine: Engine, feed: str) -> int:
    with transaction(engine) as tx:
        locked = tx.execute(query("lock_feed_to_serve"), {"feed": feed}).one_or_none()
        if locked is None:
            return 0
        for schedule in tx.execute(query("schedules_due"), {"feed": feed}).mappings().all():
            _note(tx, dict(schedule), locked.present)
        return _serve(tx, feed)


def _note(tx: Connection, schedule: dict[str, Any], now: datetime) -> None:
    """Write down the slots that have come, and when the next one does."""
    key = {"feed": schedule["feed"], "kind": schedule["kind"]}
    policy: MissedPolicy = schedule["missed"]
    try:
        cron = Cron(schedule["cron"], schedule["time_zone"])
        found = cron.between(schedule["next_at"], now, most=MADE_UP_MAX if policy == "all" else 1)
        next_at = cron.next(now)
    except BadSettings as error:
        log.error("schedule_unreadable", **key, error=str(error))
        tx.execute(query("move_schedule"), key | {"next_at": now + UNREADABLE_WAIT})
        return
    for slot in found.slots:
        late = (now - slot).total_seconds() > LATE_S
        skipped = late and policy == "skip"
        earlier = found.in_all - len(found.slots) if slot == found.slots[0] else 0
        values = {
            "slot": slot,
            "state": "skipped" if skipped else "waiting",
            "reason": "missed: no steward was at work" if skipped else "due",
            "missed": earlier,
        }
        if tx.execute(query("add_slot"), key | values).first() and (late or earlier):
            log.warning("slot_missed", **key, slot=slot.isoformat(), policy=policy, earlier=earlier)
    if found.slots and policy != "all":
        values = {"before": found.slots[-1], "reason": "the next slot has come"}
        tx.execute(query("overtake_slots"), key | values)
    tx.execute(query("move_schedule"), key | {"next_at": next_at})


def _serve(tx: Connection, feed: str) -> int:
    """Start a run for the first slot that waits, where that can be; returns how many."""
    waiting = tx.execute(query("waiting_slots"), {"feed": feed}).all()
    is_full = any(one.kind == "full" for one in waiting)
    started = 0
    for one in waiting:
        slot = {"feed": one.feed, "kind": one.kind, "slot": one.slot}
        other = tx.execute(query("open_run_of"), {"feed": feed}).one_or_none()
        if one.kind == "incremental" and is_full:
            _skip(tx, slot, "a full run is due, which reads everything")
        elif other is None:
            started += _start(tx, slot)
        else:
            busy = f"run {str(other.run_id)[:8]} is still {other.state}"
            if one.missed == "all" or (one.kind == "full" and other.kind == "incremental"):
                tx.execute(query("slot_waits"), slot | {"reason": busy})
            else:
                _skip(tx, slot, busy)
    return started


def _start(tx: Connection, slot: dict[str, Any]) -> int:
    try:
        find_feed(slot["feed"])
        if tx.execute(query("active_ruleset")).first() is None:
            raise NotNow("no ruleset is active, so no stone could get a price")
        opened = runs.start(tx, slot["feed"], slot["kind"])
    except (NotNow, UnknownFeed, BadSettings) as error:
        _skip(tx, slot, str(error))
        return 0
    tx.execute(query("slot_started"), slot | {"run_id": opened.run_id})
    log.info("slot_started", **_shown(slot), run_id=str(opened.run_id))
    return 1


def _skip(tx: Connection, slot: dict[str, Any], reason: str) -> None:
    tx.execute(query("slot_skipped"), slot | {"reason": reason})
    log.warning("slot_skipped", **_shown(slot), reason=reason)


def _shown(slot: dict[str, Any]) -> dict[str, str]:
    return slot | {"slot": slot["slot"].isoformat()}
