"""Which rounds a campaign has, playing them, and what is written down of each.

The same seed gives the same rounds in the same order. Each round is one line of the state file, so
a campaign that was broken off goes on where it stopped.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from bench.faults import scenes
from bench.faults.judge import Judge, Violation
from bench.faults.scenes import AIMED, BIG, POINTS, SCENES
from bench.faults.stage import Stage
from bench.faults.world import ROOT, TookTooLong, World, made
from cli.output import say
from shared.errors import FacetError

STONES = 150  # of each kind: three or four partitions of one to three pages
STONES_BIG = 1_400  # so that a partition can outgrow its plan
CHAIN = 4  # kills: the fifth holder of a plan that falls silent is its last
# A fold has four attempts: so few kills of a chain may strike whoever holds one.
HELD_MAX = 3
HELD_AT = frozenset(
    {
        *("claim.after_commit", "heartbeat.before_commit", "heartbeat.after_commit"),
        *("fold.before_commit", "plan.before_commit", "check.before_commit", "check.after_commit"),
    }
)
KILLS_ALONE = ("point", "chain", "kill", "child")  # scenes in which nothing else costs a page
ROUNDS_A_WORLD = 60  # then a new one: a database that grows would slow the later rounds down


class Spec(NamedTuple):
    """A round: which scene, with what."""

    scene: str  # of SCENES
    what: str = ""
    number: int = 0  # of those alike

    @property
    def id(self) -> str:
        return f"{self.scene}:{self.what}:{self.number}"

    @property
    def big(self) -> bool:
        """Whether it needs the larger feed."""
        return any(point in BIG for point in self.what.split("+"))

    @classmethod
    def read(cls, text: str) -> "Spec":
        """From its id. Raises ValueError."""
        scene, what, number = text.split(":")
        if scene not in SCENES:
            raise ValueError(f"no scene is named {scene!r}; there are {', '.join(SCENES)}")
        return cls(scene, what, int(number))


class Result(NamedTuple):
    """What became of a round; a line of the state file."""

    id: str
    ok: bool
    violations: list[tuple[str, str]]
    faults: dict[str, int]
    missed: list[str]
    reached: dict[str, int]
    recovered_s: list[float]
    pages_again: int
    runs: int
    seconds: float


def points() -> list[Spec]:
    """A kill at each failpoint, and each commit's answer cut off."""
    return [Spec("point", one) for one in POINTS] + [Spec("cut", one) for one in AIMED]


def pairs(rng: Random) -> list[Spec]:
    """Every ordered pair of failpoints once, as neighbours in chains of kills.

    The chains are shuffled, so that a part of them is a sample of all; those that need the larger
    feed come last.
    """
    small = [(one, other) for one in POINTS for other in POINTS if not {one, other} & {*BIG}]
    large = [(one, other) for one in POINTS for other in POINTS if {one, other} & {*BIG}]
    made: list[Spec] = []
    for steps in (small, large):
        chains = [Spec("chain", "+".join(chain)) for chain in _chains(_walk(steps, rng))]
        rng.shuffle(chains)
        made += chains
    return made


def _walk(steps: Sequence[tuple[str, str]], rng: Random) -> list[str]:
    """A way that takes each step once, as Hierholzer found it. From every point as many steps must
    lead as lead to it."""
    onward: dict[str, list[str]] = {}
    for one, other in steps:
        onward.setdefault(one, []).append(other)
    for others in onward.values():
        rng.shuffle(others)
    way: list[str] = []
    stack = [steps[0][0]]
    while stack:
        if onward[stack[-1]]:
            stack.append(onward[stack[-1]].pop())
        else:
            way.append(stack.pop())
    return way[::-1]


def _chains(way: Sequence[str]) -> Iterator[list[str]]:
    """Cut a walk into chains, each of which begins where the one before it ended."""
    chain = [way[0]]
    for point in way[1:]:
        chain.append(point)
        if len(chain) == CHAIN or sum(one in HELD_AT for one in chain) == HELD_MAX:
            yield chain
            chain = [point]
    if len(chain) > 1:
        yield chain


def pairs_of(spec: Spec) -> set[tuple[str, str]]:
    """The ordered pairs that a chain strikes; none of another scene."""
    points = spec.what.split("+")
    return set(pairwise(points)) if spec.scene == "chain" else set()


def nemeses(rng: Random, counts: Mapping[str, int]) -> list[Spec]:
    """So many rounds of each nemesis, mixed."""
    made = [Spec(name, "", number) for name, times in counts.items() for number in range(times)]
    rng.shuffle(made)
    return made


def play(world: World, judge: Judge, spec: Spec, seed: int) -> Result:
    """One round. Whatever goes wrong in it is a violation, not an exception."""
    started = time.monotonic()
    stage = Stage(world, judge, Random(f"{seed}:{spec.id}"))
    world.points.read()
    world.fleet.new_round()
    try:
        SCENES[spec.scene](stage, spec.what)
    except (TookTooLong, FacetError) as error:
        stage.found.append(Violation("unexpected", f"{type(error).__name__}: {error}"))
    finally:
        world.points.disarm()
        world.proxy.disarm()
    return Result(
        id=spec.id,
        ok=not stage.found,
        violations=[(one.kind, one.what) for one in stage.found],
        faults={name: times for name, times in stage.faults.items() if times},
        missed=stage.missed,
        reached=dict(world.points.read()),
        recovered_s=[round(one, 3) for one in stage.recovered_s()],
        pages_again=stage.pages_again,
        runs=stage.runs,
        seconds=round(time.monotonic() - started, 3),
    )


def first_runs(world: World, judge: Judge) -> list[Violation]:
    """Both feeds once, with nothing broken: what a round starts from."""
    stage = Stage(world, judge, Random(0))
    stage.open(feeds=2, ticks=0)
    stage.finish()
    return stage.found


class Player:
    """Plays rounds on a world, and on a new one after a violation or many rounds."""

    def __init__(self, seed: int, *, tree: Path = ROOT, keep: Path | None = None) -> None:
        self._seed = seed
        self._tree = tree
        self._keep = keep
        self._stack = ExitStack()
        self._at: tuple[World, Judge, bool] | None = None
        self._played = 0

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, spec: Spec) -> Result:
        """One round."""
        world, judge = self._world(spec.big)
        result = play(world, judge, spec, self._seed)
        self._played += 1
        if not result.ok or self._played >= ROUNDS_A_WORLD:
            if not result.ok and self._keep is not None:
                folder = self._keep / spec.id.replace(":", "_").replace("+", "_and_")
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "logs").write_text(world.logs(), encoding="utf-8")
                (folder / "violations").write_text("\n".join(map(str, result.violations)))
            self._leave()
        return result

    def _world(self, big: bool) -> tuple[World, Judge]:
        if self._at is not None and self._at[2] != big:
            self._leave()
        if self._at is None:
            stones = STONES_BIG if big else STONES
            world = self._stack.enter_context(made(seed=self._seed, stones=stones, tree=self._tree))
            judge = Judge(world)
            found = first_runs(world, judge)
            if found:
                raise TookTooLong(f"without any fault: {found[:3]}\n{world.logs()}")
            self._at = world, judge, big
        return self._at[0], self._at[1]

    def _leave(self) -> None:
        self._stack.close()
        self._at, self._played = None, 0


class State:
    """The rounds that were played, in a file of JSON lines."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.results: dict[str, Result] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                result = Result(**json.loads(line))
                self.results[result.id] = result

    def add(self, result: Result) -> None:
        self.results[result.id] = result
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result._asdict()) + "\n")


def run(
    specs: Iterable[Spec], seed: int, state: State, *, until: float | None, keep: Path | None
) -> Iterator[Result]:
    """Play what was not played yet, until that moment of the monotonic clock."""
    left = [spec for spec in specs if spec.id not in state.results]
    with Player(seed, keep=keep) as player:
        for number, spec in enumerate(left, 1):
            if until is not None and time.monotonic() > until:
                say(f"time is up: {len(left) - number + 1:,} rounds are left for another time")
                return
            result = player.play(spec)
            state.add(result)
            if not result.ok or number % 25 == 0:
                load = f"load {os.getloadavg()[0]:.1f}"
                say(f"{number:,} of {len(left):,} ({spec.id}, {result.seconds:.1f} s, {load})")
            if not result.ok:
                for kind, what in result.violations[:5]:
                    say(f"  {kind}: {what}")
                say(f"  again: python -m bench.faults replay --seed {seed} {spec.id}")
            yield result


def total(results: Iterable[Result]) -> dict[str, Any]:
    """What the rounds add up to."""
    played = list(results)
    faults, kinds, reached = Counter[str](), Counter[str](), Counter[str]()
    times = sorted(one for result in played for one in result.recovered_s)
    struck: set[tuple[str, str]] = set()
    again = killed = 0
    for result in played:
        faults.update(result.faults)
        reached.update(result.reached)
        kinds.update({kind for kind, _ in result.violations})
        struck |= {
            pair for pair in pairs_of(Spec.read(result.id)) if not {*pair} & {*result.missed}
        }
        if Spec.read(result.id).scene in KILLS_ALONE:
            again += result.pages_again
            killed += sum(result.faults.get(name, 0) for name in ("kill", "child"))
    return {
        "rounds": len(played),
        "runs": sum(result.runs for result in played),
        "attempted": sum(faults.values()),
        "ok": sum(result.ok for result in played),
        **{kind: kinds[kind] for kind in ("lost", "duplicated", "wrong", "unexpected")},
        "recovered": len(times),
        "recovery_p50_s": at_share(times, 0.5),
        "recovery_p99_s": at_share(times, 0.99),
        "recovery_max_s": times[-1] if times else None,
        "kills_counted_for_pages": killed,
        "pages_again": again,
        "faults": dict(sorted(faults.items())),
        "points_reached": sum(name in reached for name in scenes.POINTS),
        "points": len(scenes.POINTS),
        "points_not_reached": [name for name in scenes.POINTS if name not in reached],
        "pairs_struck": len(struck),
        "pairs": len(POINTS) ** 2,
        "missed": sorted({name for result in played for name in result.missed}),
    }


def at_share(ordered: list[float], share: float) -> float | None:
    """The value below which that share lies; None of nothing."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)
