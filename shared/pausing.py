"""Feeds that are paused by hand.

A paused feed starts no runs. Of a run that is open, what would ask the supplier waits: it is
neither announced nor taken (sql/queries/ledger.sql). What is held already is finished, and what was
read is folded. Each function takes the open transaction first.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from shared.errors import NotNow
from shared.feeds import feed as find_feed
from shared.runs import audit
from sql import query


class Waiting(NamedTuple):
    """Open work of a feed that asks its supplier."""

    due: int
    held: int


def pause(tx: Connection, feed: str, *, actor: str, reason: str) -> Waiting:
    """Pause a feed; returns what of its open run waits and what is finished yet. Audited.

    Raises UnknownFeed, and NotNow where it is paused already.
    """
    find_feed(feed)
    tx.execute(query("know_feed"), {"feed": feed})
    state = tx.execute(query("feed_state"), {"feed": feed}).one()
    if state.paused_at is not None:
        raise NotNow(
            f"{feed} is paused already: {state.paused_reason}",
            hint=f"`facet feed resume {feed} --because TEXT`",
        )
    after = {"paused": True}
    _audit(
        tx, feed, "feed.pause", actor=actor, reason=reason, before={"paused": False}, after=after
    )
    tx.execute(query("pause_feed"), {"feed": feed, "reason": reason})
    return Waiting(*tx.execute(query("feed_work"), {"feed": feed}).one())


def resume(tx: Connection, feed: str, *, actor: str, reason: str) -> int:
    """Let a feed go on; returns how many pieces of work are announced at once. Audited.

    Raises UnknownFeed, and NotNow where it is not paused.
    """
    find_feed(feed)
    state = tx.execute(query("feed_state"), {"feed": feed}).one_or_none()
    if state is None or state.paused_at is None:
        raise NotNow(f"{feed} is not paused", hint="`facet feed list`")
    before = {"paused": True, "since": state.paused_at, "reason": state.paused_reason}
    after = {"paused": False}
    _audit(tx, feed, "feed.resume", actor=actor, reason=reason, before=before, after=after)
    tx.execute(query("resume_feed"), {"feed": feed})
    return len(tx.execute(query("announce_feed_anew"), {"feed": feed}).all())


def _audit(
    tx: Connection,
    feed: str,
    action: str,
    *,
    actor: str,
    reason: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    audit(tx, actor=actor, action=action, subject=feed, reason=reason, before=before, after=after)
