"""The switchboard: which faults are switched on, and how often each has shown."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

from simulator import faults, shown
from simulator.shelf import Shelf
from simulator.switches import AnySwitch, Kind, KindSwitch, RowSwitch, StoneSwitch, Switch

WINDOW_S = 60.0  # how far back arrivals are known

S = TypeVar("S", bound=Switch)
R = TypeVar("R", bound=RowSwitch)


class Hit(NamedTuple, Generic[S]):
    """A fault that hits a request."""

    switch: S
    rng: random.Random  # for its details


class Arrival(NamedTuple):
    at: float  # seconds, monotonic
    crawl: str | None  # natural or labgrown, of a page


class Board:
    """The switches of one simulator. Not for threads.

    seed   for switches without one of their own
    clock  seconds, monotonic
    """

    def __init__(self, seed: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seed = seed
        self.present: dict[str, AnySwitch] = {}
        self.requests = 0  # that came, whatever is switched on
        self.counts: Counter[str] = Counter()  # requests in which a switch showed
        self._clock = clock
        self._since: dict[str, tuple[int, int]] = {}  # name → requests and counts at its start
        self._arrivals: deque[Arrival] = deque()

    def switch(self, changes: Mapping[str, AnySwitch | None]) -> bool:
        """Switch on, set anew, or off with None. Whether stones look different now."""
        before = self._of_stones()
        for name, switch in changes.items():
            if switch is None:
                self.present.pop(name, None)
            else:
                self.present[name] = switch
                self._since[name] = (self.requests, self.counts[name])
        if not self.present:
            self._arrivals.clear()
        return self._of_stones() != before

    def clear(self) -> bool:
        """Switch all off. Whether stones look different now."""
        return self.switch(dict.fromkeys(self.present))

    def dump(self) -> dict[str, Any]:
        """The present switches, as they can be sent again."""
        return {name: switch.model_dump(mode="json") for name, switch in self.present.items()}

    def look_of(self, shelf: Shelf) -> Shelf:
        """The shelf as the switches of stones show it; itself where there are none."""
        return shown.shown(shelf, self._of_stones(), self.seed)

    def hits(self, number: int) -> "Hits":
        """The faults of a request, by its number."""
        return Hits(self, number)

    def _of_stones(self) -> dict[str, AnySwitch]:
        return {n: one for n, one in self.present.items() if isinstance(one, StoneSwitch)}

    def arrived(self, crawl: str | None) -> None:
        now = self._clock()
        self._arrivals.append(Arrival(now, crawl))
        while self._arrivals[0].at <= now - WINDOW_S:
            self._arrivals.popleft()

    def within(self, seconds: float) -> list[Arrival]:
        """Requests that came lately, the last one included."""
        since = self._arrivals[-1].at - seconds
        found = []
        for one in reversed(self._arrivals):
            if one.at <= since:
                break
            found.append(one)
        return found

    def draw(self, switch: Switch, number: int) -> random.Random | None:
        requests, counts = self._since[switch.name]
        if number <= requests + switch.after:
            return None
        if switch.times is not None and self.counts[switch.name] - counts >= switch.times:
            return None
        return faults.draw(switch, self.seed, number)


class Hits:
    """The faults of one request; false where no switch is on at all."""

    def __init__(self, board: Board | None, number: int = 0) -> None:
        self._board = board
        self._number = number
        self.kind: Kind = "other"
        self.shown: list[str] = []  # those that had an effect, in that order

    def __bool__(self) -> bool:
        return self._board is not None

    def get(self, wanted: type[S]) -> Hit[S] | None:
        """The fault, where it is switched on and hits this request."""
        switch = self._board.present.get(wanted.name) if self._board else None
        if self._board is None or switch is None:
            return None
        found = cast(S, switch)
        if isinstance(found, KindSwitch) and self.kind not in found.kinds:
            return None
        rng = self._board.draw(found, self._number)
        return None if rng is None else Hit(found, rng)

    def stones(self, wanted: type[StoneSwitch]) -> StoneSwitch | None:
        """The switch of stones, where it is on."""
        switch = self._board.present.get(wanted.name) if self._board else None
        return switch if isinstance(switch, wanted) else None

    def present(self, wanted: type[R]) -> R | None:
        """The switch of rows, where it is on."""
        switch = self._board.present.get(wanted.name) if self._board else None
        return switch if isinstance(switch, wanted) else None

    def show(self, wanted: type[AnySwitch]) -> None:
        """Count a fault that had its effect."""
        if self._board is not None and wanted.name not in self.shown:
            self.shown.append(wanted.name)
            self._board.counts[wanted.name] += 1

    def arrived(self, kind: Kind, crawl: str | None) -> None:
        """Say what the request is. Comes before anything is asked of it."""
        self.kind = kind
        if self._board is not None:
            self._board.arrived(crawl)

    def within(self, seconds: float) -> list[Arrival]:
        return self._board.within(seconds) if self._board else []


NO_HITS = Hits(None)
