"""Exchange rates: kept for good, before those of a file, and every change reprices."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from consolidator import rates, rulesets
from shared.db import transaction
from shared.errors import BadMessage, NotNow
from tests.builders import rows
from tests.consolidator.landing import TWICE_THE_COST, activate, folded, stone
from tests.consolidator.test_fold import offer
from tests.consolidator.test_reprice import drain

WITH_EUR = TWICE_THE_COST.replace(
    "rules:", "rates: {EUR: {rate: 1.1, as_of: 2025-01-01, source: the file}}\nrules:"
)


def set_rate(engine: Engine, worth: str, currency: str = "EUR", **wanted: Any) -> int | None:
    values: dict[str, Any] = {
        "shop_currency": "USD",
        "as_of": date(2025, 11, 20),
        "source": "ECB",
        "actor": "ana",
        "reason": "weekly",
    }
    with transaction(engine) as tx:
        return rates.set_rate(tx, currency, Decimal(worth), **values | wanted)


def in_euros(engine: Engine) -> None:
    """The only stone costs the same in euros, as if its supplier asked for them."""
    with transaction(engine) as tx:
        tx.execute(text("UPDATE diamonds SET cost_currency = 'EUR'"))


def test_a_rate_goes_before_that_of_the_file_and_is_stamped_on_its_stones(engine: Engine) -> None:
    activate(engine, WITH_EUR)
    folded(engine, [offer()])
    in_euros(engine)
    rate_id = set_rate(engine, "1.2")
    assert drain(engine) == (1, 1, 0, 0)
    assert (stone(engine)["price_cents"], stone(engine)["rate_id"]) == (24_000, rate_id)
    (change,) = rows(engine, "SELECT * FROM price_changes WHERE cause = 'rate'")
    assert (change["old_price_cents"], change["new_price_cents"]) == (20_000, 24_000)
    assert (change["rate_id"], change["actor"]) == (rate_id, "ana")


def test_the_next_rate_reprices_only_stones_of_its_currency(engine: Engine) -> None:
    activate(engine, WITH_EUR)
    folded(engine, [offer("A"), offer("B")])
    with transaction(engine) as tx:
        tx.execute(text("UPDATE diamonds SET cost_currency = 'EUR' WHERE offer_id = 'A'"))
    set_rate(engine, "1.2")
    drain(engine)
    set_rate(engine, "1.3")
    assert drain(engine) == (1, 1, 0, 0)


def test_a_stone_without_its_rate_is_refused_and_returns_with_it(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    in_euros(engine)
    activate(engine, TWICE_THE_COST.replace("factor: 2", "factor: 3"))
    assert drain(engine) == (0, 0, 1, 0)
    set_rate(engine, "1.2")
    assert drain(engine) == (1, 1, 0, 1)
    assert (stone(engine)["on_sale"], stone(engine)["price_cents"]) == (True, 36_000)


def test_an_old_price_is_explained_with_the_rate_that_made_it(engine: Engine) -> None:
    ruleset_id = activate(engine, WITH_EUR)
    first, second = set_rate(engine, "1.2"), set_rate(engine, "1.3", source="the bank")
    wanted = {"cost_cents": 10_000, "cost_currency": "EUR"}
    said = {None: ("1 EUR is 1.1", "the file"), first: ("1 EUR is 1.2", "ECB")}
    with transaction(engine) as tx:
        for rate_id, words in said.items():
            why = rulesets.load_as_of(tx, ruleset_id, rate_id).engine.explain(wanted)
            assert all(word in why.steps[1].said for word in words)
        assert rulesets.active(tx).rate_ids == {"EUR": second}


def test_the_same_rate_again_changes_nothing_and_every_change_is_audited(engine: Engine) -> None:
    activate(engine)
    assert set_rate(engine, "1.2") is not None
    assert set_rate(engine, "1.200") is None
    assert set_rate(engine, "1.3") is not None
    events = rows(engine, "SELECT * FROM audit_events WHERE action = 'rate.set' ORDER BY event_id")
    assert [(e["subject"], e["reason"], e["actor"]) for e in events] == [
        ("EUR/USD", "weekly", "ana")
    ] * 2
    assert events[0]["before"] is None
    assert events[1]["before"] == events[0]["after"] | {"rate": "1.2"}
    assert events[1]["after"]["rate"] == "1.3"


@pytest.mark.parametrize(
    ("currency", "worth", "said"),
    [
        ("EUR", "0", "above 0"),
        ("EUR", "1.0000000001", "digits"),
        ("EUR", "NaN", "a rate"),
        ("eur", "1", "three capital letters"),
        ("USD", "1", "own currency"),
    ],
)
def test_a_rate_that_cannot_be_one_changes_nothing(
    engine: Engine, currency: str, worth: str, said: str
) -> None:
    activate(engine)
    with pytest.raises(BadMessage, match=said):
        set_rate(engine, worth, currency)
    assert rows(engine, "SELECT * FROM rates") == []


def test_without_an_active_ruleset_there_is_nothing_to_convert_for(engine: Engine) -> None:
    with pytest.raises(NotNow, match="no ruleset is active"):
        set_rate(engine, "1.2")
