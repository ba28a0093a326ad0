"""Quiet hours: the part of the day in which only what is critical is sent. Pure."""

import re
from datetime import datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


class QuietHours(NamedTuple):
    """From `start`, inclusive, to `end`, exclusive, on the clock of `zone`; may pass midnight."""

    start: time
    end: time
    zone: ZoneInfo

    def holds(self, now: datetime) -> bool:
        """Whether it is quiet at that moment, which has a time zone of its own."""
        clock = now.astimezone(self.zone).time()
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


def read(span: str, zone: ZoneInfo) -> QuietHours:
    """`22:00-07:00` as quiet hours. Raises ValueError."""
    found = _SPAN.fullmatch(span.strip())
    if found is None:
        raise ValueError("two times of day, such as 22:00-07:00, are expected")
    hours = [int(part) for part in found.groups()]
    start, end = time(hours[0], hours[1]), time(hours[2], hours[3])
    if start == end:
        raise ValueError("they begin when they end")
    return QuietHours(start, end, zone)
