"""Cron expressions in a time zone. Pure: no clock, no database.

A slot is a moment at which a schedule is due. Where the clocks go forward, a slot of a fixed hour
that does not exist comes at the end of the gap; where they go back, it comes once, at the first of
the two. A slot of every hour or every few minutes follows the real time, so it comes in both of the
repeated hours and in none of those that are skipped. That is what Debian's cron does.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from shared.errors import BadSettings

LOOK_BACK = timedelta(days=7)  # older slots are not made up; bounds the work after a long absence
FIELDS = 5


class Missed(NamedTuple):
    """The latest slots of a span, and how many there were."""

    slots: list[datetime]  # ascending, UTC
    in_all: int


class Cron:
    """An expression of five fields in an IANA time zone. Raises BadSettings for what is none."""

    def __init__(self, expression: str, zone: str) -> None:
        self.expression = " ".join(expression.split())
        self.zone = zone
        if len(self.expression.split()) != FIELDS:
            raise BadSettings(
                f"{expression!r} has not the five fields of a cron expression",
                hint="minute hour day month weekday, such as '0 3 * * *' or '*/15 8-18 * * 1-5'",
            )
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise BadSettings(
                f"there is no time zone {zone!r}", hint="such as Europe/Berlin or UTC"
            ) from error
        try:
            self.next(datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise BadSettings(
                f"{expression!r} is no cron expression: {str(error).lower()}",
                hint="minute hour day month weekday, such as '0 3 * * *'",
            ) from error

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The slots after a moment, ascending, in UTC; without an end.

        Raises BadSettings where the expression never comes true.
        """
        slots = CronSim(self.expression, moment.astimezone(self._zone))
        while True:
            try:
                yield next(slots).astimezone(UTC)
            except StopIteration:
                raise BadSettings(
                    f"{self.expression!r} never comes true", hint="`facet schedule list`"
                ) from None

    def next(self, moment: datetime) -> datetime:
        """The first slot after a moment. Raises BadSettings where there is none."""
        return next(self.after(moment))

    def between(self, low: datetime, high: datetime, *, most: int) -> Missed:
        """The slots from `low` to `high`, both included; the `most` latest of them, most >= 1.

        None that is older than `LOOK_BACK` before `high`.
        """
        start = max(low, high - LOOK_BACK) - timedelta(seconds=1)
        latest: deque[datetime] = deque(maxlen=most)
        in_all = 0
        for slot in takewhile(lambda one: one <= high, self.after(start)):
            latest.append(slot)
            in_all += 1
        return Missed(list(latest), in_all)
