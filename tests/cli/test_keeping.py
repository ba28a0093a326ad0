"""`facet retention`, as a person calls it."""

import json
import sys
from uuid import UUID

import pytest
import typer
from sqlalchemy import Engine, text

from cli.output import data
from shared.db import transaction
from tests.builders import rows
from tests.cli.inside import Facet
from tests.cli.test_run_diff import ended_run

DAY = 24 * 60


@pytest.fixture
def old(engine: Engine) -> UUID:
    """A run of 200 days ago, and a later one."""
    run_id = ended_run(engine, minutes_ago=200 * DAY)
    ended_run(engine, "A", minutes_ago=DAY)
    with transaction(engine) as tx:
        tx.execute(
            text("UPDATE runs SET landed_on = opened_at::date WHERE run_id = :r"), {"r": run_id}
        )
    return run_id


def test_the_plan_names_everything_with_its_age_in_80_columns(
    facet_inside: Facet, old: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = facet_inside.ok("retention", "plan", "--json").json
    goes = {one["name"]: one["goes_rows"] for one in found["entries"]}
    assert goes.pop("work of runs") == 1
    assert set(goes.values()) == {0}
    monkeypatch.setattr(data, "_force_terminal", True)
    monkeypatch.setattr(data, "_width", 80)
    shown = facet_inside.ok("retention", "plan")
    assert "records of retention" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "facet retention apply --dry-run" in shown.err


def test_nobody_is_asked_where_nobody_wants_to_be(
    facet_inside: Facet, old: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: pytest.fail("it asked"))
    for place in (0, 4):
        words = ["retention", "apply", "--because", "the disk is full"]
        words.insert(place, "--no-input")
        refused = facet_inside(*words)
        assert (refused.code, "--yes" in refused.err) == (2, True)


def test_what_is_dropped_by_hand_is_asked_about_and_audited(
    engine: Engine, facet_inside: Facet, old: UUID
) -> None:
    apply = ("retention", "apply", "--because", "the disk is full")
    (found,) = facet_inside.ok(*apply, "--dry-run", "--json").json
    assert found["goes"] == {"work of runs": 1}
    refused = facet_inside(*apply)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert rows(engine, "SELECT pruned_at FROM runs WHERE run_id = :r", r=old) == [
        {"pruned_at": None}
    ]
    *_log, said = facet_inside.ok(*apply, "--yes", "--json").out.splitlines()
    assert json.loads(said)["removed"]["work of runs"] == 1
    (event,) = rows(engine, "SELECT reason FROM audit_events WHERE action = 'retention.apply'")
    assert event == {"reason": "the disk is full"}
    assert "nothing was old enough" in facet_inside.ok(*apply, "--yes").err
