"""The kinds of incidents. docs/alerts.md says of each what it means and what to do."""

from typing import Literal, NamedTuple, get_args
from uuid import UUID

from shared.alerts.settings import Severity

IncidentKind = Literal[
    "run_failed",
    "run_partial",
    "dead_letters",
    "breaker_open",
    "contract_drift",
    "leases_expiring",
    "folds_waiting",
    "prices_moved",
    "workers_silent",
    "steward_silent",
    "connections_near",
    "disk_low",
    "channel_failed",
    "watch_blind",
]
KINDS: tuple[IncidentKind, ...] = get_args(IncidentKind)


class Sighting(NamedTuple):
    """Something that is wrong at the moment of a look."""

    kind: IncidentKind
    severity: Severity
    text: str  # a sentence, without an end
    next_command: str
    feed: str | None = None
    run_id: UUID | None = None
    subject: str | None = (
        None  # what else it is of: an account, a kind of work, a channel, a folder
    )
    times: int = 1  # how often it has happened in all, where the look can tell
    more: int = 0  # how often since the last look, where it can tell that
