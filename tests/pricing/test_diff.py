"""What two rulesets say otherwise, in words."""

from typing import Any

from hypothesis import HealthCheck, given, settings

from consolidator.pricing.diff import Difference, differences
from consolidator.pricing.ruleset import load_ruleset
from tests.pricing import strategies
from tests.pricing.writing import as_yaml, ruleset_text

CHEAP = "when: {cost: {to: 500}}\nprice: {percent: 55}"
DEAR = "when: {cost: {from: 500}}\nprice: {percent: 40}"


def found(first: str, second: str) -> list[Difference]:
    return differences(load_ruleset(first, "first.yaml"), load_ruleset(second, "second.yaml"))


def test_a_rule_that_prices_otherwise_is_said_with_both() -> None:
    (one,) = found(ruleset_text(CHEAP, DEAR), ruleset_text(CHEAP, DEAR.replace("40", "45")))
    assert one == Difference("changed", "rule r2: price", "plus 40 %", "plus 45 %")


def test_another_condition_guard_and_rounding_are_said_apart() -> None:
    other = DEAR.replace("500", "400") + "\nguards: {floor: 35, margin_min: null}\nrounding: cent"
    said = [
        (one.what, one.where, one.after) for one in found(ruleset_text(DEAR), ruleset_text(other))
    ]
    assert said == [
        ("changed", "rule r1: when", "cost from 400.00"),
        ("added", "rule r1: rounding", "to the cent"),
        ("added", "rule r1: margin_min", "lifted"),
        ("added", "rule r1: floor", "35.00"),
    ]


def test_a_rule_that_is_new_or_gone_is_said_whole() -> None:
    one, two = ruleset_text(CHEAP), ruleset_text(CHEAP, DEAR + "\nsell_below_cost: true")
    said = "cost from 500.00: plus 40 %; sell_below_cost yes"
    assert found(one, two) == [Difference("added", "rule r2", None, said)]
    assert found(two, one) == [Difference("removed", "rule r2", said, None)]


def test_a_rule_that_only_moved_is_said_to_have_moved() -> None:
    one = ruleset_text(CHEAP, DEAR, "price: {add: 1}")
    lines = one.splitlines(keepends=True)
    last = "".join([*lines[:3], *lines[-2:], *lines[3:-2]])
    assert found(one, last) == [Difference("moved", "rule r3", "place 3", "place 1")]


def test_what_holds_for_all_rules_is_compared_too() -> None:
    eur = "{EUR: {rate: 1.15, as_of: 2025-11-20, source: ECB}}"
    one = ruleset_text(CHEAP, rates=eur, tax="{percent: 2}", bases="{a: 40}")
    two = ruleset_text(CHEAP, rates=eur.replace("1.15", "1.20"), bases="{a: 45}")
    assert found(one, two) == [
        Difference("changed", "rate EUR", "1.15 (ECB, 2025-11-20)", "1.2 (ECB, 2025-11-20)"),
        Difference(
            "changed",
            "tax",
            "plus 2 % tax or duty, to the nearest cent",
            "no tax or duty",
        ),
        Difference("changed", "base a", "40 %", "45 %"),
    ]


def test_an_experiment_is_compared() -> None:
    two = ruleset_text(CHEAP, experiment='{name: x, variant: "0123456789abcdef", share: 12.5}')
    (one,) = found(ruleset_text(CHEAP), two)
    assert one == Difference("added", "experiment", None, "x: 12.5 % by 0123456789ab")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(strategies.rulesets(), strategies.rulesets())
def test_two_rulesets_differ_exactly_where_their_checksums_do(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    first, second = (load_ruleset(as_yaml(x), "random.yaml") for x in (one, two))
    assert differences(first, first) == []
    if first.checksum == second.checksum:
        assert differences(first, second) == []
    else:
        assert differences(first, second) != []
