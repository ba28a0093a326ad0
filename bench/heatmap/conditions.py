"""What has targets of its own: feeds that move, scans cut short, clocks, ranks, Nivoda's terms."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

import numpy as np

from bench.heatmap import drive, sets
from bench.heatmap.bound import BALANCE, leaves_min
from bench.heatmap.supplier import PAGE_SIZE, Moving, Supplier, slicing
from scheduler.heatmap import Scan, ScanSettings
from scheduler.terms import MARGIN
from shared.feeds.nivoda_query import SLICING as NIVODA

SMOOTH = ("real, scaled", "log-normal", "uniform", "heavy tail")
STOPPED_AFTER = (8, 40, 72, 136)  # calls
PLANNING_S_MAX = 10.0
RANK_CALLS_MAX = 2  # beyond P*
SCAN_SHARE_MAX = 0.02  # of the calls that fetching costs
OVERLAP = 3  # offers that a page repeats of the one before
NIVODA_STONES, NIVODA_CALLS_PER_S = 1_400_000, 25.0


@dataclass(frozen=True)
class Row:
    """One line of a small table."""

    what: str
    says: str
    aim: str
    met: bool | None  # None: nothing is held against it


def settings(depth: int, workers: int, **wanted: object) -> ScanSettings:
    given = ScanSettings(
        slicing(depth),
        workers=workers,
        margin=1.0,
        priceless=True,
        pages=True,
        scale=drive.UNITS_PER_USD,
    )
    return replace(given, **wanted)  # type: ignore[arg-type]


def moving(rows: int, seed: int) -> Iterator[Row]:
    """Offers change at every call; judged on the feed as it is when the scan ends."""
    for share, when in ((0.02, "during the scan"), (0.02, "in each round of 8")):
        for depth, workers in ((1_000, 32), (10_000, 32), (10_000, 128)):
            calls = leaves_min(rows, workers, depth, PAGE_SIZE) if "scan" in when else 8
            offers = sets.offers("real, scaled", rows, seed)
            supplier = Moving(offers, round(share * rows / calls), seed=seed)
            plan = drive.scanned(supplier, settings(depth, workers, margin=MARGIN))
            still = Supplier(supplier.offers)
            seen = drive.seen(still, [leaf.slice for leaf in plan.leaves], workers)
            yield Row(
                f"{share:.0%} move {when}, M {depth:,}, K {workers}",
                f"{plan.calls} calls, heaviest leaf {seen.largest / depth:.2f} M, "
                f"max/mean {seen.balance:.2f}, {seen.missed + seen.doubled} not in one leaf",
                "T1, T2",
                seen.missed + seen.doubled == 0 and seen.largest <= depth,
            )


def stopped_early(rows: int, seed: int) -> Iterator[Row]:
    """A planning deadline after so many calls: the plan covers the feed all the same."""
    supplier = Supplier(sets.offers("real, scaled", rows, seed))
    for calls in STOPPED_AFTER:
        plan = drive.scanned(supplier, settings(10_000, 32, calls_max=calls))
        seen = drive.seen(supplier, [leaf.slice for leaf in plan.leaves], 32)
        yield Row(
            f"stopped after {calls} calls",
            f"{seen.parts} leaves, max/mean {seen.balance:.2f}, heaviest {seen.largest:,}, "
            f"{seen.missed + seen.doubled} not in one leaf",
            "T1",
            seen.missed + seen.doubled == 0,
        )


def clocked(rows: int, seed: int) -> Iterator[Row]:
    """Calls of 50 to 500 ms, 8 at once, 2 % of them hung for 2 s; K = 128, M = 10,000."""
    for name in (*SMOOTH, "round prices"):
        supplier = Supplier(sets.offers(name, rows, seed))
        plan, took_s = drive.timed(supplier, settings(10_000, 128), seed=seed)
        yield Row(
            f"{name}: seconds to plan",
            f"{took_s:.1f} s for {plan.calls} calls, {plan.failed} of them hung",
            f"T9, {PLANNING_S_MAX:g} s" if name in SMOOTH else "",
            took_s <= PLANNING_S_MAX if name in SMOOTH else None,
        )


def by_rank(rows: int, seed: int) -> Iterator[Row]:
    """A supplier that lists offers in order of the price it filters by."""
    for name in SMOOTH:
        supplier = Supplier(sets.offers(name, rows, seed))
        for depth, workers in ((10_000, 32), (10_000, 128), (50_000, 128)):
            least = leaves_min(rows, workers, depth, PAGE_SIZE)
            ranked = slicing(depth, ranked=True)
            one, eight = (
                drive.scanned(
                    supplier,
                    settings(depth, workers, slicing=ranked, rank_chains=chains),
                )
                for chains in (1, 8)
            )
            seen = drive.seen(supplier, [leaf.slice for leaf in one.leaves], workers)
            yield Row(
                f"{name}, M {depth:,}, K {workers}: by rank",
                f"{one.calls} calls (P* {least}), max/mean {seen.balance:.3f}; "
                f"from 8 starts {eight.calls} in {eight.rounds} rounds",
                f"P* + {RANK_CALLS_MAX}",
                one.calls <= least + RANK_CALLS_MAX
                and seen.missed + seen.doubled == 0
                and seen.largest <= depth
                and seen.balance <= BALANCE,
            )


def in_dollars(offers: sets.Offers) -> sets.Offers:
    """The same offers on an axis of dollars; cents become fractions of it."""
    return replace(offers, price=np.where(offers.price < 0, sets.NO_PRICE, offers.price / 100))


def in_nivodas_terms(rows: int, seed: int) -> Iterator[Row]:
    """Whole dollars, both ends included: every part is counted itself, edges are fetched twice."""
    for name in sets.SETS:
        offers = sets.offers(name, rows, seed)
        supplier = Supplier(in_dollars(offers), touching=True, seed=seed)
        touching = slicing(10_000, touching=True)
        plan = drive.scanned(supplier, settings(10_000, 32, slicing=touching, scale=1.0))
        sharing = max(1, min(32, ceil(len(offers) / PAGE_SIZE)))
        seen = drive.seen(supplier, [leaf.slice for leaf in plan.leaves], sharing)
        least = leaves_min(len(offers), 32, 10_000, PAGE_SIZE)
        cut = not any(leaf.saturated for leaf in plan.leaves)
        twice = seen.doubled / max(1, len(offers))
        yield Row(
            f"{name}: whole dollars, both ends in",
            f"{plan.calls} calls (P* {least}), max/mean {seen.balance:.2f}, {twice:.2%} twice",
            "T1, T2",
            seen.missed == 0 and (seen.largest <= 10_000 or not cut),
        )


class Cost(NamedTuple):
    """Of a scan, beside what fetching costs."""

    scan: int
    fetch: int


def scan_cost(seed: int, stones: int = NIVODA_STONES) -> Iterator[Row]:
    """Nivoda's whole stock in Nivoda's own terms."""
    offers = sets.offers("real, scaled", stones, seed)
    supplier = Supplier(in_dollars(offers), touching=True, seed=seed)
    wanted = settings(0, 16, slicing=NIVODA, margin=MARGIN, priceless=False, scale=1.0)
    plan = drive.scanned(supplier, wanted)
    step = NIVODA.page_size - OVERLAP
    fetch = sum(ceil(leaf.offers / step) + 1 for leaf in plan.leaves)
    yield Row(
        f"{stones:,} stones, M {NIVODA.depth:,}, K 16",
        f"{plan.calls} calls to scan, {plan.calls / NIVODA_CALLS_PER_S:.0f} s at "
        f"{NIVODA_CALLS_PER_S:g} a second; {fetch:,} to fetch: {plan.calls / fetch:.2%}",
        f"{SCAN_SHARE_MAX:.0%}",
        plan.calls <= SCAN_SHARE_MAX * fetch,
    )


def after_each_answer(rows: int, seed: int) -> bool:
    """Does the plan cover the feed after every single answer?"""
    supplier = Supplier(sets.offers("round prices", rows, seed), seed=seed)
    scan = Scan(settings(1_000, 8))
    while not scan.done:
        for ask in scan.next(drive.IN_FLIGHT):
            drive.answer(supplier, scan, ask)
            seen = drive.seen(supplier, [leaf.slice for leaf in scan.plan().leaves], 8)
            if seen.missed or seen.doubled:
                return False
    return True
