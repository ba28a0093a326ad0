"""What the stock is made of: one for a seed, and shaped like the supplier's published figures."""

import gzip
import hashlib
import re
from collections import Counter
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import pytest

from simulator import curves, identity, make, table
from simulator.stock import STONES_MAX, Stock

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def per_carat(stock: Stock, *, labgrown: bool) -> np.ndarray:
    """Dollars."""
    columns = stock.shelf(labgrown).columns
    return np.asarray(columns["price"] / columns["carat"])


def test_one_seed_gives_one_stock_and_another_seed_another() -> None:
    first, again, other = (list(Stock(60, 0, seed).items(False)) for seed in (3, 3, 4))

    assert first == again
    assert {item["id"] for item in first}.isdisjoint(item["id"] for item in other)
    assert [item["price"] for item in first] != [item["price"] for item in other]


@pytest.mark.parametrize(("natural", "labgrown"), [(0, 0), (1, 0), (0, 1), (7, 3)])
def test_any_small_size_is_a_stock(natural: int, labgrown: int) -> None:
    stock = Stock(natural, labgrown, seed=1)

    assert len(list(stock.items(False))) == natural
    assert len(list(stock.items(True))) == labgrown


@pytest.mark.parametrize("size", [-1, STONES_MAX + 1])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        Stock(size, 0, seed=1)
    with pytest.raises(ValueError, match=str(size)):
        Stock(0, size, seed=1)


def test_ids_are_uuids_and_never_meet(large: Stock) -> None:
    items = [item for kind in (False, True) for item in islice(large.items(kind), 6_000)]
    offers = [item["id"] for item in items]
    certificates = [item["diamond"]["certificate"]["id"] for item in items]

    assert len(set(offers)) == len(set(certificates)) == len(items)
    for item in items[:200]:
        assert item["id"] == "DIAMOND/" + item["diamond"]["id"]
        assert UUID.fullmatch(item["diamond"]["id"])
        assert UUID.fullmatch(item["diamond"]["certificate"]["id"])


def test_certificate_numbers_never_meet(large: Stock) -> None:
    numbers = [
        item["diamond"]["certificate"]["certNumber"]
        for kind in (False, True)
        for item in islice(large.items(kind), 6_000)
    ]

    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("serial", [0, 1, 77, 1_499_999, 2**31, 2**32 - 1])
def test_a_scrambled_serial_leads_back(serial: int) -> None:
    for offset in (0, 12_345, 2**32 - 1):
        assert identity.unscramble(identity.scramble(serial, offset), offset) == serial


def test_the_table_is_the_one_that_its_note_describes() -> None:
    note = (table.PATH.parent / "LICENSE-diamonds.md").read_text(encoding="utf-8")
    content = gzip.decompress(table.PATH.read_bytes())
    assert hashlib.sha256(content).hexdigest() in note
    assert content.count(b"\n") == 1 + 53_940

    real = table.load()
    assert len(real.carat) == 40_848
    assert real.carat.min() == table.CARAT_MIN
    assert {40, 70, 90, 100, 101, 150, 200} <= set(np.flatnonzero(real.spike).tolist())


def test_natural_prices_follow_the_published_quantiles(large: Stock) -> None:
    found = per_carat(large, labgrown=False)
    for share, usd in curves.NATURAL[1:-3]:  # up to 99 %
        assert np.quantile(found, share) == pytest.approx(usd, rel=0.06), share
    assert found.min() >= 99
    assert found.max() <= 100_001

    whole = large.natural.columns["price"] / 100
    # The published whole-stone quantiles; p5 and p10 fall inside one bin there, and say little.
    published = {25: 537, 50: 1_246, 75: 3_026, 90: 8_081, 95: 15_547, 99: 47_835}
    for percent, usd in published.items():
        assert np.percentile(whole, percent) == pytest.approx(usd, rel=0.12), percent


def test_labgrown_prices_run_through_the_two_known_points(large: Stock) -> None:
    found = per_carat(large, labgrown=True)

    assert np.mean(found < 250) == pytest.approx(0.856, abs=0.005)
    assert np.mean((found >= 180) & (found <= 209)) == pytest.approx(0.040, abs=0.003)


def test_the_popular_weights_stand_out(large: Stock) -> None:
    for labgrown in (False, True):
        counts = np.bincount(large.shelf(labgrown).columns["carat"], minlength=make.CARAT_MAX + 1)
        for weight in (70, 100, 101, 150):
            assert counts[weight] > 2 * np.median(counts[weight - 8 : weight + 9])
        assert counts[: table.CARAT_MIN].sum() == 0
        assert len(counts) == make.CARAT_MAX + 1


def test_dearer_grades_stay_dearer() -> None:
    """The joint shape of the real table survives the new prices."""
    columns = Stock(60_000, 0, seed=2).natural.columns
    one_carat = (columns["carat"] >= 95) & (columns["carat"] <= 105)

    def median(mask: np.ndarray) -> float:
        return float(np.median(columns["price"][mask & one_carat]))

    d, h = (columns["color"] == code for code in (0, 4))
    vvs1, si2 = (columns["clarity"] == code for code in (2, 7))
    assert median(d & vvs1) > 1.3 * median(d & si2)
    assert median(d & vvs1) > 1.3 * median(h & vvs1)


def test_default_data_is_as_dirty_as_a_real_feed(large: Stock) -> None:
    natural, labgrown = (
        [item["diamond"] for item in islice(large.items(kind), 12_000)] for kind in (False, True)
    )

    def share(diamonds: list[dict[str, object]], **wanted: object) -> float:
        """Of the diamonds whose certificate holds all of these."""
        hits = sum(
            all(d["certificate"][name] == value for name, value in wanted.items())  # type: ignore[index]
            for d in diamonds
        )
        return hits / len(diamonds)

    assert {d["certificate"]["labgrown"] for d in natural} == {False}
    assert {d["certificate"]["labgrown"] for d in labgrown} == {True, None}
    assert share(labgrown, labgrown=None) == pytest.approx(0.08, abs=0.02)
    assert {d["certificate"]["labgrown_type"] for d in natural} == {None}
    assert share(labgrown, labgrown_type="CVD") == pytest.approx(0.71, abs=0.03)
    assert {"Yes", "No", "100%", "90%", None} <= {d["eyeClean"] for d in natural}
    assert {"null", None, "STK-THK"} <= {d["certificate"]["girdle"] for d in natural}
    assert {"GD", "G", "FR", "F", None} <= {d["certificate"]["cut"] for d in natural}
    assert share(natural + labgrown, depth="0") > 0
    assert 0 < share(natural, color="FANCY") < 0.05
    assert any(d["certificate"]["f_color"] and d["certificate"]["color"] == "D" for d in labgrown)
    assert {d["supplierStockId"] for d in natural} == {None}

    unlabelled = [d for d in natural if d["certificate"]["lab"] == "NONE"]
    assert unlabelled
    assert all(re.fullmatch(r"[^\W\d_]+-\d+", d["certificate"]["certNumber"]) for d in unlabelled)
    assert all(d["certificate"]["pdfUrl"] is None for d in unlabelled)


def test_grades_reach_beyond_those_of_the_table(large: Stock) -> None:
    certificates = [i["diamond"]["certificate"] for i in islice(large.items(False), 8_000)]

    assert {"D", "J", "K", "M", "FANCY"} <= {c["color"] for c in certificates}
    assert {"FL", "SI3", "I2"} <= {c["clarity"] for c in certificates}


def test_only_white_rounds_have_a_cut_grade(large: Stock) -> None:
    for diamond in (item["diamond"] for item in islice(large.items(False), 5_000)):
        certificate = diamond["certificate"]
        white_round = certificate["shape"] == "ROUND" and certificate["color"] != "FANCY"
        assert (certificate["cut"] is not None) == white_round


def test_numbers_come_as_text_in_several_styles(large: Stock) -> None:
    depths = [item["diamond"]["certificate"]["depth"] for item in islice(large.items(False), 500)]

    assert {len(text.partition(".")[2]) for text in depths} >= {1, 2, 6}
    assert all(float(text) >= 0 for text in depths)


def test_the_markup_price_is_the_price(large: Stock) -> None:
    for item in islice(large.items(True), 200):
        assert item["markup_price"] == item["price"] > 0
        assert item["markup_discount"] == item["discount"]


def test_shapes_have_their_proportions(large: Stock) -> None:
    columns = large.natural.columns
    measured = columns["width"] > 0
    ratio = columns["length"][measured] / columns["width"][measured]
    shapes = columns["shape"][measured]
    names = list(make.words.RATIOS)

    for name in ("ROUND", "OVAL", "MARQUISE"):
        median = np.median(ratio[shapes == names.index(name)])
        assert median == pytest.approx(make.words.RATIOS[name], abs=0.03)


def test_every_supplier_and_most_shapes_are_there(large: Stock) -> None:
    items = list(islice(large.items(False), 8_000))
    companies = Counter(item["diamond"]["supplier"]["name"] for item in items)
    shapes = {item["diamond"]["certificate"]["shape"] for item in items}

    assert len(companies) == 56
    assert companies.most_common(1)[0][1] > 5 * companies.most_common()[-1][1]
    assert len(shapes) >= 25


def test_the_base_of_time_can_be_set() -> None:
    base = datetime(2030, 5, 1, tzinfo=UTC)
    stock = Stock.at(5, 5, seed=1, time=3, base=base)

    assert stock.moment(0) == base
    assert (stock.now - base).total_seconds() == 3 * 3600
    assert list(stock.items(True)) == list(Stock.at(5, 5, seed=1, time=3).items(True))
