"""The engine against the reference engine, and the explanation against the price."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consolidator.pricing.engine import Engine, compile_ruleset
from consolidator.pricing.ruleset import load_ruleset
from tests.pricing import reference, strategies
from tests.pricing.writing import as_yaml, frame

at_length = settings(
    max_examples=strategies.EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
many_stones = st.lists(strategies.stones(), min_size=strategies.STONES, max_size=strategies.STONES)


def engine_of(ruleset: dict[str, Any]) -> Engine:
    return compile_ruleset(load_ruleset(as_yaml(ruleset), "random.yaml"))


@at_length
@given(strategies.rulesets(), many_stones)
def test_every_price_and_every_refusal_is_the_documented_one(
    ruleset: dict[str, Any], stones: list[dict[str, Any]]
) -> None:
    priced = engine_of(ruleset).price(frame(stones))
    for stone, row in zip(stones, priced.iter_rows(named=True), strict=True):
        wanted = reference.price(ruleset, stone)
        assert wanted == reference.Outcome(
            price=row["price_cents"],
            rule=row["rule"],
            refusal=row["refusal"],
            shop_cost=row["shop_cost_cents"],
            taxed_cost=row["taxed_cost_cents"],
            unrounded=row["unrounded_price_cents"],
        ), stone
        assert (row["price_cents"] is None) != (row["refusal"] is None)
        assert (row["price_cents"] is None) == (row["price_currency"] is None)
        assert (row["refusal"] is None) == (row["refusal_detail"] is None)


@at_length
@given(strategies.rulesets(), strategies.stones())
def test_an_explanation_says_what_the_price_says(
    ruleset: dict[str, Any], stone: dict[str, Any]
) -> None:
    engine = engine_of(ruleset)
    row = engine.price(frame([stone])).row(0, named=True)
    why = engine.explain(stone)

    said = (why.price_cents, why.price_currency, why.rule, why.refusal, why.refusal_detail)
    names = ("price_cents", "price_currency", "rule", "refusal", "refusal_detail")
    assert said == tuple(row[name] for name in names)
    amounts = {step.name: step.amount_cents for step in why.steps if step.name != "guard"}
    for step, column in (
        ("rate", "shop_cost_cents"),
        ("tax", "taxed_cost_cents"),
        ("rule", "unrounded_price_cents"),
    ):
        if row[column] is not None:
            assert amounts[step] == row[column]
    if why.refusal is None:
        assert amounts["rounding"] == why.price_cents
    assert why.to_text()


@at_length
@given(strategies.rulesets(), strategies.stones())
def test_an_explanation_names_a_condition_that_fails_in_every_earlier_rule(
    ruleset: dict[str, Any], stone: dict[str, Any]
) -> None:
    why = engine_of(ruleset).explain(stone)
    names = [rule["name"] for rule in ruleset["rules"]]
    if why.rule is not None:
        before = names[: names.index(why.rule)]
    else:
        before = names if why.refusal == "no_rule" else []
    assert [one.rule for one in why.passed_over] == before
    assert all(one.failed and one.seen for one in why.passed_over)
