"""What answers change: buckets give way to their parts, and nothing else.

Pure. An answer is taken as it is; what does not add up costs more counts, never an offer.
"""

from itertools import pairwise
from typing import NamedTuple

from scheduler import cuts, ranks
from scheduler.axes import Bucket, Known, Tiling
from scheduler.measured import FAILURES_MAX, Job, Measured

HALVINGS_MAX = 6  # a range whose count never comes is cut unseen so many times
OVERLAP_PAGES_MAX = 8  # fetched twice for one edge; another axis costs a few counts
SURPRISE_SHARE = 0.5  # of what was expected elsewhere: the density is wrong about this bucket


def settle(measured: Measured, job: Job) -> None:
    """Take in the answers of a job; a missing one counts as failed."""
    measured.version += 1
    if job.bucket is not None:
        job.bucket.busy = False
    if job.kind == "total":
        _totalled(measured, job.answers.get(0))
    elif job.kind == "whole" and job.finer is not None:
        _whole(measured, job, job.finer)
    elif job.tiling is not None and job.bucket is not None:
        if job.kind == "count":
            _counted(measured, job.tiling, job.bucket, job.answers.get(0))
        elif job.kind == "rank":
            ranks.settle(measured, job, job.tiling, job.bucket)
        elif job.kind == "page":
            _seen(measured, job, job.tiling, job.bucket)
        elif job.kind == "cut":
            _cut(measured, job, job.tiling, job.bucket)
        elif job.finer is not None:
            _fits(measured, job, job.tiling, job.bucket)
    _priceless(measured)


def _totalled(measured: Measured, total: int | None) -> None:
    measured.total = total
    if total is None:
        measured.total_failures += 1
        if measured.total_failures < FAILURES_MAX:
            measured.probing.discard("total")


def _whole(measured: Measured, job: Job, finer: Tiling) -> None:
    """Does an axis hold every offer of the feed? Where it holds fewer than the total, the feed may
    have moved since, and both are asked once more."""
    name, inside, now = finer.axis.name, job.answers.get(0), job.answers.get(1)
    totals = [total for total in (measured.total, now) if total is not None]
    if inside is None or not totals:
        measured.whole_failures[name] += 1
        if measured.whole_failures[name] < FAILURES_MAX:
            measured.probing.discard(name)  # ask again
            return
    held = inside is not None and bool(totals) and inside >= min(totals)
    if not held and inside is not None and len(job.parts) == 1:
        measured.doubted.add(name)
        measured.probing.discard(name)
        return
    measured.whole[name] = held


def _fits(measured: Measured, job: Job, tiling: Tiling, bucket: Bucket) -> None:
    """The same for one bucket, on a feed where not every offer has the attribute."""
    inside, now = job.answers.get(0), job.answers.get(1)
    if now is not None:
        measured.know(tiling, bucket, now, Known.COUNTED)
    if inside is None or now is None or job.finer is None:
        bucket.failures += 1
        if bucket.failures < FAILURES_MAX:
            return
    if inside is None or now is None or inside < now or job.finer is None:
        bucket.skipped += 1
        bucket.failures = 0
        return
    job.finer.buckets[0].offers = inside
    measured.open(bucket, job.finer)


def _priceless(measured: Measured) -> None:
    """What has no price is what the price axis does not hold; else it is counted itself."""
    settled = measured.total is not None or measured.total_failures >= FAILURES_MAX
    if len(measured.tilings) < 2 or not settled:
        return
    bucket, root = measured.tilings[1].buckets[0], measured.tilings[0].buckets[0]
    waits = bucket.busy and bucket.known is Known.GUESSED and not bucket.failures
    if not waits or (root.high is None and root.busy):
        return
    bucket.busy = False
    if measured.total is not None and measured.priced is not None:
        offers = max(0, measured.total - measured.priced)
        measured.know(measured.tilings[1], bucket, offers, Known.DERIVED)


def _counted(measured: Measured, tiling: Tiling, bucket: Bucket, count: int | None) -> None:
    if tiling is measured.tilings[0] and len(tiling.buckets) == 1:
        measured.priced = count
    if count is not None:
        twice = (count - bucket.offers) / max(1, bucket.subtracted)
        derived = bucket.known is Known.DERIVED and tiling.axis.touching and not bucket.moved
        measured.know(tiling, bucket, count, Known.COUNTED)
        bucket.failures, bucket.subtracted, bucket.ceiling = 0, 0, count
        if derived:
            measured.twice.append(twice)
        if derived and twice > OVERLAP_PAGES_MAX * measured.settings.slicing.page_size:
            _move_edge(measured, tiling, bucket)
        return
    bucket.failures += 1
    if bucket.failures < FAILURES_MAX:
        return
    axis = tiling.axis
    unseen = bucket.known is Known.GUESSED and bucket.halvings < HALVINGS_MAX and not bucket.point
    if not unseen or axis.ends(bucket.low, bucket.high):
        bucket.stuck = "its count was never answered"
        return
    middle = axis.density.cut(bucket.low, bucket.high, 0.5)
    edge = axis.edge(middle, bucket.low, bucket.high) or middle
    half, halvings = bucket.offers // 2, bucket.halvings + 1
    pieces = [
        Bucket(bucket.low, edge, half, Known.GUESSED, halvings=halvings),
        Bucket(edge, bucket.high, bucket.offers - half, Known.GUESSED, halvings=halvings),
    ]
    measured.put(tiling, bucket, pieces)


def _move_edge(measured: Measured, tiling: Tiling, bucket: Bucket) -> None:
    """Many offers lie exactly on its low edge and would be fetched twice: fence them off."""
    before = tiling.before(bucket)
    if before is None or before.busy or before.finer is not None or before.stuck:
        return
    edge, grid = bucket.low, tiling.axis.grid
    bucket.subtracted, bucket.moved = 1, True
    measured.join(tiling, before, bucket, max(before.offers, bucket.offers))
    fence = () if grid else (edge - 1, edge + 1)
    bucket.edges = tuple(at for at in fence if bucket.low < at and at != bucket.high)
    bucket.point = not bucket.edges


def _seen(measured: Measured, job: Job, tiling: Tiling, bucket: Bucket) -> None:
    """Fence off the crowded values a page shows, or cut at the median of what it shows."""
    low, high, axis = bucket.low, bucket.high, tiling.axis
    values = sorted(v for v in job.values if low <= v and (high is None or v <= high))
    if not values:
        return
    fences = cuts.crowds(values, bucket.offers, measured.aim().cap, touching=axis.touching)
    inside = {edge for fence in fences for edge in fence if low < edge}
    edges = sorted(edge for edge in inside if high is None or edge < high)
    if fences and not edges:
        bucket.point = True
    elif not fences and not axis.ends(low, high):
        median = axis.edge(int(values[len(values) // 2]), low, high)
        edges = [] if median is None else [median]
    bucket.edges = tuple(edges)


class _Piece(NamedTuple):
    """Segments between two edges that stay together, and their count if it was answered."""

    low: int
    high: int | None
    counted: int | None
    expected: float


def _cut(measured: Measured, job: Job, tiling: Tiling, bucket: Bucket) -> None:
    bucket.edges = ()
    held = _pieces(job, bucket)
    if len(held) == 1:
        bucket.failures += 1
        if bucket.failures >= FAILURES_MAX:
            bucket.stuck = "counts of its parts were never answered"
        return
    rest = bucket.offers - sum(piece.counted for piece in held if piece.counted is not None)
    unknown = [piece.expected for piece in held if piece.counted is None]
    pieces: list[Bucket] = []
    for low, high, count, expected in held:
        made = Bucket(low, high, count or 0, Known.COUNTED, ceiling=count)
        if count is None and len(unknown) == 1 and (rest >= 0 or tiling.axis.touching):
            made.offers, made.known = max(0, rest), Known.DERIVED
            made.ceiling = bucket.offers if bucket.known is Known.COUNTED else bucket.ceiling
            made.subtracted = bucket.subtracted + len(held) - 1
        elif count is None:
            share = expected / sum(unknown) if sum(unknown) > 0 else 1 / len(unknown)
            made.offers, made.known = round(max(0, rest) * share), Known.GUESSED
        if made.offers > expected + SURPRISE_SHARE * max(0.0, bucket.offers - expected):
            made.surprises, made.pages = bucket.surprises + 1, bucket.pages
        made.moved = bucket.moved and job.forced
        made.point = job.forced and high is not None and high - low <= 1 + tiling.axis.touching
        pieces.append(made)
    measured.put(tiling, bucket, pieces)
    last = pieces[-1]
    after = tiling.after(last)
    if after is not None and _joins(measured, tiling, last, after):
        measured.join(tiling, last, after, last.offers + after.offers)


def _pieces(job: Job, bucket: Bucket) -> list[_Piece]:
    """The segments of a cut; neighbours without an answer stay together, their sum is known."""
    segments = [*pairwise([bucket.low, *job.edges]), (job.edges[-1], bucket.high)]
    held: list[_Piece] = []
    told = {segment: job.answers.get(part) for part, segment in enumerate(job.asked)}
    for at, (low, high) in enumerate(segments):
        piece = _Piece(low, high, told.get(at), job.expected[at])
        if held and held[-1].counted is None and piece.counted is None:
            piece = _Piece(held[-1].low, high, None, held.pop().expected + piece.expected)
        held.append(piece)
    return held


def _joins(measured: Measured, tiling: Tiling, last: Bucket, after: Bucket) -> bool:
    """Is the surplus of one part better counted with what comes after it?"""
    if not tiling.axis.touching or after.busy or after.point or after.finer or after.edges:
        return False
    derived = last.known is Known.DERIVED and after.known is Known.DERIVED
    return derived and last.offers <= measured.settings.cap
