"""Checks of suppliers' contracts: made through the edge, kept in the database.

A check costs a few requests under the account's limit. No transaction is open while it is made.
"""

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import structlog
from pydantic_core import to_json
from sqlalchemy import Connection

from shared.feeds.base import Feed, SupplierSettings
from shared.feeds.health import Health
from sql import query

if TYPE_CHECKING:
    from shared.edge import Edge

log = structlog.get_logger(__name__)


class Checked(NamedTuple):
    """What a check found and cost."""

    health: Health
    requests: int


def make(feed: Feed, supplier: SupplierSettings, edge: "Edge") -> Checked:
    """Look at the supplier's contract now. Raises LoginRefused, Transient errors."""
    before = edge.requests()
    health = feed.check(supplier, edge)
    return Checked(health, edge.requests() - before)


def keep(tx: Connection, feed: Feed, checked: Checked, *, run_id: UUID | None = None) -> None:
    """Write down what a check found, for a run or by hand; a drift that costs something is logged.

    `feed_incompatible` and `feed_degraded` are what an alert listens to.
    """
    verdict = checked.health.verdict
    values = {
        "feed": feed.name,
        "run_id": run_id,
        "verdict": verdict,
        "findings": to_json([one._asdict() for one in checked.health.findings]).decode(),
        "mapping_version": feed.mapping_version,
        "requests": checked.requests,
    }
    tx.execute(query("know_feed"), {"feed": feed.name})
    tx.execute(query("add_check"), values)
    fields = [one.what for one in checked.health.findings if one.harm != "none"]
    if verdict == "incompatible":
        log.error("feed_incompatible", feed=feed.name, fields=fields, why=checked.health.worst())
    elif verdict == "degraded":
        log.warning("feed_degraded", feed=feed.name, fields=fields, why=checked.health.worst())
