"""Runs that are not whole delist nothing; offers that cannot be priced go off sale and return."""

import json
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from shared import runs
from shared.db import transaction
from shared.errors import SupplierRefused, SupplierUnavailable
from shared.feeds.base import Slice
from shared.ledger import ATTEMPTS_MAX
from tests.builders import rows
from tests.end_to_end.catalogue import assert_exact, assert_untouched, catalogue, marks, rejected
from tests.end_to_end.conftest import (
    EXAMPLE,
    RULES,
    Activate,
    MakePipeline,
    MakeShop,
    StartSupplier,
)
from tests.end_to_end.shop import NATURAL, Shop, hurry
from tests.end_to_end.wrapped import Wrapped
from tests.oracle.oracle import Catalogue, after_run

SIZE = 300
TICKS = 20  # a tenth of the stock sold, as many added


class Later(NamedTuple):
    """A shop after a complete run, whose supplier has moved since."""

    shop: Shop
    before: Catalogue


@pytest.fixture
def later(moving: StartSupplier, make_shop: MakeShop) -> Later:
    shop = make_shop(moving(SIZE, 7), partition_offers_max=50)
    before, wanted = shop.moved(TICKS)
    assert len(wanted.delisted) > 20
    return Later(shop, before)


def cheap_ones_refused(part: Slice, _offset: int) -> None:
    if part.price is not None and part.price.low == 0:
        raise SupplierRefused("the cheap ones are not for you")


def test_a_run_that_could_not_read_a_partition_is_partial_and_delists_nothing(
    engine: Engine, later: Later
) -> None:
    shop, before = later
    pipeline, real = shop.pipeline, shop.pipeline.source
    pipeline.source = lambda feed: Wrapped(real(feed), before_page=cheap_ones_refused)
    there, now = marks(engine, NATURAL), shop.has(TICKS)
    run = pipeline.run(NATURAL)
    assert run["state"] == "partial"
    assert run["reason"] == "fetch gave up: the cheap ones are not for you"
    read = now.only(shop.seen_by(run))
    assert 0 < len(read.stones) < len(now.stones)
    wanted = after_run(before, read, delists=False)
    assert_exact(engine, run, wanted)
    assert_untouched(there, marks(engine, NATURAL), wanted.touched)

    pipeline.source = real
    assert_exact(engine, pipeline.run(NATURAL), after_run(wanted.catalogue, now))


def test_a_listing_that_is_shorter_than_its_count_makes_the_run_partial(
    engine: Engine, later: Later
) -> None:
    def dear(part: Slice) -> bool:
        return part.price is not None and part.price.low > 1_000

    shop, before = later
    real, now = shop.pipeline.source, shop.has(TICKS)
    shop.pipeline.source = lambda feed: Wrapped(real(feed), hides=dear)
    run = shop.pipeline.run(NATURAL)
    assert run["state"] == "partial"
    read = now.only(shop.seen_by(run))
    assert run["reason"] == (
        f"the supplier counts {len(now.ids()):,} offers, {len(read.ids()):,} were read"
    )
    assert_exact(engine, run, after_run(before, read, delists=False))


@pytest.mark.parametrize("why", ["wrong password", "down"])
def test_a_run_that_reads_nothing_fails_and_leaves_everything_as_it_was(
    engine: Engine, later: Later, make_pipeline: MakePipeline, why: str
) -> None:
    def down() -> None:
        raise SupplierUnavailable("no connection")

    pipeline = make_pipeline(later.shop.supplier)
    if why == "wrong password":
        pipeline.supplier = pipeline.supplier.model_copy(update={"password": SecretStr("guess")})
    else:
        pipeline.source = lambda feed: Wrapped(later.shop.pipeline.source(feed), before_count=down)
    there = marks(engine, NATURAL)
    run_id = pipeline.start(NATURAL)
    for _ in range(ATTEMPTS_MAX["plan"] + 1):
        pipeline.drain()
        hurry(engine)
    run = pipeline.row(run_id)
    assert (run["state"], run["delisted"], run["offers"]) == ("failed", 0, 0)
    assert run["reason"].startswith("plan gave up: ")
    assert ("refused the login" if why == "wrong password" else "no connection") in run["reason"]
    assert "guess" not in run["reason"]
    assert marks(engine, NATURAL) == there


def test_a_cancelled_run_delists_nothing_and_its_late_messages_do_nothing(
    engine: Engine, later: Later
) -> None:
    shop, before = later
    pipeline, there, now = shop.pipeline, marks(engine, NATURAL), shop.has(TICKS)
    run_id = pipeline.start(NATURAL)
    pipeline.drain("plan")
    fetches = pipeline.due("fetch")
    assert [pipeline.deliver("fetch", one) for one in fetches[:3]] == ["done"] * 3
    folds = pipeline.due("fold")
    assert pipeline.deliver("fold", folds[0]) == "done"
    with transaction(engine) as tx:
        runs.cancel(tx, run_id, reason="the wrong account", actor="ana")
    assert {pipeline.deliver("fold", one) for one in folds[1:]} == {"skipped"}
    assert {pipeline.deliver("fetch", one) for one in fetches[3:]} == {"skipped"}
    pipeline.drain()
    run = pipeline.row(run_id)
    assert (run["state"], run["reason"]) == ("cancelled", "the wrong account")
    wanted = after_run(before, now.only(shop.seen_by(run, folded=True)), delists=False)
    assert len(wanted.touched) > 0
    assert catalogue(engine, NATURAL) == wanted.catalogue
    assert_untouched(there, marks(engine, NATURAL), wanted.touched)

    assert_exact(engine, pipeline.run(NATURAL), after_run(wanted.catalogue, now))


@pytest.mark.parametrize("left", [0, 40])
def test_a_supplier_that_is_suddenly_empty_delists_nothing(
    engine: Engine, later: Later, still: StartSupplier, make_pipeline: MakePipeline, left: int
) -> None:
    other = later.shop._replace(supplier=still(left, 1))
    now = other.has()
    run = make_pipeline(other.supplier).run(NATURAL)
    on_sale = len(later.before) + len(now.stones)
    assert run["state"] == "partial"
    assert run["reason"] == f"suspiciously empty: {len(now.ids())} offers, {on_sale} stones on sale"
    assert_exact(engine, run, after_run(later.before, now, delists=False))


def test_offers_that_are_refused_go_off_sale_and_come_back(
    engine: Engine, later: Later, activate: Activate
) -> None:
    known, outcomes = later.before, []
    for path in (RULES / "choosy.yaml", EXAMPLE, RULES / "choosy.yaml"):
        there = marks(engine, NATURAL)
        now = later.shop._replace(active=activate(path)).has(TICKS, known=known)
        wanted = after_run(known, now)
        assert_exact(engine, later.shop.pipeline.run(NATURAL), wanted)
        assert_untouched(there, marks(engine, NATURAL), wanted.touched)
        outcomes.append(wanted)
        known = wanted.catalogue
    choosy, back, again = outcomes
    assert set(choosy.rejected.values()) == {
        *("refused_by_rule", "no_rule", "low_margin", "below_cost"),
        *("below_floor", "above_ceiling"),
    }
    assert len(choosy.withdrawn) > 30
    assert choosy.withdrawn <= back.changed
    assert choosy.withdrawn < again.withdrawn


def test_prices_that_jump_too_far_are_refused(
    engine: Engine, later: Later, activate: Activate
) -> None:
    active = activate(RULES / "dearer.yaml")
    now = later.shop._replace(active=active).has(TICKS, known=later.before)
    wanted = after_run(later.before, now)
    assert set(wanted.rejected.values()) == {"jump"}
    assert min(map(len, (wanted.withdrawn, wanted.changed, wanted.inserted))) > 0
    assert_exact(engine, later.shop.pipeline.run(NATURAL), wanted)


def test_a_rejected_offer_is_kept_word_for_word(
    engine: Engine, later: Later, activate: Activate
) -> None:
    activate(RULES / "choosy.yaml")
    run = later.shop.pipeline.run(NATURAL)
    statement = "SELECT offer_id, detail, payload FROM rejected_offers WHERE run_id = :run"
    found = rows(engine, statement, run=run["run_id"])
    items = {item["id"]: item for item in later.shop.supplier.stock(TICKS).items(labgrown=False)}
    assert len(found) == len(rejected(engine, run["run_id"])) > 30
    for row in found:
        assert row["detail"]
        assert agrees(row["payload"], items[row["offer_id"]])


def agrees(said: Any, whole: Any) -> bool:
    """Whether what was said is part of the whole item."""
    if isinstance(said, dict):
        return all(agrees(value, whole[key]) for key, value in said.items())
    return bool(json.dumps(said) == json.dumps(whole))
