"""The ruleset that is shipped: sound, complete, and its prices by hand."""

from decimal import Decimal
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from consolidator.pricing.engine import Engine, compile_ruleset
from consolidator.pricing.fields import FIELDS
from consolidator.pricing.findings import Kind
from consolidator.pricing.lint import lint
from consolidator.pricing.refusals import Refusal
from consolidator.pricing.ruleset import load_ruleset
from tests.pricing.writing import frame, make_stone

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ruleset.yaml"

PAGE = EXAMPLE.parents[1] / "pricing.md"
ON_THE_PAGE = {
    "kind": "natural",
    "color": "FANCY",
    "cost_cents": 61_200,
    "cost_currency": "EUR",
    "present_price_cents": 139_500,
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return compile_ruleset(load_ruleset(EXAMPLE.read_text(encoding="utf-8"), "ruleset.yaml"))


def test_lint_finds_nothing(engine: Engine) -> None:
    assert lint(engine.ruleset) == []


@pytest.mark.parametrize(
    ("stone", "rule", "price"),
    [
        # 312.00 + 2.5 % = 319.80; × 1.55 + 20 = 515.69
        ({"cost_cents": 31_200}, "natural to 500", 515_95),
        # 2,000.00 + 2.5 % = 2,050.00; × 1.38 + 140 = 2,969.00
        ({"cost_cents": 200_000}, "natural to 2,500", 2_995_00),
        # 20,000.00 EUR = 23,054.00 + 2.5 % = 23,630.35; × 1.18 + 1,240 = 29,123.81
        ({"cost_cents": 2_000_000, "cost_currency": "EUR"}, "natural to 25,000", 29_195_00),
        # 60,000.00 + 2.5 % = 61,500.00; × 1.18 + 4,750 = 77,320.00
        (
            {"cost_cents": 6_000_000, "carat": Decimal("3.000")},
            "natural from 3 carat above",
            77_400_00,
        ),
        # 45.00 + 2.5 % = 46.13 (46.125); × 1.6 + 35 = 108.81
        (
            {"cost_cents": 4_500, "carat": Decimal("0.299")},
            "natural below 0.30 carat",
            109_95 - 1_00,
        ),
        ({"cost_cents": 400_000, "color": "FANCY"}, "natural fancy to 5,000", 7_095_00),
        # 120.00 + 2.5 % = 123.00; × 2.3 + 60 = 342.90
        (
            {"kind": "labgrown", "cost_cents": 12_000, "carat": Decimal("1.999")},
            "lab-grown below 2 carat, to 300",
            342_99,
        ),
        # 800.00 + 2.5 % = 820.00; × 1.75 + 255 = 1,690.00
        (
            {"kind": "labgrown", "cost_cents": 80_000, "carat": Decimal("2.000")},
            "lab-grown from 2 carat, above",
            1_699_00,
        ),
        # 100.00 + 2.5 % = 102.50; × 2.6 + 60 = 326.50
        ({"kind": "labgrown", "color": "FANCY", "cost_cents": 10_000}, "lab-grown fancy", 326_99),
    ],
)
def test_prices_by_hand(engine: Engine, stone: dict[str, Any], rule: str, price: int) -> None:
    row = engine.price(frame([make_stone(**stone)])).row(0, named=True)
    assert (row["rule"], row["price_cents"], row["refusal"]) == (rule, price, None)


def test_every_stone_that_a_supplier_may_offer_has_a_price(engine: Engine) -> None:
    costs = [n * 10**power for power in range(3, 8) for n in (1, 3, 5, 9)]
    carats = [
        Decimal(text) for text in ("0.180", "0.300", "0.999", "1.000", "2.500", "3.000", "12")
    ]
    kinds, colors = ("natural", "labgrown"), ("D", "FANCY", None)
    stones = [
        make_stone(kind=kind, color=color, carat=carat, cost_cents=cost, lab=None, clarity=None)
        for kind, color, carat, cost in product(kinds, colors, carats, costs)
    ]
    assert engine.price(frame(stones))["refusal"].null_count() == len(stones)


def test_a_treated_natural_stone_is_refused(engine: Engine) -> None:
    row = engine.price(frame([make_stone(treated=True)])).row(0, named=True)
    assert row["refusal"] == "refused_by_rule"
    assert "no treated natural stones" in row["refusal_detail"]


def test_cents_taken_for_dollars_are_refused(engine: Engine) -> None:
    right = engine.price(frame([make_stone()]))["price_cents"][0]
    slipped = make_stone(cost_cents=10_000_000, present_price_cents=right)
    assert engine.price(frame([slipped]))["refusal"].to_list() == ["jump"]


@pytest.mark.parametrize("carat", ["0.250", "1.500", "3.500"])
@pytest.mark.parametrize("kind", ["natural", "labgrown"])
def test_a_dearer_stone_is_never_the_cheaper_one(engine: Engine, kind: str, carat: str) -> None:
    costs = sorted({bound + step for bound in range(1_000, 6_000_000, 3_997) for step in (0, 1)})
    stones = [make_stone(kind=kind, carat=Decimal(carat), cost_cents=cost) for cost in costs]
    prices = engine.price(frame(stones))["price_cents"].to_list()
    assert all(cheaper <= dearer for cheaper, dearer in pairwise(prices))


def test_the_page_shows_a_real_explanation(engine: Engine) -> None:
    said = engine.explain(ON_THE_PAGE).to_text()
    assert f"```text\n{said}\n```" in PAGE.read_text(encoding="utf-8")


def test_the_page_lists_every_field_and_every_fixed_word() -> None:
    page = PAGE.read_text(encoding="utf-8")
    words = {*FIELDS, *Refusal, *Kind}
    assert {word for word in words if f"`{word}`" not in page} == set()
