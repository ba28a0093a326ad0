"""How a run ends, and what that does to the catalogue."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from consolidator import reconcile as module
from consolidator.reconcile import reconcile_run
from scheduler import steward
from shared import counts, dead_letters, ledger, runs
from shared.db import transaction
from shared.errors import ClaimLost, SupplierUnavailable
from shared.feeds.base import Slice
from shared.ledger import Claim
from tests.builders import FEED, claim, held_item, item_now, open_run, rows
from tests.consolidator.landing import activate, end, fold, land, stones
from tests.feeds.offers import payload

LANDS = """
    INSERT INTO raw_offers (landed_on, partition_id, position, offer_id, read_at, payload)
    SELECT landed_on, :partition_id, place - 1, name, now(), '{}'
      FROM runs, unnest(CAST(:names AS text[])) WITH ORDINALITY AS seen (name, place)
     WHERE run_id = :run_id"""

FOLDED = """
    UPDATE partitions
       SET fetched_at = now(), folded_at = CASE WHEN :folded THEN now() END, landed = :n,
           offers = CASE WHEN :folded THEN :n END, inserted = 0, changed = 0, unchanged = :n,
           rejected = 0, price_changes = 0
     WHERE run_id = :run_id"""

ON_SALE = """
    INSERT INTO diamonds (feed, offer_id, kind, shape, carat, cost_cents, cost_currency,
                          price_cents, price_currency, ruleset_id, rule, mapping_version, read_at,
                          run_id)
    SELECT :feed, name, 'natural', 'ROUND', 1, 100, 'USD', 200, 'USD', :ruleset_id, 'twice', 1,
           now() - CAST(:age AS interval), gen_random_uuid()
      FROM unnest(CAST(:names AS text[])) AS name
    ON CONFLICT DO NOTHING"""


def names(number: int, prefix: str = "O") -> list[str]:
    return [f"{prefix}{n}" for n in range(number)]


def put_on_sale(engine: Engine, offer_ids: Sequence[str], *, age: str = "1 day") -> None:
    known = rows(engine, "SELECT ruleset_id FROM rulesets")
    ruleset_id = known[0]["ruleset_id"] if known else activate(engine)
    values = {"feed": FEED, "names": list(offer_ids), "ruleset_id": ruleset_id, "age": age}
    with transaction(engine) as tx:
        tx.execute(text(ON_SALE), values)


def run_that_read(
    engine: Engine,
    offer_ids: Sequence[str],
    *,
    counted: int | None,
    kind: runs.RunKind = "full",
    folded: bool = True,
) -> Claim:
    """A run whose only partition held these offers, and the claim of its reconciliation."""
    with transaction(engine) as tx:
        tx.execute(text("INSERT INTO feeds (feed, watermark) VALUES (:f, 'epoch')"
                        " ON CONFLICT DO NOTHING"), {"f": FEED})  # fmt: skip
        run_id = runs.start(tx, FEED, kind).run_id
    fetch = held_item(engine, run_id=run_id)
    with transaction(engine) as tx:
        values = {"run_id": run_id, "partition_id": fetch.partition_id, "n": len(offer_ids)}
        tx.execute(text(LANDS), values | {"names": list(offer_ids)})
        tx.execute(text(FOLDED), values | {"folded": folded})
        tx.execute(text("UPDATE work_items SET state = 'done', owner = NULL, lease_until = NULL,"
                        " finished_at = now() WHERE run_id = :run_id"), values)  # fmt: skip
        counted_as = (
            "UPDATE runs SET state = 'fetching', fetching_at = now(), counted = :counted"
            " WHERE run_id = :run_id"
        )
        tx.execute(text(counted_as), values | {"counted": counted})
    if folded:
        put_on_sale(engine, offer_ids, age="0 s")
    return reconciling(engine, run_id)


def reconciling(engine: Engine, run_id: UUID) -> Claim:
    with transaction(engine) as tx:
        item_id = ledger.add(tx, "reconcile", run_id)
    held = claim(engine, item_id, "reconcile")
    assert held is not None
    return held


def no_answer(_: Slice) -> int:
    raise SupplierUnavailable("no connection")


def reconcile(
    engine: Engine, held: Claim, recount: Callable[[Slice], int] = no_answer, **wanted: Any
) -> str:
    values = {"delist_after_runs": 1, "empty_below_share": 0.5} | wanted
    return reconcile_run(held, engine=engine, recount=recount, **values)


def give_up(engine: Engine, held: Claim, error: str) -> None:
    """Bury one more piece of the run's work."""
    with transaction(engine) as tx:
        item_id = ledger.add(tx, "cut", held.run_id)
    buried = claim(engine, item_id, "cut")
    assert buried is not None
    with transaction(engine) as tx:
        ledger.bury(tx, buried, reason="permanent", error=error)


def run_row(engine: Engine) -> dict[str, Any]:
    (found,) = rows(engine, "SELECT * FROM runs ORDER BY opened_at DESC LIMIT 1")
    return found


def moved(engine: Engine) -> bool:
    """Whether the watermark is the run's opening."""
    (found,) = rows(engine, "SELECT watermark FROM feeds")
    return bool(found["watermark"] == run_row(engine)["opened_at"])


def off_sale(engine: Engine) -> dict[str, str]:
    return {row["offer_id"]: row["off_sale_reason"] for row in stones(engine) if not row["on_sale"]}


class Case(NamedTuple):
    """A full run that read `read` offers, of which all but `new` were on sale with `sold` more."""

    counted: int | None
    read: int
    ending: str
    reason: str | None = None
    sold: int = 0
    new: int = 0
    recounted: int | None = None  # None: as it was counted


ENDINGS = {
    "all that was counted": Case(100, 100, "complete", sold=7),
    "nothing was counted, nothing sold": Case(0, 0, "complete"),
    "more than was counted": Case(100, 120, "complete", sold=7),
    "few are missing": Case(1_000, 950, "complete", sold=7),
    "sold while we read": Case(200, 100, "complete", sold=7, recounted=100),
    "too many are missing": Case(
        151, 100, "partial", "the supplier counts 151 offers, 100 were read", 7, recounted=151
    ),
    "never counted": Case(None, 100, "complete", sold=7),
    "half are left": Case(50, 50, "complete", sold=50),
    "less than half are left": Case(
        49, 49, "partial", "suspiciously empty: 49 offers, 100 stones on sale", sold=51
    ),
    "none are left": Case(
        0, 0, "partial", "suspiciously empty: 0 offers, 3 stones on sale", sold=3
    ),
    "the first run": Case(100, 100, "complete", new=100),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDINGS.values(), ids=ENDINGS)
def test_a_full_run_ends_as_its_counts_say(engine: Engine, case: Case) -> None:
    asked: list[Slice] = []

    def recount(part: Slice) -> int:
        asked.append(part)
        assert closing is not None
        return closing

    closing = case.counted if case.recounted is None else case.recounted
    put_on_sale(engine, [*names(case.read)[case.new :], *names(case.sold, "sold")])
    held = run_that_read(engine, names(case.read), counted=case.counted)
    assert reconcile(engine, held, recount) == case.ending
    run = run_row(engine)
    assert (run["state"], run["reason"]) == (case.ending, case.reason)
    assert (run["landed"], run["offers"]) == (case.read, case.read)
    complete = case.ending == "complete"
    delisted = names(case.sold, "sold") if complete else []
    assert off_sale(engine) == dict.fromkeys(delisted, "delisted")
    assert run["delisted"] == len(delisted)
    assert moved(engine) == complete
    assert asked == ([] if case.counted is None else [Slice()])
    assert run["recounted"] == closing
    assert item_now(engine, held.item_id)["state"] == "done"


@pytest.mark.parametrize(("counted", "ending"), [(2_002, "complete"), (2_003, "partial")])
def test_of_a_large_feed_a_thousandth_may_be_missing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, counted: int, ending: str
) -> None:
    monkeypatch.setattr(counts, "MISSING_MIN", 0)
    put_on_sale(engine, [*names(2_000), "sold"])
    held = run_that_read(engine, names(2_000), counted=counted)
    assert reconcile(engine, held, lambda _: counted) == ending
    assert off_sale(engine) == ({"sold": "delisted"} if ending == "complete" else {})


@pytest.mark.parametrize(
    ("counted", "read", "ending"), [(100, 100, "partial"), (100, 0, "partial"), (None, 0, "failed")]
)
def test_a_run_with_a_dead_letter_is_not_complete(
    engine: Engine, counted: int | None, read: int, ending: str
) -> None:
    put_on_sale(engine, [*names(read), "sold"])
    held = run_that_read(engine, names(read), counted=counted)
    give_up(engine, held, "not allowed")
    assert reconcile(engine, held, lambda _: read) == ending
    assert run_row(engine)["reason"] == "cut gave up: not allowed"
    assert (off_sale(engine), moved(engine)) == ({}, False)


def test_a_run_with_a_partition_that_was_never_folded_is_not_complete(engine: Engine) -> None:
    put_on_sale(engine, [*names(100), "sold"])
    held = run_that_read(engine, names(100), counted=100, folded=False)
    assert reconcile(engine, held) == "partial"
    assert run_row(engine)["reason"] == "1 of 1 partitions were not folded"
    assert (off_sale(engine), moved(engine)) == ({}, False)


def test_an_incremental_run_moves_the_watermark_and_delists_nothing(engine: Engine) -> None:
    put_on_sale(engine, names(100))
    held = run_that_read(engine, names(3), counted=3, kind="incremental")
    assert reconcile(engine, held) == "complete"
    assert (off_sale(engine), moved(engine)) == ({}, True)


def test_the_recount_of_an_incremental_run_asks_for_what_changed(engine: Engine) -> None:
    held = run_that_read(engine, names(3), counted=100, kind="incremental")
    asked: list[Slice] = []

    def recount(part: Slice) -> int:
        asked.append(part)
        return 3

    assert reconcile(engine, held, recount) == "complete"
    assert asked == [Slice(updated_from=run_row(engine)["updated_from"])]


def test_a_stone_goes_only_after_as_many_complete_runs_as_are_asked_for(engine: Engine) -> None:
    put_on_sale(engine, [*names(10), "sold"])
    for missed in (1, 2):
        held = run_that_read(engine, names(10), counted=10)
        assert reconcile(engine, held, delist_after_runs=3) == "complete"
        assert off_sale(engine) == {}
        assert {row["offer_id"]: row["missed_runs"] for row in stones(engine)} == (
            dict.fromkeys(names(10), 0) | {"sold": missed}
        )
    held = run_that_read(engine, names(10), counted=100)
    assert reconcile(engine, held, lambda _: 100, delist_after_runs=3) == "partial"
    assert off_sale(engine) == {}
    held = run_that_read(engine, names(10), counted=10)
    reconcile(engine, held, delist_after_runs=3)
    assert off_sale(engine) == {"sold": "delisted"}


def test_only_the_runs_own_feed_is_delisted(engine: Engine) -> None:
    put_on_sale(engine, ["here", "sold"])
    with transaction(engine) as tx:
        tx.execute(text("UPDATE diamonds SET feed = 'other' WHERE offer_id = 'here'"))
    reconcile(engine, run_that_read(engine, names(1), counted=1))
    assert off_sale(engine) == {"sold": "delisted"}
    assert rows(engine, "SELECT on_sale FROM diamonds WHERE feed = 'other'") == [{"on_sale": True}]


def test_a_stone_written_since_the_run_was_opened_is_not_missed(engine: Engine) -> None:
    activate(engine)
    held = run_that_read(engine, names(1), counted=1)
    end(engine, held.run_id, "partial")
    later = land(engine, [payload(id="new")])
    fold(engine, later)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE runs SET finished_at = now(), state = 'cancelled', reason = 'x'"
                        " WHERE run_id = :id"), {"id": later.run_id})  # fmt: skip
        tx.execute(text("UPDATE runs SET finished_at = NULL, state = 'fetching', reason = NULL"
                        " WHERE run_id = :id"), {"id": held.run_id})  # fmt: skip
    assert reconcile(engine, held) == "complete"
    assert off_sale(engine) == {}


def test_a_supplier_that_does_not_answer_the_recount_leaves_the_run_open(engine: Engine) -> None:
    put_on_sale(engine, [*names(100), "sold"])
    held = run_that_read(engine, names(100), counted=1_000)
    with pytest.raises(SupplierUnavailable):
        reconcile(engine, held, no_answer)
    assert run_row(engine)["state"] == "reconciling"
    assert item_now(engine, held.item_id)["state"] == "held"
    assert off_sale(engine) == {}
    assert reconcile(engine, held, lambda _: 100) == "complete"
    assert off_sale(engine) == {"sold": "delisted"}


def test_a_run_cancelled_during_the_recount_delists_nothing(engine: Engine) -> None:
    def cancelled_meanwhile(_: Slice) -> int:
        with transaction(engine) as tx:
            runs.cancel(tx, held.run_id, reason="wrong account", actor="ana")
        return 100

    put_on_sale(engine, [*names(100), "sold"])
    held = run_that_read(engine, names(100), counted=1_000)
    with pytest.raises(ClaimLost):
        reconcile(engine, held, cancelled_meanwhile)
    assert run_row(engine)["state"] == "cancelled"
    assert (off_sale(engine), moved(engine)) == ({}, False)


def test_a_run_is_closed_once(engine: Engine) -> None:
    put_on_sale(engine, [*names(10), "sold"])
    held = run_that_read(engine, names(10), counted=10)
    reconcile(engine, held)
    before = (stones(engine), run_row(engine))
    with pytest.raises(ClaimLost):
        reconcile(engine, held)
    assert (stones(engine), run_row(engine)) == before


def test_a_late_holder_closes_nothing(engine: Engine) -> None:
    put_on_sale(engine, [*names(10), "sold"])
    held = run_that_read(engine, names(10), counted=10)
    with transaction(engine) as tx:
        taken = "UPDATE work_items SET epoch = epoch + 1 WHERE item_id = :id"
        tx.execute(text(taken), {"id": held.item_id})
    with pytest.raises(ClaimLost):
        reconcile(engine, held)
    assert off_sale(engine) == {}
    assert run_row(engine)["finished_at"] is None


def test_a_run_that_has_no_work_left_and_planned_nothing_fails(engine: Engine) -> None:
    put_on_sale(engine, names(3))
    run_id = open_run(engine)
    (plan,) = rows(engine, "SELECT item_id FROM work_items")
    planning = claim(engine, plan["item_id"], "plan")
    assert planning is not None
    with transaction(engine) as tx:
        ledger.bury(tx, planning, reason="permanent", error="wrong password")
    assert reconcile(engine, reconciling(engine, run_id)) == "failed"
    assert run_row(engine)["reason"] == "plan gave up: wrong password"
    assert off_sale(engine) == {}


def partial_with_a_letter(engine: Engine, read: Sequence[str], *, counted: int) -> int:
    """A run that ended partial since one of its folds gave up; returns the dead letter."""
    held = run_that_read(engine, read, counted=counted)
    give_up(engine, held, "not allowed")
    assert reconcile(engine, held) == "partial"
    (letter,) = rows(engine, "SELECT dead_letter_id FROM dead_letters WHERE settled_at IS NULL")
    return int(letter["dead_letter_id"])


def replayed(engine: Engine, letter: int) -> Claim:
    """Replay it, let its work succeed, and hold the run's reconciliation that then is due."""
    with transaction(engine) as tx:
        item_id = dead_letters.replay(tx, letter, actor="ana", because="it is mended")
    assert steward.close_runs(engine) == 0  # the work is not done yet
    done = claim(engine, item_id, "cut")
    assert done is not None
    with transaction(engine) as tx:
        ledger.finish(tx, done)
    assert steward.close_runs(engine) == 1
    assert steward.close_runs(engine) == 0
    (item,) = rows(
        engine, "SELECT item_id FROM work_items WHERE kind = 'reconcile' AND state = 'due'"
    )
    held = claim(engine, item["item_id"], "reconcile")
    assert held is not None
    return held


def test_a_successful_replay_completes_a_partial_run(engine: Engine) -> None:
    put_on_sale(engine, [*names(100), "sold"])
    letter = partial_with_a_letter(engine, names(100), counted=100)
    assert (off_sale(engine), moved(engine)) == ({}, False)
    assert reconcile(engine, replayed(engine, letter), lambda _: 101) == "complete"
    run = run_row(engine)
    assert (run["state"], run["reason"], run["note"], run["replayed_at"]) == (
        *("complete", None, None, None),
    )  # fmt: skip
    assert (off_sale(engine), moved(engine)) == ({"sold": "delisted"}, True)
    assert (run["delisted"], run["recounted"]) == (1, 101)


@pytest.mark.parametrize("later", ["complete", "partial", "open", "incremental"])
def test_a_run_completed_after_a_later_one_began_delists_nothing(
    engine: Engine, later: str
) -> None:
    put_on_sale(engine, [*names(100), "back"])
    letter = partial_with_a_letter(engine, names(100), counted=100)
    old = run_row(engine)
    kind: runs.RunKind = "incremental" if later == "incremental" else "full"
    newer = run_that_read(engine, [*names(100), "back"], counted=101, kind=kind)
    if later == "partial":
        give_up(engine, newer, "not allowed")
    if later != "open":
        reconcile(engine, newer)
    watermark = rows(engine, "SELECT watermark FROM feeds")
    assert reconcile(engine, replayed(engine, letter)) == "complete"
    (run,) = rows(engine, "SELECT * FROM runs WHERE run_id = :r", r=old["run_id"])
    assert (run["state"], run["delisted"]) == ("complete", 0)
    assert run["note"] == module.OVERTAKEN
    assert off_sale(engine) == {}
    assert rows(engine, "SELECT watermark FROM feeds") == watermark


def test_a_replay_that_gives_up_again_leaves_the_run_partial(engine: Engine) -> None:
    put_on_sale(engine, [*names(100), "sold"])
    letter = partial_with_a_letter(engine, names(100), counted=100)
    with transaction(engine) as tx:
        item_id = dead_letters.replay(tx, letter, actor="ana", because="it is mended")
    again = claim(engine, item_id, "cut")
    assert again is not None
    with transaction(engine) as tx:
        ledger.bury(tx, again, reason="permanent", error="still not allowed")
    assert steward.close_runs(engine) == 1
    (item,) = rows(engine, "SELECT item_id FROM work_items WHERE kind = 'reconcile'")
    held = claim(engine, item["item_id"], "reconcile")
    assert held is not None
    assert reconcile(engine, held) == "partial"
    run = run_row(engine)
    assert (run["reason"], run["replayed_at"]) == ("cut gave up: still not allowed", None)
    assert off_sale(engine) == {}


def test_what_is_replayed_while_the_run_is_reconciled_is_waited_for(engine: Engine) -> None:
    put_on_sale(engine, [*names(100), "sold"])
    held = run_that_read(engine, names(100), counted=100)
    give_up(engine, held, "not allowed")
    (letter,) = rows(engine, "SELECT dead_letter_id FROM dead_letters")

    def replayed_meanwhile(_: Slice) -> int:
        with transaction(engine) as tx:
            dead_letters.replay(tx, letter["dead_letter_id"], actor="ana", because="mended")
        return 100

    assert reconcile(engine, held, replayed_meanwhile) == "partial"
    assert run_row(engine)["reason"] == "some of its work was replayed while it was reconciled"
    assert steward.close_runs(engine) == 0
    (cut,) = rows(engine, "SELECT item_id FROM work_items WHERE kind = 'cut'")
    again = claim(engine, cut["item_id"], "cut")
    assert again is not None
    with transaction(engine) as tx:
        ledger.finish(tx, again)
    assert steward.close_runs(engine) == 1
    last = claim(engine, held.item_id, "reconcile")
    assert last is not None
    assert reconcile(engine, last) == "complete"
    assert off_sale(engine) == {"sold": "delisted"}


def test_a_discarded_letter_completes_nothing(engine: Engine) -> None:
    put_on_sale(engine, [*names(100), "sold"])
    held = run_that_read(engine, names(100), counted=100)
    give_up(engine, held, "not allowed")
    (letter,) = rows(engine, "SELECT dead_letter_id FROM dead_letters")
    with transaction(engine) as tx:
        dead_letters.discard(tx, letter["dead_letter_id"], actor="ana", because="never mind")
    assert reconcile(engine, held) == "partial"
    assert run_row(engine)["reason"] == "cut gave up: not allowed"
    assert off_sale(engine) == {}


def test_a_partition_read_after_the_sweep_is_swept_over_once_more(engine: Engine) -> None:
    put_on_sale(engine, names(10))
    held = run_that_read(engine, names(10), counted=10)
    give_up(engine, held, "not allowed")
    with transaction(engine) as tx:
        swept = ledger.add(tx, "sweep", held.run_id)
        tx.execute(text("UPDATE work_items SET state = 'done', finished_at = now()"
                        " WHERE item_id = :i"), {"i": swept})  # fmt: skip
    assert reconcile(engine, held) == "partial"
    (letter,) = rows(engine, "SELECT dead_letter_id FROM dead_letters")
    with transaction(engine) as tx:
        item_id = dead_letters.replay(tx, letter["dead_letter_id"], actor="ana", because="mended")
    done = claim(engine, item_id, "cut")
    assert done is not None
    with transaction(engine) as tx:
        ledger.finish(tx, done)
        tx.execute(text("UPDATE partitions SET fetched_at = clock_timestamp()"))
    assert steward.close_runs(engine) == 1
    assert item_now(engine, swept)["state"] == "due"
    again = claim(engine, swept, "sweep")
    assert again is not None
    assert steward.close_runs(engine) == 0
    with transaction(engine) as tx:
        ledger.finish(tx, again)
    assert steward.close_runs(engine) == 1
    assert item_now(engine, held.item_id)["state"] == "due"


def test_a_run_whose_reconciliation_gives_up_ends_and_can_be_completed(engine: Engine) -> None:
    put_on_sale(engine, [*names(10), "sold"])
    held = run_that_read(engine, names(10), counted=1_000)
    with pytest.raises(SupplierUnavailable):
        reconcile(engine, held)
    with transaction(engine) as tx:
        letter = ledger.bury(tx, held, reason="attempts", error="no connection")
    assert steward.close_runs(engine) == 1
    run = run_row(engine)
    assert (run["state"], run["reason"]) == ("partial", "reconcile gave up: no connection")
    assert run["landed"] == 10
    assert off_sale(engine) == {}
    with transaction(engine) as tx:
        dead_letters.replay(tx, letter, actor="ana", because="they are back")
    last = claim(engine, held.item_id, "reconcile")
    assert last is not None
    assert reconcile(engine, last, lambda _: 10) == "complete"
    assert off_sale(engine) == {"sold": "delisted"}


@pytest.mark.parametrize(("read", "ending"), [(50, "complete"), (49, "partial"), (0, "partial")])
def test_a_run_that_saw_far_fewer_than_the_last_complete_one_is_partial(
    engine: Engine, read: int, ending: str
) -> None:
    held = run_that_read(engine, names(100), counted=100)
    assert reconcile(engine, held) == "complete"
    last = run_row(engine)
    with transaction(engine) as tx:  # only few of them could be priced
        tx.execute(text("UPDATE diamonds SET on_sale = false, off_sale_reason = 'rejected',"
                        " off_sale_at = now() WHERE offer_id <> 'O0'"))  # fmt: skip
    later = run_that_read(engine, names(read), counted=read)
    assert reconcile(engine, later, lambda _: read) == ending
    run = run_row(engine)
    assert moved(engine) == (ending == "complete")
    if ending == "partial":
        said = f"suspiciously empty: {read} offers, "
        before = f"run {str(last['run_id'])[:8]} read 100"
        assert run["reason"] == said + (before if read else "1 stones on sale")
        assert "delisted" not in off_sale(engine).values()


def test_a_listing_that_ends_before_what_is_counted_in_it_makes_the_run_partial(
    engine: Engine,
) -> None:
    """However small a part of the feed it is."""
    put_on_sale(engine, [*names(100), "sold"])
    held = run_that_read(engine, names(100), counted=100)
    for closing, ending in ((160, "partial"), (100, "complete")):
        with transaction(engine) as tx:
            tx.execute(text("UPDATE partitions SET planned_offers = 200, recounted = :n"),
                       {"n": closing})  # fmt: skip
        if ending == "partial":
            assert reconcile(engine, held) == ending
            assert run_row(engine)["reason"] == (
                "partition 1 listed 100 offers, the supplier counts 160 in it"
            )
            with transaction(engine) as tx:
                runs.replayed(tx, held.run_id)
            assert steward.close_runs(engine) == 1
            again = claim(engine, held.item_id, "reconcile")
            assert again is not None
            held = again
    assert reconcile(engine, held) == "complete"


def test_an_offer_that_came_to_nothing_makes_the_run_partial(engine: Engine) -> None:
    put_on_sale(engine, [*names(100), "sold"])
    held = run_that_read(engine, names(100), counted=100)
    with transaction(engine) as tx:
        tx.execute(text("DELETE FROM diamonds WHERE offer_id = 'O7'"))
    assert reconcile(engine, held) == "partial"
    assert run_row(engine)["reason"] == (
        "1 offers were read and are neither a stone nor a rejected offer"
    )
    assert off_sale(engine) == {}
