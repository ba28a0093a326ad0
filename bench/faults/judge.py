"""What is wrong with a world after a round: the oracle's catalogue, and the invariants.

The oracle (tests/oracle) reads the simulator's stock itself and shares no code with the pipeline.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.faults.invariants import INVARIANTS, Class
from bench.faults.world import EXAMPLE, FILE_FEED, LIMIT_PER_S, World
from bench.supplier import worst_window
from simulator import file_rows
from tests.end_to_end.catalogue import catalogue, price_changes, rejected
from tests.oracle import file_reading, oracle
from tests.oracle.oracle import COMPARED, Catalogue, Kept, Offered, Outcome

SHOWN_MAX = 3  # rows of one invariant
# The supplier shares our processors, and looks at its clock late when they are busy.
WINDOW_SLACK = 1.1


class Violation(NamedTuple):
    kind: Class
    what: str


class Judge:
    """Knows what each feed's catalogue must be, from run to run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rules: dict[Path, oracle.Rules] = {}
        self.known: dict[str, Catalogue] = {}

    def offered(self, feed: str, ruleset_id: int, *, known: Catalogue | None = None) -> Offered:
        """What the supplier offers now, at the prices of a ruleset."""
        path = self._world.rulesets.get(ruleset_id, EXAMPLE)
        if path not in self._rules:
            self._rules[path] = oracle.load(path)
        stock, kind = self._world.supplier.stock, feed.removeprefix("nivoda-")
        before = self.known.get(feed, oracle.NOTHING) if known is None else known
        rules = self._rules[path]
        if feed == FILE_FEED:
            said = [
                dict(zip(file_rows.NATURAL, file_rows.natural(item), strict=True))
                for item in file_rows.available(stock.natural)
            ]
            there: list[tuple[str, Any]] = [(row["Item ID #"], row) for row in said]
            reading = partial(file_reading.idex, kind="natural")
            return oracle.at_our_prices(there, reading, rules, ruleset_id, feed=feed, known=before)
        return oracle.offered(stock, kind, rules, ruleset_id, feed=feed, known=before)

    def active(self) -> int:
        (row,) = self._world.rows("SELECT ruleset_id FROM rulesets WHERE state = 'active'")
        return int(row["ruleset_id"])

    def catalogue(self, feed: str) -> Catalogue:
        """As it stands."""
        return catalogue(self._world.engine, feed)

    def exact(self, run: Mapping[str, Any], *, delists: bool = True) -> list[Violation]:
        """A run over a supplier that stood still: every column, price, change and rejection."""
        feed = run["feed"]
        before = self.known.get(feed, oracle.NOTHING)
        now = self.offered(feed, self.active(), known=before)
        wanted = oracle.after_run(before, now, delists=delists)
        found = list(self._of_run(run, wanted))
        self.known[feed] = wanted.catalogue
        return found

    def _of_run(self, run: Mapping[str, Any], wanted: Outcome) -> Iterator[Violation]:
        engine = self._world.engine
        there = catalogue(engine, run["feed"])
        yield from compared(there, wanted.catalogue)
        turned_away = rejected(engine, run["run_id"])
        for offer_id in sorted(set(wanted.rejected) - set(turned_away), key=str):
            yield Violation("lost", f"{offer_id} is not among the rejected")
        for one in sorted(set(turned_away) - set(wanted.rejected), key=str):
            yield Violation("wrong", f"{one} was rejected: {turned_away[one]}")
        made = price_changes(engine, run["run_id"])
        for offer_id, change in wanted.price_changes.items():
            if offer_id not in made:
                yield Violation("lost", f"no price change of {offer_id}")
            elif len(made[offer_id]) > 1:
                yield Violation("duplicated", f"{len(made[offer_id])} price changes of {offer_id}")
            elif made[offer_id][0] != change:
                yield Violation("wrong", f"{made[offer_id][0]}, must be {change}")
        for offer_id in sorted(set(made) - set(wanted.price_changes)):
            yield Violation("duplicated", f"a price change of {offer_id}, whose price is the same")

    def moved(self, feed: str, moments: list[Offered]) -> list[Violation]:
        """A run over a supplier that moved: each stone as it was at one of these moments, and none
        gone that was there at all of them."""
        there = self.catalogue(feed)
        stayed = set.intersection(*(set(moment.stones) for moment in moments))
        found = [
            Violation("lost", f"{offer_id} was there all the time")
            for offer_id in sorted(stayed)
            if offer_id not in there or there[offer_id].off_sale is not None
        ]
        before = self.known.get(feed, oracle.NOTHING)
        for offer_id, kept in there.items():
            if kept.off_sale is not None or before.get(offer_id) == kept:
                continue
            if not any(kept == Kept(moment.stones.get(offer_id, {}), None) for moment in moments):
                found.append(Violation("wrong", f"{offer_id} is as it never was"))
        self.known[feed] = there
        return found

    def priced(self, feed: str) -> list[Violation]:
        """After an activation all are priced by what is active, whoever wrote them.

        How many changes that took is not known beforehand; the invariants walk them.
        """
        before = self.known.get(feed, oracle.NOTHING)
        now = self.offered(feed, self.active(), known=before)
        wanted = oracle.after_run(before, now).catalogue
        there = self.catalogue(feed)
        on_sale = {one: kept for one, kept in there.items() if kept.off_sale is None}
        must = {one: kept for one, kept in wanted.items() if kept.off_sale is None}
        self.known[feed] = there
        return list(compared(on_sale, must))

    def stamped(self, feed: str) -> list[Violation]:
        """The same of a feed that no run reads now, whose supplier may have moved on.

        Every stone on sale bears the active ruleset; how they are then is what is known of them.
        """
        there, active = self.catalogue(feed), self.active()
        self.known[feed] = there
        return [
            Violation("wrong", f"{offer_id} of {feed} was not priced anew")
            for offer_id, kept in there.items()
            if kept.off_sale is None and kept.stone["ruleset_id"] != active
        ]

    def invariants(self, run_id: object) -> list[Violation]:
        """Everything that must hold of an idle world, whatever was done to it."""
        found = []
        for one in INVARIANTS:
            values = {"run": run_id} if ":run" in one.statement else {}
            rows = self._world.rows(f"SELECT * FROM ({one.statement}) AS x LIMIT 20", **values)
            said = [str(next(iter(row.values()))) for row in rows]
            more = f" and {len(said) - SHOWN_MAX} more" if len(said) > SHOWN_MAX else ""
            if said:
                found.append(
                    Violation(one.kind, f"{one.name}: {'; '.join(said[:SHOWN_MAX])}{more}")
                )
        return found

    def limit(self, came_ms: list[float]) -> list[Violation]:
        """The supplier's own log keeps within the account's limit."""
        worst = worst_window(came_ms)
        if worst <= LIMIT_PER_S * WINDOW_SLACK:
            return []
        return [Violation("unexpected", f"{worst} requests within a second of {LIMIT_PER_S}")]


def compared(there: Catalogue, wanted: Catalogue) -> Iterator[Violation]:
    """Where two catalogues differ."""
    for offer_id in sorted(wanted.keys() - there.keys()):
        yield Violation("lost", f"{offer_id} is missing")
    for offer_id in sorted(there.keys() - wanted.keys()):
        yield Violation("duplicated", f"{offer_id} must not be there")
    for offer_id in sorted(there.keys() & wanted.keys()):
        found, must = there[offer_id], wanted[offer_id]
        if found.off_sale != must.off_sale:
            what = f"{offer_id} off sale: {found.off_sale}, must be {must.off_sale}"
            yield Violation("wrong", what)
        for name in COMPARED:
            if found.stone[name] != must.stone[name]:
                what = f"{offer_id} {name}: {found.stone[name]!r}, must be {must.stone[name]!r}"
                yield Violation("wrong", what)
