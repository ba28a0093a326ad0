"""Where to cut: even parts, boundaries between workers, crowded values.

Pure functions; positions are whole numbers on an axis, fractions are shares of a bucket's offers.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Container, Sequence
from itertools import accumulate
from math import ceil, floor, isqrt

FULL = 0.97  # a part is never planned fuller than this share of what it may hold
PARTS_MAX = 1_024  # of one bucket at a time; what is still too heavy is cut again
CROWDED_CAPS = 0.5  # a value holding this much of what a part may hold is fenced off
CROWDED_MIN = 3  # times on a page; two of a kind are chance
NEAR = 0.05  # units; what dividing cents by carats may be off


def even(offers: int, cap: int, fill: float) -> list[float]:
    """Fractions that cut `offers` into equal parts of at most `cap`, filled to about `fill`."""
    parts = max(2, round(offers / (fill * cap)), ceil(offers / (FULL * cap)))
    parts = min(parts, PARTS_MAX)
    return [part / parts for part in range(1, parts)]


def boundaries(
    buckets: Sequence[int], parts: int, cap: float, whole: Container[int] = ()
) -> dict[int, list[float]]:
    """Where buckets must still be cut so that neighbours can form `parts` groups of at most `cap`.

    buckets  offers, in order
    whole    positions of buckets that should stay whole, light ones that are hard to cut

    A boundary may be any edge within the slack that `cap` leaves; where there is none, the middle
    of the slack is proposed, and the walk goes on as if it had landed there. Returns fractions,
    ascending, by the position of the bucket. O(len(buckets) + parts · log).
    """
    edges = [0, *accumulate(buckets)]
    total = edges[-1]
    even_part = total / parts
    slack = (cap - even_part) / 2
    wanted: dict[int, list[float]] = {}
    reached, nth = 0.0, 1
    while total - reached > cap:
        last = reached + cap
        first = min(last, max(nth * even_part - slack, reached + 1))
        edge = edges[bisect_right(edges, last) - 1]
        middle = (first + last) / 2
        at = bisect_left(edges, middle) - 1
        if edge >= first:
            reached = edge
        elif at in whole:
            reached = edges[at] if edges[at] > reached else edges[at + 1]
        else:
            reached = middle
            wanted.setdefault(at, []).append((reached - edges[at]) / buckets[at])
        nth = max(nth + 1, floor(reached / even_part) + 1)
    return wanted


def choose(fractions: Sequence[float], calls: int, *, peel: bool) -> list[float]:
    """Some of the proposed cuts, as many as there are calls for, at least one.

    peel  from the low end, part by part; else spread evenly, the middle one first
    """
    wanted = min(len(fractions), max(1, calls))
    if peel:
        return list(fractions[:wanted])
    step = (len(fractions) + 1) / (wanted + 1)
    return [fractions[round(step * nth) - 1] for nth in range(1, wanted + 1)]


def bend(fraction: float, before: float, here: float, after: float) -> float:
    """Where in a bucket a share of its offers is reached, if the density changes smoothly.

    before, here, after  mean densities of the bucket and its neighbours; a neighbour that says
                         nothing has the same as here

    A monotone cubic (Fritsch and Carlson) through the cumulative counts. Returns a share of the
    bucket's width, in the coordinate the densities are in.
    """
    start, end = (2 * side / (side + here) if side + here > 0 else 1.0 for side in (before, after))
    low, high = 0.0, 1.0
    for _ in range(24):
        t = (low + high) / 2
        reached = t * t * (3 - 2 * t) + t * (1 - t) ** 2 * start - t * t * (1 - t) * end
        low, high = (t, high) if reached < fraction else (low, t)
    return (low + high) / 2


def crowds(
    values: Sequence[float], offers: int, cap: float, *, touching: bool
) -> list[tuple[int, int]]:
    """The crowded values on a page, each as the two edges that fence it off, ascending.

    values  coordinates of the offers on a page of a bucket
    offers  in the bucket
    cap     of a part

    Where ranges include both ends, an edge on a crowded value would fetch it twice: the fence
    stands beside it. Fences that would overlap become one.
    """
    times = Counter(_fence(value, touching=touching) for value in values)
    need = max(CROWDED_MIN, CROWDED_CAPS * cap / max(1, offers) * len(values))
    fences: list[tuple[int, int]] = []
    for low, high in sorted(fence for fence, seen in times.items() if seen >= need):
        if fences and low < fences[-1][1]:
            fences[-1] = (fences[-1][0], high)
        else:
            fences.append((low, high))
    return fences


def _fence(value: float, *, touching: bool) -> tuple[int, int]:
    """The nearest edges around a value that do not lie on it.

    A price per carat that we computed ourselves is a little off: near a whole number it counts
    as on it.
    """
    whole = round(value)
    if abs(value - whole) > NEAR:
        return floor(value), floor(value) + 1
    return (whole - 1, whole + 1) if touching or value != whole else (whole, whole + 1)


def halfway(low: int, high: int | None) -> int:
    """The middle, by ratio where the range spans several octaves."""
    if high is None:
        return 4 * low + 64
    if high > 16 * (low + 1):
        return isqrt((low + 1) * high)
    return (low + high) // 2
