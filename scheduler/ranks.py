"""Cut by rank, where a supplier lists offers in order of price: the offer at a rank is an edge.

Pure. One page of one offer cuts off a part of a size chosen beforehand, so that parts come as full
and as even as they can be, and no part need be counted. From one starting point that takes a call
for each part, one behind the other; from several, guessed ones, a few calls more and far less time.
"""

from itertools import pairwise
from math import ceil, floor

from scheduler.axes import Bucket, Known, Tiling
from scheduler.measured import FAILURES_MAX, Job, Measured

DOUBT_SHARE = 0.01  # of all offers: what parts may hold less than said, all together


def sizes(offers: int, workers: int, cap: int, balance: float) -> list[int]:
    """The fewest parts of at most `cap` offers that can be dealt to workers within `balance`.

    Each worker can be given so many full parts, and then one that is not full. Largest first; the
    last one is what remains.
    """
    allowed = balance * offers / workers
    full = int(allowed // cap)
    parts = [cap] * min(ceil(offers / cap), workers * full)
    rest = offers - sum(parts)
    if rest > 0:
        each = max(1, int(allowed - full * cap))
        parts += [each] * ceil(rest / each)
    return parts


def propose(measured: Measured, room: int) -> list[Job] | None:
    """The next edge of each stretch that is not cut yet; None where ranks have no say (any more).

    An empty list means that answers must come first.
    """
    tiling = measured.tilings[0]
    if not measured.settings.slicing.ranked or measured.priced is None:
        return None
    if measured.sizes is None:
        _start(measured, tiling)
    uncut = [bucket for bucket in tiling.buckets if bucket.uncut]
    if len(uncut) == 1 and uncut[0].offers <= _size(measured) and not uncut[0].busy:
        uncut.pop().uncut = False  # the last part; a count tells more than a rank
    if not uncut:
        _doubt(measured, tiling)
        return None
    jobs: list[Job] = []
    for bucket in uncut:
        if bucket.busy or len(jobs) >= room:
            continue
        bucket.busy = True
        part = tiling.slice_of(bucket.low, bucket.high)
        jobs.append(Job("rank", [part], tiling, bucket, offset=_size(measured), limit=1))
    return jobs


def _start(measured: Measured, tiling: Tiling) -> None:
    settings, aim, bucket = measured.settings, measured.aim(), tiling.buckets[0]
    offers = measured.priced or 0
    measured.sizes = sizes(offers, aim.workers, settings.cap, settings.balance) if offers else []
    measured.sizes.reverse()
    if len(measured.sizes) < 2:
        return
    chains = min(settings.rank_chains, len(measured.sizes))
    edges: list[int] = []
    for nth in range(1, chains):
        at = tiling.axis.density.cut(0, None, nth / chains)
        edge = tiling.axis.edge(at, max([0, *edges]), None, at)
        edges += [] if edge is None else [edge]
    bounds: list[int | None] = [0, *edges, None]
    stretches = [
        Bucket(low or 0, high, offers // (len(edges) + 1), Known.GUESSED, uncut=True)
        for low, high in pairwise(bounds)
    ]
    stretches[0].offers += offers - sum(one.offers for one in stretches)
    measured.put(tiling, bucket, stretches)


def _size(measured: Measured) -> int:
    """Of the next part to cut off."""
    return measured.sizes[-1] if measured.sizes else measured.settings.cap


def settle(measured: Measured, job: Job, tiling: Tiling, bucket: Bucket) -> None:
    """Cut at the offer that was found at the rank, or end the stretch where there was none."""
    if job.answers.get(0) is None:
        bucket.failures += 1
        bucket.uncut = bucket.failures < FAILURES_MAX
        return
    bucket.failures = 0
    if not job.values:
        bucket.uncut = False
        bucket.ceiling = job.offset
        return
    # What lies on an edge is in both parts where ranges include both ends.
    touching, value = tiling.axis.touching, job.values[0]
    edge = ceil(value) - 1 if touching else floor(value)
    crowded = edge <= bucket.low
    if crowded:
        edge = max(bucket.low, floor(value)) + 1
        before = tiling.before(bucket)
        if before is not None and before.known is Known.RANKED:
            # It ends at a crowded value, and nobody knows how far before its rank.
            measured.know(tiling, before, before.offers, Known.GUESSED)
    if bucket.high is not None and edge >= bucket.high:
        bucket.uncut, bucket.point = False, crowded
        return
    known = Known.GUESSED if crowded else Known.RANKED
    if measured.sizes and not crowded:
        measured.sizes.pop()
    rest = max(0, bucket.offers - job.offset)
    piece = Bucket(bucket.low, edge, job.offset, known, point=crowded)
    piece.ceiling = None if crowded else job.offset
    pieces = [piece, Bucket(edge, bucket.high, rest, Known.GUESSED, uncut=True)]
    measured.put(tiling, bucket, pieces)


def _doubt(measured: Measured, tiling: Tiling) -> None:
    """Where many offers share a price, parts hold less than their rank says: count them then.

    With many parts a worker it does not matter.
    """
    if not measured.aim().even:
        return
    flat = list(tiling.finest())
    if any(bucket.known is Known.GUESSED or bucket.busy for _, bucket in flat):
        return
    said = sum(bucket.offers for _, bucket in flat)
    if said - (measured.priced or 0) > DOUBT_SHARE * said:
        for _, bucket in flat:
            if bucket.known is Known.RANKED:
                measured.know(tiling, bucket, bucket.offers, Known.GUESSED)
