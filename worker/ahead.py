"""Pages of one partition, asked for before their turn so that the supplier's latency costs nothing.

The pages are handed out in order; how many are under way bounds the memory. Where the next ones
begin follows from those before, up to the first that the partition's count expects to be short:
from there on they are asked for one after the other, so that nothing is asked for in vain. After
a page that is shorter than expected, one between it and those under way closes the gap.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, wait
from contextvars import copy_context
from itertools import islice
from queue import SimpleQueue
from typing import NamedTuple, Self

from shared import tracing
from shared.feeds.base import Page, Slice, SlicedSource, Slicing
from worker.reading import OVERLAP, Reading, next_offset

TICK_S = 0.2
FOLLOWING = 2  # pages under way of a partition while another one of the process leads


class Answered(NamedTuple):
    """A page and where it begins, which is at or before where it was wanted."""

    offset: int
    page: Page
    asked_at: float  # on the monotonic clock


class _Asked(NamedTuple):
    at: float
    page: "Future[Page]"


class Ahead:
    """The pages of a slice, at most `pages` of them under way at once. A context manager.

    lead    one of the partitions that share it reads as far ahead as it may, until its end is in
            sight; the others stay behind, so that they do not all end together
    tick    called every `TICK_S` while an answer is waited for; what it raises ends the waiting
    """

    def __init__(
        self,
        source: SlicedSource,
        part: Slice,
        slicing: Slicing,
        *,
        pages: int,
        lead: "threading.Lock",
        tick: Callable[[], None],
    ) -> None:
        self._source = source
        self._part = part
        self._slicing = slicing
        self._pages = pages
        self._lead = lead
        self._leads = False
        self._tick = tick
        self._asked: dict[int, _Asked] = {}  # by offset
        self._due: SimpleQueue[tuple[int, Future[Page]] | None] = SimpleQueue()
        self._threads = 0
        self._whole = True  # the last page was no short one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """What is under way is dropped when it comes; nobody waits for it."""
        self._drop(list(self._asked))
        self._let_lead()
        for _ in range(self._threads):
            self._due.put(None)

    def page(self, reading: Reading, expected: int) -> Answered:
        """The next page of a reading, or one that begins a little before it and is under way.

        expected  offers in the slice, as far as is known; none is asked for ahead beyond it

        Raises the errors of `source.page` and of `tick`. What is under way then, or turns out not
        to be wanted, is dropped when it comes.
        """
        wanted = list(islice(self._starts(reading, expected), self._pages))
        if self._whole:
            self._drop(self._asked.keys() - wanted)
        for start in wanted[: self._room(len(wanted))]:
            if start not in self._asked:
                self._ask(start)
        begins = wanted[0]
        asked = self._asked.pop(begins)
        while not wait([asked.page], TICK_S).done:
            self._tick()
        page = asked.page.result()
        # A short page may be the last; only another one can tell whether it is worth to read ahead.
        self._whole = page.received >= self._slicing.page_size
        if begins < reading.offset and not page.received:  # says nothing about what is wanted
            return self.page(reading, expected)
        return Answered(begins, page, asked.at)

    def _starts(self, reading: Reading, expected: int) -> Iterator[int]:
        """Where the pages from here on begin, if the slice holds as many as expected."""
        size, offset, read_to = self._slicing.page_size, reading.offset, reading.read_to
        while offset <= self._slicing.depth:
            # One under way that shows enough beyond what is read serves as well.
            near = [s for s in self._asked if read_to + OVERLAP - size < s < offset]
            start = offset if offset in self._asked else max(near, default=offset)
            yield start
            if expected - start < size:  # how it ends, only its end can tell
                return
            offset = next_offset(start, size, fresh=start + size > read_to)
            read_to = max(read_to, start + size)

    def _room(self, wanted: int) -> int:
        """How many of the pages that are wanted may be asked for now."""
        self._leads = self._leads or self._lead.acquire(blocking=False)
        room = self._pages if self._leads else FOLLOWING
        if wanted < self._pages:
            self._let_lead()
        return room if self._whole else 1

    def _let_lead(self) -> None:
        """Leave the lead to another partition, where it is ours."""
        if self._leads:
            self._leads = False
            self._lead.release()

    def _drop(self, starts: Collection[int]) -> None:
        for start in starts:
            self._asked.pop(start).page.cancel()

    def _ask(self, start: int) -> None:
        future: Future[Page] = Future()
        self._asked[start] = _Asked(time.monotonic(), future)
        self._due.put((start, future))
        if self._threads < self._pages:
            self._threads += 1
            threading.Thread(target=copy_context().run, args=(self._work,), daemon=True).start()

    def _work(self) -> None:
        """Ask for pages until told that there are no more; a thread's whole life."""
        while (due := self._due.get()) is not None:
            start, future = due
            if not future.set_running_or_notify_cancel():
                continue
            try:
                size = self._slicing.page_size
                with tracing.supplier("page", self._part, start, size) as span:
                    page = self._source.page(self._part, start, size)
                    span.note(received=page.received)
                future.set_result(page)
            except BaseException as error:  # noqa: BLE001  told to whoever waits for the page
                future.set_exception(error)
