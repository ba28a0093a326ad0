"""Deal partitions to workers: who gets what, and how even that is.

Pure. The load of a partition is the requests it takes to fetch it, since a request is what a
worker spends its time on: its pages and the empty one that ends it. Pages are not rounded up;
rounding would only blur which of two plans is the better one.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heapreplace
from typing import NamedTuple


class Deal(NamedTuple):
    """Partitions dealt to workers."""

    owner: list[int]  # of each partition, a worker from 0
    requests: list[float]  # of each worker
    offers: list[int]

    @property
    def balance(self) -> float:
        """The heaviest worker over the mean, in requests; 1 for nothing at all."""
        return _uneven(self.requests)

    @property
    def balance_offers(self) -> float:
        """The same in offers."""
        return _uneven(self.offers)


def requests(offers: int, page_size: int) -> float:
    """Requests that fetch a partition, expected."""
    return offers / page_size + 1


def deal(leaves: Sequence[int], workers: int, page_size: int) -> Deal:
    """The largest first, each to the worker with the least so far.

    leaves  offers of each partition

    O(n log n).
    """
    heap = [(0.0, worker) for worker in range(workers)]
    heapify(heap)
    owner = [0] * len(leaves)
    held = [0] * workers
    for at in sorted(range(len(leaves)), key=lambda at: -leaves[at]):
        load, worker = heap[0]
        owner[at] = worker
        held[worker] += leaves[at]
        heapreplace(heap, (load + requests(leaves[at], page_size), worker))
    loads = [0.0] * workers
    for load, worker in heap:
        loads[worker] = load
    return Deal(owner, loads, held)


def join(runs: Iterable[Sequence[int]], offers_max: int) -> list[list[int]]:
    """Join neighbours into groups of at most `offers_max` offers, from the left.

    runs  offers of buckets that may be joined with their neighbours, run by run

    Returns for each run the sizes of its groups, in buckets. What is heavier alone stays alone.
    """
    grouped = []
    for run in runs:
        sizes: list[int] = []
        held = 0
        for offers in run:
            if sizes and held + offers <= offers_max:
                sizes[-1] += 1
                held += offers
            else:
                sizes.append(1)
                held = offers
        grouped.append(sizes)
    return grouped


def _uneven(loads: Sequence[float]) -> float:
    total = sum(loads)
    return max(loads) * len(loads) / total if total else 1.0
