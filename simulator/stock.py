"""The supplier's stock: natural and lab-grown stones, seeded, moving by logical time.

One tick is an hour; tick 0 is the base. The same sizes, seed and tick give the same stock, however
it got there. The journal holds the last ticks, for tests that must know what happened.

A stone takes 75 bytes of columns, and 20 to 40 more once it is searched.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from simulator import identity, items, make
from simulator.shelf import Moved, Movement, Shelf

BASE = datetime(2026, 1, 1, tzinfo=UTC)
STONES_MAX = 1_500_000  # of each kind
TICKS_MAX = 10_000  # gone through at once: some minutes at a million stones
JOURNAL_TICKS = 500  # kept; at 1.4 million stones a tick takes 120 KB
_BATCH = 512  # items built at once


class Tick(NamedTuple):
    """What happened in one tick."""

    time: int
    natural: Moved
    labgrown: Moved


class Stock:
    """Stones of both kinds at one moment.

    natural, labgrown  stones of each kind at tick 0, up to STONES_MAX
    base               the moment of tick 0
    """

    def __init__(
        self,
        natural: int,
        labgrown: int,
        seed: int,
        *,
        movement: Movement | None = None,
        base: datetime = BASE,
    ) -> None:
        for size in (natural, labgrown):
            if not 0 <= size <= STONES_MAX:
                raise ValueError(f"a stock holds 0 to {STONES_MAX} stones of a kind, not {size}")
        self.sizes = natural, labgrown  # at tick 0
        self.seed = seed
        self.base = base
        self.time = 0
        self.movement = movement or Movement()
        self.natural = Shelf(seed, labgrown=False, size=natural)
        self.labgrown = Shelf(seed, labgrown=True, size=labgrown)
        self.journal: deque[Tick] = deque(maxlen=JOURNAL_TICKS)

    @classmethod
    def at(
        cls,
        natural: int,
        labgrown: int,
        seed: int,
        time: int,
        *,
        movement: Movement | None = None,
        base: datetime = BASE,
    ) -> "Stock":
        """The stock after `time` ticks, reached by going through all of them."""
        stock = cls(natural, labgrown, seed, movement=movement, base=base)
        for _ in range(time):
            stock.advance()
        return stock

    def advance(self) -> Tick:
        """Go one tick on. Rows known before are no longer good."""
        self.time += 1
        tick = Tick(
            time=self.time,
            natural=self.natural.advance(self.time, self.movement),
            labgrown=self.labgrown.advance(self.time, self.movement),
        )
        self.journal.append(tick)
        return tick

    @property
    def now(self) -> datetime:
        return self.moment(self.time * make.HOUR_S)

    def moment(self, since_base_s: int) -> datetime:
        """The time of a `created` or `updated` column."""
        return self.base + timedelta(seconds=since_base_s)

    def shelf(self, labgrown: bool) -> Shelf:
        return self.labgrown if labgrown else self.natural

    def items(self, labgrown: bool) -> Iterator[dict[str, Any]]:
        """The complete raw item of every stone of a kind, in no particular order."""
        shelf = self.shelf(labgrown)
        for start in range(0, shelf.size, _BATCH):
            yield from items.raw(shelf, np.arange(start, min(start + _BATCH, shelf.size)))

    def offer_id(self, labgrown: bool, serial: int) -> str:
        """The offer id of a stone of the journal, sold or not."""
        naming = self.shelf(labgrown).naming
        key = identity.scramble(serial, naming.offset)
        return identity.OFFER_PREFIX + identity.uuid(key, identity.bits(serial, naming.salt))
