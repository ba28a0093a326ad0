"""Which backups are kept: of the last days one each, of the last weeks one each. Pure."""

from collections.abc import Iterable
from datetime import datetime


def kept(made: Iterable[datetime], *, daily: int, weekly: int) -> set[datetime]:
    """The backups to keep: the newest of each of the `daily` last days that have one, and of each
    of the `weekly` last weeks (Monday to Sunday) that have one. The newest of all is among them.
    """
    newest_first = sorted(made, reverse=True)
    keep: set[datetime] = set()
    for limit, period in ((daily, _day), (weekly, _week)):
        seen: dict[object, datetime] = {}
        for moment in newest_first:
            seen.setdefault(period(moment), moment)
        keep.update(list(seen.values())[:limit])
    return keep


def _day(moment: datetime) -> object:
    return moment.date()


def _week(moment: datetime) -> object:
    return tuple(moment.isocalendar())[:2]
