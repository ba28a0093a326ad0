"""One case: a set, a depth and a number of workers, scanned in every way that has a target."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import ceil

import numpy as np

from bench.heatmap import drive, sets, yardsticks
from bench.heatmap.bound import BALANCE, leaves_min
from bench.heatmap.supplier import PAGE_SIZE, Supplier, slicing
from scheduler.axes import UNCUTTABLE
from scheduler.density import Prior
from scheduler.heatmap import ScanSettings
from scheduler.terms import Plan

LARGE_PART = 5_000  # offers of a part that is as good as smooth
CROWDED = 0.5  # of what a part may hold: one price that does is worth two edges
FAILING = 0.2
FEW_SCANS, FEW_CALLS = 10, 1_000  # the mean of so many, as long as they cost no more calls
# The same with calls that fail: one scan of 100 calls may take a fifth more or fewer by which fail.
FLAKY_SCANS, FLAKY_CALLS = 40, 4_000
# Calls, as a multiple of P* and 8 more, by how hard the feed is.
COLD = {"T4": 1.35, "T5": 2.1, "T6": 2.5}
WARM_A_LEAF, WARM_OF_COLD, FAILING_OF_COLD = 1.1, 1.2, 1.5
SPARE_CALLS, SPARE_ROUNDS, IN_FLIGHT = 8, 6, drive.IN_FLIGHT


@dataclass
class Case:
    """What was measured. Shares and ratios are over what their target compares with."""

    set: str
    depth: int
    workers: int
    offers: int
    sharing: int  # workers that have a page each
    leaves_min: int  # P*
    legacy: yardsticks.Cut
    legacy_seen: drive.Seen
    bisection_calls: int
    plan: Plan
    kind: str  # which of COLD it is held to; T10 for next to nothing; or UNCUTTABLE
    warm: dict[str, float] = field(default_factory=dict)  # by day: calls over leaves, less 8
    shock: dict[str, float] = field(default_factory=dict)  # by day: calls over cold
    failing: float = 1.0  # calls over calm ones
    inexact: int = 0  # offers in no leaf or in two, over every scan
    deepest: int = 0  # offers of the heaviest leaf, over every scan
    uneven: float = 1.0  # heaviest worker over the mean, over every scan

    @property
    def cold(self) -> float:
        """Calls over P*, less 8."""
        return (self.plan.calls - SPARE_CALLS) / self.leaves_min

    @property
    def late(self) -> float:
        """Rounds beyond calls / 8."""
        return self.plan.rounds - self.plan.calls / IN_FLIGHT

    def aims(self) -> dict[str, bool]:
        """Which targets the case is held to, and whether it meets them."""
        met = {"T1": self.inexact == 0}
        if self.kind == UNCUTTABLE:  # no plan can do it, and this one says so
            return met
        met |= {
            "T2": self.deepest <= self.depth,
            "T3": self.uneven <= BALANCE,
            "T9": self.late <= SPARE_ROUNDS,
        }
        if self.kind == "T10":
            return met | {"T10": (self.plan.calls, self.plan.rounds) == (2, 1)}
        return met | {
            self.kind: self.cold <= COLD[self.kind],
            "T7": all(ratio <= WARM_A_LEAF for ratio in self.warm.values()),
            "T8": all(ratio <= WARM_OF_COLD for ratio in self.shock.values()),
            "failing": self.failing <= FAILING_OF_COLD,
        }


def measure(
    name: str,
    offers: sets.Offers,
    depths: Sequence[int],
    workers: Sequence[int],
    *,
    seed: int,
) -> Iterator[Case]:
    """Scan one set cold, warm on later days, and with a fifth of the counts failing."""
    supplier = Supplier(offers, seed=seed)
    quiet, shocks = (
        {day: Supplier(sets.next_day(offers, day, seed), seed=seed) for day in days}
        for days in (sets.QUIET_DAYS, sets.SHOCKS)
    )
    prior = drive.remembered(supplier)
    for depth, share in product(depths, workers):
        case, settings = _cold(name, supplier, depth, share)
        if case.kind not in {"T10", UNCUTTABLE}:
            _warm(case, settings, prior, quiet, shocks)
            _flaky(case, settings, supplier, seed)
        yield case


def _cold(name: str, supplier: Supplier, depth: int, workers: int) -> tuple[Case, ScanSettings]:
    rows = len(supplier.offers)
    sharing = max(1, min(workers, ceil(rows / PAGE_SIZE)))
    settings = ScanSettings(
        slicing(depth),
        workers=workers,
        margin=1.0,  # it does not move: the margin is for what is added meanwhile
        priceless=True,
        pages=True,
        scale=drive.UNITS_PER_USD,
    )
    legacy = yardsticks.legacy(supplier.count, workers)
    bisected = yardsticks.bisection(supplier.count, settings.slicing, sharing, rows)
    plan = drive.scanned(supplier, settings)
    stuck = any(leaf.reason == UNCUTTABLE for leaf in plan.leaves)
    case = Case(
        name,
        depth,
        workers,
        rows,
        sharing,
        leaves_min(rows, workers, depth, PAGE_SIZE),
        legacy,
        drive.seen(supplier, legacy.parts, workers),
        bisected.calls,
        plan,
        UNCUTTABLE if stuck else _kind(supplier.offers, depth, workers),
    )
    _note(case, supplier, plan)
    return case, settings


def _warm(
    case: Case,
    settings: ScanSettings,
    prior: Prior,
    quiet: Mapping[sets.Day, Supplier],
    shocks: Mapping[sets.Day, Supplier],
) -> None:
    for day, today in quiet.items():
        warm = drive.scanned(today, settings, prior)
        _note(case, today, warm)
        case.warm[day] = (warm.calls - SPARE_CALLS) / len(warm.leaves)
    for day, today in shocks.items():
        times = max(1, min(FEW_SCANS, FEW_CALLS // case.plan.calls))
        calls = {True: 0, False: 0}
        for told, _ in product(calls, range(times)):  # another page each time
            plan = drive.scanned(today, settings, prior if told else None)
            _note(case, today, plan)
            calls[told] += plan.calls
        case.shock[day] = calls[True] / calls[False]


def _flaky(case: Case, settings: ScanSettings, supplier: Supplier, seed: int) -> None:
    """The mean of several scans where one has few calls: one lost call is much then."""
    times = max(1, min(FLAKY_SCANS, FLAKY_CALLS // case.plan.calls))
    calls = 0
    for nth in range(times):
        plan = drive.scanned(supplier, settings, failing=FAILING, seed=seed + nth)
        _note(case, supplier, plan)
        calls += plan.calls
    case.failing = calls / times / case.plan.calls


def _note(case: Case, supplier: Supplier, plan: Plan) -> None:
    found = drive.seen(supplier, [leaf.slice for leaf in plan.leaves], case.sharing)
    case.inexact += found.missed + found.doubled
    case.deepest = max(case.deepest, found.largest)
    case.uneven = max(case.uneven, found.balance)


def _kind(offers: sets.Offers, depth: int, workers: int) -> str:
    """How hard a cold scan is allowed to be."""
    if len(offers) <= 1:
        return "T10"
    part = len(offers) / leaves_min(len(offers), workers, depth, PAGE_SIZE)
    _, times = np.unique(offers.price, return_counts=True)
    if times.max() > CROWDED * part:
        return "T6"
    return "T4" if part >= LARGE_PART else "T5"
