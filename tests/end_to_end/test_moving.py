"""A supplier that sells, adds and reprices while it is read."""

import itertools

import pytest
from sqlalchemy import Engine

from shared.feeds.base import Slice
from tests.builders import rows
from tests.end_to_end.catalogue import assert_exact, catalogue, walk_price_changes
from tests.end_to_end.conftest import MakeShop, StartSupplier
from tests.end_to_end.shop import LABGROWN, NATURAL, Shop
from tests.end_to_end.wrapped import Wrapped
from tests.oracle.oracle import Kept, after_run

PAGES_A_MOVE = 4
TICKS_A_MOVE = 3  # 1.5 % sold, as many added, 3 % repriced


def move_while_read(shop: Shop) -> None:
    """Let the supplier's time go on every few pages."""
    real, pages = shop.pipeline.source, itertools.count(1)

    def move(_part: Slice, _offset: int) -> None:
        if next(pages) % PAGES_A_MOVE == 0:
            shop.supplier.advance(TICKS_A_MOVE)

    shop.pipeline.source = lambda feed: Wrapped(real(feed), before_page=move)


@pytest.mark.parametrize(("feed", "seed"), [(NATURAL, 1), (LABGROWN, 2)])
def test_each_stone_is_as_it_was_while_the_run_read_and_none_that_stayed_is_missed(
    feed: str, seed: int, engine: Engine, moving: StartSupplier, make_shop: MakeShop
) -> None:
    (now,) = rows(engine, "SELECT now() AS time")
    supplier = moving(400, seed, "--base-time", now["time"].isoformat())
    shop = make_shop(supplier, partition_offers_max=100)
    still = shop.pipeline.source
    begun = 0
    for _ in range(2):
        move_while_read(shop)
        run = shop.pipeline.run(feed)
        ended = supplier.state()["time"]
        assert ended - begun > 3 * TICKS_A_MOVE
        moments = shop.had(range(begun, ended + 1, TICKS_A_MOVE), feed=feed)
        found = catalogue(engine, feed)
        stayed = set.intersection(*(set(moment.stones) for moment in moments))
        assert run["state"] == "complete"
        assert len(stayed) > 200
        on_sale = {offer_id for offer_id, kept in found.items() if kept.off_sale is None}
        assert stayed - on_sale == set()
        for offer_id, kept in found.items():
            assert kept.off_sale is not None or any(
                kept == Kept(moment.stones.get(offer_id, {}), None) for moment in moments
            ), offer_id
        walk_price_changes(engine, feed)
        begun = ended
        shop.pipeline.source = still

    before, then = catalogue(engine, feed), shop.has(begun, feed=feed)
    assert_exact(engine, shop.pipeline.run(feed), after_run(before, then))
