"""Experiments: stable arms, kept with the stone, compared by the report."""

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from consolidator import rulesets
from consolidator.pricing.arms import in_variant
from consolidator.report import compare
from shared.db import transaction
from shared.errors import BadRuleset
from tests.builders import rows
from tests.consolidator.landing import TWICE_THE_COST, activate, folded, stones
from tests.consolidator.test_fold import offer
from tests.consolidator.test_reprice import FIVE_TIMES, drain

NAMES = [f"S{n:03}" for n in range(60)]


def kept(engine: Engine, source: str) -> str:
    """Import a ruleset; returns its checksum."""
    with transaction(engine) as tx:
        ruleset_id = rulesets.add(tx, source, source="variant.yaml", author="ana")
    found = rows(engine, "SELECT checksum FROM rulesets WHERE ruleset_id = :id", id=ruleset_id)
    return str(found[0]["checksum"])


def comparing(checksum: str, share: int = 50, name: str = "dearer") -> str:
    line = f'experiment: {{name: {name}, variant: "{checksum[:16]}", share: {share}}}\nrules:'
    return TWICE_THE_COST.replace("rules:", line)


def arms(engine: Engine) -> dict[str, str | None]:
    return {row["offer_id"]: row["arm"] for row in stones(engine)}


def identities(names: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"feed": ["f"] * len(names), "offer_id": names})


def test_each_stone_is_priced_by_the_ruleset_of_its_arm_and_keeps_it(engine: Engine) -> None:
    variant = kept(engine, FIVE_TIMES)
    activate(engine, comparing(variant))
    folded(engine, [offer(name) for name in NAMES])
    before = arms(engine)
    assert set(before.values()) == {"control", "variant"}
    prices = {(row["arm"], row["price_cents"], row["rule"]) for row in stones(engine)}
    assert prices == {("control", 20_000, "twice"), ("variant", 50_000, "five times")}
    folded(engine, [offer(name, color="F") for name in NAMES])
    assert arms(engine) == before


def test_a_reprice_assigns_as_a_fold_does_and_an_end_of_the_experiment_ends_the_arms(
    engine: Engine,
) -> None:
    activate(engine)
    folded(engine, [offer(name) for name in NAMES])
    activate(engine, comparing(kept(engine, FIVE_TIMES)))
    drain(engine)
    repriced = arms(engine)
    folded(engine, [offer(name, color="F") for name in NAMES])
    assert arms(engine) == repriced
    activate(engine)
    drain(engine)
    assert set(arms(engine).values()) == {None}
    assert {row["price_cents"] for row in stones(engine)} == {20_000}


def test_a_variant_that_is_activated_ends_its_experiment_on_every_stone(engine: Engine) -> None:
    activate(engine, comparing(kept(engine, FIVE_TIMES)))
    folded(engine, [offer(name) for name in NAMES])
    activate(engine, FIVE_TIMES)
    done = drain(engine)
    assert (done.repriced, 0 < done.price_changes < len(NAMES)) == (len(NAMES), True)
    assert {(row["arm"], row["price_cents"]) for row in stones(engine)} == {(None, 50_000)}


def test_a_larger_share_keeps_the_stones_of_a_smaller_one(engine: Engine) -> None:
    variant = kept(engine, FIVE_TIMES)
    activate(engine, comparing(variant, share=20))
    folded(engine, [offer(name) for name in NAMES])
    few = {name for name, arm in arms(engine).items() if arm == "variant"}
    activate(engine, comparing(variant, share=60))
    drain(engine)
    many = {name for name, arm in arms(engine).items() if arm == "variant"}
    activate(engine, comparing(variant, share=20))
    drain(engine)
    again = {name for name, arm in arms(engine).items() if arm == "variant"}
    assert few < many
    assert again == few


def test_the_report_compares_the_arms(engine: Engine) -> None:
    activate(engine, comparing(kept(engine, FIVE_TIMES)))
    folded(engine, [offer(name, price=10_000 + 100 * n) for n, name in enumerate(NAMES)])
    with transaction(engine) as tx:
        active = rulesets.active(tx)
    assert active.variant is not None
    control, variant = compare(engine, active, active.variant)
    counted = Counter(arms(engine).values())
    assert (control.stones, variant.stones) == (counted["control"], counted["variant"])
    assert (control.margin_mean, variant.margin_median) == (50.0, 80.0)
    ours = sorted(r["price_cents"] for r in stones(engine) if r["arm"] == "control")
    assert control.price_mean == round(sum(ours) / len(ours))
    assert ours[0] < (control.price_median or 0) < ours[-1]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (comparing("0123456789abcdef"), "there is no ruleset"),
        (None, "an experiment of its own"),
        ("euro", "prices in EUR"),
    ],
)
def test_a_variant_that_cannot_be_one_is_refused(
    engine: Engine, source: str | None, said: str
) -> None:
    if source is None:
        source = comparing(kept(engine, comparing(kept(engine, FIVE_TIMES))))
    elif source == "euro":
        source = comparing(kept(engine, FIVE_TIMES.replace("USD", "EUR")))
    before = rows(engine, "SELECT * FROM rulesets")
    with pytest.raises(BadRuleset, match=said):
        kept(engine, source)
    assert rows(engine, "SELECT * FROM rulesets") == before


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 999_999))
def test_an_arm_depends_on_the_stone_alone(names: list[str], share: int) -> None:
    together = in_variant("x", share, identities(names))
    alone = [in_variant("x", share, identities([name]))[0] for name in names]
    assert together.tolist() == alone


def test_the_arms_have_about_their_share_and_are_those_of_the_first_release() -> None:
    names = [f"DIAMOND/{n}" for n in range(20_000)]
    chosen: Any = in_variant("dearer", 100_000, identities(names))
    assert 0.09 < chosen.mean() < 0.11
    first = [name for name, one in zip(names, chosen, strict=True) if one][:3]
    assert first == ["DIAMOND/30", "DIAMOND/36", "DIAMOND/44"]
