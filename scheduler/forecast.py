"""When the disk is full, if everything goes on as it does. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

DAYS_MAX = 3_650


class Grows(NamedTuple):
    """A table that grows, in bytes.

    per_day     what arrives a day
    keep_days   after so many days as much goes as comes; 0: it only grows
    """

    bytes: int
    per_day: float
    keep_days: int

    def after(self, days: int) -> float:
        """Its size in so many days: no larger than what its age allows, or than it is."""
        grown = self.bytes + self.per_day * days
        if not self.keep_days:
            return grown
        return max(float(self.bytes), min(grown, self.per_day * self.keep_days))


def full_in_days(tables: Iterable[Grows], free_bytes: int) -> int | None:
    """Days until they have grown by more than `free_bytes`; None: not in ten years.

    Found by halving, since no table shrinks.
    """
    known = list(tables)
    now = sum(table.bytes for table in known)

    def fits(days: int) -> bool:
        return sum(table.after(days) for table in known) - now <= free_bytes

    if fits(DAYS_MAX):
        return None
    low, high = -1, DAYS_MAX  # fits(low), or it is full now; not fits(high)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return high
