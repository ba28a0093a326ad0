"""Rulesets in the database: immutable, one active, every activation written down."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from consolidator import rulesets
from shared.db import transaction
from shared.errors import BadRuleset, NotNow
from tests.builders import rows
from tests.consolidator.landing import NO_PEARS, TWICE_THE_COST


def add(engine: Engine, text: str = TWICE_THE_COST) -> int:
    with transaction(engine) as tx:
        return rulesets.add(tx, text, source="rules.yaml", author="ana")


def activate(engine: Engine, ruleset_id: int, reason: str = "a new season") -> bool:
    with transaction(engine) as tx:
        return rulesets.activate(tx, ruleset_id, actor="ana", reason=reason)


def states(engine: Engine) -> dict[int, str]:
    found = rows(engine, "SELECT ruleset_id, state FROM rulesets")
    return {row["ruleset_id"]: row["state"] for row in found}


def audited(engine: Engine) -> list[dict[str, object]]:
    return rows(
        engine,
        "SELECT actor, action, subject, reason, before, after FROM audit_events ORDER BY event_id",
    )


def test_a_ruleset_is_added_as_a_draft_with_its_file_as_it_stands(engine: Engine) -> None:
    ruleset_id = add(engine)
    (row,) = rows(engine, "SELECT * FROM rulesets")
    assert (row["ruleset_id"], row["name"], row["state"]) == (ruleset_id, "twice the cost", "draft")
    assert (row["source"], row["author"]) == (TWICE_THE_COST, "ana")


def test_the_same_content_again_is_the_same_ruleset(engine: Engine) -> None:
    first = add(engine)
    assert add(engine) == first
    assert add(engine, "# with a comment\n" + TWICE_THE_COST) == first
    assert add(engine, NO_PEARS) != first
    assert len(states(engine)) == 2


def test_a_file_that_is_no_ruleset_is_not_kept(engine: Engine) -> None:
    with pytest.raises(BadRuleset, match=r"^rules\.yaml"):
        add(engine, "name: nothing")
    assert states(engine) == {}


def test_without_an_active_ruleset_there_is_nothing_to_price_with(engine: Engine) -> None:
    add(engine)
    with pytest.raises(NotNow, match="no ruleset is active"), transaction(engine) as tx:
        rulesets.active(tx)


def test_one_is_active_at_a_time_and_every_activation_is_written_down(engine: Engine) -> None:
    first, second = add(engine), add(engine, NO_PEARS)
    assert activate(engine, first)
    assert activate(engine, second, "no more pears")
    assert states(engine) == {first: "retired", second: "active"}
    assert activate(engine, first, "pears again")
    assert states(engine) == {first: "active", second: "retired"}
    with transaction(engine) as tx:
        assert rulesets.active(tx)[:2] == (first, "twice the cost")
    assert audited(engine) == [
        {
            "actor": "ana",
            "action": "ruleset.activate",
            "subject": str(ruleset_id),
            "reason": reason,
            "before": before,
            "after": {"active": ruleset_id},
        }
        for ruleset_id, reason, before in (
            (first, "a new season", None),
            (second, "no more pears", {"active": first}),
            (first, "pears again", {"active": second}),
        )
    ]


def test_activating_the_active_one_changes_nothing(engine: Engine) -> None:
    ruleset_id = add(engine)
    assert activate(engine, ruleset_id)
    (before,) = rows(engine, "SELECT *, xmin::text FROM rulesets")
    assert not activate(engine, ruleset_id)
    assert rows(engine, "SELECT *, xmin::text FROM rulesets") == [before]
    assert len(audited(engine)) == 1


def test_a_ruleset_that_is_not_there_is_not_activated_and_the_present_one_stays(
    engine: Engine,
) -> None:
    ruleset_id = add(engine)
    activate(engine, ruleset_id)
    with pytest.raises(NotNow, match="there is no ruleset 999"):
        activate(engine, 999)
    assert states(engine) == {ruleset_id: "active"}
    assert len(audited(engine)) == 1


def test_any_ruleset_can_be_loaded_to_explain_an_old_price(engine: Engine) -> None:
    old, present = add(engine), add(engine, NO_PEARS)
    activate(engine, old)
    activate(engine, present)
    with transaction(engine) as tx:
        assert rulesets.load(tx, old)[:2] == (old, "twice the cost")
        with pytest.raises(NotNow, match="there is no ruleset 999"):
            rulesets.load(tx, 999)


def test_of_several_activated_at_once_one_is_active_and_the_audit_tells_the_order(
    engine: Engine,
) -> None:
    present = add(engine)
    activate(engine, present)
    wanted = [
        add(engine, TWICE_THE_COST.replace("factor: 2", f"factor: 2.{n}")) for n in range(1, 5)
    ]
    start = threading.Barrier(len(wanted))

    def attempt(ruleset_id: int) -> bool:
        start.wait()
        return activate(engine, ruleset_id)

    with ThreadPoolExecutor(len(wanted)) as pool:
        assert list(pool.map(attempt, wanted)) == [True] * len(wanted)
    (active,) = [ruleset_id for ruleset_id, state in states(engine).items() if state == "active"]
    events = audited(engine)[1:]
    assert sorted(int(str(event["subject"])) for event in events) == wanted
    before = present
    for event in events:
        assert event["before"] == {"active": before}
        before = int(str(event["subject"]))
    assert before == active
