"""The scan beside its yardsticks and its bound: `python -m bench.heatmap`.

Prints a table of cases, tables of conditions, and last one line of JSON with `aims_met`. Exits
with 1 where an aim is missed. Takes minutes; `--rows 20000` is a quick look.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from bench.heatmap import cases, conditions, reading, sets
from bench.heatmap.cases import Case
from bench.heatmap.conditions import Row

HEAD = (
    "set             K      M     P*  legacy        lost  halving  calls    T4-6  late   T3"
    "     T2     T7    T8   20%  missed"
)


def main(argv: Sequence[str] | None = None) -> int:
    asked = _arguments().parse_args(argv)
    met: dict[str, list[bool]] = {}
    worst: dict[str, float] = {}
    print(HEAD)
    for case in _cases(asked):
        aims = case.aims()
        for name, fine in aims.items():
            met.setdefault(name, []).append(fine)
        _keep_worst(worst, case)
        print(_line(case, [name for name, fine in aims.items() if not fine]), flush=True)
    for title, rows in [] if asked.only_cases else _conditions(asked):
        print(f"\n{title}")
        for row in rows:
            print(f"  {row.what:44} {row.says}{_verdict(row)}", flush=True)
            if row.met is not None:
                met.setdefault(title, []).append(row.met)
    aims_met = {name: f"{sum(fine)}/{len(fine)}" for name, fine in sorted(met.items())}
    every = all(all(fine) for fine in met.values())
    print()
    print(json.dumps({"bench": "heatmap", "aims_met": every, "aims": aims_met, "worst": worst}))
    return 0 if every else 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.heatmap", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="offers of a drawn set")
    parser.add_argument("--set", action="append", choices=sets.SETS, help="only this one")
    parser.add_argument("--prices", type=Path, help="a set of your own: a price a line, in dollars")
    parser.add_argument("--workers", default="8,32,128", help="K, by comma")
    parser.add_argument("--depths", default="1000,10000,50000", help="M, by comma")
    parser.add_argument("--only-cases", action="store_true", help="the first table alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    return parser


def _cases(asked: argparse.Namespace) -> Iterator[Case]:
    numbers = [[int(one) for one in text.split(",")] for text in (asked.depths, asked.workers)]
    measured = partial(_measured, depths=numbers[0], workers=numbers[1], asked=asked)
    names = [asked.prices.stem] if asked.prices else asked.set or list(sets.SETS)
    with ProcessPoolExecutor(asked.processes) as pool:
        for found in pool.map(measured, names):
            yield from found


def _measured(
    name: str, depths: Sequence[int], workers: Sequence[int], asked: argparse.Namespace
) -> list[Case]:
    if asked.prices:
        prices = np.rint(100 * np.loadtxt(asked.prices, ndmin=1)).astype(np.int64)
        offers = sets.with_prices(prices, np.random.default_rng(asked.seed))
    else:
        offers = sets.offers(name, asked.rows, asked.seed)
    return list(cases.measure(name, offers, depths, workers, seed=asked.seed))


def _conditions(asked: argparse.Namespace) -> Iterator[tuple[str, Iterable[Row]]]:
    rows, seed = asked.rows, asked.seed
    yield "a feed that moves", conditions.moving(rows // 4, seed)
    yield "a scan stopped early", conditions.stopped_early(rows, seed)
    yield "against the clock", conditions.clocked(rows, seed)
    yield "by rank", conditions.by_rank(rows, seed)
    yield "in Nivoda's terms", conditions.in_nivodas_terms(rows, seed)
    yield "reading a feed that moves", reading.read(rows // 20, seed)
    yield "what a scan costs", conditions.scan_cost(seed, min(rows, conditions.NIVODA_STONES))


def _line(case: Case, missed: list[str]) -> str:
    legacy, seen = case.legacy, case.legacy_seen
    warm = max(case.warm.values(), default=0.0)
    shock = max(case.shock.values(), default=0.0)
    return (
        f"{case.set[:14]:14} {case.workers:3} {case.depth:6} {case.leaves_min:6} "
        f"{legacy.calls:5}/{min(seen.balance, 999):<6.2f} {seen.missed + seen.doubled:7} "
        f"{case.bisection_calls:7} {case.plan.calls:7} {_held(case):>7} {case.late:5.1f} "
        f"{case.uneven:6.3f} {case.deepest / case.depth:5.2f} {warm:5.2f} {shock:5.2f} "
        f"{case.failing:5.2f}  {' '.join(missed) or '-'}"
    )


def _held(case: Case) -> str:
    return f"{case.kind} {case.cold:.2f}" if case.kind in cases.COLD else case.kind[:7]


def _keep_worst(worst: dict[str, float], case: Case) -> None:
    """The worst figure of each aim, over all cases that are held to it."""
    if case.kind not in cases.COLD:
        return
    figures = {
        case.kind: case.cold,
        "T3": case.uneven,
        "T7": max(case.warm.values()),
        "T8": max(case.shock.values()),
        "T9 rounds": case.late,
        "failing": case.failing,
    }
    for name, figure in figures.items():
        worst[name] = round(max(worst.get(name, figure), figure), 3)


def _verdict(row: Row) -> str:
    if row.met is None:
        return ""
    return f"  [{row.aim}: {'met' if row.met else 'MISSED'}]"


if __name__ == "__main__":
    sys.exit(main())
