"""The ledger as a state machine: the real statements on a real PostgreSQL, beside a model of them.

The broker is a list in memory that drops, doubles and reorders. Holders never go away: whoever
lost his claim may still try to write, at any later step. Leases run out when a rule says so, by
moving the row, so nothing waits for a clock.
"""

import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, Engine, text

from scheduler import steward
from shared import dead_letters, ledger, runs
from shared.db import transaction
from shared.errors import ClaimLost, NotNow, Stopped, SupplierUnavailable, Throttled, Transient
from shared.feeds.base import Page, RawOffer, Slicing
from shared.ledger import Claim, Kind
from tests.builders import insert_partition
from worker import fetch
from worker.ahead import Answered
from worker.fetch import Part, Spent
from worker.reading import Reading

SLICING = Slicing(8, 1_000, True, "USD per carat", ("ROUND",), ("GIA",))
LEASE_S = 3_600.0
PAGE = 2  # offers
LATER_S = 7_200.0
PARTITIONS = 2
ATTEMPTS_FEW = 2

Row = dict[str, Any]


class Message(NamedTuple):
    kind: Kind
    item_id: int
    epoch: int


class Model:
    """What one work item must be."""

    def __init__(self, item_id: int, kind: Kind, partition_id: int) -> None:
        self.item_id = item_id
        self.kind = kind
        self.partition_id = partition_id
        self.state = "due"
        self.epoch = 0
        self.attempts = 0
        self.attempts_max = ledger.ATTEMPTS_MAX[kind]
        self.announced = False
        self.waits = False  # its not_before lies ahead
        self.lapsed = False
        self.letters = 0


class Holder:
    """Somebody who once claimed an item; perhaps dead, perhaps only late."""

    def __init__(self, claim: Claim, part: Part) -> None:
        self.claim = claim
        self.part = part
        self.landed = part.landed
        self.offset = part.next_offset


class LedgerMachine(RuleBasedStateMachine):
    """Set `engine` before it runs. `steps` counts over all examples."""

    engine: ClassVar[Engine]
    steps: ClassVar[int] = 0

    @initialize()
    def open(self) -> None:
        with transaction(self.engine) as tx:
            for table in ("dead_letters", "raw_offers", "work_items", "partitions", "runs"):
                tx.execute(text(f"DELETE FROM {table}"))
            self.run_id: UUID = runs.start(tx, "nivoda-natural").run_id
            tx.execute(text("DELETE FROM work_items"))
            self.items: dict[int, Model] = {}
            for _ in range(PARTITIONS):
                partition_id = insert_partition(tx, self.run_id)
                item_id = ledger.add(tx, "fetch", self.run_id, partition_id=partition_id)
                self.items[item_id] = Model(item_id, "fetch", partition_id)
            model = self.items[item_id]  # one that gives up soon: else hardly any gets so far
            model.attempts_max = ATTEMPTS_FEW
            few = "UPDATE work_items SET attempts_max = :few WHERE item_id = :item"
            tx.execute(text(few), {"few": ATTEMPTS_FEW, "item": item_id})
        self.landed = {model.partition_id: 0 for model in self.items.values()}
        self.cancelled = False
        self.broker: list[Message] = []
        self.holders: list[Holder] = []
        self.announce("fetch", False, 0)  # so that there is something to claim from the start

    # --- the steward

    @precondition(lambda self: self._any("due"))
    @rule(
        kind=st.sampled_from(("fetch", "fetch", "fold")),
        again=st.booleans(),
        crash=st.sampled_from((0, 0, 1)),
    )
    def announce(self, kind: Kind, again: bool, crash: int) -> None:
        """Sent before the mark: a crash in between leaves the messages and no mark."""
        must = {
            model.item_id
            for model in self.items.values()
            if model.kind == kind
            and model.state == "due"
            and not model.waits
            and (again or not model.announced)
        }
        with self.engine.connect() as connection:
            again_s = 0.0 if again else LATER_S
            due = ledger.announce(connection, kind, again_s=again_s, announced_max=64)
            self.broker += [Message(kind, one.item_id, one.epoch) for one in due]
            if crash:
                connection.rollback()
            else:
                connection.commit()
        assert {one.item_id for one in due} == must
        assert all(one.epoch == self.items[one.item_id].epoch for one in due)
        if not crash:
            for item_id in must:
                self.items[item_id].announced = True

    @precondition(lambda self: self._any("held"))
    @rule()
    def reap(self) -> None:
        expired = [m for m in self.items.values() if m.state == "held" and m.lapsed]
        assert steward.reap(self.engine) == len(expired)
        for model in expired:
            model.state = "due" if model.attempts < model.attempts_max else "dead"
            model.letters += model.state == "dead"
            model.announced = model.lapsed = False

    @precondition(lambda self: any(model.waits for model in self.items.values()))
    @rule()
    def time_goes_by(self) -> None:
        """What waits may start."""
        self._execute("UPDATE work_items SET not_before = now() WHERE state = 'due'")
        for model in self.items.values():
            model.waits = False

    @precondition(lambda self: self._any("held"))
    @rule(data=st.data())
    def lease_runs_out(self, data: st.DataObject) -> None:
        held = [m for m in self.items.values() if m.state == "held"]
        model = data.draw(st.sampled_from(held))
        move = "UPDATE work_items SET lease_until = now() - interval '1 s' WHERE item_id = :item"
        self._execute(move, item=model.item_id)
        model.lapsed = True

    # --- the broker

    @precondition(lambda self: len(self.broker) > 2)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        self.broker.pop(data.draw(st.integers(0, len(self.broker) - 1)))

    @rule(data=st.data())
    def sent_by_hand(self, data: st.DataObject) -> None:
        """A message that nobody announced, with the right epoch: its item may be held, or wait."""
        model = data.draw(st.sampled_from(list(self.items.values())))
        self.broker.append(Message(model.kind, model.item_id, model.epoch))

    @precondition(lambda self: self.broker)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        """Any message, in any order, perhaps again later."""
        place = data.draw(st.integers(0, len(self.broker) - 1))
        self._claim(self.broker[place] if keep else self.broker.pop(place))

    @precondition(lambda self: self._any("held"))
    @rule(data=st.data())
    def taken_over(self, data: st.DataObject) -> None:
        """Its holder falls silent and another goes on: by chance alone that is rare."""
        self.lease_runs_out(data)
        lapsed = [m for m in self.items.values() if m.state == "held" and m.lapsed]
        self.reap()
        for model in lapsed:
            self._claim(Message(model.kind, model.item_id, model.epoch))

    def _claim(self, message: Message) -> None:
        """What a message does that comes to a worker."""
        model = self.items[message.item_id]
        may = (
            model.state == "due"
            and model.epoch == message.epoch
            and not model.waits
            and model.attempts < model.attempts_max
        )
        with transaction(self.engine) as tx:
            claim = ledger.claim(tx, *message, owner=uuid4(), lease_s=LEASE_S)
        assert (claim is not None) == may
        if claim is None:
            return
        model.state, model.lapsed = "held", False
        model.epoch += 1
        model.attempts += 1
        assert (claim.epoch, claim.attempts) == (model.epoch, model.attempts)
        part, _ = fetch._load(self.engine, claim, SLICING)
        assert part.landed == self.landed[model.partition_id]
        self.holders.append(Holder(claim, part))

    # --- holders, present and former

    @precondition(lambda self: any(h.claim.kind == "fetch" for h in self.holders))
    @rule(data=st.data(), doubt=st.booleans())
    def page(self, data: st.DataObject, doubt: bool) -> None:
        """doubt    its commit's answer was lost, and the holder blindly lands it again"""
        holder = self._holder(data, "fetch")
        model = self.items[holder.claim.item_id]
        may = self._holds(holder) and holder.landed == self.landed[model.partition_id]
        self._try(lambda: self._land(holder), may)
        if not may:
            return
        self.landed[model.partition_id] += PAGE
        model.attempts, model.lapsed = 1, False
        if doubt:
            self._try(lambda: self._land(holder), False)
        holder.landed += PAGE
        holder.offset += PAGE

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), progress=st.booleans())
    def heartbeat(self, data: st.DataObject, progress: bool) -> None:
        holder = self._holder(data)
        may = self._holds(holder)
        self._write(
            lambda tx: ledger.heartbeat(tx, holder.claim, lease_s=LEASE_S, progress=progress), may
        )
        if may:
            model = self.items[holder.claim.item_id]
            model.lapsed = False
            model.attempts = 1 if progress else model.attempts

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), again=st.booleans())
    def finish(self, data: st.DataObject, again: bool) -> None:
        """again    the answer was lost, and the holder blindly finishes once more"""
        holder = self._holder(data)
        may = self._holds(holder)
        model = self.items[holder.claim.item_id]
        if model.kind == "fetch":

            def close() -> None:
                fetch._close(
                    self.engine, holder.claim, holder.part, Spent(0, 0), closing=None, cut=False
                )

        else:

            def close() -> None:
                with transaction(self.engine) as tx:
                    ledger.finish(tx, holder.claim)

        self._try(close, may)
        if not may:
            return
        model.state = "done"
        if again:
            self._try(close, False)
        if model.kind == "fetch":
            statement = "SELECT item_id FROM work_items WHERE partition_id = :p AND kind = 'fold'"
            (row,) = self._rows(statement, p=model.partition_id)
            self.items[row["item_id"]] = Model(row["item_id"], "fold", model.partition_id)

    @precondition(lambda self: self.holders)
    @rule(
        data=st.data(),
        error=st.sampled_from(
            (
                Stopped("asked to stop"),
                SupplierUnavailable("away", retry_after_s=LATER_S),
                Throttled("slower", retry_after_s=LATER_S),
            )
        ),
    )
    def give_back(self, data: st.DataObject, error: Transient) -> None:
        holder = self._holder(data)
        may = self._holds(holder)
        self._write(lambda tx: ledger.retry(tx, holder.claim, error), may)
        if not may:
            return
        model = self.items[holder.claim.item_id]
        model.announced = model.lapsed = False
        if model.attempts >= model.attempts_max and not error.untried:
            model.state = "dead"
            model.letters += 1
            return
        model.state = "due"
        model.attempts -= error.untried
        model.waits = not isinstance(error, Stopped)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        holder = self._holder(data)
        may = self._holds(holder)
        self._write(lambda tx: ledger.bury(tx, holder.claim, reason="permanent", error="no"), may)
        if may:
            model = self.items[holder.claim.item_id]
            model.state = "dead"
            model.letters += 1

    @precondition(lambda self: self._any("dead"))
    @rule(data=st.data(), twice=st.booleans())
    def replay(self, data: st.DataObject, twice: bool) -> None:
        """By hand; a second replay of the same letter is refused."""
        dead = [model for model in self.items.values() if model.state == "dead"]
        model = data.draw(st.sampled_from(dead))
        statement = (
            "SELECT dead_letter_id FROM dead_letters WHERE item_id = :item AND settled_at IS NULL"
        )
        (letter,) = self._rows(statement, item=model.item_id)
        may = not self.cancelled
        for first in (True, False)[: 1 + twice]:
            try:
                with transaction(self.engine) as tx:
                    dead_letters.replay(tx, letter["dead_letter_id"], actor="ana", because="a step")
            except NotNow:
                assert not (may and first)
            else:
                assert may
                assert first
        if may:
            model.state, model.attempts = "due", 0
            model.announced = model.waits = False

    @precondition(lambda self: not self.cancelled and len(self.holders) > 3)
    @rule(really=st.sampled_from((False, False, False, True)))
    def cancel(self, really: bool) -> None:
        """By hand, while others hold parts of the run."""
        if not really:
            return
        with transaction(self.engine) as tx:
            runs.cancel(tx, self.run_id, actor="ana", reason="a step")
        self.cancelled = True
        for model in self.items.values():
            if model.state in ("due", "held"):
                model.state = "cancelled"

    # --- what must hold after every step

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        LedgerMachine.steps += 1
        there = self._rows(ITEMS)
        assert {row["item_id"] for row in there} == set(self.items)
        for row in there:
            model = self.items[row["item_id"]]
            known = (model.state, model.epoch, model.attempts)
            assert (row["state"], row["epoch"], row["attempts"]) == known, row
            if model.state == "held":
                assert (row["lease_s"] > 0) != model.lapsed, row
                assert model.lapsed or abs(row["lease_s"] - LEASE_S) < LEASE_S / 2, row
        landed = {row["partition_id"]: row["landed"] for row in self._rows(PARTS)}
        assert landed == self.landed

    @invariant()
    def every_offer_is_there_once_and_every_death_has_its_letter(self) -> None:
        for row in self._rows(OFFERS):
            assert row["offers"] == row["different"] == self.landed[row["partition_id"]], row
        letters = {row["item_id"]: row["letters"] for row in self._rows(LETTERS)}
        assert letters == {m.item_id: m.letters for m in self.items.values() if m.letters}

    def _holder(self, data: st.DataObject, kind: Kind | None = None) -> Holder:
        """Mostly somebody who really holds an item, if there is one, or whose item another holds
        now; the latest are drawn first."""
        some = [one for one in self.holders[::-1] if kind in (None, one.claim.kind)]
        present = [one for one in some if self._holds(one)]
        late = [one for one in some if one not in present and self._held_again(one)]
        choices = [choice for choice in (present, present, late, some) if choice]
        return data.draw(st.sampled_from(data.draw(st.sampled_from(choices))))

    def _held_again(self, holder: Holder) -> bool:
        return self.items[holder.claim.item_id].state == "held"

    def _any(self, state: str) -> bool:
        return any(model.state == state for model in self.items.values())

    def _holds(self, holder: Holder) -> bool:
        model = self.items[holder.claim.item_id]
        return model.state == "held" and model.epoch == holder.claim.epoch

    def _land(self, holder: Holder) -> None:
        first = holder.landed
        offers = [
            RawOffer(f"{holder.part.partition_id}/{n}", b"{}") for n in range(first, first + PAGE)
        ]
        reading = Reading(holder.offset, holder.landed, {})
        answered = Answered(holder.offset, Page(offers, PAGE), time.monotonic())
        fetch._land(
            self.engine,
            holder.claim,
            holder.part,
            reading,
            answered,
            offers,
            holder.offset + PAGE,
            Spent(1, 1),
            lease_s=LEASE_S,
        )

    def _write(self, write: Callable[[Connection], object], may: bool) -> None:
        def whole() -> None:
            with transaction(self.engine) as tx:
                write(tx)

        self._try(whole, may)

    def _try(self, write: Callable[[], object], may: bool) -> None:
        """It takes effect, or raises ClaimLost and changes nothing, which the invariants see."""
        try:
            write()
        except ClaimLost:
            assert not may
        else:
            assert may

    def _rows(self, statement: str, **values: object) -> list[Row]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def _execute(self, statement: str, **values: object) -> None:
        with transaction(self.engine) as tx:
            tx.execute(text(statement), values)


ITEMS = """
    SELECT *, extract(epoch FROM lease_until - now())::float8 AS lease_s
      FROM work_items ORDER BY item_id"""
PARTS = "SELECT partition_id, landed FROM partitions"
OFFERS = """
    SELECT partition_id, count(*) AS offers, count(DISTINCT offer_id) AS different
      FROM raw_offers GROUP BY partition_id"""
LETTERS = """
    SELECT item_id, count(*) AS letters FROM dead_letters GROUP BY item_id"""
