"""Random rulesets and stones that meet at their bounds.

Values are drawn from small pools, and stones take the pools' numbers and their neighbours, so that
conditions are met, missed and missed by one unit about equally often.
"""

import os
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

# Rulesets tried by a property, each with 20 stones: FACET_EXAMPLES=10000 compares 200,000 pairs.
EXAMPLES = int(os.environ.get("FACET_EXAMPLES", "60"))
STONES = 20

COSTS = [1, 99, 100, 9_999, 10_000, 49_999, 50_000, 100_000, 123_457, 2_500_000, 10**9]
CARATS = [Decimal(n).scaleb(-3) for n in (1, 299, 300, 499, 500, 999, 1_000, 1_500, 3_000)]
WORDS: dict[str, list[str]] = {
    "feed": ["nivoda-natural", "nivoda-labgrown"],
    "kind": ["natural", "labgrown"],
    "shape": ["ROUND", "OVAL", "PEAR"],
    "color": ["D", "E", "NO", "FANCY"],
    "clarity": ["VS1", "VS2"],
    "lab": ["GIA", "IGI", "NONE"],
    "eye_clean": ["YES", "NO"],
    "supplier_id": ["1", "22"],
    "cost_currency": ["USD", "EUR", "INR", "XXX"],
}
NEVER_MISSING = ("feed", "kind", "shape", "carat", "cost", "taxed_cost", "cost_cents")
NUMBERS: dict[str, list[Any]] = {
    "cost": [Decimal(cost) / 100 for cost in COSTS],
    "taxed_cost": [Decimal(cost) / 100 for cost in COSTS],
    "cost_cents": COSTS,
    "carat": CARATS,
    "depth_percent": [Decimal("58"), Decimal("60.5"), Decimal("62.125")],
    "delivery_days_max": [0, 3, 7],
    "discount_bp": [-4_000, 0, 250],
}


def mostly(common: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The rare one a time in eight."""
    return st.integers(0, 7).flatmap(lambda n: rare if n == 7 else common)


def percents(low: int, high: int) -> st.SearchStrategy[int | Decimal]:
    """A percentage, seldom with all its places."""
    whole = st.integers(low, high)
    fine = st.integers(low * 10_000 + 1, high * 10_000).map(lambda n: Decimal(n).scaleb(-4))
    return whole | fine


def amounts(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda cents: Decimal(cents).scaleb(-2))


def _texts() -> st.SearchStrategy[dict[str, Any]]:
    def of(name: str) -> st.SearchStrategy[dict[str, Any]]:
        words = st.sampled_from(WORDS[name])
        return _named(name, words | st.lists(words, min_size=1, unique=True))

    return st.sampled_from(sorted(WORDS)).flatmap(of)


def _numbers() -> st.SearchStrategy[dict[str, Any]]:
    def of(name: str) -> st.SearchStrategy[dict[str, Any]]:
        values = st.sampled_from(NUMBERS[name])
        one_end = st.sampled_from(["from", "to"]).flatmap(lambda end: _named(end, values))
        both = st.lists(values, min_size=2, max_size=2, unique=True).map(
            lambda ends: {"from": min(ends), "to": max(ends)}
        )
        return _named(name, values | st.lists(values, min_size=1, unique=True) | one_end | both)

    return st.sampled_from(sorted(NUMBERS)).flatmap(of)


def _presence() -> st.SearchStrategy[dict[str, Any]]:
    fields = ["treated", "color", "lab", "eye_clean", "depth_percent", "delivery_days_max"]
    state = st.sampled_from(["missing", "present"]).flatmap(
        lambda word: _named("is", st.just(word))
    )
    return st.sampled_from(fields).flatmap(lambda name: _named(name, state))


def _truth() -> st.SearchStrategy[dict[str, Any]]:
    return _named("treated", st.booleans())


def _named(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return values.map(lambda value: {name: value})


def _joined(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for entry in entries for name, value in entry.items()}


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    """Tests, several of them in one mapping, and nests of both."""
    tests = _texts() | _numbers() | _presence() | _truth()

    def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        several = st.lists(inner, min_size=1, max_size=3)
        return (
            st.sampled_from(["all", "any"]).flatmap(lambda word: _named(word, several))
            | _named("not", inner)
            | st.lists(inner, min_size=1, max_size=3).map(_joined)
        )

    return st.recursive(tests, nested, max_leaves=8)


def prices() -> st.SearchStrategy[dict[str, Any]]:
    added = mostly(amounts(0, 10_000), amounts(-100_000, 100_000))
    add = st.fixed_dictionaries({}, optional={"add": added})
    factors = st.integers(1, 10_000_000).map(lambda n: Decimal(n).scaleb(-6))
    markups = mostly(percents(0, 300), percents(-99, 0))
    scaled = (
        markups.map(lambda value: {"percent": value})
        | (factors | st.sampled_from([Decimal(1), Decimal(1_000)])).map(lambda v: {"factor": v})
        | st.fixed_dictionaries(
            {"base": st.sampled_from(["low", "high"])}, optional={"modifier": percents(-14, 14)}
        )
    )
    both = st.tuples(scaled, add).map(lambda pair: pair[0] | pair[1])
    alone = mostly(amounts(0, 100_000), amounts(-1_000, 10**12))
    return mostly(both, alone.map(lambda value: {"add": value}))


def roundings() -> st.SearchStrategy[Any]:
    modes = st.sampled_from(["up", "nearest"])
    steps = st.sampled_from([Decimal("0.01"), Decimal("0.05"), 1, 5, 100, 1_000_000]) | amounts(
        1, 10**6
    )
    endings = st.sampled_from([Decimal("0.95"), Decimal("0.99"), 5, 95, 99, 995]) | amounts(
        1, 10**6
    )
    return (
        st.just("cent")
        | st.fixed_dictionaries({"to": steps, "mode": modes})
        | st.fixed_dictionaries({"ending": endings, "mode": modes})
    )


def guards(*, nulls: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Floors lie below ceilings, whatever a rule takes from the ruleset."""
    stated: dict[str, st.SearchStrategy[Any]] = {
        "margin_min": percents(0, 99),
        "floor": amounts(1, 50_000),
        "ceiling": amounts(50_000, 10**12),
        "rise_max": percents(0, 400),
        "fall_max": percents(0, 100),
    }
    if nulls:
        stated = {name: st.none() | values for name, values in stated.items()}
    return st.fixed_dictionaries({}, optional=stated)


def rules() -> st.SearchStrategy[dict[str, Any]]:
    pricing = st.fixed_dictionaries(
        {"price": prices()},
        optional={
            "when": conditions(),
            "rounding": roundings(),
            "guards": guards(nulls=True),
            "sell_below_cost": st.booleans(),
        },
    )
    conditional = st.tuples(pricing, conditions()).map(lambda pair: pair[0] | {"when": pair[1]})
    refusing = conditions().map(lambda when: {"when": when, "refuse": "not sold"})
    return mostly(mostly(conditional, refusing), pricing)


def rulesets() -> st.SearchStrategy[dict[str, Any]]:
    rates = st.integers(1, 999_999_999).flatmap(
        lambda digits: st.integers(3, 9).map(lambda places: Decimal(digits).scaleb(-places))
    )
    dated = rates.map(lambda rate: {"rate": rate, "as_of": "2025-11-20", "source": "ECB"})
    named = st.lists(rules(), min_size=2, max_size=8).map(
        lambda found: [{"name": f"rule {n}"} | rule for n, rule in enumerate(found)]
    )
    return st.fixed_dictionaries(
        {
            "name": st.just("random"),
            "currency": st.just("USD"),
            "bases": st.just({"low": Decimal("12.5"), "high": 79}),
            "rules": named,
        },
        optional={
            "rates": st.fixed_dictionaries({}, optional={"EUR": dated, "INR": dated}),
            "tax": percents(0, 50).map(lambda value: {"percent": value}),
            "rounding": roundings(),
            "guards": guards(nulls=False),
        },
    )


def _near(pool: list[int]) -> st.SearchStrategy[int]:
    return st.sampled_from(pool).flatmap(lambda n: st.integers(n - 1, n + 1))


def stones() -> st.SearchStrategy[dict[str, Any]]:
    """Every column that a condition may ask about; some missing, some amounts absurd."""
    absurd = [-1, 0, None, 10**12, 10**12 + 1, 2**63 - 1, -(2**63)]
    costs = mostly(_near(COSTS) | st.integers(1, 10**7), st.sampled_from(absurd))
    carats = st.sampled_from(CARATS) | st.integers(1, 5_000).map(lambda n: Decimal(n).scaleb(-3))
    columns: dict[str, st.SearchStrategy[Any]] = {
        name: st.sampled_from([*words, "other"]) for name, words in WORDS.items()
    }
    columns |= {
        "treated": st.booleans(),
        "depth_percent": st.sampled_from(NUMBERS["depth_percent"]),
        "delivery_days_max": _near(NUMBERS["delivery_days_max"]),
        "discount_bp": _near(NUMBERS["discount_bp"]),
    }
    columns = {
        name: values if name in NEVER_MISSING else st.none() | values
        for name, values in columns.items()
    }
    currencies = st.sampled_from([*WORDS["cost_currency"], None])
    present = st.none() | _near(COSTS) | st.sampled_from([-5, 0, 10**12, 10**12 + 1, 2**63 - 1])
    return st.fixed_dictionaries(
        {
            "offer_id": st.just("DIAMOND/1"),
            "carat": carats,
            "cost_cents": costs,
            "present_price_cents": present,
            **columns,
            "kind": st.sampled_from(WORDS["kind"]),
            "cost_currency": mostly(st.just("USD"), currencies),
        }
    )
