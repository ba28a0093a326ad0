"""Reading a ruleset file: what is refused, how it is said, and what identifies one."""

import time
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from consolidator.pricing import reader
from consolidator.pricing.conditions import InRange, OneOf
from consolidator.pricing.ruleset import RULES_MAX, load_ruleset
from shared.errors import BadRuleset
from tests.pricing.writing import ruleset_text

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ruleset.yaml"
PRICE = "price: {percent: 40}"


def refusal(text: str) -> str:
    with pytest.raises(BadRuleset) as caught:
        load_ruleset(text, "shop.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("{carrat: 1}", "there is no field 'carrat'; did you mean carat?"),
        ("{price_usd: 1}", "there is no field 'price_usd'"),
        ("{}", "an empty condition"),
        ("", "a condition is a mapping"),
        ("[{kind: natural}]", "a condition is a mapping"),
        ("{all: []}", "`all` takes a list of at least one condition"),
        ("{any: {kind: natural}}", "`any` takes a list"),
        ("{not: []}", "a condition is a mapping"),
        ("{kind: natrual}", "kind is one of natural, labgrown, not 'natrual'"),
        ("{lab: 5}", "lab is text; put 5 in quotes"),
        ("{lab: [GIA, GIA]}", "a value stands twice"),
        ("{lab: []}", "a list of 1 to 1,000 values, not 0"),
        ("{lab: {from: A, to: C}}", "lab is text and has no ranges"),
        ("{treated: yes}", "treated is true or false, not yes"),
        ("{treated: {from: 1}}", "has no ranges"),
        ("{carat: 0.5005}", "carat is a number of at most three places, not 0.5005"),
        ("{carat: '0.5'}", "carat is a number of at most three places, not 0.5"),
        ("{cost: {from: 499.999}}", "cost is an amount of at most two places, not 499.999"),
        ("{cost: {from: 500, to: 500}}", "nothing is from 500.00 to below 500.00"),
        ("{cost: {from: 500, to: 400}}", "nothing is from 500.00 to below 400.00"),
        ("{cost: {from: 500, till: 600}}", "a test is a value, a list"),
        ("{cost: {}}", "a test is a value, a list"),
        ("{cost: {to: }}", "cost is an amount of at most two places, not nothing"),
        ("{cost_cents: 1.5}", "cost_cents is a whole number, not 1.5"),
        ("{delivery_days_max: 99999999999999999999}", "too large a number"),
        ("{lab: {is: gone}}", "`is` takes missing or present"),
        ("{carat: {is: present}}", "carat is never missing"),
        ("{kind: natural, kind: labgrown}", "the key 'kind' a second time (first on line 5)"),
    ],
)
def test_a_bad_condition_is_refused_by_line_and_rule(when: str, said: str) -> None:
    message = refusal(ruleset_text(f"when: {when}\n{PRICE}"))
    assert said in message
    assert message.startswith("shop.yaml, line 5")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("when: {lab: GIA}", "a rule has either `price` or `refuse`"),
        (f"{PRICE}\nrefuse: no", "a rule has either `price` or `refuse`"),
        ("refuse: no\nsell_below_cost: true", "a rule that refuses has no rounding"),
        ("refuse: no\nguards: {floor: 5}", "a rule that refuses has no rounding"),
        ("price: {}", "a price states percent, factor, base or add"),
        ("price: 40", "should be a mapping"),
        ("price: {percent: 40, factor: 1.4}", "a price has one of percent, factor and base"),
        ("price: {percent: 40, base: all}", "a price has one of percent, factor and base"),
        ("price: {modifier: 4, add: 1}", "a modifier needs a base"),
        ("price: {base: none}", "there is no base 'none' (bases: all)"),
        ("price: {base: all, modifier: -130}", "leave -100 % to 99,900 %"),
        ("price: {percent: -100}", "above -100 and is at most 99,900 percent"),
        ("price: {percent: 99900.0001}", "above -100 and is at most 99,900 percent"),
        ("price: {percent: 12.34567}", "a percentage has at most 4 places"),
        ("price: {percent: 40 %}", "a percentage is a number, without quotes"),
        ("price: {percent: .inf}", "a percentage is a number, without quotes"),
        ("price: {percent: 1e3}", "a percentage is a number, without quotes"),
        ("price: {factor: 0}", "a factor lies above 0"),
        ("price: {factor: 1000.5}", "a factor lies above 0 and is at most 1,000"),
        ("price: {factor: 1.4 / 0}", "a factor is a number"),
        ("price: {factor: true}", "a factor is a number"),
        ("price: {add: 0.005}", "an amount has at most 2 places"),
        ("price: {add: 99999999999}", "an amount is at most 10,000,000,000.00"),
        ("price: {percents: 40}", "unknown key; did you mean `percent`?"),
        (f"{PRICE}\nrounding: up", "should be a mapping"),
        (f"{PRICE}\nrounding: {{}}", "missing; state `mode`"),
        (f"{PRICE}\nrounding: {{to: 1}}", "missing; state `mode`"),
        (f"{PRICE}\nrounding: {{to: 0, mode: up}}", "`to` is an amount from 0.01"),
        (f"{PRICE}\nrounding: {{to: 5, ending: 5, mode: up}}", "one of `to` and `ending`"),
        (f"{PRICE}\nrounding: {{mode: up}}", "one of `to` and `ending`"),
        (f"{PRICE}\nrounding: {{to: 5, mode: down}}", "should be 'up' or 'nearest'"),
        (f"{PRICE}\nrounding: {{ending: 0, mode: up}}", "an ending lies from 0.01"),
        (f"{PRICE}\nguards: {{margin_min: 100}}", "a margin lies from 0 to below 100 percent"),
        (f"{PRICE}\nguards: {{floor: 0}}", "a floor or ceiling lies above 0"),
        (f"{PRICE}\nguards: {{floor: 5, ceiling: 4}}", "the floor lies above the ceiling"),
        (f"{PRICE}\nguards: {{fall_max: 101}}", "from 0 to 100 percent"),
        (f"{PRICE}\nsell_below_cost: yes", "should be `true` or `false`"),
        (f"{PRICE}\nname: again", "the key 'name' a second time"),
    ],
)
def test_a_bad_rule_is_refused_by_name(rule: str, said: str) -> None:
    message = refusal(ruleset_text(PRICE, rule, bases="{all: 30}"))
    assert said in message
    assert "rule 'r2'" in message or "second time" in message


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ({"currency": "usd"}, "line 2: currency: a currency is three capital letters"),
        ({"colour": "1"}, "line 3: colour: unknown key"),
        ({"rounding": "{ending: .955, mode: up}"}, "an amount has at most 2 places"),
        ({"tax": "{percent: -1}"}, "from 0 to 99,900 percent"),
        ({"tax": "{percent: '5'}"}, "a percentage is a number, without quotes"),
        ({"rates": "{EUR: 1.15}"}, "rates.EUR: should be a mapping"),
        ({"rates": "{EUR: {rate: 1.15, as_of: 2025-11-20}}"}, "missing; state `source`"),
        ({"rates": "{EUR: {rate: 0, as_of: 2025-11-20, source: x}}"}, "a rate lies above 0"),
        ({"rates": "{EUR: {rate: 1.1, as_of: 2025-02-30, source: x}}"}, "a date is written as"),
        ({"rates": "{EUR: {rate: 1.1, as_of: 0, source: x}}"}, "a date is written as"),
        ({"rates": "{EUR: {rate: 1.123456789, as_of: 2025-02-01, source: x}}"}, "at most 9 digits"),
        ({"rates": "{USD: {rate: 1, as_of: 2025-02-01, source: x}}"}, "needs no rate"),
        ({"bases": "{a: -100}"}, "above -100"),
        ({"guards": "{floor: 5, ceiling: 4.99}"}, "guards: the floor lies above the ceiling"),
        ({"description": "5"}, "should be text; put it in quotes"),
    ],
)
def test_a_bad_head_is_refused_by_line(top: dict[str, str], said: str) -> None:
    message = refusal(ruleset_text(PRICE, **top))
    assert said in message
    assert message.startswith("shop.yaml, line ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty, or no mapping"),
        ("- 1\n- 2\n", "empty, or no mapping"),
        ("name: a\ncurrency: USD\n", "rules: missing; state `rules`"),
        ("name: a\ncurrency: USD\nrules: []\n", "rules: should have at least one entry"),
        ("name: a\n  currency: USD\n", "line 2: not readable as YAML"),
        ("name: 'a\n", "not readable as YAML"),
        ("name: a\tb: c\n\x00", "not readable as YAML"),
        ("name: a\n---\nname: b\n", "line 2: a second document"),
        ("name: &a x\nrules: *a\n", "line 1: the anchor &a"),
        ("rules: *a\n", "line 1: the alias *a"),
        ("a: &a [*a]\n", "line 1: the anchor &a"),
        ("name: !!python/object/apply:os.system [ls]\n", "line 1: the tag "),
        ("name: !!binary aGk=\n", "line 1: the tag "),
        ("? {a: b}\n: 1\n", "line 1: a key that is no plain word"),
        ("? [a]\n: 1\n", "line 1: a key that is no plain word"),
        ("a: " + "[" * 100 + "]" * 100, "nesting deeper than 60 levels"),
        ("a: " + "1" * 5_000, "a number of more than 30 characters"),
        ("a: [" + "1," * 250_000 + "1]", "more than 200,000 values"),
        ("a: " + "x" * 1_000_001, "longer than 1,000,000 bytes"),
    ],
)
def test_what_is_no_ruleset_is_refused_with_a_sentence(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    layers = ["a0: &a0 [lol, lol]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    started = time.monotonic()
    assert "line 1: the anchor &a0" in refusal("\n".join(layers))
    assert time.monotonic() - started < 5


def test_ten_thousand_rules_are_too_many() -> None:
    message = refusal(ruleset_text(*["price: {add: 1}"] * 10_000))
    assert f"rules: 10,000 rules; at most {RULES_MAX:,}" in message


@pytest.mark.parametrize(
    "text",
    [
        f"{'x' * 900_000}: 1",
        f"name: &{'x' * 900_000} 1",
        f"{'x' * 400_000}: 1\n{'x' * 400_000}: 2",
        ruleset_text(f"when: {{{'x' * 900_000}: 1}}\n{PRICE}"),
        ruleset_text(f"when: {{kind: {'x' * 900_000}}}\n{PRICE}"),
        ruleset_text(f"price: {{percent: {'x' * 900_000}}}"),
        ruleset_text(PRICE).replace("r1", "x" * 900_000),
    ],
)
def test_a_message_stays_short_whatever_the_text(text: str) -> None:
    assert len(refusal(text)) < 600


def test_deeply_nested_conditions_are_refused() -> None:
    condition = "{kind: natural}"
    for _ in range(13):
        condition = f"{{not: {condition}}}"
    message = refusal(ruleset_text(f"when: {condition}\n{PRICE}"))
    assert "nested deeper than 12 levels" in message


def test_twelve_levels_of_conditions_are_read() -> None:
    condition = "{kind: natural}"
    for _ in range(12):
        condition = f"{{not: {condition}}}"
    assert load_ruleset(ruleset_text(f"when: {condition}\n{PRICE}"), "f").rules[0].when


def test_more_tests_than_a_rule_may_have_are_refused() -> None:
    tests = ", ".join(["{lab: GIA}"] * 201)
    assert "more than 200 tests" in refusal(ruleset_text(f"when: {{any: [{tests}]}}\n{PRICE}"))


def test_two_rules_of_one_name_are_refused() -> None:
    message = refusal(ruleset_text(PRICE, PRICE).replace("r2", "r1"))
    assert message == (
        "shop.yaml, line 6, rule 'r1': name: a rule before it has this name; choose another"
    )


def test_all_problems_are_said_at_once_in_the_order_of_the_file() -> None:
    bad = "when: {carrat: 1}\nprice: {percent: x}"
    lines = refusal(ruleset_text(bad, bad, currency="usd")).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "shop.yaml, line 2",
        "shop.yaml, line 5, rule 'r1'",
        "shop.yaml, line 6, rule 'r1'",
        "shop.yaml, line 8, rule 'r2'",
        "shop.yaml, line 9, rule 'r2'",
    ]


def test_at_most_ten_problems_are_said() -> None:
    message = refusal(ruleset_text(*["price: {percent: x}"] * 30))
    assert message.splitlines()[-1] == "… and 20 more"


def test_numbers_are_read_as_the_decimals_they_are() -> None:
    ruleset = load_ruleset(
        ruleset_text(
            "when: {cost: {from: 0.29, to: 1.1}, carat: [0.3, 1]}\n"
            "price: {percent: 0.0001, add: -.07}",
            rates="{EUR: {rate: 0.1, as_of: 2025-11-20, source: x}}",
        ),
        "f",
    )
    rule = ruleset.rules[0]
    assert rule.price is not None
    assert (rule.price.percent, rule.price.add) == (1, -7)
    assert ruleset.rates["EUR"].rate == Decimal("0.1")
    assert rule.when is not None
    assert rule.when.parts == (InRange("cost", 29, 110), OneOf("carat", (300, 1000)))  # type: ignore[union-attr]


def test_both_parsers_of_yaml_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = EXAMPLE.read_text(encoding="utf-8") + "more: [\"1\", '2', 3, no, .5]\n"
    quick = reader.read(text, "f")
    monkeypatch.setattr(reader, "_LOADER", yaml.SafeLoader)
    assert reader.read(text, "f") == quick


def test_the_norwegian_word_stays_a_word() -> None:
    when = "{eye_clean: [NO, YES, on, Off, y], color: NO, lab: 'null'}"
    rule = load_ruleset(ruleset_text(f"when: {when}\n{PRICE}"), "f").rules[0]
    assert rule.when is not None
    assert rule.when.parts == (  # type: ignore[union-attr]
        OneOf("eye_clean", ("NO", "YES", "on", "Off", "y")),
        OneOf("color", ("NO",)),
        OneOf("lab", ("null",)),
    )


@pytest.mark.parametrize(
    "other",
    [
        "# a comment\nname: test\n'currency': \"USD\"\nrules: [{price: {percent: 40.0}, name: r1}]",
        "rules:\n- name: r1\n  price:\n    percent: +40\n  rounding:\ncurrency: USD\nname: test\n",
    ],
)
def test_the_checksum_is_that_of_the_content(other: str) -> None:
    plain = load_ruleset(ruleset_text(PRICE), "one.yaml")
    assert load_ruleset(other, "two.yaml").checksum == plain.checksum


@pytest.mark.parametrize(
    "other",
    [
        ruleset_text("price: {percent: 40.0001}"),
        ruleset_text(PRICE, currency="EUR"),
        ruleset_text(PRICE, name="other"),
        ruleset_text(PRICE, PRICE),
        ruleset_text(f"{PRICE}\nguards: {{floor: 5}}"),
        ruleset_text(f"{PRICE}\nguards: {{floor: null}}"),
        ruleset_text(f"when: {{lab: GIA}}\n{PRICE}"),
        ruleset_text(f"when: {{lab: IGI}}\n{PRICE}"),
        ruleset_text(f"when: {{not: {{lab: GIA}}}}\n{PRICE}"),
        ruleset_text(f"when: {{cost: {{to: 5}}}}\n{PRICE}"),
        ruleset_text(f"when: {{cost: {{from: 5}}}}\n{PRICE}"),
    ],
)
def test_other_content_has_another_checksum(other: str) -> None:
    assert load_ruleset(other, "f").checksum != load_ruleset(ruleset_text(PRICE), "f").checksum


def test_the_same_text_is_read_once() -> None:
    assert load_ruleset(ruleset_text(PRICE), "f") is load_ruleset(ruleset_text(PRICE), "f")


def test_a_ruleset_cannot_be_changed() -> None:
    ruleset = load_ruleset(ruleset_text(PRICE), "f")
    with pytest.raises(ValueError, match="frozen"):
        ruleset.name = "other"  # type: ignore[misc]
    assert isinstance(ruleset.rules, tuple)
