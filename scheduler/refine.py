"""What to ask next: the heaviest bucket that is too heavy, where its middle should be.

Pure. After a surprise a page is read to see what the bucket holds, then it is halved.

Where ranges include both ends a count by subtraction is only a lower bound, since what lies on
the shared edge is subtracted with both sides. There a bucket of few parts is peeled: each part is
counted itself, from the low end, and only the shrinking rest is known by subtraction. What was
never counted at last is counted before the scan calls itself done.
"""

from heapq import nlargest
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from scheduler import cuts, ranks
from scheduler.axes import Bucket, Known, Tiling
from scheduler.ladder import climb
from scheduler.measured import Job, Measured

PEEL_MAX = 16  # parts of a bucket, at most, that are each counted themselves
TRIM_MAX = 1.6  # of what a part may hold: cut the surplus off and leave it to the neighbour
PAGE_WIDTH_MIN = 5  # units; a narrower bucket is halved to its end as soon as a page shows it
PAGES_MAX = 3  # of one bucket
# With fewer parts or more, only the second surprise is worth a page.
PAGE_PARTS_MIN, PAGE_PARTS_MAX = 1.5, 100
LIGHT = 0.5  # of a part: a crowded value below that is not worth a finer axis
PIECE_SHARE = 1.2  # of what a worker may have too much: pieces that others can still take
SURPLUS_PIECES_MAX = 16
VALUES_FILL = 0.9  # of what a part may hold, where values are told apart
NEARLY = 1.2  # a balance from which on single surpluses are cut off, where parts are not too deep
# Of the heaviest surprise whose parts are being counted: while all that could be cut weighs less,
# its answer is worth waiting for. 7 % fewer calls where prices are crowded, and as quick; with 0.5
# feeds without surprises are cut no better and 5 % later.
WAIT_SHARE = 0.3
GIVE_SHARE = 20  # an edge may move by one part in so many of what it cuts off, to a quieter place


class Wish(NamedTuple):
    """A bucket that a call should be spent on."""

    tiling: Tiling
    bucket: Bucket
    fractions: list[float]  # where to cut it; none: count it


def propose(measured: Measured, room: int) -> list[Job]:
    """Jobs worth asking now, the heaviest first, together about `room` calls; or none."""
    jobs: list[Job] = []
    if measured.total is None and "total" not in measured.probing:
        measured.probing.add("total")
        jobs.append(Job("total", [measured.settings.base]))
    by_rank = ranks.propose(measured, room - len(jobs))
    if by_rank is not None:
        return [*jobs, *by_rank]
    looking = True
    while looking and room > len(jobs):
        looking = False
        for wish, calls in _share(measured, room - len(jobs)):
            tiling, bucket, fractions = wish
            if bucket.busy:  # another wish was quicker
                continue
            if fractions and not bucket.edges and _ends(tiling, bucket):
                job = climb(measured, tiling, bucket)
                looking |= bucket.finer is not None or bool(bucket.stuck)
            else:
                job = _job(measured, wish, calls)
            if job is not None:
                jobs.append(job)
    return jobs


def _share(measured: Measured, room: int) -> list[tuple[Wish, int]]:
    """The heaviest wishes, each with the number of calls to spend on it."""
    wishes = _wishes(measured, room)
    calls = [1] * len(wishes)
    for _ in range(room - len(wishes)):
        at = max(
            (at for at, wish in enumerate(wishes) if calls[at] < len(wish.fractions)),
            key=lambda at: wishes[at].bucket.offers / calls[at],
            default=None,
        )
        if at is None:
            break
        calls[at] += 1
    return list(zip(wishes, calls, strict=True))


def _wishes(measured: Measured, most: int) -> list[Wish]:
    """The heaviest buckets to count or to cut.

    First those of which nothing is known; then those to cut, and where every part is to be
    counted, those to count; last what makes it even.
    """
    unsettled = measured.unsettled()
    guessed = [pair for pair in unsettled if pair[1].known is Known.GUESSED]
    if guessed:
        return _heaviest([Wish(*pair, []) for pair in guessed], most)
    cap, fill = measured.settings.cap, measured.fill()
    if not measured.aim().even:
        chosen = nlargest(
            most,
            (pair for pair in unsettled if pair[1].offers > cap or not measured.sure(*pair)),
            key=lambda pair: pair[1].offers,
        )
        if chosen:
            return [
                Wish(*pair, cuts.even(pair[1].offers, cap, fill) if pair[1].offers > cap else [])
                for pair in chosen
            ]
    elif heavy := _uneven(measured):
        return _heaviest(heavy, most)
    unsure = [Wish(*pair, []) for pair in unsettled if not measured.sure(*pair)]
    if unsure:
        return _heaviest(unsure, most)
    if any(bucket.busy for _, bucket in measured.finest()) or measured.even():
        return []
    return _heaviest(_overloads(measured), most)


def _heaviest(wishes: list[Wish], most: int) -> list[Wish]:
    return nlargest(most, wishes, key=lambda wish: wish.bucket.offers)


def _uneven(measured: Measured) -> list[Wish]:
    """Buckets to cut so that neighbours can form parts of equal weight, until that is no longer
    needed to deal them evenly."""
    flat, cap, aim = list(measured.finest()), measured.settings.cap, measured.aim()
    if all(b.offers <= cap or b.stuck for _, b in flat) and measured.dealt().balance <= NEARLY:
        return []
    whole = {
        at
        for at, (tiling, bucket) in enumerate(flat)
        if bucket.offers <= LIGHT * aim.cap and _ends(tiling, bucket)
    }
    wanted = cuts.boundaries([b.offers for _, b in flat], aim.parts, aim.cap, whole)
    wishes = [
        Wish(*flat[at], fractions)
        for at, fractions in wanted.items()
        if not flat[at][1].busy and not flat[at][1].stuck
    ]
    surprises = (bucket.offers for _, bucket in flat if bucket.busy and bucket.surprises)
    asked = max(surprises, default=0)
    heavy = any(wish.bucket.offers >= WAIT_SHARE * asked for wish in wishes)
    return wishes if heavy else []


def _ends(tiling: Tiling, bucket: Bucket) -> bool:
    """Is there no use in cutting it on its own axis?"""
    return bucket.point or tiling.axis.ends(bucket.low, bucket.high)


def _overloads(measured: Measured) -> list[Wish]:
    """Of each worker that has too much, what to cut off in pieces that others can still take."""
    dealt, allowed = measured.dealt(), measured.settings.balance
    held = dealt.deal.offers
    mean = sum(held) / len(held)
    too_much = min(max(held), allowed * mean)
    piece = PIECE_SHARE * (allowed - 1) * mean
    chosen: dict[int, Wish] = {}
    for owner, group in zip(dealt.deal.owner, dealt.groups, strict=True):
        surplus = held[owner] - mean
        for bucket in group.buckets:
            if held[owner] < too_much or bucket.stuck or bucket.offers < 2:
                continue
            before = chosen.get(owner)
            if before is None or _fitter(bucket, before.bucket, surplus):
                pieces = min(SURPLUS_PIECES_MAX, ceil(min(surplus, bucket.offers) / max(1, piece)))
                share = min(piece / bucket.offers, 1 / (pieces + 1))
                cut = [1 - share * nth for nth in range(max(1, pieces), 0, -1)]
                chosen[owner] = Wish(group.tiling, bucket, cut)
    return list(chosen.values())


def _fitter(bucket: Bucket, than: Bucket, surplus: float) -> bool:
    """Is it the smallest that holds the surplus, or where none does, the largest?"""
    if bucket.offers >= surplus:
        return than.offers < surplus or bucket.offers < than.offers
    return than.offers < bucket.offers


def _job(measured: Measured, wish: Wish, calls: int) -> Job:
    tiling, bucket, fractions = wish
    axis = tiling.axis
    bucket.busy = True
    if not fractions:
        return Job("count", [tiling.slice_of(bucket.low, bucket.high)], tiling, bucket)
    if bucket.edges:
        return _cut(tiling, bucket, list(bucket.edges), forced=True)
    if bucket.surprises and _page_helps(measured, tiling, bucket):
        return _page(measured, tiling, bucket)
    if bucket.surprises > 1:
        middle = axis.edge(cuts.halfway(bucket.low, bucket.high), bucket.low, bucket.high)
        if middle is not None:
            return _cut(tiling, bucket, [middle])
    peel = axis.touching and len(fractions) < PEEL_MAX
    if bucket.failures:  # a smaller part may be answered
        chosen = [fractions[(len(fractions) - 1) >> bucket.failures] / (1 + bucket.failures // 4)]
    elif peel and len(fractions) == 1 and _trims(measured, tiling, bucket):
        chosen = [measured.fill() * measured.settings.cap / bucket.offers]
    else:
        chosen = cuts.choose(fractions, calls, peel=peel)
    if axis.values and bucket.offers > measured.settings.cap and not bucket.failures:
        return _cut(tiling, bucket, [_fullest(measured, tiling, bucket)])
    densities = _densities(tiling, bucket)
    edges: list[int] = []
    for fraction in chosen:
        bent = cuts.bend(fraction, *densities)
        at = axis.density.cut(bucket.low, bucket.high, bent)
        if _too_far(measured, tiling, bucket, at, bent):
            at = max(bucket.low + 1, at - 1)
        give = (at - max([bucket.low, *edges])) // GIVE_SHARE
        edge = axis.edge(at, bucket.low, bucket.high, give)
        if edge is not None and (not edges or edge > edges[-1]):
            edges.append(edge)
    return _cut(tiling, bucket, edges)


def _fullest(measured: Measured, tiling: Tiling, bucket: Bucket) -> int:
    """The edge below which most values make one part: shapes are too few to cut them evenly."""
    density, low, high = tiling.axis.density, bucket.low, bucket.high
    whole = density.below(high) - density.below(low)
    edge = low + 1
    while high is not None and edge + 1 < high and whole > 0:
        share = (density.below(edge + 1) - density.below(low)) / whole
        if share * bucket.offers > VALUES_FILL * measured.settings.cap:
            break
        edge += 1
    return edge


def _too_far(measured: Measured, tiling: Tiling, bucket: Bucket, at: int, share: float) -> bool:
    """Is so much crowded just below `at` that the part would be more than one worker can have?

    share  of the bucket's offers that was wanted below it
    """
    aim, below = measured.aim(), tiling.axis.density.below
    low, high = below(bucket.low), below(bucket.high)
    if not aim.even or high <= low:
        return False
    more = bucket.offers * ((below(at) - low) / (high - low) - share)
    return more > (aim.cap - measured.offers / aim.parts) / 2


def _page_helps(measured: Measured, tiling: Tiling, bucket: Bucket) -> bool:
    wide = bucket.high is None or bucket.high - bucket.low >= PAGE_WIDTH_MIN
    parts = bucket.offers / measured.aim().cap
    once = PAGE_PARTS_MIN < parts < PAGE_PARTS_MAX
    unread = bucket.pages < min(PAGES_MAX, bucket.surprises - (not once))
    return measured.settings.pages and wide and unread and not tiling.axis.values


def _page(measured: Measured, tiling: Tiling, bucket: Bucket) -> Job:
    """A page from another place of the bucket each time: order may go with the price."""
    slicing = measured.settings.slicing
    readable = min(bucket.offers, slicing.depth) - slicing.page_size
    offset = max(0, readable * (2 * bucket.pages + 1) // (2 * PAGES_MAX))
    bucket.pages += 1
    part = tiling.slice_of(bucket.low, bucket.high)
    return Job("page", [part], tiling, bucket, offset=offset, limit=slicing.page_size)


def _trims(measured: Measured, tiling: Tiling, bucket: Bucket) -> bool:
    """Is there a neighbour, itself to be cut, that can take what is too much here?"""
    if measured.aim().even:  # then it is said already where to cut
        return False
    after = tiling.after(bucket)
    light = bucket.offers <= TRIM_MAX * measured.settings.cap
    return light and after is not None and after.known is Known.DERIVED and not after.busy


def _cut(tiling: Tiling, bucket: Bucket, edges: list[int], *, forced: bool = False) -> Job:
    """Count every segment between the edges but one."""
    inner = list(pairwise([bucket.low, *edges]))
    bounds: list[tuple[int, int | None]] = [*inner, (edges[-1], bucket.high)]
    below = tiling.axis.density.below
    masses = [below(high) - below(low) for low, high in bounds]
    whole = sum(masses)
    expected = [bucket.offers * (mass / whole if whole > 0 else 1 / len(masses)) for mass in masses]
    # The last one is known by subtraction, unless it is a single value: that one may be crowded.
    # Where ranges include both ends, every other one is counted, and that is not worth it.
    single = tiling.axis.ends(*bounds[-1]) and not tiling.axis.touching
    spared = 0 if single else len(edges)
    asked = [at for at in range(len(bounds)) if at != spared]
    parts = [tiling.slice_of(*bounds[at]) for at in asked]
    return Job("cut", parts, tiling, bucket, None, edges, expected, asked, forced=forced)


def _densities(tiling: Tiling, bucket: Bucket) -> tuple[float, float, float]:
    """Offers for each share of the expected mass: before the bucket, in it, after it."""
    place, below = tiling.place(bucket), tiling.axis.density.below

    def of(at: int, default: float) -> float:
        if not 0 <= at < len(tiling.buckets):
            return default
        one = tiling.buckets[at]
        mass = below(one.high) - below(one.low)
        told = not one.point and one.known is not Known.GUESSED and mass > 0
        return one.offers / mass if told else default

    here = of(place, 1.0)
    return of(place - 1, here), here, of(place + 1, here)
