"""All that a scan knows of a feed so far, and what it is after. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise
from math import ceil
from typing import Literal, NamedTuple

from scheduler import packing
from scheduler.axes import Axis, AxisName, Bucket, Known, Tiling
from scheduler.density import Density, Prior
from scheduler.terms import FILL_COLD, FILL_WARM, ScanSettings
from shared.feeds.base import Slice

FAILURES_MAX = 6  # jobs about one bucket in a row that came to nothing
PARTS_MAX = 4  # a worker; with more, any parts can be dealt evenly and only the cap counts
EDGES_MIN = 4  # seen, before an edge not seen is believed to be like them
EDGE_SHARE_MAX = 0.01  # of a part: what lies on an edge on average does not matter then
# Of what a part may hold: how far neighbours are joined, the most that can still be dealt evenly.
JOINED = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5, 0.35, 0.25, 0.15)

Kind = Literal["total", "count", "cut", "page", "rank", "whole", "fits"]


@dataclass(slots=True, eq=False)
class Job:
    """Calls that belong together, what they are about, and the answers so far."""

    kind: Kind
    parts: list[Slice]
    tiling: Tiling | None = None
    bucket: Bucket | None = None
    finer: Tiling | None = None  # what to open if it holds everything
    edges: list[int] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)  # offers in each segment between edges
    asked: list[int] = field(default_factory=list)  # which segments, one a part
    forced: bool = False  # a page chose the edges
    offset: int = 0
    limit: int = 0
    answers: dict[int, int | None] = field(default_factory=dict)  # None: failed
    values: list[float] = field(default_factory=list)  # what a page showed


class Aim(NamedTuple):
    """What the cutting is after."""

    workers: int  # that have work to share
    parts: int
    cap: float  # offers of a part
    even: bool  # parts of equal weight, not just parts that are not too heavy


class Group(NamedTuple):
    """Neighbouring buckets that make one partition."""

    tiling: Tiling
    buckets: list[Bucket]

    @property
    def offers(self) -> int:
        return sum(bucket.offers for bucket in self.buckets)


class Dealt(NamedTuple):
    """The partitions that the buckets make, and who gets them."""

    groups: list[Group]
    deal: packing.Deal

    @property
    def balance(self) -> float:
        """In requests and in offers: the worse of the two."""
        return max(self.deal.balance, self.deal.balance_offers)


@dataclass(slots=True, eq=False)
class Measured:
    """Tilings of the feed by price and of what has no price, and the odd fact about the feed."""

    settings: ScanSettings
    prior: Prior
    tilings: list[Tiling] = field(default_factory=list)
    total: int | None = None
    total_failures: int = 0
    priced: int | None = None  # offers on the whole price axis, when that was counted
    whole: dict[AxisName, bool] = field(default_factory=dict)  # it holds every offer of the feed
    whole_failures: Counter[AxisName] = field(default_factory=Counter)
    probing: set[str] = field(default_factory=set)
    doubted: set[AxisName] = field(default_factory=set)  # to be asked together with the feed
    sizes: list[int] | None = None  # of parts to be cut off by rank, the next one last
    twice: list[float] = field(default_factory=list)  # offers found on edges, where that was seen
    offers: int = 0  # of all buckets that are a part of the plan, as far as known
    todo: dict[Bucket, Tiling] = field(default_factory=dict)  # of these, all that are not settled
    version: int = 0  # goes up with every change
    _aim: tuple[int, Aim] | None = None
    _dealt: tuple[int, Dealt] | None = None

    def __post_init__(self) -> None:
        settings = self.settings
        touching = settings.slicing.touching
        price = Axis("price", self.prior.price, touching)
        self.tilings = [Tiling(price, settings.base, [Bucket(0, None, 0, Known.GUESSED)])]
        if settings.priceless:
            waiting = Bucket(0, 1, 0, Known.GUESSED, busy=True, point=True)
            self.tilings.append(Tiling(Axis("priceless", Density()), settings.base, [waiting]))
        self.todo = {tiling.buckets[0]: tiling for tiling in self.tilings}

    def know(self, tiling: Tiling, bucket: Bucket, offers: int, known: Known) -> None:
        """Take a new number for a bucket."""
        self.offers += offers - bucket.offers
        bucket.offers, bucket.known = offers, known
        self.todo[bucket] = tiling

    def put(self, tiling: Tiling, bucket: Bucket, pieces: Sequence[Bucket]) -> None:
        """Let a bucket give way to its parts."""
        tiling.replace(bucket, pieces)
        self.offers += sum(piece.offers for piece in pieces) - bucket.offers
        self.todo.pop(bucket, None)
        self.todo |= dict.fromkeys(pieces, tiling)

    def join(self, tiling: Tiling, left: Bucket, right: Bucket, offers: int) -> None:
        """Let `right` take in its neighbour; together they hold about so many."""
        tiling.join(left, right)
        self.offers += offers - left.offers - right.offers
        right.offers, right.known = offers, Known.DERIVED
        right.subtracted += left.subtracted
        self.todo.pop(left, None)
        self.todo[right] = tiling

    def open(self, bucket: Bucket, finer: Tiling) -> None:
        """Go on along a finer axis."""
        bucket.finer = finer
        self.offers += finer.buckets[0].offers - bucket.offers
        self.todo.pop(bucket, None)
        self.todo[finer.buckets[0]] = finer
        self.version += 1

    def unsettled(self) -> list[tuple[Tiling, Bucket]]:
        """Buckets that may want a call, as long as no part may hold more than the cap."""
        cap = self.settings.cap
        for bucket, tiling in list(self.todo.items()):
            exact = bucket.known <= Known.RANKED or (
                bucket.known is Known.DERIVED and not tiling.axis.touching
            )
            if bucket.stuck or (exact and bucket.offers <= cap):
                del self.todo[bucket]
        return [(tiling, bucket) for bucket, tiling in self.todo.items() if not bucket.busy]

    def finest(self) -> Iterator[tuple[Tiling, Bucket]]:
        """Every bucket that is a part of the plan, in order."""
        for tiling in self.tilings:
            yield from tiling.finest()

    def fill(self) -> float:
        """How full of what it may hold a part is planned."""
        if self.settings.fill is not None:
            return self.settings.fill
        return FILL_WARM if self.prior.warm else FILL_COLD

    def aim(self) -> Aim:
        """From the present sum of all counts."""
        if self._aim is None or self._aim[0] != self.version:
            self._aim = (self.version, self._aimed())
        return self._aim[1]

    def _aimed(self) -> Aim:
        settings = self.settings
        offers = self.offers
        workers = max(1, min(settings.workers, ceil(offers / settings.slicing.page_size)))
        each = max(1, ceil(offers / (workers * self.fill() * settings.cap)))
        parts = workers * each
        if each > PARTS_MAX:
            return Aim(workers, parts, settings.cap, even=False)
        return Aim(
            workers,
            parts,
            min(settings.cap, (1 + (settings.balance - 1) * each) * offers / parts),
            even=True,
        )

    def sure(self, tiling: Tiling, bucket: Bucket) -> bool:
        """Is its number a count, or as good as one?

        What is only a lower bound is good enough where it cannot exceed the cap, and where edges
        were seen to hold next to nothing.
        """
        if bucket.known is not Known.DERIVED or not tiling.axis.touching:
            return bucket.known is not Known.GUESSED
        if bucket.ceiling is None or bucket.ceiling > self.settings.cap:
            return False
        seen = len(self.twice)
        return seen >= EDGES_MIN and sum(self.twice) / seen <= EDGE_SHARE_MAX * self.aim().cap

    def dealt(self) -> Dealt:
        """The largest partitions that neighbours can be joined to and still be dealt evenly."""
        if self._dealt is None or self._dealt[0] != self.version:
            self._dealt = (self.version, self._deal())
        return self._dealt[1]

    def even(self) -> bool:
        """Is the work shared evenly enough?"""
        return self._even(self.dealt())

    def _even(self, dealt: Dealt) -> bool:
        """In offers, and in requests but for one: a request cannot be shared."""
        deal, allowed = dealt.deal, self.settings.balance
        mean = sum(deal.requests) / len(deal.requests)
        return deal.balance_offers <= allowed and max(deal.requests) <= allowed * mean + 1

    def _deal(self) -> Dealt:
        settings, aim = self.settings, self.aim()
        runs = list(self._runs())
        sizes = [[_at_most(tiling, bucket) for bucket in run] for tiling, run in runs]
        limits = {settings.cap, 0, *(int(aim.cap * share) for share in JOINED)}
        best: Dealt | None = None
        for limit in sorted(limits, reverse=True):
            groups = [
                Group(tiling, run[start:end])
                for (tiling, run), held in zip(runs, packing.join(sizes, limit), strict=True)
                for start, end in pairwise([0, *accumulate(held)])
            ]
            leaves = [group.offers for group in groups]
            found = Dealt(groups, packing.deal(leaves, aim.workers, settings.slicing.page_size))
            if best is None or found.balance < best.balance:
                best = found
            if self._even(best):
                break
        return best or Dealt([], packing.deal([], 1, 1))

    def _runs(self) -> Iterator[tuple[Tiling, list[Bucket]]]:
        """Neighbours on one axis that could be one partition."""
        for tiling in self.every_tiling():
            for finer, run in groupby(tiling.buckets, key=lambda bucket: bucket.finer is not None):
                if not finer:
                    yield tiling, list(run)

    def every_tiling(self) -> Iterator[Tiling]:
        """Those by price and all the finer ones."""
        pending = list(self.tilings)
        while pending:
            tiling = pending.pop(0)
            yield tiling
            pending += [bucket.finer for bucket in tiling.buckets if bucket.finer is not None]


def _at_most(tiling: Tiling, bucket: Bucket) -> int:
    """What it may hold, as far as counts tell."""
    lower_bound = bucket.known is Known.DERIVED and tiling.axis.touching
    return bucket.ceiling if lower_bound and bucket.ceiling is not None else bucket.offers
