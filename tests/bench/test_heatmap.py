"""bench/heatmap on small sets: its own arithmetic, and that it finds out what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.heatmap import __main__ as bench
from bench.heatmap import conditions, drive, sets
from bench.heatmap.bound import leaves_min
from bench.heatmap.supplier import Supplier
from shared.feeds.base import Slice, Span


@pytest.mark.parametrize(
    ("workers", "depth", "least"),
    [(8, 10_000, 200), (32, 10_000, 202), (128, 10_000, 229), (32, 50_000, 54), (128, 50_000, 117)],
)
def test_the_bound_is_the_published_one(workers: int, depth: int, least: int) -> None:
    assert leaves_min(2_000_000, workers, depth, 50) == least


def test_the_last_line_is_json_and_says_whether_the_aims_are_met(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    prices = tmp_path / "mine.txt"
    prices.write_text("\n".join(str(100 + n * 7 % 4_000) for n in range(6_000)))
    words = ["--prices", str(prices), "--only-cases", "--workers", "8", "--depths", "1000"]
    code = bench.main([*words, "--processes", "1"])
    *table, last = capsys.readouterr().out.splitlines()
    told = json.loads(last)
    assert told["bench"] == "heatmap"
    assert (code == 0) == told["aims_met"]
    assert any(line.startswith("mine") for line in table)
    assert told["aims"]["T1"] == "1/1"


def test_a_part_left_out_and_one_twice_are_found() -> None:
    supplier = Supplier(sets.offers("real", 0, 1))
    whole = [Slice(price=Span(0, 300_000)), Slice(price=Span(300_000, None))]
    assert drive.seen(supplier, whole, 2)[1:3] == (0, 0)
    assert drive.seen(supplier, whole[:1], 2).missed == supplier.count(whole[1])
    twice = [*whole, Slice(price=Span(300_000, 310_000))]
    assert drive.seen(supplier, twice, 2).doubled == supplier.count(twice[-1])


def test_a_supplier_counts_as_masks_do() -> None:
    offers = sets.with_prices(np.array([5, 5, 7, 9, -1]), np.random.default_rng(1))
    supplier = Supplier(offers)
    part = Slice(price=Span(5, 6), carat=Span(int(min(offers.carat[:2])) + 1, None))
    assert supplier.count(Slice(price=Span(5, 9))) == 3
    assert supplier.count(Slice(priceless=True)) == 1
    assert supplier.count(part) == int(offers.carat[0] != offers.carat[1])


def test_the_conditions_hold_on_a_small_feed_too() -> None:
    rows = [
        *conditions.stopped_early(20_000, 1),
        *conditions.moving(20_000, 1),
        *conditions.scan_cost(1, 100_000),
    ]
    assert rows
    assert [row for row in rows if not row.met] == []
