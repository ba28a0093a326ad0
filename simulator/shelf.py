"""The stones of one kind, as numpy columns, and how they move with time.

A row is a place in the columns, good until the next tick; a serial is a stone, for ever. New stones
take the rows of the sold ones; a sold stone leaves four bytes behind, the end of its serial.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator import identity, make, words
from simulator.stone import Columns

Serials = NDArray[np.uint32]
Rows = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Movement:
    """What happens in one tick, as shares of the stock before it."""

    sold: float = 0.005
    added: float = 0.005
    repriced: float = 0.01
    changed: float = 0.003  # availability, media, delivery or labels; not the price

    def __post_init__(self) -> None:
        shares = (self.sold, self.added, self.repriced, self.changed)
        if min(shares) < 0 or self.sold + self.repriced + self.changed > 1:
            raise ValueError(f"shares of a stock add up to at most 1: {self}")


class Moved(NamedTuple):
    """What one tick did to one kind: serials. No stone is in two of them."""

    sold: Serials
    added: Serials
    repriced: Serials
    changed: Serials


class Shelf:
    """All stones of one kind on sale.

    columns  by name, see `make.DTYPES`; and `serial`, and `key`, which opens the stone's uuid
    size     stones; the length of every column
    """

    media_url_dead = ""  # where links of dead media lead, see `shown.py`

    def __init__(self, seed: int, *, labgrown: bool, size: int) -> None:
        self.labgrown = labgrown
        self._seed = seed
        self.naming = identity.naming(seed, "labgrown" if labgrown else "natural")
        self.columns: Columns = {}
        self.columns = make.stones(self._rng(0), size, labgrown=labgrown, listed=make.LISTED_BEFORE)
        serials = np.arange(size, dtype=np.uint32)
        self.columns |= {"serial": serials, "key": self._keys(serials)}
        self._row_of = serials.astype(np.int32)  # serial → row, -1 where it was sold

    @property
    def size(self) -> int:
        return len(self.columns["serial"])

    def row_of(self, serial: int) -> int | None:
        """The row of a stone; None where it was sold or never was."""
        row = int(self._row_of[serial]) if serial < len(self._row_of) else -1
        return row if row >= 0 else None

    def rows_of(self, serials: Serials) -> NDArray[np.int32]:
        """The rows of stones; -1 where one was sold. All serials have been given out."""
        return self._row_of[serials]

    def advance(self, tick: int, movement: Movement) -> Moved:
        """Do what happens in the hour that ends with `tick`, counted from 1."""
        rng = self._rng(tick)
        sold, added, repriced, changed = (
            self._some(rng, share)
            for share in (movement.sold, movement.added, movement.repriced, movement.changed)
        )
        touched = rng.choice(self.size, min(sold + repriced + changed, self.size), replace=False)
        gone, priced, other = np.split(touched, [sold, sold + repriced])
        hour = make.Span((tick - 1) * make.HOUR_S + 1, tick * make.HOUR_S)
        self._reprice(rng, priced, hour)
        self._change(rng, other, hour)
        serial = self.columns["serial"]
        moved = (serial[gone].copy(), serial[priced].copy(), serial[other].copy())
        new = self._replace(gone, make.stones(rng, added, labgrown=self.labgrown, listed=hour))
        return Moved(sold=moved[0], added=new, repriced=moved[1], changed=moved[2])

    def _rng(self, tick: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, int(self.labgrown), tick])

    def _keys(self, serials: Serials) -> NDArray[np.uint32]:
        keys = identity.scramble(serials.astype(np.uint64), self.naming.offset)
        return keys.astype(np.uint32)

    def _some(self, rng: np.random.Generator, share: float) -> int:
        """A share of the stock as a whole number: rounded up as often as its fraction says."""
        exact = self.size * share
        return int(exact) + int(rng.random() < exact % 1)

    def _stamp(self, rng: np.random.Generator, rows: Rows, hour: make.Span) -> None:
        self.columns["updated"][rows] = rng.integers(hour.first, hour.last + 1, len(rows))

    def _reprice(self, rng: np.random.Generator, rows: Rows, hour: make.Span) -> None:
        """Prices move by some percent, and always by a cent at least."""
        old = self.columns["price"][rows].astype(np.int64)
        new = np.rint(old * np.exp(rng.normal(-0.005, 0.04, len(rows)))).astype(np.int64)
        new = np.clip(np.where(new == old, old + 1, new), 1, 2**31 - 1)
        self.columns["price"][rows] = new
        self.columns["discount"][rows] = make.discounts(
            {name: self.columns[name][rows] for name in ("carat", "color", "clarity", "price")}
        )
        self._stamp(rng, rows, hour)

    def _change(self, rng: np.random.Generator, rows: Rows, hour: make.Span) -> None:
        """One visible thing about each stone becomes another."""
        what = rng.integers(0, 4, len(rows))
        step = rng.integers(1, 7, len(rows))
        columns = self.columns
        columns["media"][rows[what == 0]] ^= make.IMAGE
        columns["media"][rows[what == 1]] ^= make.V360

        days_min, days_max = columns["days_min"][rows], columns["days_max"][rows]
        slower = days_min + (days_max - days_min + step) % 7
        columns["days_max"][rows[what == 2]] = slower[what == 2]

        held = columns["availability"][rows] != words.AVAILABLE
        availability = np.where(held, words.AVAILABLE, step)
        columns["availability"][rows[what == 3]] = availability[what == 3]
        self._stamp(rng, rows, hour)

    def _replace(self, gone: Rows, new: Columns) -> Serials:
        """Put the new stones where the sold ones were; close or open the rest at the end."""
        first, count = len(self._row_of), len(new["price"])
        serials = np.arange(first, first + count, dtype=np.uint32)
        new |= {"serial": serials, "key": self._keys(serials)}
        self._row_of[self.columns["serial"][gone]] = -1

        reused = min(len(gone), count)
        into, holes = gone[:reused], gone[reused:]
        size = self.size - len(holes)
        low_holes = holes[holes < size]
        tail = np.setdiff1d(np.arange(size, self.size), holes)  # survivors beyond the new end
        for name, values in new.items():
            column = self.columns[name]
            column[into] = values[:reused]
            column[low_holes] = column[tail]
            self.columns[name] = np.concatenate([column[:size], values[reused:]])

        self._row_of = np.concatenate([self._row_of, np.full(count, -1, np.int32)])
        self._row_of[self.columns["serial"]] = np.arange(self.size, dtype=np.int32)
        return serials
