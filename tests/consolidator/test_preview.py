"""A preview says what a reprice then does, and writes nothing."""

import pytest
from sqlalchemy import Engine

from consolidator import rulesets, stock
from consolidator.preview import Preview, preview
from shared.db import transaction
from tests.consolidator.landing import NO_PEARS, TWICE_THE_COST, activate, folded, stones
from tests.consolidator.test_fold import offer
from tests.consolidator.test_reprice import FIVE_TIMES, drain

ROUNDS_ONLY = """
name: rounds only
currency: USD
rules:
  - name: cheap rounds
    when: {shape: ROUND, cost: {to: 150}}
    price: {factor: 2.2}
  - name: dear rounds
    when: {shape: ROUND}
    price: {factor: 1.9}
"""


def look(engine: Engine, source: str, *, beyond: int = 0) -> Preview:
    with transaction(engine) as tx:
        wanted = rulesets.load_file(tx, source, "draft.yaml")
    return preview(engine, wanted, beyond=beyond)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "CHUNK_STONES", 3)


def test_it_counts_what_rises_falls_and_is_refused_and_writes_nothing(engine: Engine) -> None:
    activate(engine)
    offers = [offer(f"A{n}", price=10_000, shape="ROUND") for n in range(5)]
    offers += [offer(f"B{n}", price=20_000, shape="ROUND") for n in range(3)]
    offers += [offer("P", shape="PEAR")]
    folded(engine, offers)
    before = stones(engine)
    found = look(engine, ROUNDS_ONLY)
    assert stones(engine) == before
    assert (found.stones, found.unchanged, found.changed) == (9, 0, 8)
    assert (found.risen, found.fallen, found.refused, found.no_rule) == (5, 3, 1, 1)
    assert {k: v for k, v in found.changes.items() if v} == {
        "-5 % to -1 %": 3,
        "+10 % to +25 %": 5,
    }
    assert sum(found.changes.values()) == 8
    assert found.refusals == {"no_rule": 1}
    assert [one["refusal"] for one in found.refused_stones] == ["no_rule"]
    assert found.before_cents == 5 * 20_000 + 3 * 40_000
    assert found.after_cents == 5 * 22_000 + 3 * 38_000
    assert [round(one["percent"]) for one in found.movers] == [10] * 5 + [-5] * 3


def test_a_preview_tells_what_the_reprice_then_does(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer("A"), offer("B", shape="PEAR"), offer("C", price=30_000)])
    found = look(engine, NO_PEARS)
    activate(engine, NO_PEARS)
    done = drain(engine)
    assert (found.changed, found.refused) == (done.price_changes, done.refused)
    back = look(engine, TWICE_THE_COST)
    assert (back.returned, back.stones, back.fallen) == (1, 3, 2)


@pytest.mark.parametrize(
    ("beyond", "stones_beyond"), [(0, 4), (1_499_999, 4), (1_500_000, 1), (9_000_000, 1)]
)
def test_the_bound_counts_what_changes_by_more_or_is_refused(
    engine: Engine, beyond: int, stones_beyond: int
) -> None:
    activate(engine)
    folded(engine, [offer(name) for name in "ABC"] + [offer("P", shape="PEAR")])
    source = FIVE_TIMES.replace(
        "rules:", "rules:\n  - name: pears\n    when: {shape: PEAR}\n    refuse: none\n"
    )
    found = look(engine, source, beyond=beyond)
    assert found.beyond == stones_beyond
    assert found.share_beyond == stones_beyond / 4


def test_a_price_in_another_currency_counts_as_changed_and_beyond_any_bound(
    engine: Engine,
) -> None:
    activate(engine)
    folded(engine, [offer()])
    euros = TWICE_THE_COST.replace(
        "currency: USD",
        "currency: EUR\nrates: {USD: {rate: 0.9, as_of: 2025-01-01, source: ECB}}",
    )
    found = look(engine, euros, beyond=9_000_000)
    assert (found.in_another_currency, found.changed, found.beyond) == (1, 1, 1)
    assert found.movers == []


def test_an_empty_catalogue_has_an_empty_preview(engine: Engine) -> None:
    found = look(engine, TWICE_THE_COST)
    assert (found.stones, found.changed, found.share_beyond) == (0, 0, 0.0)
