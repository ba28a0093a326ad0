"""Messages that come twice, stages killed at every step, holders that wake late, old work again."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from scheduler import steward
from shared import queue
from shared.db import transaction
from shared.errors import ClaimLost, SupplierRefused
from shared.feeds.base import Mapped, Slice
from shared.ledger import ANNOUNCED, ATTEMPTS_MAX, Claim, Kind
from tests.builders import item_now, lapse, rows
from tests.end_to_end.catalogue import assert_exact, assert_untouched, catalogue, marks
from tests.end_to_end.conftest import MakeShop, StartSupplier
from tests.end_to_end.crashing import Crasher, Killed
from tests.end_to_end.pipeline import Message, Pipeline
from tests.end_to_end.shop import NATURAL, Shop
from tests.end_to_end.wrapped import Wrapped
from tests.oracle.oracle import NOTHING, after_run

# What every full run needs; a cut is only for a partition that outgrew its plan, and a reprice
# belongs to no run.
USUAL = tuple(kind for kind in ANNOUNCED if kind not in {"cut", "reprice"})


def double_every_message(pipeline: Pipeline) -> set[Kind]:
    """Deliver each message twice from now on; returns the kinds that were, as they come."""
    deliver, seen = pipeline.deliver, set[Kind]()

    def twice(kind: Kind, message: Message) -> str:
        outcome = deliver(kind, message)
        assert deliver(kind, message) == "skipped"
        seen.add(kind)
        return outcome

    pipeline.deliver = twice  # type: ignore[method-assign]
    return seen


def test_every_message_twice_does_everything_once(
    engine: Engine, moving: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(moving(200, 7), partition_offers_max=40)
    seen = double_every_message(shop.pipeline)
    _, wanted = shop.moved(20)
    assert_exact(engine, shop.pipeline.run(NATURAL), wanted)
    assert seen == set(USUAL)


def test_a_partition_that_outgrew_its_plan_is_cut_and_read_whole(
    engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(still(1_500, 1), partition_offers_max=300)
    pipeline, real = shop.pipeline, shop.pipeline.source
    seen = double_every_message(pipeline)
    run_id = pipeline.start(NATURAL)
    pipeline.source = lambda feed: Wrapped(real(feed), counts=lambda counted: counted // 1_000)
    pipeline.drain("plan")
    pipeline.source = real
    pipeline.drain()
    run = pipeline.row(run_id)
    assert run["state"] == "complete"
    assert_exact(engine, run, after_run(NOTHING, shop.has()))
    assert seen == {*USUAL, "cut"}
    cut_out = "SELECT 1 FROM partitions WHERE parent_id IS NOT NULL"
    assert len(rows(engine, cut_out)) > 1


@pytest.mark.parametrize("kind", USUAL)
def test_a_message_that_two_processes_get_at_once_is_worked_on_by_one(
    engine: Engine, still: StartSupplier, make_shop: MakeShop, kind: Kind
) -> None:
    shop = make_shop(still(40, 1))
    pipeline = shop.pipeline
    run_id = pipeline.start(NATURAL)
    while not (messages := pipeline.due(kind)):
        pipeline.drain(*(other for other in ANNOUNCED if other != kind))
        steward.close_runs(engine)
    start = threading.Barrier(2)

    def attempt(_: int) -> str:
        start.wait()
        return pipeline.deliver(kind, messages[0])

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, range(2))) == ["done", "skipped"]
    pipeline.drain()
    assert_exact(engine, pipeline.row(run_id), after_run(NOTHING, shop.has()))


def test_work_done_again_with_a_claim_that_is_over_changes_nothing(
    engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(still(40, 1), partition_offers_max=15)
    pipeline = shop.pipeline
    stages = {kind: getattr(pipeline, kind) for kind in ANNOUNCED}
    spent: list[Claim] = []

    def noting(kind: Kind) -> Callable[[Claim], None]:
        def work(held: Claim) -> None:
            stages[kind](held)
            spent.append(held)

        return work

    for kind in ANNOUNCED:
        setattr(pipeline, kind, noting(kind))
    run = pipeline.run(NATURAL)
    there = marks(engine, NATURAL)
    assert {held.kind for held in spent} == set(USUAL)
    for held in spent:
        with pytest.raises(ClaimLost):
            stages[held.kind](held)
    assert marks(engine, NATURAL) == there
    assert pipeline.row(run["run_id"]) == run
    assert_exact(engine, run, after_run(NOTHING, shop.has()))


def test_a_run_killed_at_every_step_of_every_stage_ends_exact(
    engine: Engine, moving: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(moving(20, 8), partition_offers_max=10)
    pipeline, deliver = shop.pipeline, shop.pipeline.deliver
    _, wanted = shop.moved(40)
    assert min(map(len, (wanted.inserted, wanted.changed, wanted.delisted, wanted.rejected))) > 0
    there = marks(engine, NATURAL)
    with Crasher(engine).installed() as crasher:

        def killed_again_and_again(kind: Kind, message: Message) -> str:
            return survive(engine, crasher, deliver, kind, message)

        pipeline.deliver = killed_again_and_again  # type: ignore[method-assign]
        run = pipeline.run(NATURAL)
    assert run["state"] == "complete"
    assert_exact(engine, run, wanted)
    assert_untouched(there, marks(engine, NATURAL), wanted.touched)
    assert {item["state"] for item in pipeline.work()} == {"done"}
    assert rows(engine, "SELECT 1 FROM dead_letters") == []
    assert crasher.struck == crasher.seen
    assert len(crasher.seen) > 25  # statements of all stages, and the two sides of a commit


def survive(
    engine: Engine,
    crasher: Crasher,
    deliver: Callable[[Kind, Message], str],
    kind: Kind,
    message: Message,
) -> str:
    """Deliver a message whose holder is killed at its first step, then at its second, and so on.

    Where the dead holder got on, counting starts anew, so that no step is left out.
    """
    item_id, step = message["item"], 1
    while True:
        before = landed(engine, item_id)
        try:
            with crasher.at(step):
                return deliver(kind, anew(engine, item_id))
        except Killed:
            step = step + 1 if landed(engine, item_id) == before else 1
            bury_the_holder(engine, item_id)


def anew(engine: Engine, item_id: int) -> Message:
    """The message that the steward sends for an item as it stands."""
    return {"item": item_id, "epoch": item_now(engine, item_id)["epoch"]}


def landed(engine: Engine, item_id: int) -> Any:
    """How far a fetch has got, whether a plan has its check, and whether the work is done."""
    statement = """
        SELECT p.landed, c.check_id, w.state = 'done' AS done
          FROM work_items AS w
          LEFT JOIN partitions AS p USING (partition_id)
          LEFT JOIN feed_checks AS c ON c.run_id = w.run_id
         WHERE w.item_id = :item"""
    return rows(engine, statement, item=item_id)


def bury_the_holder(engine: Engine, item_id: int) -> None:
    """What the steward does when a lease has run out; so many deaths are not held against it."""
    if item_now(engine, item_id)["state"] == "held":
        lapse(engine, item_id)
        assert steward.reap(engine) == 1
    with transaction(engine) as tx:
        forget = "UPDATE work_items SET attempts = 0 WHERE item_id = :item"
        tx.execute(text(forget), {"item": item_id})


def test_a_fold_that_is_killed_again_and_again_becomes_a_dead_letter_and_the_run_partial(
    engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    def killed(_: Any) -> Mapped:
        raise Killed

    shop = make_shop(still(40, 1), partition_offers_max=15)
    pipeline, honest = shop.pipeline, shop.pipeline.feed
    run_id = pipeline.start(NATURAL)
    pipeline.drain("plan", "fetch")
    item_id = pipeline.due("fold")[0]["item"]
    pipeline.feed = lambda name: replace(honest(name), map_offers=killed)
    for _ in range(ATTEMPTS_MAX["fold"]):
        with pytest.raises(Killed):
            pipeline.deliver("fold", anew(engine, item_id))
        lapse(engine, item_id)
        assert steward.reap(engine) == 1
    pipeline.feed = honest
    pipeline.drain()
    run = pipeline.row(run_id)
    assert run["state"] == "partial"
    assert run["reason"] == "fold gave up: its holder fell silent, in the last of 4 attempts"
    letters = rows(engine, "SELECT reason, item_id FROM dead_letters")
    assert letters == [{"reason": "worker_lost", "item_id": item_id}]
    read = shop.has().only(shop.seen_by(run, folded=True))
    assert len(read.stones) > 0
    assert_exact(engine, run, after_run(NOTHING, read, delists=False))


def test_a_late_holder_of_a_fold_changes_nothing(
    engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    late: list[Claim] = []

    def falls_asleep(held: Claim) -> None:
        late.append(held)
        raise Killed

    shop = make_shop(still(40, 1))
    pipeline = shop.pipeline
    run_id = pipeline.start(NATURAL)
    pipeline.drain("plan", "fetch")
    message = pipeline.due("fold")[0]
    with pytest.raises(Killed):
        queue.deliver(message, "fold", falls_asleep, engine=engine)
    lapse(engine, message["item"])
    assert steward.reap(engine) == 1
    pipeline.drain()
    there, run = marks(engine, NATURAL), pipeline.row(run_id)
    assert_exact(engine, run, after_run(NOTHING, shop.has()))
    with pytest.raises(ClaimLost):
        pipeline.fold(late[0])
    assert (marks(engine, NATURAL), pipeline.row(run_id)) == (there, run)


def test_a_fold_that_outlasts_its_lease_is_not_taken_away_while_it_writes(
    engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(still(40, 1))
    pipeline, honest = shop.pipeline, shop.pipeline.feed
    run_id = pipeline.start(NATURAL)
    pipeline.drain("plan", "fetch")
    message = pipeline.due("fold")[0]
    reaped: list[int] = []

    def outlasts(payloads: Any) -> Mapped:
        reaped.append(steward.reap(engine))
        return honest(NATURAL).map_offers(payloads)

    def held_too_long(held: Claim) -> None:
        lapse(engine, held.item_id)
        pipeline.fold(held)

    pipeline.feed = lambda name: replace(honest(name), map_offers=outlasts)
    assert queue.deliver(message, "fold", held_too_long, engine=engine) == "done"
    assert reaped == [0]
    pipeline.feed = honest
    pipeline.drain()
    assert_exact(engine, pipeline.row(run_id), after_run(NOTHING, shop.has()))


def replay(engine: Engine, item_id: int) -> Message:
    """Make a finished item due again, as an operator does; returns its message."""
    statement = """
        UPDATE work_items SET state = 'due', finished_at = NULL, attempts = 0
         WHERE item_id = :item
        RETURNING item_id AS item, epoch"""
    (message,) = rows(engine, statement, item=item_id)
    return message


def run_whose_folds_give_up(shop: Shop) -> list[int]:
    """A run that landed and folded nothing; returns its folds."""

    def bug(_: Any) -> Mapped:
        raise ZeroDivisionError("a bug in the mapping")

    pipeline, honest = shop.pipeline, shop.pipeline.feed
    run_id = pipeline.start(NATURAL)
    pipeline.drain("plan", "fetch")
    pipeline.feed = lambda name: replace(honest(name), map_offers=bug)
    for message in pipeline.due("fold"):
        with pytest.raises(ZeroDivisionError):
            pipeline.deliver("fold", message)
    pipeline.feed = honest
    pipeline.drain()
    assert pipeline.row(run_id)["state"] == "partial"
    return [item["item_id"] for item in pipeline.work() if item["state"] == "dead"]


def test_an_old_run_folded_after_a_newer_one_that_is_complete_changes_nothing(
    engine: Engine, moving: StartSupplier, make_shop: MakeShop
) -> None:
    shop = make_shop(moving(200, 7), partition_offers_max=40)
    before, _ = shop.moved(20)
    old = run_whose_folds_give_up(shop)
    shop.supplier.advance(20)
    wanted = after_run(before, shop.has(40))
    newer = shop.pipeline.run(NATURAL)
    assert_exact(engine, newer, wanted)
    there = marks(engine, NATURAL)
    gone = shop.has(20).stones.keys() - shop.has(40).stones.keys()
    assert len(gone - before.keys()) > 0  # came and went between the two: never to be sold
    assert len(gone & wanted.delisted) > 0
    for item_id in old:
        assert shop.pipeline.deliver("fold", replay(engine, item_id)) == "done"
    assert marks(engine, NATURAL) == there
    assert_exact(engine, newer, wanted)


def test_an_old_run_folded_after_a_newer_one_that_is_partial_adds_only_what_that_did_not_read(
    engine: Engine, moving: StartSupplier, make_shop: MakeShop
) -> None:
    def cheap_ones_refused(part: Slice, _offset: int) -> None:
        if part.price is not None and part.price.low == 0:
            raise SupplierRefused("the cheap ones are not for you")

    shop = make_shop(moving(200, 7), partition_offers_max=40)
    pipeline, real = shop.pipeline, shop.pipeline.source
    before, _ = shop.moved(20)
    old = run_whose_folds_give_up(shop)
    shop.supplier.advance(20)
    pipeline.source = lambda feed: Wrapped(real(feed), before_page=cheap_ones_refused)
    newer = pipeline.run(NATURAL)
    assert newer["state"] == "partial"
    seen = shop.seen_by(newer)
    known = after_run(before, shop.has(40).only(seen), delists=False).catalogue
    assert catalogue(engine, NATURAL) == known
    wanted = after_run(known, shop.has(20).only(shop.has(20).ids() - seen), delists=False)
    assert min(len(wanted.inserted), len(wanted.changed)) > 0
    for item_id in old:
        assert pipeline.deliver("fold", replay(engine, item_id)) == "done"
    assert catalogue(engine, NATURAL) == wanted.catalogue

    pipeline.source = real
    assert_exact(engine, pipeline.run(NATURAL), after_run(wanted.catalogue, shop.has(40)))
