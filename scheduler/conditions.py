"""What counts as wrong, and in which words: from the rows of sql/queries/alerts.sql to sightings.

Pure: no clock, no database. docs/alerts.md says of each kind what it means and what to do.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shared.alerts.kinds import IncidentKind, Sighting
from shared.settings import Settings

ROWS_MAX = 500  # of one condition; with more the look cannot tell what is over
LAPSE_WINDOW_S = 600
STONES_MIN = 50  # of a run or a reprice, under which a share says nothing
TOLD_S = 600  # for so long a silence of the steward is told after its end
CONFIRMING = "suspiciously empty"  # how a run says that it saw far too little

Values = Mapping[str, Any]


class Condition(NamedTuple):
    """One statement, what it is asked with, and what its rows mean."""

    query: str
    kinds: tuple[IncidentKind, ...]
    sighting: Callable[[Any], Sighting]
    values: Callable[[Settings], Values | None] = lambda _: {}  # None: not to be asked


def run_in_trouble(row: Any) -> Sighting:
    """A run that failed or is partial."""
    short = str(row.run_id)[:8]
    reason = str(row.reason)
    command = f"facet run show {short}"
    if " gave up: " in reason:
        command = f"facet dead-letter list --run {short}"
    elif reason.startswith("the supplier counts"):
        command = f"facet run verify {short}"
    failed = row.state == "failed"
    return Sighting(
        kind="run_failed" if failed else "run_partial",
        severity="error" if failed or CONFIRMING in reason else "warning",
        text=reason,
        next_command=command,
        feed=row.feed,
        run_id=row.run_id,
    )


def dead_letters(row: Any) -> Sighting:
    """Work that gave up, of one run or of none."""
    command = "facet dead-letter list"
    if row.run_id is not None:
        command += f" --run {str(row.run_id)[:8]}"
    many = f"{row.letters:,} dead letters" if row.letters > 1 else "a dead letter"
    return Sighting(
        kind="dead_letters",
        severity="error",
        text=f"{many} ({row.kinds}), the latest: {row.error}",
        next_command=command,
        feed=row.feed,
        run_id=row.run_id,
        times=row.letters,
    )


def breaker_open(row: Any) -> Sighting:
    """A supplier that is left alone."""
    now = {
        "open": "is left alone: its calls failed one after another, and its work waits",
        "half-open": "is tried again with one call at a time",
        "closed": "was left alone for a while, and answers again",
    }[row.state]
    return Sighting(
        kind="breaker_open",
        severity="error",
        text=f"the supplier's account {row.account} {now}",
        next_command=f"facet breaker show {row.account}",
        subject=row.account,
        more=row.lately,
    )


def contract_drift(row: Any) -> Sighting:
    """A supplier that is not any more what its adapter relies on."""
    harmful = [one for one in row.findings if one["harm"] != "none"]
    fields = ", ".join(one["what"] for one in harmful[:5])
    more = f" and {len(harmful) - 5} more" if len(harmful) > 5 else ""
    stops = row.verdict == "incompatible"
    what = "no run can start" if stops else "runs go on with less"
    return Sighting(
        kind="contract_drift",
        severity="critical" if stops else "warning",
        text=f"the supplier has changed, {what}: {fields}{more}",
        next_command=f"facet feed check {row.feed}",
        feed=row.feed,
    )


def leases_expiring(row: Any) -> Sighting:
    """Processes that die or hang in the middle of their work."""
    return Sighting(
        kind="leases_expiring",
        severity="warning",
        text=f"{row.items:,} leases ran out within {LAPSE_WINDOW_S // 60} minutes ({row.kinds}): "
        "processes die or hang in the middle of their work",
        next_command="facet lease list",
        times=row.items,
    )


def folds_waiting(row: Any) -> Sighting:
    """Consolidators that do not keep up."""
    return Sighting(
        kind="folds_waiting",
        severity="warning",
        text=f"{row.partitions:,} partitions are read and not folded, "
        f"the oldest for {_lasted(row.oldest_s)}",
        next_command="facet status",
        feed=row.feed,
    )


def prices_moved(row: Any) -> Sighting:
    """A run that changed more prices, or by more, than is usual."""
    return Sighting(
        kind="prices_moved",
        severity="error",
        text=f"{row.changed:,} of {row.offers:,} stones have another price, "
        f"{row.jumped:,} of them by more than {row.jump:.0%}",
        next_command=f"facet run show {str(row.run_id)[:8]}",
        feed=row.feed,
        run_id=row.run_id,
    )


def reprice_moved(row: Any) -> Sighting:
    """A reprice that changed prices by more than is usual."""
    cause = {"activation": "a ruleset was activated", "rate": "a rate was set"}.get(
        row.cause, "a reprice was asked for"
    )
    return Sighting(
        kind="prices_moved",
        severity="error",
        text=f"{row.jumped:,} of {row.stones:,} stones have a price that is another by more than "
        f"{row.jump:.0%}, {row.changed:,} another price at all, since {cause}: {row.reason}",
        next_command="facet ruleset status",
        subject=f"reprice {row.reprice_id}",
    )


def steward_silent(row: Any) -> Sighting:
    """A time in which no steward looked."""
    return Sighting(
        kind="steward_silent",
        severity="critical",
        text=f"no steward was at work from {row.silent_from:%Y-%m-%d %H:%M} to "
        f"{row.silent_until:%H:%M} UTC ({_lasted(row.silent_s)}): nothing was announced or closed",
        next_command="facet doctor",
    )


def workers_silent(row: Any) -> Sighting:
    """Work that nobody takes."""
    return Sighting(
        kind="workers_silent",
        severity="critical",
        text=f"{row.items:,} pieces of {row.kind} work are due, the oldest for "
        f"{_lasted(row.oldest_s)}, and nobody takes them",
        next_command="facet doctor",
        subject=row.kind,
    )


def connections_near(row: Any) -> Sighting:
    """A database that will soon take no more connections."""
    return Sighting(
        kind="connections_near",
        severity="error",
        text=f"{row.used:,} of the database's {row.most:,} connections are in use",
        next_command="facet doctor",
    )


def database_large(row: Any) -> Sighting:
    """A database above its bound."""
    return Sighting(
        kind="disk_low",
        severity="critical",
        text=f"the database has grown to {row.size_bytes / 1e9:,.1f} GB",
        next_command="facet retention plan",
        subject="database",
    )


def disk_low(folder: str, free_bytes: int, total_bytes: int) -> Sighting:
    """A disk that is nearly full."""
    return Sighting(
        kind="disk_low",
        severity="critical",
        text=f"{free_bytes / 1e9:,.1f} GB of {total_bytes / 1e9:,.1f} GB are free "
        f"({free_bytes / total_bytes:.0%}) on the disk of {folder}",
        next_command="facet retention plan",
        subject=folder,
    )


def channel_failed(row: Any) -> Sighting:
    """A channel whose latest message was given up."""
    return Sighting(
        kind="channel_failed",
        severity="error",
        text=f"the channel {row.channel} gave a message up: {row.answer or 'no answer'}",
        next_command=f"facet alert test --channel {row.channel}",
        subject=row.channel,
    )


def watch_blind(what: str, why: str) -> Sighting:
    """Something that could not be looked at."""
    return Sighting(
        kind="watch_blind",
        severity="error",
        text=f"{what.replace('_', ' ')} cannot be watched: {why}",
        next_command="facet doctor",
        subject=what,
    )


CONDITIONS = (
    Condition("runs_in_trouble", ("run_failed", "run_partial"), run_in_trouble),
    Condition("unsettled_dead_letters", ("dead_letters",), dead_letters),
    Condition(
        "breakers_open",
        ("breaker_open",),
        breaker_open,
        lambda given: {"lately_s": given.watch_resolve_after_s},
    ),
    Condition("drifted_feeds", ("contract_drift",), contract_drift),
    Condition(
        "leases_running_out",
        ("leases_expiring",),
        leases_expiring,
        lambda given: {"window_s": LAPSE_WINDOW_S, "items_min": given.watch_lapses},
    ),
    Condition(
        "folds_waiting",
        ("folds_waiting",),
        folds_waiting,
        lambda given: {"partitions_max": given.watch_unfolded},
    ),
    Condition(
        "prices_moving",
        ("prices_moved",),
        prices_moved,
        lambda given: {
            "offers_min": STONES_MIN,
            "changed_share": given.watch_price_changed_share,
            "jumped_share": given.watch_price_jump_share,
        },
    ),
    Condition(
        "reprice_moving",
        ("prices_moved",),
        reprice_moved,
        lambda given: {"stones_min": STONES_MIN, "jumped_share": given.watch_price_jump_share},
    ),
    Condition("nobody_looked", ("steward_silent",), steward_silent, lambda _: {"told_s": TOLD_S}),
    Condition(
        "nobody_claims",
        ("workers_silent",),
        workers_silent,
        lambda given: {"silent_s": given.watch_silent_s},
    ),
    Condition(
        "connections_near",
        ("connections_near",),
        connections_near,
        lambda given: {"share": given.watch_connections_share},
    ),
    Condition(
        "database_large",
        (),  # its kind is the disks' too, see scheduler/watch.py
        database_large,
        lambda given: (
            None
            if given.watch_database_gb is None
            else {"bytes_max": given.watch_database_gb * 1e9}
        ),
    ),
    Condition(
        "channels_failing",
        ("channel_failed",),
        channel_failed,
        lambda given: {"channels": list(given.channel_order())},
    ),
)


def _lasted(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
