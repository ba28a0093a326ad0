"""How the stock moves: by seed and tick alone, and the journal tells all of it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.make import HOUR_S
from simulator.shelf import Moved, Movement
from simulator.stock import Stock
from tests.simulator.asking import Client

KINDS = (False, True)


def by_id(stock: Stock, *, labgrown: bool) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in stock.items(labgrown)}


def columns_by_serial(stock: Stock, *, labgrown: bool) -> dict[str, list[Any]]:
    columns = stock.shelf(labgrown).columns
    order = np.argsort(columns["serial"])
    return {name: column[order].tolist() for name, column in columns.items()}


def ids(stock: Stock, serials: np.ndarray, *, labgrown: bool) -> set[str]:
    return {stock.offer_id(labgrown, serial) for serial in serials.tolist()}


def moved(stock: Stock, time: int, *, labgrown: bool) -> Moved:
    """What the journal says of the tick that ended at `time`."""
    tick = stock.journal[time - 1]
    assert tick.time == time
    return tick.labgrown if labgrown else tick.natural


@pytest.mark.parametrize("labgrown", KINDS)
def test_going_step_by_step_and_at_once_ends_in_the_same_stock(labgrown: bool) -> None:
    walked = Stock(400, 300, seed=9)
    for _ in range(30):
        walked.advance()
    jumped = Stock.at(400, 300, seed=9, time=30)

    assert walked.time == jumped.time == 30
    both = (columns_by_serial(stock, labgrown=labgrown) for stock in (walked, jumped))
    assert next(both) == next(both)
    assert list(walked.items(labgrown)) == list(jumped.items(labgrown))


@pytest.mark.parametrize("labgrown", KINDS)
def test_the_journal_tells_every_difference_between_two_ticks(labgrown: bool) -> None:
    stock = Stock(2_000, 3_000, seed=4)
    for time in range(1, 6):
        before, size = by_id(stock, labgrown=labgrown), stock.shelf(labgrown).size
        stock.advance()
        after = by_id(stock, labgrown=labgrown)
        sold, added, repriced, changed = (
            ids(stock, serials, labgrown=labgrown)
            for serials in moved(stock, time, labgrown=labgrown)
        )

        assert before.keys() - after.keys() == sold
        assert after.keys() - before.keys() == added
        common = before.keys() & after.keys()
        assert {i for i in common if before[i] != after[i]} == repriced | changed
        assert {i for i in common if before[i]["price"] != after[i]["price"]} == repriced
        assert len(sold) == pytest.approx(size * 0.005, abs=1)
        assert len(added) == pytest.approx(size * 0.005, abs=1)
        assert len(repriced) == pytest.approx(size * 0.01, abs=1)
        assert len(changed) == pytest.approx(size * 0.003, abs=1)


@pytest.mark.parametrize("labgrown", KINDS)
def test_what_a_tick_touches_is_updated_within_its_hour(labgrown: bool) -> None:
    stock = Stock(2_000, 2_000, seed=8)
    for time in range(1, 4):
        before = dict(zip(*dates(stock, "updated", labgrown=labgrown), strict=True))
        stock.advance()
        after = dict(zip(*dates(stock, "updated", labgrown=labgrown), strict=True))
        created = dict(zip(*dates(stock, "created", labgrown=labgrown), strict=True))
        tick = moved(stock, time, labgrown=labgrown)
        touched = {*tick.added.tolist(), *tick.repriced.tolist(), *tick.changed.tolist()}

        assert {serial for serial in after if after[serial] != before.get(serial)} == touched
        assert all((time - 1) * HOUR_S < after[serial] <= time * HOUR_S for serial in touched)
        assert all((time - 1) * HOUR_S < created[s] <= time * HOUR_S for s in tick.added.tolist())
        assert all(created[serial] <= after[serial] for serial in after)


def test_a_repricing_always_changes_the_price() -> None:
    stock = Stock(0, 400, seed=5, movement=Movement(sold=0, added=0, repriced=1, changed=0))
    for _ in range(20):  # a move of some percent rounds to nothing for a cheap stone now and then
        before = columns_by_serial(stock, labgrown=True)["price"]
        stock.advance()
        after = columns_by_serial(stock, labgrown=True)["price"]
        assert all(old != new for old, new in zip(before, after, strict=True))


def dates(stock: Stock, name: str, *, labgrown: bool) -> tuple[list[int], list[int]]:
    """Serials, and the column's seconds."""
    columns = stock.shelf(labgrown).columns
    return columns["serial"].tolist(), columns[name].tolist()


def test_the_base_stock_was_updated_before_time_began() -> None:
    stock = Stock(1_000, 1_000, seed=3)
    for shelf in (stock.natural, stock.labgrown):
        assert shelf.columns["updated"].max() <= 0
        assert (shelf.columns["created"] <= shelf.columns["updated"]).all()


def test_a_clients_view_moves_with_the_stock() -> None:
    client = Client(Stock(0, 900, seed=6))
    query = {"labgrown": True}
    before = {item["id"]: item["price"] for item in client.crawl(query)}

    tick = client.stock.advance()
    client.supplier.search.renew()
    after = {item["id"]: item["price"] for item in client.crawl(query)}

    assert before.keys() - after.keys() == ids(client.stock, tick.labgrown.sold, labgrown=True)
    assert after.keys() - before.keys() == ids(client.stock, tick.labgrown.added, labgrown=True)
    repriced = ids(client.stock, tick.labgrown.repriced, labgrown=True)
    assert {i for i in before.keys() & after.keys() if before[i] != after[i]} == repriced
    assert client.count(query) == client.stock.labgrown.size


def test_updated_since_a_moment_finds_what_was_touched_since() -> None:
    client = Client(Stock(0, 1_500, seed=12))
    client.stock.advance()
    since = client.stock.now
    tick = client.stock.advance()
    client.supplier.search.renew()

    # Both ends count, and the last second of one tick is not in the next.
    query = {"labgrown": True, "updated": {"from": (since.isoformat()[:-6] + ".5Z")}}
    touched = np.concatenate([tick.labgrown.added, tick.labgrown.repriced, tick.labgrown.changed])
    assert {item["id"] for item in client.crawl(query)} == ids(client.stock, touched, labgrown=True)


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(0, 40),
    shares=st.tuples(*[st.floats(0, 0.33)] * 3),
    added=st.floats(0, 2),
    seed=st.integers(0, 2**40),
)
def test_any_movement_keeps_rows_serials_and_the_journal_in_step(
    size: int, shares: tuple[float, float, float], added: float, seed: int
) -> None:
    movement = Movement(sold=shares[0], added=added, repriced=shares[1], changed=shares[2])
    stock = Stock(size, 0, seed, movement=movement)
    alive = set(range(size))
    for time in range(1, 7):
        tick = stock.advance().natural
        assert set(tick.sold.tolist()) <= alive
        assert alive.isdisjoint(tick.added.tolist())
        alive = (alive - set(tick.sold.tolist())) | set(tick.added.tolist())

        serials = stock.natural.columns["serial"].tolist()
        assert sorted(serials) == sorted(alive)
        assert {len(column) for column in stock.natural.columns.values()} == {len(alive)}
        assert [stock.natural.row_of(serial) for serial in serials] == list(range(len(serials)))
        assert all(stock.natural.row_of(serial) is None for serial in tick.sold.tolist())
        assert stock.journal[-1].time == time


def test_a_long_run_keeps_its_size_its_prices_and_its_memory() -> None:
    stock = Stock.at(0, 3_000, seed=2, time=300)
    per_carat = stock.labgrown.columns["price"] / stock.labgrown.columns["carat"]

    assert 2_700 < stock.labgrown.size < 3_300
    assert 90 < np.median(per_carat) < 140
    assert {len(column) for column in stock.labgrown.columns.values()} == {stock.labgrown.size}


@pytest.mark.parametrize("shares", [{"sold": -0.1}, {"sold": 0.6, "repriced": 0.5}])
def test_shares_that_cannot_be_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at most 1"):
        Movement(**shares)
