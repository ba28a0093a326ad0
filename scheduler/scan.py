"""Run a scan against a supplier: several calls at once, each with its own patience.

The thin edge around scheduler/heatmap.py; it decides nothing. A call that does not come back is
left to its thread and its answer, should it ever come, is dropped.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from scheduler.heatmap import Ask, Plan, Scan
from shared.errors import Stopped, SupplierBusy, Transient
from shared.feeds.base import Mapped, RawOffer, SlicedSource

BEAT_S = 1.0  # between two heartbeats while nothing comes back, at most
BUSY_S = 1.0  # pause after "busy" that does not say how long

# The coordinates of a page's offers on an axis, "price" or "carat"; those not known are left out.
Coordinates = Callable[[Sequence[RawOffer], str], Sequence[float]]


class _Back(NamedTuple):
    ask: Ask
    answer: int | Sequence[float] | BaseException


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
    on_progress      told the number of calls so far, after each answer
    heartbeat        called about every second; what it raises ends the scan

    Raises the last error of the supplier where no call was answered at all, since then there is
    nothing to plan from; SupplierRefused and other permanent errors as they come; Stopped.
    """
    if scan.settings.pages and coordinates is None:
        raise ValueError("a scan that reads pages needs `coordinates`")
    back: SimpleQueue[_Back] = SimpleQueue()
    flying: dict[int, tuple[Ask, float]] = {}  # number: ask, given up at
    again: list[Ask] = []
    began = clock()
    quiet_until = began
    answered = False
    last: Transient | None = None

    def send(ask: Ask) -> None:
        flying[ask.number] = (ask, clock() + count_timeout_s)
        given = (ask, source, coordinates, count_timeout_s, back)
        threading.Thread(target=_call, args=given, name="count", daemon=True).start()

    while not scan.done:
        now = clock()
        if now - began >= deadline_s:
            scan.stop(f"the deadline of {deadline_s:g} s")
            break
        if heartbeat is not None:
            heartbeat()
        for ask, until in list(flying.values()):
            if now >= until:
                del flying[ask.number]
                scan.failed(ask)
        if now >= quiet_until:
            while again and len(flying) < in_flight:
                send(again.pop())
            for ask in scan.next(in_flight - len(flying) - len(again)):
                send(ask)
        if scan.done:
            break
        until = min([until for _, until in flying.values()], default=quiet_until)
        wait_s = min(BEAT_S, max(0.0, min(until, began + deadline_s) - now))
        for ask, answer in _arrived(back, wait_s):
            if flying.pop(ask.number, None) is None:
                continue  # it was given up
            if isinstance(answer, SupplierBusy):
                last = answer
                pause_s = BUSY_S if answer.retry_after_s is None else answer.retry_after_s
                quiet_until = max(quiet_until, clock() + pause_s)
                again.append(ask)
            elif isinstance(answer, Transient) and not isinstance(answer, Stopped):
                last = answer
                scan.failed(ask)
            elif isinstance(answer, BaseException):
                raise answer
            elif isinstance(answer, int):
                answered = True
                scan.answered(ask, answer)
            else:
                answered = True
                scan.paged(ask, answer)
        if on_progress is not None:
            on_progress(scan.calls)
    if not answered and last is not None:
        raise last
    return scan.plan()


def by_mapping(map_offers: Callable[[Sequence[bytes]], Mapped]) -> Coordinates:
    """Coordinates from a feed's own mapping: US dollars per carat, hundredths of a carat."""

    def read(offers: Sequence[RawOffer], axis: str) -> list[float]:
        stones = map_offers([offer.payload for offer in offers]).stones
        rows = stones.select("cost_cents", "carat").iter_rows()
        known = [(int(cents), float(carat)) for cents, carat in rows if carat]
        if axis == "carat":
            return [100 * carat for _, carat in known]
        return [cents / 100 / carat for cents, carat in known]

    return read


def _call(
    ask: Ask,
    source: SlicedSource,
    coordinates: Coordinates | None,
    timeout_s: float,
    back: "SimpleQueue[_Back]",
) -> None:
    try:
        if ask.limit and coordinates is not None:
            page = source.page(ask.part, ask.offset, ask.limit)
            back.put(_Back(ask, coordinates(page.offers, ask.axis)))
        else:
            back.put(_Back(ask, source.count(ask.part, timeout_s=timeout_s)))
    except BaseException as error:  # noqa: BLE001  raised again by the thread that waits for it
        back.put(_Back(ask, error))


def _arrived(back: "SimpleQueue[_Back]", wait_s: float) -> list[_Back]:
    """Everything that has come back, after waiting for the first."""
    try:
        arrived = [back.get(timeout=wait_s)]
        while not back.empty():
            arrived.append(back.get_nowait())
    except Empty:
        return []
    return arrived
