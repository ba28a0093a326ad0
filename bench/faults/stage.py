"""One round on a world: opens runs, notes faults, watches recoveries, and has the end judged."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from random import Random
from typing import Any
from uuid import UUID

from bench.faults.folder import Strike
from bench.faults.invariants import Class
from bench.faults.judge import Judge, Violation, compared
from bench.faults.world import EXAMPLE, FEEDS, FILE_FEED, World
from shared.errors import DatabaseUnavailable
from shared.failpoints import Action
from tests.oracle.oracle import Kept

WATCH_EVERY_S = 0.05
FILE_EVERY = 2  # hours of the supplier's time after which it makes a new file
HELD = "SELECT item_id, epoch FROM work_items WHERE state = 'held'"
LEFT = """
    SELECT item_id, epoch FROM work_items
     WHERE state = 'held' OR (state = 'due' AND announced_at IS NOT NULL)"""
NOW = """
    SELECT item_id, epoch, finished_at IS NOT NULL AS finished
      FROM work_items WHERE item_id = ANY(:ids)"""


class Watch:
    """Measures how long it takes until others go on with what somebody held when a fault struck."""

    def __init__(
        self, world: World, at: float, statement: str, watched: set[tuple[int, int]]
    ) -> None:
        """watched    items and epochs that an earlier fault already hit; grows"""
        self._world = world
        self._at = at
        self._next = 0.0
        found = {(int(row["item_id"]), int(row["epoch"])) for row in world.rows(statement)}
        self._left = dict(found - watched)
        watched |= found
        self.recovered_s: list[float] = []

    def look(self) -> None:
        """Who holds what now; cheap, and at most every WATCH_EVERY_S."""
        now = time.monotonic()
        if not self._left or now < self._next:
            return
        self._next = now + WATCH_EVERY_S
        for row in self._world.rows(NOW, ids=list(self._left)):
            if row["epoch"] > self._left[row["item_id"]]:  # claimed anew: its holder had gone
                self.recovered_s.append(now - self._at)
            elif not row["finished"]:
                continue
            del self._left[row["item_id"]]


class Stage:
    """What a scene of `scenes.py` plays on."""

    def __init__(self, world: World, judge: Judge, rng: Random) -> None:
        self.world = world
        self.judge = judge
        self.rng = rng
        self.faults: Counter[str] = Counter()
        self.found: list[Violation] = []
        self.missed: list[str] = []  # faults that found nothing to strike
        self.runs = 0
        self.pages_again = 0
        self.activated = False
        self.may_fail = False  # the faults of this round may end a run early
        self._open: list[UUID] = []
        self._watches: list[Watch] = []
        self._watched: set[tuple[int, int]] = set()

    def open(self, *, feeds: int = 1, ticks: int | None = None) -> None:
        """Let the supplier move, then open a run of one feed or two."""
        self.world.supplier.advance(self.rng.randint(1, 6) if ticks is None else ticks)
        known = self.rng.sample(FEEDS, feeds)
        self._open = [self.world.open_run(feed) for feed in known]
        self.runs += feeds

    def open_file(self) -> None:
        """Let the supplier move, then open a run of a feed of files."""
        hours = FILE_EVERY * self.rng.randint(1, 3)
        self.world.supplier.advance(hours - self.world.supplier.stock.time % FILE_EVERY)
        self._open = [self.world.open_run(FILE_FEED)]
        self.runs += 1

    def open_feed(self, feed: str, *, ticks: int) -> None:
        """The same of one feed."""
        self.world.supplier.advance(ticks)
        self._open = [self.world.open_run(feed)]
        self.runs += 1

    def opened(self) -> list[UUID]:
        """The runs that this round is about now."""
        return list(self._open)

    def activate(self) -> None:
        """Have the other of two rulesets price from now on."""
        dear = self.world.home / "dear.yaml"
        if not dear.exists():
            source = EXAMPLE.read_text(encoding="utf-8")
            changed = source.replace("percent: 2.5", "percent: 4.5").replace("house rules", "dear")
            dear.write_text(changed, encoding="utf-8")
        now = self.world.rulesets.get(self.judge.active(), EXAMPLE)
        self.world.activate(EXAMPLE if now == dear else dear)
        self.activated = True
        self.fault("activate")

    def fault(self, name: str, times: int = 1) -> None:
        self.faults[name] += times

    def watch(self, at: float, *, waiting: bool = False) -> None:
        """Measure recoveries from a fault that struck at `at`.

        waiting  of what has been announced too, whose message may be lost
        """
        with ignoring_away():
            self._watches.append(Watch(self.world, at, LEFT if waiting else HELD, self._watched))

    def idle(self) -> bool:
        with ignoring_away():
            for watch in self._watches:
                watch.look()
            return self.world.idle()
        return False

    def pause(self, low_s: float, high_s: float) -> bool:
        """Wait a drawn time, or until nothing is left to do; whether something is."""
        until = time.monotonic() + self.rng.uniform(low_s, high_s)
        while time.monotonic() < until:
            if self.idle():
                return False
            self.world.wait(0.02)
        return not self.idle()

    def struck(self, point: str, action: Action, times: int = 1) -> Strike | None:
        """Arm a point and wait until it strikes; None where the world is idle before that."""
        self.world.points.arm(point, action, times)
        return self.await_strike(point)

    def await_strike(self, point: str) -> Strike | None:
        found: list[Strike] = []

        def ask() -> bool:
            strike = self.world.points.struck(point)
            if strike is not None:
                found.append(strike)
            return strike is not None or self.idle()

        self.world.until(f"{point} strikes", ask)
        if not found and (late := self.world.points.struck(point)) is not None:
            found.append(late)
        return found[0] if found else None

    def finish(self, *, letters: bool = True) -> None:
        """Wait for the end of all work, and have it judged.

        letters    whether a dead letter is a fault; False where an earlier run of this round left
                   some
        """
        self.world.until("the end of all work", self.idle)
        asked = self.world.supplier.requests()
        self.pages_again += sum(
            times - 1 for times in Counter(r.what for r in asked if r.kind == "page").values()
        )
        self.found += self.judge.limit([one.came_ms for one in asked])
        for run_id in self._open:
            run = self.world.run(run_id)
            if self.may_fail and run["state"] == "failed":
                self.found += self._failed(run)
            elif run["state"] != "complete":
                self._add("unexpected", f"{run['feed']} ended {run['state']}: {run['reason']}")
            elif self.activated:
                self.found += self.judge.priced(run["feed"])
            else:
                self.found += self.judge.exact(run)
            self.found += self.judge.invariants(run_id)
        if self.activated:
            read = {str(self.world.run(run_id)["feed"]) for run_id in self._open}
            for feed in sorted(self.judge.known.keys() - read):
                self.found += self.judge.stamped(feed)
        if letters:
            self._dead_letters()
        self._open = []
        self.activated = False

    def moved(self, moments: Mapping[str, list[Any]]) -> None:
        """The end of runs while which the supplier moved; `moments` by feed."""
        self.world.until("the end of all work", self.idle)
        self.world.supplier.requests()
        for run_id in self._open:
            run = self.world.run(run_id)
            if run["state"] != "complete":
                self._add("unexpected", f"{run['feed']} ended {run['state']}: {run['reason']}")
            else:
                self.found += self.judge.moved(run["feed"], moments[run["feed"]])
            self.found += self.judge.invariants(run_id)
        self._dead_letters()
        self._open = []

    def ended_partial(self, *, settle: bool = True) -> None:
        """The end of a run some of whose work was given up: it took nothing off sale, and what it
        wrote is as the supplier has it now.

        settle    its dead letters are discarded
        """
        self.world.until("the end of all work", self.idle)
        (run_id,) = self._open
        run = self.world.run(run_id)
        if run["state"] != "partial":
            self._add("wrong", f"{run['feed']} ended {run['state']}, some of it given up")
        before = self.judge.known.get(run["feed"], {})
        now = self.judge.offered(run["feed"], self.judge.active())
        for offer_id, kept in self.judge.catalogue(run["feed"]).items():
            fresh = offer_id in now.stones and kept == Kept(now.stones[offer_id], None)
            turned = kept.off_sale == "rejected" and offer_id in now.rejected
            if not fresh and not turned and kept != before.get(offer_id):
                self._add("wrong", f"{offer_id} is neither as it was nor as it is offered")
        self.found += self.judge.invariants(run_id)
        if settle:
            self.world.execute(SETTLE, run=run_id)
        self.judge.known[run["feed"]] = self.judge.catalogue(run["feed"])
        self._open = []

    def unchanged(self, feed: str) -> None:
        """The end of work that came too late to change anything."""
        self.world.until("the end of all work", self.idle)
        self.found += compared(self.judge.catalogue(feed), self.judge.known[feed])
        self.found += self.judge.invariants(None)
        self._dead_letters()

    def note(self, kind: Class, what: str) -> None:
        """A violation that a scene has seen itself."""
        self.found.append(Violation(kind, what))

    def recovered_s(self) -> list[float]:
        return [one for watch in self._watches for one in watch.recovered_s]

    @property
    def run_id(self) -> UUID:
        """Of the run that was opened first."""
        return self._open[0]

    def _failed(self, run: Mapping[str, Any]) -> list[Violation]:
        """A run that failed leaves everything as it was, with a dead letter that says why."""
        known = self.judge.known.get(run["feed"], {})
        found = (
            [Violation("wrong", "a failed run wrote")]
            if (self.judge.catalogue(run["feed"]) != known)
            else []
        )
        if len(self.world.rows(LETTERS_OF, run=run["run_id"])) != 1:
            found.append(Violation("lost", "a failed run without its dead letter"))
        self.world.execute(SETTLE, run=run["run_id"])
        return found

    def _dead_letters(self) -> None:
        for row in self.world.rows(LETTERS):
            self._add("unexpected", f"dead letter: {row['kind']} {row['reason']}: {row['error']}")

    def _add(self, kind: Any, what: str) -> None:
        self.found.append(Violation(kind, what))


LETTERS = """
    SELECT kind, reason, error FROM dead_letters
     WHERE settled_at IS NULL AND reason <> 'bad_message'"""
LETTERS_OF = "SELECT FROM dead_letters WHERE run_id = :run AND settled_at IS NULL"
SETTLE = """
    WITH settled AS (
        UPDATE dead_letters SET settled_at = now(), settled_how = 'discarded'
         WHERE run_id = :run AND settled_at IS NULL RETURNING item_id)
    UPDATE work_items SET state = 'cancelled' WHERE item_id IN (SELECT item_id FROM settled)"""

Scene = Callable[[Stage, str], None]


@contextmanager
def ignoring_away() -> Iterator[None]:
    """Of a database that a fault has ended; it is asked again."""
    with suppress(DatabaseUnavailable):
        yield
