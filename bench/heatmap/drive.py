"""Drive a scan against a supplier in memory, and look at its plan from the outside."""

import heapq
import random
from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

import numpy as np

from bench.heatmap.sets import NO_PRICE
from bench.heatmap.supplier import Supplier
from scheduler import packing
from scheduler.density import Prior
from scheduler.heatmap import Scan, ScanSettings
from scheduler.terms import Ask, Plan
from shared.feeds.base import Slice

IN_FLIGHT = 8
UNITS_PER_USD = 100.0  # the axis is in cents
CROWDED_MIN = 500  # stones at one price whose carats are remembered


def scanned(
    supplier: Supplier,
    settings: ScanSettings,
    prior: Prior | None = None,
    *,
    failing: float = 0.0,
    in_flight: int = IN_FLIGHT,
    seed: int = 0,
) -> Plan:
    """A scan whose calls all take equally long.

    failing  share of the calls that fail
    """
    scan, draw = Scan(settings, prior), random.Random(seed)
    while not scan.done:
        for ask in scan.next(in_flight):
            if draw.random() < failing:
                scan.failed(ask)
            else:
                answer(supplier, scan, ask)
    return scan.plan()


def answer(supplier: Supplier, scan: Scan, ask: Ask) -> None:
    if ask.ranked:
        value = supplier.ranked(ask.part, ask.offset)
        scan.paged(ask, [] if value is None else [value])
    elif ask.limit:
        scan.paged(ask, supplier.page(ask.part, ask.offset, ask.limit, ask.axis))
    else:
        scan.answered(ask, supplier.count(ask.part))


def timed(
    supplier: Supplier,
    settings: ScanSettings,
    prior: Prior | None = None,
    *,
    latency_s: tuple[float, float] = (0.05, 0.5),
    hung: float = 0.02,
    timeout_s: float = 2.0,
    seed: int = 0,
) -> tuple[Plan, float]:
    """A scan whose calls take a time drawn from a range, evenly by ratio; returns seconds too.

    hung  share of the calls that never come back and are given up after `timeout_s`
    """
    scan, draw = Scan(settings, prior), random.Random(seed)
    flying: list[tuple[float, int, Ask, bool]] = []
    now = 0.0
    while not scan.done:
        for ask in scan.next(IN_FLIGHT - len(flying)):
            lost = draw.random() < hung
            takes_s = timeout_s if lost else exp(draw.uniform(*map(log, latency_s)))
            heapq.heappush(flying, (now + takes_s, ask.number, ask, lost))
        if not flying:
            break
        now, _, ask, lost = heapq.heappop(flying)
        if lost:
            scan.failed(ask)
        else:
            answer(supplier, scan, ask)
    return scan.plan(), now


class Seen(NamedTuple):
    """What a set of parts really is, by counting each."""

    parts: int
    missed: int  # offers in no part
    doubled: int  # offers in more than one
    largest: int  # offers of the heaviest part
    balance: float  # offers of the heaviest worker over the mean, dealt largest first


def seen(supplier: Supplier, parts: Sequence[Slice], workers: int) -> Seen:
    times = np.zeros(len(supplier.offers), np.int64)
    for part in parts:
        supplier.add_to(times, part)
    held = [supplier.count(part) for part in parts]
    dealt = packing.deal(held, workers, 50)
    return Seen(
        len(parts),
        int((times == 0).sum()),
        int((times > 1).sum()),
        max(held, default=0),
        dealt.balance_offers,
    )


def remembered(supplier: Supplier) -> Prior:
    """What the catalogue knows of a feed: stones by price, and below crowded prices by carat."""
    offers = supplier.offers  # in order of price
    values, first, stones = np.unique(offers.price, return_index=True, return_counts=True)
    price, carats = [], []
    for value, at, held in zip(values.tolist(), first.tolist(), stones.tolist(), strict=True):
        if value == NO_PRICE:
            continue
        price.append((float(value), held))
        if held >= CROWDED_MIN:
            sizes, number = np.unique(offers.carat[at : at + held], return_counts=True)
            pairs = zip(sizes.tolist(), number.tolist(), strict=True)
            carats += [(float(value), size, many) for size, many in pairs]
    return Prior.from_density(price, carats, scale=UNITS_PER_USD)
