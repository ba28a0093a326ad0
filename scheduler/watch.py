"""The watch: every few seconds, what is wrong now becomes incidents, and incidents become messages.

A step of the steward's round. One look is one short transaction, taken by one steward at a time
whichever number runs; each condition is a statement of sql/queries/alerts.sql, bounded in rows and
time. What cannot be looked at is an incident itself, and nothing of its kind is taken for over.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from scheduler import conditions
from scheduler.conditions import CONDITIONS, ROWS_MAX, Condition
from shared import feeds
from shared.alerts import compose, incidents
from shared.alerts.kinds import IncidentKind, Sighting
from shared.breaker import Breaker, State
from shared.db import transaction
from shared.errors import BadSettings, BrokerUnavailable
from shared.settings import Settings
from sql import query

log = structlog.get_logger(__name__)

STATEMENT_S_MAX = 3.0
GAP_LOOKS = 3  # a key that so many looks did not see was away


class Watch:
    """The looks of one steward. `breaker` opens the breaker of an account."""

    def __init__(
        self,
        engine: Engine,
        given: Settings,
        breaker: Callable[[str], Breaker],
        *,
        clock: Callable[[datetime], datetime] = lambda now: now,
    ) -> None:
        """clock   makes of the database's time the one that quiet hours go by"""
        self._engine = engine
        self._given = given
        self._breaker = breaker
        self._clock = clock
        self._next = 0.0  # on this process's monotonic clock
        self.looked = 0.0  # the same: when it last looked, or found that another steward had

    def look_if_due(self) -> None:
        """Look, where the last look is long enough ago. Raises DatabaseUnavailable."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._given.watch_pause_s
            self.look()
            self.looked = now

    def look(self) -> bool:
        """Look now; False where another steward just did. Raises DatabaseUnavailable."""
        states, unread = read_breakers(self._given, self._breaker)
        pause_s = self._given.watch_pause_s
        with transaction(self._engine) as tx:
            tx.execute(query("bound_look"), {"timeout_ms": str(round(1000 * STATEMENT_S_MAX))})
            marks = {"pause_s": pause_s / 2, "silent_s": self._given.watch_silent_s}
            now = tx.execute(query("begin_look"), marks).scalar_one_or_none()
            if now is None:
                return False
            note_breakers(tx, states)
            tx.execute(query("note_unclaimed"), {"gap_s": GAP_LOOKS * pause_s})
            tx.execute(query("forget_lapses"))
            seen = look_around(tx, self._given, unread)
            incidents.see(tx, seen.sightings, gap_s=GAP_LOOKS * pause_s)
            incidents.resolve(tx, seen.kinds, after_s=self._given.watch_resolve_after_s)
            compose.stand_in(tx, self._given)
            compose.tell(tx, self._given, now=self._clock(now))
        return True

    def end(self) -> None:
        """Say that this steward stops, so that the silence is not taken for a fault."""
        with transaction(self._engine) as tx:
            tx.execute(query("end_looking"))


class Seen(NamedTuple):
    """What a look saw, and of which kinds it saw all there is."""

    sightings: list[Sighting]
    kinds: set[IncidentKind]


def look_around(tx: Connection, given: Settings, unread: str | None) -> Seen:
    """Every condition once.

    unread   why the breakers could not be read; None: they were
    """
    sightings: list[Sighting] = []
    kinds: set[IncidentKind] = {"watch_blind"}
    blind: set[IncidentKind] = set()
    if unread is not None:
        sightings.append(conditions.watch_blind("breakers", unread))
        blind.add("breaker_open")
    for condition in CONDITIONS:
        try:
            found = _ask(tx, condition, given)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            why = str(error.orig).strip().splitlines()[0]
            log.error("watch_blind", condition=condition.query, error=why)
            sightings.append(conditions.watch_blind(condition.query, why))
            blind |= set(condition.kinds)
            continue
        sightings += found
        kinds |= set(condition.kinds)
        blind |= set(condition.kinds) if len(found) >= ROWS_MAX else set()
    sightings += low_disks(given.disks() or (tempfile.gettempdir(),), given.watch_disk_free_share)
    kinds.add("disk_low")
    return Seen(sightings, kinds - blind)


def _ask(tx: Connection, condition: Condition, given: Settings) -> list[Sighting]:
    values = condition.values(given)
    if values is None:
        return []
    with tx.begin_nested():
        rows = tx.execute(query(condition.query), {**values, "rows_max": ROWS_MAX}).all()
    return [condition.sighting(row) for row in rows]


def low_disks(folders: Iterable[str], free_share_min: float) -> list[Sighting]:
    """Folders whose disks are nearly full, one for each disk."""
    found = {}
    for folder in folders:
        try:
            device = os.stat(folder).st_dev  # noqa: PTH116  a folder's name is all that is given
            space = shutil.disk_usage(folder)
        except OSError as error:
            found[folder] = conditions.watch_blind(f"the disk of {folder}", str(error.strerror))
            continue
        if space.free < space.total * free_share_min:
            found.setdefault(str(device), conditions.disk_low(folder, space.free, space.total))
    return list(found.values())


def read_breakers(
    given: Settings, breaker: Callable[[str], Breaker]
) -> tuple[Mapping[str, State], str | None]:
    """How the breaker of each account stands in Redis; none and why, where it cannot be read."""
    try:
        found = {one: breaker(one).state() for one in sorted(_accounts(given))}
    except (BrokerUnavailable, BadSettings) as error:
        return {}, str(error)
    return found, None


def _accounts(given: Settings) -> set[str]:
    """The accounts that may be called. Local files, of which each feed is its own, are not."""
    found = set()
    for name in feeds.known():
        try:
            account = given.supplier(name).account
        except BadSettings:
            continue  # not set up
        if account != name:
            found.add(account)
    return found


def note_breakers(tx: Connection, states: Mapping[str, State]) -> None:
    """Keep how the breakers stand; their opening and closing is logged and counted."""
    for account, state in states.items():
        values = {
            "account": account,
            "state": state.name,
            "openings": state.openings,
            "open_s": state.open_s,
        }
        noted = tx.execute(query("note_breaker"), values).one()
        if noted.times and noted.before is not None:
            log.error("breaker_opened", breaker=account, times=noted.times)
        if state.name == "closed" and (noted.before not in {None, "closed"} or noted.times):
            log.info("breaker_closed", breaker=account)


def measure_reprice(engine: Engine, given: Settings) -> bool:
    """Measure how much prices moved in the latest reprice, once it has ended; whether it did."""
    with transaction(engine) as tx:
        reprice = tx.execute(query("reprice_to_measure")).mappings().one_or_none()
        if reprice is None:
            return False
        values = {**reprice, "jump": given.watch_price_jump}
        moved = tx.execute(query("measure_reprice"), values).one_or_none()
    if moved is not None:
        log.info(
            "prices_measured",
            reprice_id=reprice["reprice_id"],
            changed=moved.changed,
            jumped=moved.jumped,
        )
    return True


def measure_prices(engine: Engine, given: Settings) -> bool:
    """Measure how much prices moved in a run that has ended; whether there was one."""
    with transaction(engine) as tx:
        run = tx.execute(query("run_to_measure")).mappings().one_or_none()
        if run is None:
            return False
        values = {**run, "jump": given.watch_price_jump}
        moved = tx.execute(query("measure_prices"), values).one_or_none()
    if moved is not None:
        log.info(
            "prices_measured", run_id=str(run["run_id"]), changed=moved.changed, jumped=moved.jumped
        )
    return True
