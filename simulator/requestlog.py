"""The request log: one JSON line a request, and what it adds up to.

A line is written when a request ends and flushed at once; `at_ms` is when it came. Both clocks are
in it: `mono_ms` is the machine's monotonic clock, good for windows, `wall_ms` the epoch.
No token and no password is ever in it.
"""

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from simulator.answers import Note

WINDOW_S = 1.0


@dataclass
class Entry:
    """One request on its way; the handler fills in what it finds out."""

    note: Note = field(default_factory=Note)
    status: int | None = None  # None: no answer was sent
    faults: list[str] = field(default_factory=list)  # switches that showed


class RequestLog:
    """Counts requests, and writes them to a file if there is one."""

    def __init__(
        self, file: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = file
        self._clock = clock
        self._window: deque[float] = deque()
        self.by_kind: Counter[str] = Counter()
        self.refused = 0  # answered with `errors`, at whatever status
        self.in_flight = 0
        self.peak_in_flight = 0
        self.peak_in_window = 0  # most requests that came within WINDOW_S

    @contextmanager
    def request(self) -> Iterator[Entry]:
        """Log what happens inside as one request, however it ends."""
        came, wall = self._clock(), time.time()
        self._arrived(came)
        entry = Entry()
        try:
            yield entry
        finally:
            self.in_flight -= 1
            self._ended(entry, came, wall)

    def _arrived(self, came: float) -> None:
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self._window.append(came)
        while self._window[0] <= came - WINDOW_S:
            self._window.popleft()
        self.peak_in_window = max(self.peak_in_window, len(self._window))

    def _ended(self, entry: Entry, came: float, wall: float) -> None:
        note = entry.note
        self.by_kind[note.kind] += 1
        self.refused += note.error is not None
        if self._file is None:
            return
        line: dict[str, Any] = {
            "mono_ms": round(came * 1000, 3),
            "wall_ms": round(wall * 1000, 3),
            "kind": note.kind,
            "status": entry.status,
            "duration_ms": round((self._clock() - came) * 1000, 3),
            "offset": note.offset,
            "limit": note.limit,
            "items": note.items,
            "count": note.count,
            "account": note.account,
            "error": note.error,
            "query": note.query,
        }
        if entry.faults:
            line["faults"] = entry.faults
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
