"""Planted bugs, and whether the campaign's detectors catch them.

A mutant is a small edit of the pipeline's source or SQL in a copy of the tree. Each edit must apply
exactly once, so that a mutant that no longer fits is noticed and does not count as caught. Its
detectors are rounds of the campaign, or the ledger's state machine, run against that copy.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.faults.campaign import Player, Spec
from bench.faults.planted import MACHINE, MUTANTS, Mutant
from bench.faults.world import ROOT, TookTooLong
from cli.output import say, table

__all__ = ["MUTANTS", "Verdict", "all_caught", "figures", "hunt", "planted", "show"]

ROOMS = (
    *("bench", "cli", "consolidator", "docs", "scheduler", "shared", "simulator", "sql", "tests"),
    *("worker", "pyproject.toml"),
)
STEPS = 5_000
MACHINE_S_MAX = 400


class DoesNotApply(Exception):
    """A planted bug whose place in the source is no longer there, or there twice."""


class Verdict(NamedTuple):
    """What one detector said of one mutant."""

    mutant: str
    detector: str
    caught: bool
    how: str  # the first violation, or ""
    seconds: float


@contextmanager
def planted(mutant: Mutant | None) -> Iterator[Path]:
    """A copy of the tree with the bug in it, or without any. Raises DoesNotApply."""
    folder = Path(tempfile.mkdtemp(prefix="facet-mutant-"))
    try:
        for name in ROOMS:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.csv")
                )
            else:
                shutil.copy(source, folder / name)
        for edit in mutant.edits if mutant else ():
            path = folder / edit.path
            text = path.read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                times = text.count(edit.old)
                raise DoesNotApply(f"{edit.path} holds {edit.old!r} {times} times, not once")
            path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hunt(mutants: Sequence[Mutant], seed: int) -> list[Verdict]:
    """Let each mutant's detectors loose on it, until one catches it."""
    found: list[Verdict] = []
    for number, mutant in enumerate(mutants, 1):
        with planted(mutant) as tree:
            for detector in mutant.detectors:
                verdict = _detect(mutant.name, detector, tree, seed)
                found.append(verdict)
                if verdict.caught:
                    break
        said = f"caught by {found[-1].detector}" if found[-1].caught else "NOT CAUGHT"
        say(f"{number} of {len(mutants)}: {mutant.name}: {said} ({found[-1].seconds:.0f} s)")
        say(f"    {found[-1].how[:160]}")
    return found


def _detect(name: str, detector: str, tree: Path, seed: int) -> Verdict:
    started = time.monotonic()
    how = _machine(tree, seed) if detector == MACHINE else _round(detector, tree, seed)
    return Verdict(name, detector, how is not None, how or "", time.monotonic() - started)


def _round(detector: str, tree: Path, seed: int) -> str | None:
    """Play a round; what it found, or None."""
    try:
        with Player(seed, tree=tree) as player:
            result = player.play(Spec.read(detector))
    except TookTooLong as error:  # without any fault, too
        return " ".join(str(error).splitlines()[:1])
    return None if result.ok else "; ".join(f"{kind}: {what}" for kind, what in result.violations)


def _machine(tree: Path, seed: int) -> str | None:
    """Run the state machine over the copy, in a process of its own."""
    words = ["-m", "bench.faults", "machine", "--steps", str(STEPS), "--seed", str(seed)]
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
        timeout=MACHINE_S_MAX,
    )
    if ended.returncode == 0 and json.loads(ended.stdout.splitlines()[-1])["steps"] >= STEPS:
        return None
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line or line.startswith("assert")]
    return (told or lines or ["it ended without a word"])[-1]


def all_caught(found: Sequence[Verdict]) -> bool:
    return {one.mutant for one in found} == {one.mutant for one in found if one.caught}


def figures(found: Sequence[Verdict]) -> dict[str, Any]:
    """Mutants by detector."""
    caught = {one.mutant: one.detector for one in found if one.caught}
    planted_names = {one.mutant for one in found}
    return {
        "mutants_planted": len(planted_names),
        "mutants_caught": len(caught),
        "mutants_not_caught": sorted(planted_names - set(caught)),
        "caught_by": caught,
    }


def show(found: Sequence[Verdict]) -> None:
    """The matrix: a row a mutant, a column a kind of detector."""
    columns = sorted({_column(one.detector) for one in found})
    rows = []
    for name in dict.fromkeys(one.mutant for one in found):
        marks = {
            _column(one.detector): "X" if one.caught else "." for one in found if one.mutant == name
        }
        rows.append((name, *(marks.get(column, "") for column in columns)))
    table(("mutant", *columns), rows)
    say("X caught it; . looked and did not; blank was not asked, since another had caught it")


def _column(detector: str) -> str:
    return detector.partition(":")[0]
