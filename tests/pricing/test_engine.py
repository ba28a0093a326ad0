"""The chain by hand: each step's rounding, each guard at its bound, each refusal."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from consolidator.pricing.engine import PRICED_SCHEMA, SLICE_STONES, Engine, compile_ruleset
from consolidator.pricing.ruleset import DatedRate, load_ruleset
from shared.errors import BadMessage
from shared.stone import STONE_SCHEMA
from tests.pricing.writing import FRAME_SCHEMA, frame, make_stone, ruleset_text

RATES = "{EUR: {rate: 1.15, as_of: 2025-11-20, source: ECB}}"


def engine_of(*rules: str, **top: str) -> Engine:
    return compile_ruleset(load_ruleset(ruleset_text(*rules, **top), "shop.yaml"))


def priced(engine: Engine, **stone: Any) -> dict[str, Any]:
    """What one stone's row says."""
    return engine.price(frame([make_stone(**stone)])).row(0, named=True)


@pytest.mark.parametrize(
    ("cost", "shop_cost", "taxed", "unrounded", "price"),
    [
        (100_00, 115_00, 126_50, 189_75, 189_95),
        (1, 1, 1, 2, 95),  # 1.15 and 1.1 cents round to 1, 1.5 to 2
        (10, 12, 13, 20, 95),  # 11.5 rounds up to 12, 13.2 to 13, 19.5 to 20
        (3, 3, 3, 5, 95),  # 3.45 and 3.3 round down, 4.5 up
    ],
)
def test_each_step_rounds_to_the_cent_a_half_upwards(
    cost: int, shop_cost: int, taxed: int, unrounded: int, price: int
) -> None:
    engine = engine_of(
        "price: {percent: 50}",
        rates=RATES,
        tax="{percent: 10}",
        rounding="{ending: .95, mode: up}",
    )
    assert priced(engine, cost_cents=cost, cost_currency="EUR") == {
        "price_cents": price,
        "price_currency": "USD",
        "rule": "r1",
        "refusal": None,
        "refusal_detail": None,
        "shop_cost_cents": shop_cost,
        "taxed_cost_cents": taxed,
        "unrounded_price_cents": unrounded,
    }


@pytest.mark.parametrize(
    ("rule", "price"),
    [
        ("price: {percent: 40}", 140_000),
        ("price: {percent: -25}\nsell_below_cost: true", 75_000),
        ("price: {factor: 1.234567}", 123_457),
        ("price: {add: 12.34}", 101_234),
        ("price: {percent: 40, add: -0.01}", 139_999),
        ("price: {base: natural}", 130_000),
        ("price: {base: natural, modifier: -4.5}", 125_500),
        ("price: {base: natural, modifier: 6, add: 10}", 137_000),
        ("price: {percent: 40}\nrounding: {to: 100, mode: up}", 140_000),
        ("price: {percent: 41}\nrounding: {to: 100, mode: up}", 150_000),
        ("price: {percent: 41}\nrounding: {to: 100, mode: nearest}", 140_000),
        ("price: {percent: 40}\nrounding: {ending: 99, mode: up}", 149_900),
        ("price: {percent: 40}\nrounding: {ending: 9.95, mode: nearest}", 139_995),
        ("price: {percent: 40}\nrounding: cent", 140_000),
    ],
)
def test_a_rule_says_the_price(rule: str, price: int) -> None:
    assert priced(engine_of(rule, bases="{natural: 30}"))["price_cents"] == price


def test_the_first_rule_that_is_met_has_the_stone() -> None:
    engine = engine_of(
        "when: {lab: IGI}\nprice: {percent: 10}",
        "when: {lab: GIA}\nprice: {percent: 20}",
        "when: {kind: natural}\nprice: {percent: 30}",
    )
    assert priced(engine)["rule"] == "r2"
    assert priced(engine, lab=None)["rule"] == "r3"


@pytest.mark.parametrize(
    ("when", "below", "at"),
    [
        ("{cost: {to: 500}}", {"cost_cents": 49_999}, {"cost_cents": 50_000}),
        ("{carat: {to: 0.5}}", {"carat": Decimal("0.499")}, {"carat": Decimal("0.500")}),
        ("{discount_bp: {to: -100}}", {"discount_bp": -101}, {"discount_bp": -100}),
    ],
)
def test_a_range_includes_its_from_and_excludes_its_to(
    when: str, below: dict[str, Any], at: dict[str, Any]
) -> None:
    above = when.replace("to:", "from:")
    engine = engine_of(
        f"when: {when}\nprice: {{percent: 10}}", f"when: {above}\nprice: {{percent: 10}}"
    )
    assert priced(engine, **below)["rule"] == "r1"
    assert priced(engine, **at)["rule"] == "r2"


@pytest.mark.parametrize("when", ["{color: D}", "{color: [D, E]}", "{not: {color: {is: missing}}}"])
def test_a_test_of_a_missing_field_is_not_met_and_its_opposite_is(when: str) -> None:
    engine = engine_of(
        f"when: {when}\nprice: {{percent: 10}}", f"when: {{not: {when}}}\nprice: {{percent: 20}}"
    )
    assert priced(engine, color=None)["rule"] == "r2"
    assert priced(engine, color="D")["rule"] == "r1"


MARKUP = "price: {percent: 25}"  # 1,250.00 on a cost of 1,000.00: a margin of 20 %


@pytest.mark.parametrize(
    ("guards", "stone", "refusal"),
    [
        ("{margin_min: 20}", {}, None),
        ("{margin_min: 20.0001}", {}, "low_margin"),
        ("{floor: 1250}", {}, None),
        ("{floor: 1250.01}", {}, "below_floor"),
        ("{ceiling: 1250}", {}, None),
        ("{ceiling: 1249.99}", {}, "above_ceiling"),
        ("{rise_max: 25}", {"present_price_cents": 100_000}, None),
        ("{rise_max: 25}", {"present_price_cents": 99_999}, "jump"),
        ("{rise_max: 25.002}", {"present_price_cents": 99_998}, "jump"),  # above 124,999.49996
        ("{fall_max: 50}", {"present_price_cents": 250_000}, None),
        ("{fall_max: 50}", {"present_price_cents": 250_001}, "jump"),
        ("{rise_max: 0, fall_max: 0}", {"present_price_cents": 125_000}, None),
        ("{rise_max: 0, fall_max: 0}", {"present_price_cents": None}, None),
        ("{rise_max: 0, fall_max: 0}", {"present_price_cents": 0}, None),
        ("{rise_max: 0, fall_max: 0}", {"present_price_cents": -5}, None),
        ("{fall_max: 1}", {"present_price_cents": 10**12}, "jump"),
        ("{fall_max: 1}", {"present_price_cents": 10**12 + 1}, None),
        ("{floor: 2000, ceiling: 3000, margin_min: 50}", {}, "low_margin"),
    ],
)
def test_a_guard_holds_at_its_bound_and_refuses_beyond(
    guards: str, stone: dict[str, Any], refusal: str | None
) -> None:
    for engine in (engine_of(MARKUP, guards=guards), engine_of(f"{MARKUP}\nguards: {guards}")):
        row = priced(engine, **stone)
        assert row["refusal"] == refusal
        assert row["price_cents"] == (None if refusal else 125_000)


def test_a_rule_may_lift_a_guard_and_keep_the_others() -> None:
    engine = engine_of(f"{MARKUP}\nguards: {{floor: null}}", guards="{floor: 2000, ceiling: 1200}")
    assert priced(engine)["refusal"] == "above_ceiling"


@pytest.mark.parametrize(
    ("rule", "stone", "refusal", "detail"),
    [
        (MARKUP, {"cost_cents": None}, "bad_cost", "cost missing"),
        (MARKUP, {"cost_cents": 0}, "bad_cost", "cost 0.00 USD"),
        (MARKUP, {"cost_cents": -1}, "bad_cost", "cost -0.01 USD"),
        (
            MARKUP,
            {"cost_cents": 1, "cost_currency": "INR"},
            "bad_cost",
            "cost 0.01 INR, 0.00 USD",
        ),
        (MARKUP, {"cost_currency": "CHF"}, "no_rate", "no exchange rate from CHF to USD"),
        (
            MARKUP,
            {"cost_currency": None},
            "no_rate",
            "no exchange rate from a missing currency to USD",
        ),
        (
            MARKUP,
            {"cost_cents": 2**63 - 1},
            "overflow",
            "92,233,720,368,547,758.07 is above 10,000,000,000.00",
        ),
        (
            MARKUP,
            {"cost_cents": 10**12},
            "overflow",
            "12,500,000,000.00 is above 10,000,000,000.00",
        ),
        (
            "price: {factor: 1.1}\nrounding: {to: 1000000, mode: up}",
            {"cost_cents": 909_090_909_090},
            None,
            None,
        ),
        (
            "price: {factor: 1}\nrounding: {ending: 500000, mode: up}\nsell_below_cost: true",
            {"cost_cents": 10**12},
            "overflow",
            "10,000,500,000.00 is above 10,000,000,000.00",
        ),
        ("when: {lab: IGI}\n" + MARKUP, {}, "no_rule", "lab GIA"),
        ("refuse: not our taste", {}, "refused_by_rule", "rule r1: not our taste"),
        (
            "price: {add: -1000}\nsell_below_cost: true",
            {},
            "not_positive",
            "rule r1: price before rounding 0.00 USD",
        ),
        (
            "price: {percent: 0}",
            {},
            "below_cost",
            "rule r1: price 1,000.00 USD for a cost of 1,000.00",
        ),
    ],
)
def test_what_cannot_be_priced_is_refused_with_its_amounts(
    rule: str, stone: dict[str, Any], refusal: str | None, detail: str | None
) -> None:
    rates = "{INR: {rate: 0.011, as_of: 2025-11-20, source: ECB}}"
    row = priced(engine_of(rule, rates=rates), **stone)
    assert (row["refusal"], row["refusal_detail"]) == (refusal, detail)
    assert (row["price_cents"] is None) == (refusal is not None)


def test_rates_given_go_before_those_of_the_file() -> None:
    ruleset = load_ruleset(ruleset_text("price: {add: 1}", rates=RATES), "f")
    stones = frame([make_stone(cost_currency="EUR"), make_stone(cost_currency="GBP")])
    assert compile_ruleset(ruleset).price(stones)["shop_cost_cents"].to_list() == [115_000, None]
    given = compile_ruleset(ruleset, {"GBP": rate("1.3")}).price(stones)
    assert given["shop_cost_cents"].to_list() == [115_000, 130_000]
    given = compile_ruleset(ruleset, {"EUR": rate("1.2")}).price(stones)
    assert given["shop_cost_cents"].to_list() == [120_000, None]
    assert given["refusal"].to_list() == [None, "no_rate"]


def rate(worth: str) -> DatedRate:
    return DatedRate.model_validate(
        {"rate": Decimal(worth), "as_of": "2026-01-01", "source": "the bank"}
    )


@pytest.mark.parametrize("worth", ["0", "-1", "NaN", "Infinity", "1.0000000001", "1234567.1"])
def test_a_rate_that_the_sums_cannot_hold_is_refused(worth: str) -> None:
    with pytest.raises(ValueError, match="a rate"):
        rate(worth)


def test_one_engine_is_made_for_one_content_and_its_rates() -> None:
    text = ruleset_text("price: {add: 1}")
    first = compile_ruleset(load_ruleset(text, "one.yaml"))
    assert compile_ruleset(load_ruleset(text + "# the same\n", "two.yaml")) is first
    assert compile_ruleset(load_ruleset(text, "one.yaml"), {"EUR": rate("1")}) is not first


def test_rows_stay_in_order_over_slices() -> None:
    engine = engine_of("when: {cost: {to: 200}}\nprice: {add: 1}", "price: {add: 2}")
    height = 2 * SLICE_STONES + 1
    stones = frame([make_stone()]).select(pl.all().repeat_by(height).explode())
    stones = stones.with_columns(cost_cents=pl.int_range(1, height + 1))
    answer = engine.price(stones)
    assert dict(answer.schema) == PRICED_SCHEMA
    wanted = [cost + (100 if cost < 20_000 else 200) for cost in range(1, height + 1)]
    assert answer["price_cents"].to_list() == wanted


def test_no_stones_have_no_prices() -> None:
    answer = engine_of("price: {add: 1}").price(pl.DataFrame(schema=FRAME_SCHEMA))
    assert answer.is_empty()
    assert dict(answer.schema) == PRICED_SCHEMA


def test_only_the_columns_that_are_asked_about_are_needed() -> None:
    engine = engine_of("when: {lab: GIA, cost: {to: 2000}, not: {feed: x}}\nprice: {percent: 10}")
    assert engine.columns == ("cost_cents", "cost_currency", "lab", "feed")
    stones = frame([make_stone()])
    assert engine.price(stones.select(engine.columns)).equals(engine.price(stones))


def test_every_field_can_be_asked_about() -> None:
    values = {pl.String: "x", pl.Int64: "1", pl.Boolean: "true"}
    tests = ", ".join(
        f"{{{name}: {values.get(type(dtype) if isinstance(dtype, pl.DataType) else dtype, '1.5')}}}"
        for name, dtype in STONE_SCHEMA.items()
        if name != "kind"
    )
    engine = engine_of(f"when: {{any: [{tests}, {{kind: natural}}]}}\nprice: {{add: 1}}")
    assert set(engine.columns) == set(STONE_SCHEMA)
    assert priced(engine)["rule"] == "r1"
    assert priced(engine, kind="labgrown", discount_bp=1)["rule"] == "r1"
    assert priced(engine, kind="labgrown")["refusal"] == "no_rule"


def test_a_detail_is_never_longer_than_two_hundred_characters() -> None:
    engine = engine_of("when: {supplier_name: A}\nprice: {add: 1}")
    detail = priced(engine, supplier_name="B" * 1_000)["refusal_detail"]
    assert detail == "supplier_name " + "B" * 186


def test_a_hypothetical_stone_is_explained_from_json() -> None:
    engine = engine_of("when: {carat: {from: 1}}\nprice: {percent: 25}", rates=RATES)
    stone = {"carat": 1.5, "lab": "GIA", "cost_cents": 100_000, "cost_currency": "EUR"}
    assert engine.explain(stone).to_text().splitlines()[1:] == [
        "cost            1,000.00 EUR  asked by the supplier",
        "rate            1,150.00 USD  1 EUR is 1.15 USD (ECB, 2025-11-20), to the nearest cent",
        "tax             1,150.00 USD  no tax or duty",
        "rule            1,437.50 USD  r1 (carat from 1): plus 25 %, to the nearest cent",
        "rounding        1,437.50 USD  to the cent",
        "guard                         above the taxed cost of 1,150.00: passed",
    ]


@pytest.mark.parametrize(
    ("stone", "said"),
    [
        ({"carrat": 1}, "a stone has no 'carrat'"),
        ({"carat": "big"}, "carat: "),
        ({"carat": 1.0005}, "carat: 1.0005 is not a number of at most 7 digits and 3 places"),
        ({"carat": float("nan")}, "carat: nan is not a number"),
        ({"carat": True}, "carat: True is not a number"),
        ({"cost_cents": 1.5}, "cost_cents: 1.5 is not a whole number"),
        ({"cost_cents": 2**63}, "cost_cents: 9223372036854775808 is too large"),
        ({"lab": 5}, "lab: 5 is not text"),
        ({"treated": "yes"}, "treated: 'yes' is not true or false"),
    ],
)
def test_a_stone_that_cannot_be_one_is_refused(stone: dict[str, Any], said: str) -> None:
    with pytest.raises(BadMessage) as caught:
        engine_of("price: {add: 1}").explain(stone)
    assert str(caught.value).startswith(said)


def test_an_explanation_says_which_condition_failed_on_which_value() -> None:
    engine = engine_of(
        "when: {kind: labgrown}\nprice: {add: 1}",
        "when: {kind: natural, carat: {to: 1}}\nprice: {add: 1}",
        "when: {any: [{lab: IGI}, {color: D}]}\nprice: {add: 1}",
        "when: {not: {lab: [GIA, HRD]}}\nprice: {add: 1}",
        "when: {all: [{kind: natural}, {any: [{cost: {to: 5}}]}]}\nprice: {add: 1}",
        "when: {taxed_cost: {to: 5}}\nprice: {add: 1}",
        "price: {add: 2}",
        tax="{percent: 10}",
    )
    why = engine.explain(make_stone())
    assert why.rule == "r7"
    assert why.met == "every stone"
    assert [(one.number, one.rule, one.failed, one.seen) for one in why.passed_over] == [
        (1, "r1", "kind is labgrown", "kind natural"),
        (2, "r2", "carat below 1", "carat 1.01"),
        (3, "r3", "(lab is IGI or color is D)", "lab GIA, color G"),
        (4, "r4", "not lab in GIA, HRD", "lab GIA"),
        (5, "r5", "cost below 5.00", "cost 1,000.00"),
        (6, "r6", "taxed_cost below 5.00", "taxed_cost 1,100.00"),
    ]
