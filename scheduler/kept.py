"""What is kept for how long: the one list that retention goes by.

A new table gets its line here: in KEPT with its age in shared/settings.py where it grows for ever,
else in FOR_GOOD or BOUNDED; a test misses it. Of a row
entry, `old` counts (`old`, `rows`, `of_week`) and `take` deletes a batch and says how many; both
know `keep_days`. The order is that of the dropping: what refers to something goes before it.
"""

from typing import NamedTuple

from shared.settings import Settings


class Days(NamedTuple):
    """A table in parts by day or month; parts go whole."""

    name: str
    setting: str  # of Settings; in days, 0: for ever
    table: str
    parts: str  # the statement that lists them: day, bytes, rows, needed_by
    drop: str
    days: int  # that one part covers, at most
    archived: bool = False


class Rows(NamedTuple):
    """A table of which old rows go in batches."""

    name: str
    setting: str
    table: str
    old: str
    take: str
    batch: int  # rows, or runs, in one transaction


Kept = Days | Rows

KEPT: tuple[Kept, ...] = (
    Days(
        "raw offers",
        "keep_raw_offers_days",
        "raw_offers",
        "raw_offer_days",
        "drop_raw_offers",
        days=1,
        archived=True,
    ),
    Days(
        "price changes",
        "keep_price_changes_days",
        "price_changes",
        "price_change_months",
        "drop_price_changes",
        days=31,
    ),
    Rows(
        "rejected offers",
        "keep_rejected_offers_days",
        "rejected_offers",
        "old_rejected_offers",
        "take_rejected_offers",
        batch=5_000,
    ),
    Rows(
        "settled dead letters",
        "keep_dead_letters_days",
        "dead_letters",
        "old_dead_letters",
        "take_dead_letters",
        batch=1_000,
    ),
    Rows("heatmaps", "keep_heatmaps_days", "heatmaps", "old_heatmaps", "take_heatmaps", batch=200),
    Rows(
        "checks of feeds",
        "keep_ledger_days",
        "feed_checks",
        "old_feed_checks",
        "take_feed_checks",
        batch=1_000,
    ),
    Rows(
        "work of runs",
        "keep_ledger_days",
        "work_items",
        "old_run_detail",
        "take_run_detail",
        batch=20,
    ),
    Rows(
        "work of reprices",
        "keep_ledger_days",
        "reprice_batches",
        "old_reprices",
        "take_reprices",
        batch=1_000,
    ),
    Rows("alerts", "keep_alerts_days", "alerts", "old_alerts", "take_alerts", batch=1_000),
    Rows(
        "incidents that are over",
        "keep_alerts_days",
        "incidents",
        "old_incidents",
        "take_incidents",
        batch=1_000,
    ),
    Rows(
        "measured price moves",
        "keep_alerts_days",
        "price_moves",
        "old_price_moves",
        "take_price_moves",
        batch=1_000,
    ),
    Rows(
        "slots of schedules",
        "keep_ledger_days",
        "schedule_slots",
        "old_slots",
        "take_slots",
        batch=1_000,
    ),
    Rows(
        "records of retention",
        "keep_ledger_days",
        "retentions",
        "old_retentions",
        "take_retentions",
        batch=1_000,
    ),
)

# Kept for good: what the business asks for years later, and what other rows hang on.
FOR_GOOD = (
    *("diamonds", "runs", "snapshots", "rulesets", "rates", "reprices", "audit_events"),
    "archives",  # a line a day: where its raw offers are
)  # fmt: skip

# What does not grow for ever, and why.
BOUNDED = {
    "partitions": "go with the work of their run",
    "alert_incidents": "go with their alert or incident",
    "deliveries": "go with their alert",
    "lapsed_leases": "a day of them: `forget_lapses`, at each look of the watch",
    "processes": "a week of those that have ended: `forget_processes`, each hour",
    "feeds": "one a feed",
    "schedules": "one a feed and kind of run",
    "account_orders": "one an account",
    "breakers": "one an account",
    "unclaimed_kinds": "one a kind of work",
    "leaders": "one",
    "watch_marks": "one",
    "schema_serves": "one",
    "alembic_version": "one",
}


def keep_days(entry: Kept, settings: Settings) -> int:
    """How long it is kept, in days; 0: for ever."""
    return int(getattr(settings, entry.setting))
