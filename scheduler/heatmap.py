"""The scan: count a feed along its axis and cut it into partitions of about equal weight.

A pure state machine: no network, no clock, no database. It proposes what to ask, is told answers
and failures in any order, and has a plan at any moment. Whatever the answers were, true or not,
the leaves of the plan cover the feed: a bucket only ever gives way to its own parts.
"""

from collections import deque
from collections.abc import Sequence
from itertools import count
from math import ceil

from scheduler.axes import UNCUTTABLE
from scheduler.density import Prior
from scheduler.measured import Group, Job, Measured
from scheduler.outcome import settle
from scheduler.refine import propose
from scheduler.terms import Ask, Leaf, Plan, Range, ScanSettings

__all__ = ["Ask", "Leaf", "Plan", "Prior", "Range", "Scan", "ScanSettings"]

TRIES = 2  # of a call, before something else is asked instead
LOST_MAX = 20  # answers lost in a row: the supplier is down, and a plan is due
# Where no limit is set, calls for each part, generous for a few and tight for many: no supplier's
# numbers, however wild, keep us asking for ever.
CALLS_MIN = 400
CALLS_A_PART = ((300, 12.0), (3_000, 2.5))  # up to so many parts, so many calls each


class Scan:
    """One scan of one feed. Not for several threads at once.

    while not scan.done:
        for ask in scan.next(free): ...   # count or page, then answered, paged or failed
    scan.plan()
    """

    def __init__(self, settings: ScanSettings, prior: Prior | None = None) -> None:
        self.settings = settings
        self._measured = Measured(settings, prior or Prior.cold(scale=settings.scale))
        self._backlog: deque[tuple[Ask, Job, int]] = deque()
        self._again: deque[tuple[Ask, Job, int]] = deque()  # failed once, asked again first
        self._flying: dict[int, tuple[Job, int, int]] = {}  # ask: job, part, round
        self._numbers = count()
        self._calls = self._failed = self._lost = self._rounds = 0
        self._why = ""

    @property
    def done(self) -> bool:
        return bool(self._why)

    @property
    def calls(self) -> int:
        """Asked so far, pages included."""
        return self._calls

    def next(self, free: int) -> list[Ask]:
        """What to ask now, at most `free` calls.

        An empty list means: wait for an answer, or `done`.
        """
        asks: list[Ask] = []
        while not self.done and len(asks) < free:
            if self._calls >= self._calls_max():
                if not self._flying:
                    self.stop("calls used up")
                break
            if not self._again and not self._backlog:
                for job in propose(self._measured, free - len(asks)):
                    self._queue(job)
            if not self._again and not self._backlog:
                if not self._flying:
                    self.stop("even" if self._measured.even() else "as even as it gets")
                break
            asks.append(self._send())
        return asks

    def answered(self, ask: Ask, count: int) -> None:
        """The answer to a count. One that cannot be, such as -1, counts as a failure."""
        if count < 0:
            self.failed(ask)
            return
        self._lost = 0
        self._told(ask, count)

    def paged(self, ask: Ask, values: Sequence[float]) -> None:
        """The answer to a page: the coordinates of its offers on `ask.axis`, as far as known."""
        if ask.number in self._flying:
            self._flying[ask.number][0].values = list(values)
        self._lost = 0
        self._told(ask, len(values))

    def failed(self, ask: Ask) -> None:
        """No answer to this call, and none will come."""
        if ask.number not in self._flying:
            return
        self._failed += 1
        self._lost += 1
        if ask.attempt < TRIES and not self.done:
            job, part, _ = self._flying.pop(ask.number)
            again = ask._replace(number=next(self._numbers), attempt=ask.attempt + 1)
            self._again.append((again, job, part))
        else:
            self._told(ask, None)
        if self._lost >= LOST_MAX:
            self.stop(f"{LOST_MAX} answers lost in a row")

    def stop(self, reason: str) -> None:
        """End here. Answers that come later are dropped."""
        if self.done:
            return
        self._why = reason
        asked = [job for job, _, _ in self._flying.values()] + [job for _, job, _ in self._again]
        self._backlog.clear()
        self._again.clear()
        self._flying.clear()
        for job in {id(job): job for job in asked}.values():
            settle(self._measured, job)

    def plan(self) -> Plan:
        """The feed cut into leaves by what is counted so far. Valid at any moment."""
        measured = self._measured
        dealt = measured.dealt()
        leaves = [self._leaf(group) for group in dealt.groups]
        histogram = []
        for bucket in measured.tilings[0].buckets:
            finest = [bucket] if bucket.finer is None else [b for _, b in bucket.finer.finest()]
            histogram.append(Range(bucket.low, bucket.high, sum(b.offers for b in finest)))
        return Plan(
            leaves=leaves,
            total=measured.total,
            unreachable=self._unreachable(),
            histogram=histogram,
            calls=self._calls,
            rounds=self._rounds,
            failed=self._failed,
            estimated=sum(leaf.estimated for leaf in leaves),
            balance=dealt.deal.balance,
            why_stopped=self._why,
            probes={str(name): whole for name, whole in measured.whole.items()},
        )

    def _unreachable(self) -> int:
        measured = self._measured
        if self.settings.priceless or measured.total is None or measured.priced is None:
            return 0
        return max(0, measured.total - measured.priced)

    def _leaf(self, group: Group) -> Leaf:
        measured, settings = self._measured, self.settings
        estimated = not all(measured.sure(group.tiling, bucket) for bucket in group.buckets)
        reason = next((bucket.stuck for bucket in group.buckets if bucket.stuck), "")
        if not reason and (estimated or group.offers > settings.cap):
            reason = self._why
        return Leaf(
            slice=group.tiling.slice_of(group.buckets[0].low, group.buckets[-1].high),
            offers=group.offers,
            estimated=estimated,
            saturated=group.offers > settings.slicing.depth and reason == UNCUTTABLE,
            reason=reason,
        )

    def _queue(self, job: Job) -> None:
        for part, piece in enumerate(job.parts):
            axis = job.tiling.axis.name if job.tiling is not None else "price"
            ranked = job.kind == "rank"
            ask = Ask(next(self._numbers), piece, job.offset, job.limit, axis, ranked)
            self._backlog.append((ask, job, part))

    def _send(self) -> Ask:
        ask, job, part = (self._again or self._backlog).popleft()
        if all(sent < self._rounds for _, _, sent in self._flying.values()):
            self._rounds += 1
        self._flying[ask.number] = (job, part, self._rounds)
        self._calls += 1
        return ask

    def _told(self, ask: Ask, answer: int | None) -> None:
        found = self._flying.pop(ask.number, None)
        if found is None:
            return
        job, part, _ = found
        job.answers[part] = answer
        if len(job.answers) == len(job.parts):
            settle(self._measured, job)

    def _calls_max(self) -> int:
        if self.settings.calls_max is not None:
            return self.settings.calls_max
        measured = self._measured
        # Not the sum of the parts where it is known: a filter without effect counts all in each.
        whole = max(measured.total or 0, measured.priced or 0) or measured.offers
        parts = max(self.settings.workers, ceil(whole / self.settings.cap))
        return CALLS_MIN + int(sum(each * min(parts, upto) for upto, each in CALLS_A_PART))
