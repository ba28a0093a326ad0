"""Work that gave up, tried again by hand: it goes on where it stopped, and completes its run."""

from typing import NamedTuple

import pytest
from sqlalchemy import Engine

from consolidator import accounts
from consolidator.accounts import RunAccount
from shared import dead_letters
from shared.db import transaction
from shared.errors import SupplierRefused
from shared.feeds.base import Slice
from tests.builders import rows
from tests.end_to_end.catalogue import assert_exact
from tests.end_to_end.conftest import MakeShop, StartSupplier
from tests.end_to_end.shop import NATURAL, Shop
from tests.end_to_end.wrapped import Wrapped
from tests.oracle.oracle import Outcome, after_run

TICKS = 20


class Moved(NamedTuple):
    """A shop after a complete run, and what the next must do."""

    shop: Shop
    wanted: Outcome


@pytest.fixture
def moved(moving: StartSupplier, make_shop: MakeShop) -> Moved:
    shop = make_shop(moving(300, 7), partition_offers_max=120)
    before, _ = shop.moved(TICKS)
    return Moved(shop, after_run(before, shop.has(TICKS)))


def cheap_ones_refused_after_a_page(part: Slice, offset: int) -> None:
    if part.price is not None and part.price.low == 0 and offset:
        raise SupplierRefused("no more of the cheap ones for you")


def account(engine: Engine, run_id: object) -> RunAccount:
    with transaction(engine) as tx:
        found = accounts.of_run(tx, run_id)  # type: ignore[arg-type]
    for part in found.parts:
        left = part.dead + part.waiting if part.state != "folded" else 0
        assert part.landed == part.read + part.again
        assert part.read <= part.folded + part.rejected + part.overtaken + part.lost + left
        if part.state == "folded":
            assert part.read == part.folded + part.rejected + part.overtaken + part.lost
            assert part.counted + part.drifted == part.read + part.missing
    return found


def test_a_replay_goes_on_at_the_committed_offset_and_completes_the_run(
    engine: Engine, moved: Moved
) -> None:
    pipeline, real = moved.shop.pipeline, moved.shop.pipeline.source
    pipeline.source = lambda feed: Wrapped(real(feed), before_page=cheap_ones_refused_after_a_page)
    run = pipeline.run(NATURAL)
    assert run["state"] == "partial"
    (letter,) = rows(engine, "SELECT * FROM dead_letters")
    stopped_at = letter["payload"]["next_offset"]
    assert stopped_at > 0
    found = account(engine, run["run_id"])
    (dead,) = [part for part in found.parts if part.state == "dead"]
    assert dead.dead >= letter["payload"]["planned_offers"] > dead.read > 0
    assert (found.unexplained, found.unfinished) == (0, dead.dead)

    asked: list[int] = []

    def noting(part: Slice, offset: int) -> None:
        if part.price is not None and part.price.low == 0 and part.updated_from is None:
            asked.append(offset)

    pipeline.source = lambda feed: Wrapped(real(feed), before_page=noting)
    with transaction(engine) as tx:
        dead_letters.replay(tx, letter["dead_letter_id"], actor="ana", because="they are allowed")
    pipeline.drain()
    assert asked[0] == stopped_at
    assert_exact(engine, pipeline.row(run["run_id"]), moved.wanted)

    found = account(engine, run["run_id"])
    assert (found.state, found.unexplained, found.unfinished) == ("complete", 0, 0)
    assert found.offers == len(moved.shop.has(TICKS).ids()) == found.closing
    assert (found.counted, found.drift) == (found.closing, 0)


def test_a_listing_that_hides_offers_is_unexplained_one_that_shrank_is_not(
    engine: Engine, still: StartSupplier, make_shop: MakeShop
) -> None:
    def dear(part: Slice) -> bool:
        return part.price is not None and part.price.low > 1_000

    pipeline = make_shop(still(200, 1), partition_offers_max=70).pipeline
    real = pipeline.source
    pipeline.source = lambda feed: Wrapped(real(feed), hides=dear)
    run = pipeline.run(NATURAL)
    assert run["state"] == "partial"
    hidden = account(engine, run["run_id"])
    gone = [part for part in hidden.parts if not part.landed and part.counted]
    assert gone
    assert all(part.closing == part.counted == part.unexplained for part in gone)
    assert hidden.unexplained >= sum(part.counted for part in gone) > 0

    run_id = pipeline.start(NATURAL)
    pipeline.drain("plan")
    pipeline.source = lambda feed: Wrapped(real(feed), hides=dear, counts=lambda _: 0)
    pipeline.drain("fetch")
    sold = account(engine, run_id)
    gone = [part for part in sold.parts if not part.landed and part.counted]
    assert all((part.closing, part.drifted) == (0, -part.counted) for part in gone)
    assert gone
    assert sold.unexplained == 0
