"""The oracle itself: worked by hand, and in step with what the pipeline calls its columns."""

import ast
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.stone import STONE_COLUMNS
from simulator.stock import Stock
from tests.oracle import oracle
from tests.oracle.oracle import Catalogue, Kept, Offered, PriceChange, after_run, load, offered
from tests.oracle.reading import COLUMNS, Refused, Stone, read

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ruleset.yaml"


def item(**wanted: Any) -> dict[str, Any]:
    """A lab-grown stone as the supplier says it; a wanted key is put where it belongs."""
    certificate: dict[str, Any] = {
        "id": "0f6b4e0e-1b1d-5d4e-8b7b-5f6f0c1c2d3e", "lab": "IGI", "certNumber": "LG600100200",
        "shape": "CUSHION BRILLIANT", "carats": 1.06, "color": "E", "f_color": None,
        "f_intensity": None, "f_overtone": None, "clarity": "VS1", "cut": "ID", "polish": "EX",
        "symmetry": "GD", "floInt": "STN", "floCol": "B", "length": "6.550000", "width": "6.52",
        "depth": "4.020000", "depthPercentage": "61.500000", "table": "0", "girdle": "null",
        "culetSize": "None", "labgrown": None, "labgrown_type": "CVD", "treated": None,
        "country_of_origin": "INDIA", "pdfUrl": None,
    }  # fmt: skip
    diamond: dict[str, Any] = {
        "id": "5b0c9a52-6b1e-4a0f-9c53-3f1f6f4f9e10", "availability": "AVAILABLE", "image": None,
        "video": "https://media.example/diamond/LG600100200/video/500/500", "eyeClean": "90%",
        "brown": "No", "green": "None", "milky": None, "mine_of_origin": None,
        "supplier": {"id": "c2b6a6e2-0a52-4f3b-8a66-0d5a4a1b7a01", "name": "Example Gems"},
        "delivery_time": {"min_business_days": 6, "max_business_days": 9},
        "certificate": certificate,
    }  # fmt: skip
    offer = {"id": f"DIAMOND/{diamond['id']}", "price": 20_412, "discount": -9_731}
    offer |= {"diamond": diamond}
    for name, value in wanted.items():
        place = next(part for part in (offer, diamond, certificate) if name in part)
        place[name] = value
    return offer


def test_an_item_is_read_as_a_person_would_read_it() -> None:
    assert read(item(), "labgrown") == {
        "offer_id": "DIAMOND/5b0c9a52-6b1e-4a0f-9c53-3f1f6f4f9e10",
        "supplier_stone_id": "5b0c9a52-6b1e-4a0f-9c53-3f1f6f4f9e10",
        "kind": "labgrown", "labgrown_type": "CVD", "treated": None, "lab": "IGI",
        "certificate_number": "LG600100200", "certificate_url": None,
        "shape": "CUSHION BRILLIANT", "carat": Decimal("1.06"), "color": "E", "fancy_color": None,
        "fancy_intensity": None, "fancy_overtone": None, "clarity": "VS1", "cut": "ID",
        "polish": "EX", "symmetry": "G", "fluorescence": "STG", "fluorescence_color": "BLUE",
        "length_mm": Decimal("6.55"), "width_mm": Decimal("6.52"), "depth_mm": Decimal("4.02"),
        "depth_percent": Decimal("61.5"), "table_percent": None, "girdle": None, "culet": "NON",
        "eye_clean": "BORDERLINE", "brown": "NO", "green": "NO", "milky": None, "origin": "INDIA",
        "supplier_id": "c2b6a6e2-0a52-4f3b-8a66-0d5a4a1b7a01", "supplier_name": "Example Gems",
        "availability": "AVAILABLE", "image_url": None,
        "video_url": "https://media.example/diamond/LG600100200/video/500/500",
        "delivery_days_min": 6, "delivery_days_max": 9, "discount_bp": -9_731,
        "cost_cents": 20_412, "cost_currency": "USD",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "column", "value"),
    [
        ({"lab": "NONE"}, "certificate_number", None),
        ({"f_color": "GREY"}, "fancy_color", None),
        ({"color": "FANCY", "f_color": "Grey"}, "fancy_color", "GRAY"),
        ({"color": "FANCY", "f_intensity": "FANCY_INTENSE"}, "fancy_intensity", "FANCY INTENSE"),
        ({"color": "FANCY", "f_intensity": "fancy-light"}, "fancy_intensity", "FANCY LIGHT"),
        ({"shape": "ASCHER"}, "shape", "ASSCHER"),
        ({"eyeClean": "100%"}, "eye_clean", "YES"),
        ({"eyeClean": "Yes"}, "eye_clean", "YES"),
        ({"mine_of_origin": "BOTSWANA"}, "origin", "BOTSWANA"),
        ({"length": "0"}, "length_mm", None),
        ({"length": "7.0005"}, "length_mm", Decimal("7.001")),
        ({"treated": False}, "treated", False),
    ],
)
def test_a_value_is_read(wanted: dict[str, Any], column: str, value: object) -> None:
    assert read(item(**wanted), "labgrown")[column] == value


@pytest.mark.parametrize(
    ("kind", "wanted", "reason"),
    [
        ("labgrown", {"id": None}, "no_id"),
        ("labgrown", {"length": "long"}, "unreadable"),
        ("labgrown", {"labgrown": False, "labgrown_type": None}, "wrong_kind"),
        ("natural", {}, "wrong_kind"),
        ("natural", {"labgrown": True, "labgrown_type": None}, "wrong_kind"),
        ("labgrown", {"shape": "null"}, "no_shape"),
        ("labgrown", {"carats": 0}, "no_carat"),
        ("labgrown", {"price": 0}, "no_price"),
    ],
)
def test_an_item_that_is_no_stone_has_a_reason(
    kind: str, wanted: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        read(item(**wanted), kind)


def test_only_what_is_available_is_offered_and_all_of_it() -> None:
    stock, rules = Stock(300, 300, seed=1), load(EXAMPLE)
    for kind in ("natural", "labgrown"):
        found = offered(stock, kind, rules, 1, feed=f"nivoda-{kind}")
        available = {
            one["id"]
            for one in stock.items(kind == "labgrown")
            if one["diamond"]["availability"] == "AVAILABLE"
        }
        assert not found.stones.keys() & found.rejected.keys()
        assert found.ids() == available
        assert 200 < len(available) < 300
        assert set(next(iter(found.stones.values()))) == set(oracle.COMPARED)


def test_the_example_ruleset_read_for_the_oracle_is_exact() -> None:
    rules = load(EXAMPLE)
    assert rules["rates"]["EUR"]["rate"] == Decimal("1.1527")
    assert rules["tax"] == {"percent": Decimal("2.5")}
    assert rules["rules"][0]["when"] == {"kind": "natural", "treated": True}
    assert rules["rounding"] == {"ending": 95, "mode": "up"}


def stone(cost: int, price: int, **wanted: Any) -> Stone:
    values = {"cost_cents": cost, "price_cents": price, "price_currency": "USD", "rule": "all"}
    return values | {"ruleset_id": 1} | wanted


def kept(*stones: tuple[str, Kept]) -> Catalogue:
    return dict(stones)


def test_a_run_changes_what_the_supplier_changed() -> None:
    before = kept(
        ("same", Kept(stone(10, 20), None)),
        ("dearer", Kept(stone(10, 20), None)),
        ("other rule", Kept(stone(10, 20), None)),
        ("sold", Kept(stone(10, 20), None)),
        ("sold before", Kept(stone(10, 20), "delisted")),
        ("refused now", Kept(stone(10, 20), None)),
        ("refused again", Kept(stone(10, 20), "rejected")),
        ("back at its price", Kept(stone(10, 20), "rejected")),
        ("back for more", Kept(stone(10, 20), "delisted")),
    )
    stones = {
        "same": stone(10, 20),
        "dearer": stone(11, 22),
        "other rule": stone(10, 20, rule="mine"),
        "back at its price": stone(10, 20),
        "back for more": stone(10, 25),
        "new": stone(1, 2),
    }
    refused = {"refused now": "no_rule", "refused again": "no_rule", "refused new": "no_rule"}
    got = after_run(before, Offered(stones, refused))
    assert {offer_id: one.off_sale for offer_id, one in got.catalogue.items()} == {
        "same": None,
        "dearer": None,
        "other rule": None,
        "sold": "delisted",
        "sold before": "delisted",
        "refused now": "rejected",
        "refused again": "rejected",
        "back at its price": None,
        "back for more": None,
        "new": None,
    }
    assert got.price_changes == {
        "dearer": PriceChange(20, 22, 10, 11, "USD", "all", 1),
        "back for more": PriceChange(20, 25, 10, 10, "USD", "all", 1),
        "new": PriceChange(None, 2, None, 1, "USD", "all", 1),
    }
    assert got.inserted == {"new"}
    assert got.changed == {"dearer", "other rule", "back at its price", "back for more"}
    assert got.withdrawn == {"refused now"}
    assert got.delisted == {"sold"}
    assert "same" not in got.touched

    partial = after_run(before, Offered(stones, refused), delists=False)
    assert partial.delisted == frozenset()
    assert partial.catalogue["sold"].off_sale is None


def test_the_oracle_lists_every_column_of_a_stone() -> None:
    assert COLUMNS == STONE_COLUMNS


def test_the_oracle_shares_no_code_with_the_pipeline() -> None:
    forbidden = {"shared", "scheduler", "worker", "consolidator", "cli", "sql"}
    tests = Path(__file__).parents[1]
    for path in (tests / "oracle" / "oracle.py", tests / "oracle" / "reading.py",
                 tests / "pricing" / "reference.py"):  # fmt: skip
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {
            name
            for node in ast.walk(tree)
            for name in (
                [alias.name for alias in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )
        }  # fmt: skip
        assert not {name.partition(".")[0] for name in modules} & forbidden, path
