"""What lint finds, what it leaves alone, and that its regions are the engine's matches."""

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from consolidator.pricing.engine import compile_ruleset
from consolidator.pricing.fields import FIELDS, Sort
from consolidator.pricing.findings import Finding, Kind
from consolidator.pricing.lint import lint
from consolidator.pricing.regions import BOXES_MAX, Axis, Box, Space, TooManyBoxes
from consolidator.pricing.ruleset import load_ruleset
from consolidator.pricing.survey import survey
from tests.pricing import strategies
from tests.pricing.writing import as_yaml, frame, ruleset_text


def found(*rules: str, **top: str) -> list[Finding]:
    return lint(load_ruleset(ruleset_text(*rules, **top), "shop.yaml"))


def kinds(*rules: str, **top: str) -> list[tuple[str, str | None]]:
    return [(one.kind.value, one.rule) for one in found(*rules, **top)]


def rule(when: str, price: str = "{percent: 40}") -> str:
    return f"when: {when}\nprice: {price}"


REST = "price: {percent: 40}"


def test_brackets_that_follow_on_are_sound() -> None:
    assert not found(
        rule("{kind: natural, cost: {to: 500}}", "{percent: 55}"),
        rule("{kind: natural, cost: {from: 500, to: 1000}}", "{percent: 45, add: 50}"),
        rule("{kind: natural, cost: {from: 1000}}", "{percent: 40, add: 100}"),
        rule("{kind: labgrown, carat: {to: 1}}"),
        rule("{kind: labgrown, carat: {from: 1}}"),
    )


def test_an_exception_before_a_general_rule_is_sound() -> None:
    exceptions = rule("{lab: GIA, color: [D, E]}"), rule("{cost: {to: 500}, lab: GIA}")
    assert not found(*exceptions, rule("{lab: GIA}"), REST)


def test_a_gap_between_brackets_is_named() -> None:
    said = found(rule("{cost: {to: 500}}"), rule("{cost: {from: 600}}"))
    assert [(one.kind, one.rule) for one in said] == [(Kind.NO_DEFAULT, None), (Kind.GAP, None)]
    assert said[1].message == "no rule for cost 500.00 to below 600.00"


@pytest.mark.parametrize(
    ("when", "gap"),
    [
        ("{kind: natural}", "kind labgrown"),
        ("{color: [D, E]}", "color any other or missing"),
        ("{not: {color: [D, E]}}", "color D or E"),
        ("{lab: {is: present}}", "lab missing"),
        ("{treated: true}", "treated false or missing"),
        ("{carat: {from: 0.3, to: 2}}", "carat below 0.3 or from 2"),
        ("{discount_bp: {from: 0}}", "discount_bp below 0 or missing"),
        ("{cost: 500}", "cost below 500.00 or from 500.01"),
        ("{any: [{kind: natural}, {lab: GIA}]}", "kind labgrown, lab any other or missing"),
    ],
)
def test_a_gap_is_named_by_what_its_stones_have(when: str, gap: str) -> None:
    assert f"no rule for {gap}" in [one.message for one in found(rule(when))]


def test_a_bracket_of_the_taxed_cost_is_one_of_the_cost() -> None:
    brackets = rule("{cost: {to: 100}}"), rule("{taxed_cost: {from: 110}}")
    assert not found(*brackets, tax="{percent: 10}")
    gap = found(*brackets, tax="{percent: 5}")[1]
    assert gap.message == "no rule for cost 100.00 to below 104.76"  # 104.76 × 1.05 = 109.998


@pytest.mark.parametrize(
    ("low", "high", "is_found"),
    [
        ("{cost: {to: 499.99}}", "{cost: {from: 500}}", True),
        ("{cost: {to: 500}}", "{cost: {from: 501}}", True),
        ("{carat: {to: 0.99}}", "{carat: {from: 1}}", True),
        ("{delivery_days_max: {to: 5}}", "{delivery_days_max: {from: 6}}", True),
        ("{cost: {to: 500}}", "{cost: {from: 500}}", False),
        ("{cost: {to: 500}}", "{cost: {from: 501.01}}", False),
        ("{carat: {to: 0.9}}", "{carat: {from: 1}}", False),
        ("{kind: natural, cost: {to: 499.99}}", "{kind: labgrown, cost: {from: 500}}", False),
    ],
)
def test_a_bracket_that_ends_just_below_the_next_is_found_even_before_a_default(
    low: str, high: str, is_found: bool
) -> None:
    said = [one for one in kinds(rule(low), rule(high), REST) if one[0] == "boundary"]
    assert said == ([("boundary", "r1")] if is_found else [])


def test_a_boundary_says_what_to_write() -> None:
    said = found(rule("{cost: {to: 499.99}}"), rule("{cost: {from: 500}}"), REST)
    assert said[0].line == 4
    assert said[0].message == (
        "cost from 499.99 to below 500.00 lies between this rule and 'r2'; `to` is exclusive:"
        " write `to: 500.00`"
    )


@pytest.mark.parametrize(
    ("first", "second", "is_found"),
    [
        ("{cost: {to: 500}}", "{cost: {from: 400, to: 900}}", True),
        ("{shape: [ROUND, OVAL]}", "{shape: [OVAL, PEAR]}", True),
        ("{cost: {to: 500}, lab: GIA}", "{cost: {from: 400}, lab: GIA}", True),
        ("{cost: {to: 500}, lab: GIA}", "{cost: {from: 400}, lab: IGI}", False),
        ("{cost: {to: 500}, lab: GIA}", "{cost: {from: 400}}", False),  # an exception
        ("{cost: {from: 400, to: 500}}", "{cost: {to: 900}}", False),  # within
        ("{cost: {to: 400}}", "{cost: {from: 400}}", False),
    ],
)
def test_brackets_that_share_stones_are_found(first: str, second: str, is_found: bool) -> None:
    said = [one for one in kinds(rule(first), rule(second), REST) if one[0] == "overlap"]
    assert said == ([("overlap", "r2")] if is_found else [])


def test_a_refusal_may_overlap_anything() -> None:
    refusing = "when: {cost: {from: 400, to: 900}}\nrefuse: not sold"
    assert not kinds(refusing, rule("{cost: {to: 500}}"), REST)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([REST, rule("{lab: GIA}")], ("unreachable", "r2")),
        ([rule("{lab: [GIA, IGI]}"), rule("{lab: IGI}"), REST], ("unreachable", "r2")),
        (
            [rule("{kind: natural}"), rule("{kind: labgrown}"), rule("{lab: IGI}")],
            ("unreachable", "r3"),
        ),
        ([rule("{all: [{kind: natural}, {kind: labgrown}]}"), REST], ("impossible", "r1")),
        ([rule("{carat: {to: -1}}"), REST], ("impossible", "r1")),
        (
            [rule("{all: [{color: {is: missing}}, {color: D}]}"), REST],
            ("impossible", "r1"),
        ),
    ],
)
def test_a_rule_that_nobody_reaches_is_found(rules: list[str], said: tuple[str, str]) -> None:
    assert kinds(*rules) == [said]


def test_an_unreachable_rule_says_who_takes_its_stones() -> None:
    said = found(rule("{kind: natural}"), rule("{kind: labgrown}"), rule("{lab: IGI}"))
    assert said[0].message == (
        "never reached: 'r1', 'r2' before it takes its stones; move it up or drop it"
    )


def test_a_dearer_stone_that_gets_cheaper_is_found() -> None:
    said = found(
        rule("{cost: {to: 300}}", "{percent: 45}"), rule("{cost: {from: 300}}", "{percent: 40}")
    )
    assert [(one.kind, one.rule) for one in said] == [(Kind.DEARER_CHEAPER, "r2")]
    assert said[0].message == (
        "a cost of 299.99 is priced 434.99 by 'r1', one of 300.00 only 420.00 by this rule;"
        " raise `add` by the difference"
    )


def test_a_rounding_that_makes_a_dearer_stone_cheaper_is_found() -> None:
    below = rule("{cost: {to: 300}}") + "\nrounding: {ending: 95, mode: up}"
    assert kinds(below, rule("{cost: {from: 300}}")) == [("dearer_cheaper", "r2")]


def test_rules_for_different_stones_are_not_compared() -> None:
    assert not kinds(
        rule("{kind: natural, cost: {to: 300}}", "{percent: 300}"),
        rule("{kind: natural}", "{percent: 200, add: 300}"),
        rule("{kind: labgrown, cost: {to: 300}}", "{percent: 20}"),
        rule("{kind: labgrown}", "{percent: 20}"),
    )


@pytest.mark.parametrize(
    ("price", "top"),
    [
        ("price: {percent: 0}", {}),
        ("price: {factor: 0.9}", {}),
        ("price: {percent: 10}", {"guards": "{margin_min: 10}"}),
        ("price: {percent: -10}\nsell_below_cost: true", {"guards": "{margin_min: 5}"}),
        ("when: {cost: {to: 10}}\nprice: {percent: 40}", {"guards": "{floor: 20}"}),
    ],
)
def test_a_rule_whose_prices_are_all_refused_is_found(price: str, top: dict[str, str]) -> None:
    assert ("always_refused", "r1") in kinds(price, **top)


def test_words_that_no_stone_has_are_found() -> None:
    said = found(rule("{shape: [Round, OVAL], supplier_name: 'Acme Ltd'}"), REST)
    assert [(one.kind, one.message) for one in said] == [
        (Kind.SPELLING, "shape 'Round' matches no stone: they say ROUND")
    ]


def test_conditions_too_entangled_are_said_to_be() -> None:
    texts = [name for name, field in FIELDS.items() if field.sort is Sort.TEXT and not field.words]
    either = [
        f"{{any: [{{{a}: A}}, {{{b}: A}}]}}" for a, b in zip(texts[::2], texts[1::2], strict=False)
    ]
    assert 2 ** len(either) > BOXES_MAX
    assert kinds(rule(f"{{all: [{', '.join(either)}]}}"), REST) == [("too_complex", None)]


def test_findings_come_in_the_order_of_the_file() -> None:
    said = found(rule("{shape: Round}"), rule("{cost: {to: 4.99}}"), rule("{cost: {from: 5}}"))
    assert [one.line for one in said] == sorted(one.line for one in said)


@settings(max_examples=strategies.EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.rulesets(), st.lists(strategies.stones(), min_size=20, max_size=20))
def test_the_regions_of_the_rules_are_the_engine_s_matches(
    content: dict[str, Any], stones: list[dict[str, Any]]
) -> None:
    ruleset = load_ruleset(as_yaml(content), "random.yaml")
    try:
        surveyed = survey(ruleset)
    except TooManyBoxes:
        assume(False)
    names = [one.name for one in ruleset.rules]
    priced = compile_ruleset(ruleset).price(frame(stones))
    for stone, row in zip(stones, priced.iter_rows(named=True), strict=True):
        if row["taxed_cost_cents"] is None:  # the chain ended before the rules
            continue
        seen = stone | {"cost": row["shop_cost_cents"]}
        takers = [
            name
            for name, boxes in zip(names, surveyed.reach, strict=True)
            if any(inside(surveyed.space, box, seen) for box in boxes)
        ]
        assert takers == ([] if row["rule"] is None else [row["rule"]])
        assert any(inside(surveyed.space, box, seen) for box in surveyed.left) == (not takers)


def inside(space: Space, box: Box, stone: Mapping[str, Any]) -> bool:
    return all(
        chosen >> atom_of(axis, stone.get(axis.field.name)) & 1
        for axis, chosen in zip(space.axes, box, strict=True)
    )


def atom_of(axis: Axis, value: Any) -> int:
    """The place of the one atom that a value is in."""
    if value is None:
        return axis.atoms - 1
    if axis.bounds:
        number = int(value * 1_000) if isinstance(value, Decimal) else value
        return bisect_right(axis.bounds, number) - 1
    if value in axis.words:
        return axis.numbers + axis.words.index(value)
    return axis.numbers + len(axis.words)
