"""A catalogue under another ruleset: repriced to the cent, alone and beside a run."""

from typing import Any

from sqlalchemy import Engine

from tests.builders import rows
from tests.end_to_end.catalogue import catalogue
from tests.end_to_end.conftest import EXAMPLE, RULES, Activate, MakeShop, StartSupplier
from tests.end_to_end.shop import NATURAL, Active, Shop
from tests.oracle.oracle import Catalogue, Kept
from tests.pricing import reference

SIZE = 300


def make_shop_with_stones(still: StartSupplier, make_shop: MakeShop) -> Shop:
    shop = make_shop(still(SIZE, 5), partition_offers_max=50)
    shop.pipeline.run(NATURAL)
    return shop


def repriced(before: Catalogue, active: Active) -> Catalogue:
    """What a reprice must make of stones that are on sale or refused, by the reference engine."""
    return {offer_id: _repriced(kept, active) for offer_id, kept in before.items()}


def _repriced(kept: Kept, active: Active) -> Kept:
    if kept.off_sale not in (None, "refused"):
        return kept
    stone: dict[str, Any] = dict(kept.stone)
    currency = active.rules["currency"]
    present = stone["price_cents"] if stone["price_currency"] == currency else None
    seen = {"feed": NATURAL, "present_price_cents": present}
    priced = reference.price(active.rules, stone | seen)
    if priced.refusal is not None:
        return Kept(stone, "refused")
    written = {"price_cents": priced.price, "price_currency": currency, "rule": priced.rule}
    return Kept(stone | written | {"ruleset_id": active.ruleset_id}, None)


def assert_walks(engine: Engine) -> None:
    """The price changes of each stone, in order, lead to its present price without a jump."""
    statement = """
        SELECT stone_id, d.price_cents,
               array_agg(c.old_price_cents ORDER BY c.changed_at) AS old,
               array_agg(c.new_price_cents ORDER BY c.changed_at) AS new
          FROM diamonds AS d JOIN price_changes AS c USING (stone_id)
         GROUP BY stone_id, d.price_cents"""
    found = rows(engine, statement)
    assert len(found) > 200
    for row in found:
        assert row["old"] == [None, *row["new"][:-1]]
        assert row["new"][-1] == row["price_cents"]


def test_a_catalogue_is_repriced_to_the_cent_and_back(
    engine: Engine, still: StartSupplier, make_shop: MakeShop, activate: Activate
) -> None:
    shop = make_shop_with_stones(still, make_shop)
    before = catalogue(engine, NATURAL)
    choosy = activate(RULES / "choosy.yaml", reprice=True)
    shop.pipeline.drain("reprice")
    wanted = repriced(before, choosy)
    assert catalogue(engine, NATURAL) == wanted
    assert sum(kept.off_sale == "refused" for kept in wanted.values()) > 30

    back = activate(EXAMPLE, reprice=True)
    shop.pipeline.drain("reprice")
    found = catalogue(engine, NATURAL)
    assert found == repriced(wanted, back)
    assert sum(kept.off_sale is None for kept in found.values()) > 250
    assert_walks(engine)


def test_a_run_and_a_reprice_at_once_leave_every_price_to_the_cent(
    engine: Engine, still: StartSupplier, make_shop: MakeShop, activate: Activate
) -> None:
    shop = make_shop_with_stones(still, make_shop)
    run_id = shop.pipeline.start(NATURAL)
    shop.pipeline.drain("plan", "fetch")
    (first, *_) = shop.pipeline.due("fold")
    shop.pipeline.deliver("fold", first)
    active = activate(RULES / "choosy.yaml", reprice=True)
    shop.pipeline.drain()
    assert shop.pipeline.row(run_id)["state"] == "complete"
    found = catalogue(engine, NATURAL)
    for offer_id, kept in found.items():
        priced = reference.price(active.rules, kept.stone | {"feed": NATURAL})
        if kept.off_sale is None:
            assert priced.price == kept.stone["price_cents"], offer_id
            assert kept.stone["ruleset_id"] == active.ruleset_id
        else:
            assert priced.refusal is not None, offer_id
    assert {kept.off_sale for kept in found.values()} == {None, "refused", "rejected"}
    assert_walks(engine)
    (reprice,) = rows(engine, "SELECT state FROM reprices")
    assert reprice["state"] == "done"
