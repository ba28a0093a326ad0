"""What a plan must at least cost. Pure.

Source: the totally unimodular argument of the interval matrix; a plan that can prove that no
leaf holds more than M needs as many counts as it has leaves.
"""

from math import ceil

BALANCE = 1.10  # heaviest worker over the mean


def leaves_min(offers: int, workers: int, depth: int, page_size: int) -> int:
    """The fewest leaves of at most `depth` offers that can be dealt evenly: P*.

    A worker may hold `BALANCE` of the mean; each of its leaves but the last can be full. Feeds of
    fewer pages than workers are shared among as many workers as there are pages.
    """
    if offers == 0:
        return 1
    sharing = min(workers, ceil(offers / page_size))
    allowed = BALANCE * offers / sharing
    full = int(allowed // depth)  # leaves of a worker that can be full
    if offers <= sharing * full * depth:
        return ceil(offers / depth)
    return sharing * full + ceil((offers - sharing * full * depth) / (allowed - full * depth))
