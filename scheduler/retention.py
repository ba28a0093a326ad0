"""Drop what is older than its age, so that the disk of today is enough next year.

`plan` looks, `apply` drops: whole parts of tables by day or month, else batches in transactions of
their own. Whatever the last complete full run of a feed needs stays (`spent_runs`), as does the
detail under a dead letter. Stopped anywhere, the next one goes on. Any number may do it at once.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any, NamedTuple

import structlog
from pydantic_core import to_json
from sqlalchemy import Connection, Engine

from scheduler.forecast import Grows, full_in_days
from scheduler.kept import KEPT, Days, Kept, Rows, keep_days
from shared.db import transaction
from shared.errors import FacetError, Transient
from shared.settings import Settings
from sql import query

log = structlog.get_logger(__name__)

LEASE_S = 900.0  # longer than a day's raw offers take to archive
LOCK_PATIENCE = "2s"
POLL_S = 60.0
RATE_DAYS = 7  # what came in so many days stands for what is to come


class Part(NamedTuple):
    """A day or month that is old enough to go. `needed_by`: the feeds for which it stays."""

    day: date
    bytes: int
    rows: int
    needed_by: str | None


class Old(NamedTuple):
    """One entry of the list, as it stands: what there is, what of it would go."""

    name: str
    keep_days: int
    bytes: int
    per_day: float  # bytes that arrive
    goes_rows: int
    goes_bytes: int
    parts: tuple[Part, ...] = ()


class Plan(NamedTuple):
    """What would go, and how the database grows."""

    entries: tuple[Old, ...]
    database_bytes: int
    per_day: float  # bytes that arrive a day, of everything
    free_bytes: int | None  # None: nobody can tell
    full_in_days: int | None  # None: not in ten years, or nobody can tell


def plan(engine: Engine, settings: Settings, *, free_bytes: int | None = None) -> Plan:
    """Look at everything that grows. Reads whole tables: seconds, where they are large.

    free_bytes   on the database's disk; None: unknown
    """
    with transaction(engine) as tx:
        today = tx.execute(query("today")).scalar_one()
        sizes = _sizes(tx)
        database_bytes = int(tx.execute(query("database_bytes")).scalar_one())
        earlier = tx.execute(query("earlier_sizes")).one_or_none()
        entries = tuple(_look(tx, one, keep_days(one, settings), today, sizes) for one in KEPT)
    rest = _rest(sizes, earlier)
    grows = [Grows(one.bytes, one.per_day, one.keep_days) for one in entries] + rest
    full = None if free_bytes is None else full_in_days(grows, free_bytes)
    return Plan(entries, database_bytes, sum(one.per_day for one in grows), free_bytes, full)


def apply(
    engine: Engine,
    settings: Settings,
    retention_id: int,
    *,
    stop: threading.Event | None = None,
    tell: Callable[[str, int], None] = lambda _name, _rows: None,
) -> dict[str, int]:
    """Drop everything that is old enough; returns how many rows, of parted tables how many parts.

    stop   between two transactions, whether to leave the rest for another time
    tell   called after each step with an entry's name and what it has dropped so far

    What another holds locked is left for the next time. Raises ArchiveFailed, Transient errors.
    """
    removed: dict[str, int] = {}
    beat = partial(_beat, engine, retention_id)
    for entry in KEPT:
        days = keep_days(entry, settings)
        if not days or (stop is not None and stop.is_set()):
            continue
        removed[entry.name] = 0
        if isinstance(entry, Days):
            for part in _due_parts(engine, entry, days):
                if stop is not None and stop.is_set():
                    break
                removed[entry.name] += _drop(engine, settings, entry, part, beat)
                beat()
                tell(entry.name, removed[entry.name])
        else:
            while stop is None or not stop.is_set():
                taken, more = _take(engine, entry, days)
                removed[entry.name] += taken
                beat()
                tell(entry.name, removed[entry.name])
                if not more:
                    break
    log.info("retention_applied", removed=removed)
    return removed


def begin_by_hand(engine: Engine) -> int:
    """Note that someone begins; returns its id."""
    with transaction(engine) as tx:
        row = tx.execute(query("begin_retention_by_hand"), {"lease_s": LEASE_S})
        return int(row.scalar_one())


def finish(engine: Engine, retention_id: int, removed: Mapping[str, int]) -> None:
    """Note what was dropped, and how large the tables are now."""
    with transaction(engine) as tx:
        values = {"removed": to_json(removed).decode(), "sizes": to_json(_sizes(tx)).decode()}
        tx.execute(query("finish_retention"), values | {"retention_id": retention_id})


def once_a_day(engine: Engine, settings: Settings, *, stop: threading.Event | None = None) -> bool:
    """Do today's, where its hour has come and nobody has done it or is at it; whether we did.

    What goes wrong is on record with the slot, which is taken again when its lease has run out.
    """
    if not settings.retention_at:
        return False
    with transaction(engine) as tx:
        values = {"at": settings.retention_at, "lease_s": LEASE_S}
        retention_id = tx.execute(query("begin_retention"), values).scalar_one_or_none()
    if retention_id is None:
        return False
    try:
        removed = apply(engine, settings, retention_id, stop=stop)
    except FacetError as error:
        with transaction(engine) as tx:
            noted = {"retention_id": retention_id, "error": str(error)}
            tx.execute(query("fail_retention"), noted)
        raise
    if stop is None or not stop.is_set():
        finish(engine, retention_id, removed)
    return True


def keep_house(engine: Engine, settings: Settings, stop: threading.Event) -> threading.Thread:
    """Do it daily in a thread of the steward, so that announcing never waits for it."""

    def rounds() -> None:
        while not stop.wait(POLL_S):
            try:
                once_a_day(engine, settings, stop=stop)
            except Transient as error:
                log.warning("retention_waits", error=str(error))
            except FacetError as error:
                log.error("retention_failed", error=str(error), hint=error.hint)

    thread = threading.Thread(target=rounds, name="retention", daemon=True)
    thread.start()
    return thread


def latest(tx: Connection) -> Mapping[str, Any] | None:
    """The last time it was done or begun; None: never."""
    row = tx.execute(query("latest_retention")).mappings().one_or_none()
    return None if row is None else dict(row)


def _look(tx: Connection, entry: Kept, days: int, today: date, sizes: Mapping[str, int]) -> Old:
    size = sizes.get(entry.table, 0)
    if isinstance(entry, Days):
        parts = [Part(*row) for row in tx.execute(query(entry.parts))]
        old = tuple(p for p in parts if days and _is_old(entry, p, days, today))
        going = [p for p in old if p.needed_by is None]
        return Old(
            name=entry.name,
            keep_days=days,
            bytes=size,
            per_day=_rate(entry, parts, today),
            goes_rows=sum(p.rows for p in going),
            goes_bytes=sum(p.bytes for p in going),
            parts=old,
        )
    # An age that is for ever is asked for like any other: nothing is older than a thousand years.
    counts = tx.execute(query(entry.old), {"keep_days": days or 365_000}).one()
    each = size / counts.rows if counts.rows else 0.0
    return Old(
        name=entry.name,
        keep_days=days,
        bytes=size,
        per_day=each * counts.of_week / RATE_DAYS,
        goes_rows=counts.old,
        goes_bytes=round(each * counts.old),
    )


def _is_old(entry: Days, part: Part, days: int, today: date) -> bool:
    """Whether all that a part may hold is older than its age."""
    return part.day + timedelta(days=entry.days + days) <= today


def _rate(entry: Days, parts: list[Part], today: date) -> float:
    """Bytes a day, by the parts that hold the last week; since the first, where that is later."""
    span = max(RATE_DAYS, entry.days)
    recent = [part for part in parts if part.day > today - timedelta(days=span)]
    if not recent:
        return 0.0
    covered = (today - min(part.day for part in recent)).days + 1
    return sum(part.bytes for part in recent) / covered


def _rest(sizes: Mapping[str, int], earlier: Any) -> list[Grows]:
    """What has no age: it grows as it did since sizes were last written down."""
    aged = {entry.table for entry in KEPT}
    now = sum(size for name, size in sizes.items() if name not in aged)
    if earlier is None:
        return [Grows(now, 0.0, 0)]
    before = sum(size for name, size in earlier.sizes.items() if name not in aged)
    return [Grows(now, max(0.0, (now - before) / earlier.days), 0)]


def _sizes(tx: Connection) -> dict[str, int]:
    return {row.name: int(row.bytes) for row in tx.execute(query("table_bytes"))}


def _due_parts(engine: Engine, entry: Days, days: int) -> list[Part]:
    with transaction(engine) as tx:
        today = tx.execute(query("today")).scalar_one()
        parts = [Part(*row) for row in tx.execute(query(entry.parts))]
    return [p for p in parts if p.needed_by is None and _is_old(entry, p, days, today)]


def _drop(
    engine: Engine, settings: Settings, entry: Days, part: Part, beat: Callable[[], None]
) -> int:
    """Archive the part where that is wanted, then drop it; returns 1, or 0 where it was gone."""
    values: dict[str, Any] = {"day": part.day}
    if entry.archived:
        values["expected"] = None
        if settings.archive_url:
            from scheduler.archive import archive_day  # noqa: PLC0415  brings all of Polars

            done = archive_day(engine, part.day, settings.archive_url, beat=beat)
            values["expected"] = done.rows
    with transaction(engine) as tx:
        tx.execute(query("patience_with_locks"), {"patience": LOCK_PATIENCE})
        freed = tx.execute(query(entry.drop), values).scalar_one()
    if freed is None:
        return 0
    log.info("table_part_dropped", table=entry.table, day=str(part.day), bytes=freed)
    return 1


def _take(engine: Engine, entry: Rows, days: int) -> tuple[int, bool]:
    """One batch; returns how many rows went, and whether there may be more."""
    with transaction(engine) as tx:
        row = tx.execute(query(entry.take), {"keep_days": days, "batch": entry.batch}).one()
    return int(row[-1]), row[0] > 0


def _beat(engine: Engine, retention_id: int) -> None:
    with transaction(engine) as tx:
        tx.execute(query("beat_retention"), {"retention_id": retention_id, "lease_s": LEASE_S})
