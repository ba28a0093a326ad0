"""The fault campaign: `python -m bench.faults run --seed 1`.

Exit codes: 0 everything held, 1 it did not or rounds are left, 2 wrong usage.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from bench import report
from bench.faults import campaign, controls, machine, mutants
from bench.faults.campaign import Player, Result, Spec, State
from bench.faults.world import LEASE_S, ROOT
from cli.embedded.supervisor import exit_on_signal
from cli.output import say, table

PARTS = ("points", "nemeses", "pairs", "machine", "mutants", "controls")

# Rounds of each nemesis in a whole campaign; most have several faults. The chains of the ordered
# pairs add some 3,000 kills at points.
NEMESES = {
    "kill": 100,
    "child": 60,
    "zombie": 100,
    "term": 60,
    "rolling": 30,
    "broker-kill": 70,
    "broker-empty": 70,
    "flush": 40,
    "messages": 100,
    "bad-messages": 30,
    "database-crash": 200,
    "commit-cut": 60,
    "connections-cut": 40,
    "supplier": 60,
    "moving": 60,
    "partial": 30,
    "replay": 60,
    "replay-late": 40,
    "activate": 60,
    "clock": 20,
}
STEPS = 100_000
RECOVERY_S_MAX = LEASE_S + 5


def main(argv: Sequence[str] | None = None) -> int:
    wanted = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, exit_on_signal)  # so that nothing is left running
    return int(wanted.function(wanted))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="the campaign; goes on where it was broken off")
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--state", type=Path, help="default: .faults/SEED.jsonl")
    run.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS))
    run.add_argument("--scale", type=float, default=1.0, help="of the nemeses' rounds and steps")
    run.add_argument("--chains", type=int, help="so many of the pairs' chains; default: all")
    run.add_argument("--share", type=_share, default=(1, 1), help="of several at once, as 2/3")
    run.add_argument("--minutes", type=float, help="stop after this time; what is left comes next")
    run.set_defaults(function=_run)

    replay = commands.add_parser("replay", help="one round, by its id")
    replay.add_argument("--seed", type=int, required=True)
    replay.add_argument("round", type=Spec.read, nargs="+", help="such as kill::17")
    replay.add_argument("--times", type=int, default=1, help="since timing is the machine's own")
    replay.set_defaults(function=_replay)

    shown = commands.add_parser("report", help="what a state file adds up to")
    shown.add_argument("--seed", type=int, default=1)
    shown.add_argument("--state", type=Path, nargs="+")
    shown.set_defaults(function=_report)

    steps = commands.add_parser("machine", help="the ledger's state machine alone")
    steps.add_argument("--steps", type=int, default=machine.STEPS_A_CHUNK)
    steps.add_argument("--seed", type=int, default=1)
    steps.set_defaults(function=_machine)

    planted = commands.add_parser("mutants", help="planted bugs, and which detector caught each")
    planted.add_argument("name", nargs="*", help="default: all")
    planted.add_argument("--seed", type=int, default=1)
    planted.set_defaults(function=_mutants)

    plain = commands.add_parser("controls", help="what plain Celery tasks lose")
    plain.add_argument("--kills", type=int, default=20)
    plain.add_argument("--seed", type=int, default=1)
    plain.set_defaults(function=_controls)
    return parser


def _run(wanted: argparse.Namespace) -> int:
    path = wanted.state or Path(".faults") / f"{wanted.seed}.jsonl"
    state, rng = State(path), Random(wanted.seed)
    until = None if wanted.minutes is None else time.monotonic() + 60 * wanted.minutes
    specs: list[Spec] = []
    if "points" in wanted.part:
        specs += campaign.points()
    if "nemeses" in wanted.part:
        counts = {name: max(1, round(wanted.scale * n)) for name, n in NEMESES.items()}
        specs += campaign.nemeses(rng, counts)
    if "pairs" in wanted.part:
        specs += campaign.pairs(Random(wanted.seed))[: wanted.chains]
    number, of = wanted.share
    specs = specs[number - 1 :: of]
    for _ in campaign.run(specs, wanted.seed, state, until=until, keep=path.with_suffix(".kept")):
        pass
    if "machine" in wanted.part:
        _steps(state, wanted.seed, round(wanted.scale * STEPS), until, wanted.share)
    caught = controlled = None
    if "mutants" in wanted.part and (until is None or time.monotonic() < until):
        caught = mutants.hunt(mutants.MUTANTS[number - 1 :: of], wanted.seed)
        mutants.show(caught)
    if number == 1 and "controls" in wanted.part and (until is None or time.monotonic() < until):
        controlled = controls.measure(round(20 * wanted.scale) or 1, wanted.seed)
        controls.show(controlled)
    figures = _show([state])
    left = [spec for spec in specs if spec.id not in state.results]
    figures |= {
        "seed": wanted.seed,
        "commit": _commit(),
        "rounds_left": len(left),
        "mutants": None if caught is None else mutants.figures(caught),
        "controls": None if controlled is None else [one._asdict() for one in controlled],
    }
    good = _good(figures) and not left and (caught is None or mutants.all_caught(caught))
    return report.finish(figures, aims_met=good)


def _share(text: str) -> tuple[int, int]:
    """Which of how many take turns, as `2/3`. Raises ValueError."""
    number, of = (int(one) for one in text.split("/"))
    if not 1 <= number <= of:
        raise ValueError(text)
    return number, of


def _steps(
    state: State, seed: int, wanted: int, until: float | None, share: tuple[int, int]
) -> None:
    """The state machine's chunks that were not played yet."""
    for number in range(max(1, wanted // machine.STEPS_A_CHUNK))[share[0] - 1 :: share[1]]:
        spec = f"machine::{number}"
        if spec in state.results or (until is not None and time.monotonic() > until):
            continue
        steps, seconds, problem = machine.measured(machine.STEPS_A_CHUNK, 1_000 * seed + number)
        if problem:
            say(f"{spec}: {problem}")
        violations = [("wrong", problem)] if problem else []
        faults = {"machine step": steps}
        state.add(
            Result(spec, not problem, violations, faults, [], {}, [], 0, 0, round(seconds, 1))
        )


def _replay(wanted: argparse.Namespace) -> int:
    results = []
    with Player(wanted.seed, keep=Path(".faults") / "replayed") as player:
        for spec in wanted.round * wanted.times:
            result = player.play(spec)
            results.append(result)
            say(f"{spec.id}: {'ok' if result.ok else 'violated'}, {result.seconds:.1f} s")
            for kind, what in result.violations:
                say(f"  {kind}: {what}")
    figures = campaign.total(results) | {"seed": wanted.seed, "commit": _commit()}
    return report.finish(figures, aims_met=all(one.ok for one in results))


def _report(wanted: argparse.Namespace) -> int:
    paths = wanted.state or [Path(".faults") / f"{wanted.seed}.jsonl"]
    figures = _show([State(path) for path in paths])
    return report.finish(figures | {"commit": _commit()}, aims_met=_good(figures))


def _machine(wanted: argparse.Namespace) -> int:
    steps, seconds, problem = machine.measured(wanted.steps, wanted.seed)
    if problem:
        say(problem)
    figures = {"steps": steps, "seconds": round(seconds, 1), "seed": wanted.seed}
    return report.finish(figures, aims_met=problem is None)


def _mutants(wanted: argparse.Namespace) -> int:
    chosen = [one for one in mutants.MUTANTS if not wanted.name or one.name in wanted.name]
    caught = mutants.hunt(chosen, wanted.seed)
    mutants.show(caught)
    figures = mutants.figures(caught) | {"seed": wanted.seed, "commit": _commit()}
    return report.finish(figures, aims_met=mutants.all_caught(caught))


def _controls(wanted: argparse.Namespace) -> int:
    found = controls.measure(wanted.kills, wanted.seed)
    controls.show(found)
    figures = {"controls": [one._asdict() for one in found], "seed": wanted.seed}
    return report.finish(figures | {"commit": _commit()}, aims_met=True)


def _show(states: list[State]) -> dict[str, Any]:
    """The tables for people; returns the figures."""
    results = [result for state in states for result in state.results.values()]
    played = [one for one in results if not one.id.startswith("machine:")]
    steps = [one for one in results if one.id.startswith("machine:")]
    by_scene: dict[str, list[Result]] = {}
    for one in played:
        by_scene.setdefault(one.id.split(":")[0], []).append(one)
    names = ("rounds", "attempted", "ok", "lost", "duplicated", "wrong", "unexpected")
    late = ("recovered", "recovery_p50_s", "recovery_p99_s")
    rows = [(name, campaign.total(some)) for name, some in sorted(by_scene.items())]
    rows.append(("all", campaign.total(played)))
    heads = ("scene", *names, "recovered", "p50 s", "p99 s")
    lines = [
        (scene, *(str("-" if found[name] is None else found[name]) for name in (*names, *late)))
        for scene, found in rows
    ]
    table(heads, lines, right=heads[1:])
    figures = rows[-1][1]
    figures["machine_steps"] = sum(one.faults.get("machine step", 0) for one in steps)
    figures["machine_ok"] = all(one.ok for one in steps)
    reached = figures["points_reached"], figures["points"]
    say(f"failpoints reached: {reached[0]} of {reached[1]}")
    for name in figures["points_not_reached"]:
        say(f"  not reached: {name}")
    say(f"ordered pairs of kills: {figures['pairs_struck']:,} of {figures['pairs']:,}")
    kills = figures["kills_counted_for_pages"]
    say(f"pages fetched again: {figures['pages_again']} in {kills} kills")
    say(f"state machine: {figures['machine_steps']:,} steps")
    return figures


def _good(figures: dict[str, Any]) -> bool:
    worst = figures["recovery_p99_s"]
    return (
        figures["ok"] == figures["rounds"]
        and bool(figures["machine_ok"])
        and (worst is None or worst <= RECOVERY_S_MAX)
    )


def _commit() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
