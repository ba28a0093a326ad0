"""Run a scan against a supplier: several calls at once, each with its own patience.

The thin edge around scheduler/heatmap.py; it decides nothing. A call that does not come back is
left to its thread, and its answer, should it ever come, is dropped.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import cast

from scheduler.heatmap import Scan
from scheduler.terms import Ask, Plan
from shared import tracing
from shared.errors import Stopped, SupplierBusy, Transient
from shared.feeds.base import RankedSource, SlicedSource
from shared.feeds.coordinates import Coordinates

BEAT_S = 1.0  # between two heartbeats while nothing comes back, at most
BUSY_S = 1.0  # pause after "busy" that does not say how long
PAUSE_S_MAX = 60.0  # a supplier that asks for more of one call may answer the next one

Answer = int | Sequence[float] | BaseException


def run_scan(
    scan: Scan,
    source: SlicedSource,
    *,
    coordinates: Coordinates | None = None,
    in_flight: int = 8,
    count_timeout_s: float = 60.0,
    deadline_s: float = 600.0,
    clock: Callable[[], float] = time.monotonic,
    on_progress: Callable[[int], None] | None = None,
    heartbeat: Callable[[], None] | None = None,
) -> Plan:
    """Ask what the scan wants until it is done, and return its plan.

    coordinates      reads a page; None only for a scan whose settings say `pages=False`
    in_flight        calls at once, at least 1
    count_timeout_s  for one call with all its retries; then it counts as failed
    deadline_s       for all of it; then the plan is what it is, and covers the feed
    on_progress      told the number of calls so far, whenever answers came
    heartbeat        called about every second; what it raises ends the scan

    "Busy" is no failure: nothing is asked for as long as the supplier says, then the same again.
    Only where it asks for more than PAUSE_S_MAX is the call lost.
    Raises the supplier's last error where no call was answered at all, since then there is
    nothing to plan from; SupplierRefused and other permanent errors, and Stopped, as they come.
    """
    if scan.settings.pages and coordinates is None:
        raise ValueError("a scan that reads pages needs `coordinates`")
    calls = _Calls(source, coordinates, in_flight, count_timeout_s, clock)
    end = clock() + deadline_s
    answered = False
    last: Transient | None = None
    while not scan.done:
        if clock() >= end:
            scan.stop(f"deadline of {deadline_s:g} s")
            break
        if heartbeat is not None:
            heartbeat()
        for ask in calls.overdue():
            scan.failed(ask)
        for ask in scan.next(calls.room()):
            calls.send(ask)
        for ask, answer in calls.arrived(end):
            if isinstance(answer, BaseException):
                last = _curable(answer)
            else:
                answered = True
            _tell(scan, calls, ask, answer)
        if on_progress is not None:
            on_progress(scan.calls)
    if not answered and last is not None:
        raise last
    return scan.plan()


class _Calls:
    """Calls in flight, a thread each."""

    def __init__(
        self,
        source: SlicedSource,
        coordinates: Coordinates | None,
        in_flight: int,
        timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._coordinates = coordinates
        self._in_flight = in_flight
        self._timeout_s = timeout_s
        self._clock = clock
        self._flying: dict[int, tuple[Ask, float]] = {}  # by number: the ask, and given up when
        self._again: list[Ask] = []
        self._quiet_until = clock()
        self._back: SimpleQueue[tuple[Ask, Answer]] = SimpleQueue()

    def room(self) -> int:
        """How many new calls may be made now; first those are that must be made again."""
        if self._clock() < self._quiet_until:
            return 0
        while self._again and len(self._flying) < self._in_flight:
            self.send(self._again.pop())
        return self._in_flight - len(self._flying)

    def send(self, ask: Ask) -> None:
        self._flying[ask.number] = (ask, self._clock() + self._timeout_s)
        target = copy_context().run  # log lines of a call belong to the run that makes it
        threading.Thread(target=target, args=(self._call, ask), name="scan", daemon=True).start()

    def again(self, ask: Ask, pause_s: float | None) -> None:
        """The supplier is busy: ask nothing for a while, then this."""
        pause_s = BUSY_S if pause_s is None else max(0.0, pause_s)
        self._quiet_until = max(self._quiet_until, self._clock() + pause_s)
        self._again.append(ask)

    def overdue(self) -> Iterator[Ask]:
        """Calls given up now; their places are free."""
        now = self._clock()
        for ask, until in list(self._flying.values()):
            if now >= until:
                del self._flying[ask.number]
                yield ask

    def arrived(self, end: float) -> Iterator[tuple[Ask, Answer]]:
        """Answers that have come back, after waiting for the first, but not for long."""
        now = self._clock()
        waits = [until for _, until in self._flying.values()] or [self._quiet_until]
        wait_s = min(BEAT_S, max(0.0, min(*waits, end) - now))
        try:
            ask, answer = self._back.get(timeout=wait_s)
            while True:
                if self._flying.pop(ask.number, None) is not None:
                    yield ask, answer
                ask, answer = self._back.get_nowait()
        except Empty:
            return

    def _call(self, ask: Ask) -> None:
        answer: Answer
        try:
            what = "rank" if ask.ranked else "page" if ask.limit else "count"
            with tracing.supplier(what, ask.part, ask.offset, ask.limit):
                answer = self._answer(ask)
        except BaseException as error:  # noqa: BLE001  raised by the thread that waits for it
            answer = error
        self._back.put((ask, answer))

    def _answer(self, ask: Ask) -> int | Sequence[float]:
        if ask.ranked:
            value = cast(RankedSource, self._source).ranked(ask.part, ask.offset)
            return [] if value is None else [value]
        if ask.limit and self._coordinates is not None:
            page = self._source.page(ask.part, ask.offset, ask.limit)
            return self._coordinates(page.offers, ask.axis)
        return self._source.count(ask.part, timeout_s=self._timeout_s)


def _curable(error: BaseException) -> Transient:
    """An error that another attempt may cure; any other is raised."""
    if isinstance(error, Stopped) or not isinstance(error, Transient):
        raise error
    return error


def _tell(scan: Scan, calls: _Calls, ask: Ask, answer: Answer) -> None:
    if isinstance(answer, SupplierBusy) and (answer.retry_after_s or 0.0) <= PAUSE_S_MAX:
        calls.again(ask, answer.retry_after_s)
    elif isinstance(answer, BaseException):
        scan.failed(ask)
    elif isinstance(answer, int):
        scan.answered(ask, answer)
    else:
        scan.paged(ask, answer)
