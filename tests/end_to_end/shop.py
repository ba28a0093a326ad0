"""A shop: a pipeline, the supplier it reads, and what the oracle says of both."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from shared.db import transaction
from simulator.stock import Stock
from tests.builders import rows
from tests.end_to_end.pipeline import Pipeline
from tests.end_to_end.supplier import Supplier
from tests.oracle.oracle import NOTHING, Catalogue, Offered, Outcome, Rules, after_run, offered

NATURAL, LABGROWN = FEEDS = ("nivoda-natural", "nivoda-labgrown")

SEEN = """
    SELECT r.offer_id, p.folded_at IS NOT NULL AS folded
      FROM raw_offers AS r
      JOIN partitions AS p USING (partition_id)
     WHERE p.run_id = :run"""


def hurry(engine: Engine) -> None:
    """Let what waits for another attempt start now."""
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET not_before = now() WHERE state = 'due'"))


class Active(NamedTuple):
    """A ruleset that prices now, on both sides."""

    ruleset_id: int
    rules: Rules


class Shop(NamedTuple):
    pipeline: Pipeline
    supplier: Supplier
    active: Active

    def has(self, time: int = 0, *, feed: str = NATURAL, known: Catalogue = NOTHING) -> Offered:
        """What the supplier offers at that time, at our prices."""
        return self._offered(self.supplier.stock(time), feed, known)

    def had(self, times: range, *, feed: str = NATURAL) -> list[Offered]:
        """What it offered at each of these times."""
        stock, moments = self.supplier.stock(times.start), []
        for time in times:
            while stock.time < time:
                stock.advance()
            moments.append(self._offered(stock, feed))
        return moments

    def _offered(self, stock: Stock, feed: str, known: Catalogue = NOTHING) -> Offered:
        ruleset_id, rules = self.active
        kind = feed.removeprefix("nivoda-")
        return offered(stock, kind, rules, ruleset_id, feed=feed, known=known)

    def first_run(self, feed: str = NATURAL) -> Catalogue:
        """A complete run over the supplier as it started; what it must have led to."""
        assert self.pipeline.run(feed)["state"] == "complete"
        return after_run(NOTHING, self.has(feed=feed)).catalogue

    def moved(self, ticks: int) -> tuple[Catalogue, Outcome]:
        """A first run, then the supplier moves: the catalogue, and what the next run must do."""
        before = self.first_run()
        self.supplier.advance(ticks)
        return before, after_run(before, self.has(ticks))

    def seen_by(self, run: Mapping[str, Any], *, folded: bool = False) -> set[str]:
        """The offers that landed in a run; `folded`: in a partition that was folded too."""
        found = rows(self.pipeline.engine, SEEN, run=run["run_id"])
        return {row["offer_id"] for row in found if row["folded"] or not folded}
