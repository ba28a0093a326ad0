"""What `facet run show` tells of a run, in the order of time; and what `facet status` says."""

import getpass
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine, text

from cli import output, system
from shared import dead_letters, ledger, runs
from shared.alerts import incidents
from shared.alerts.kinds import Sighting
from shared.db import transaction
from tests.builders import FEED, held_item
from tests.cli.inside import Facet

WHO = getpass.getuser()


def story(facet: Facet, run_id: Any) -> list[tuple[str, str | None, str]]:
    (shown,) = facet.ok("run", "show", str(run_id), "--json").json
    assert len(shown["trace_id"]) == 32
    moments = [one["at"] for one in shown["story"]]
    assert moments == sorted(moments)
    return [(one["event"], one["by"], one["text"]) for one in shown["story"]]


def ended(engine: Engine, run_id: Any, state: str, reason: str | None) -> None:
    with transaction(engine) as tx:
        tx.execute(
            text("""UPDATE runs SET state = :s, reason = :r, finished_at = clock_timestamp(),
                           fetching_at = coalesce(fetching_at, clock_timestamp()), counted = 100,
                           offers = 100, written = 90, delisted = 0, rejected = 10,
                           replayed_at = NULL
                     WHERE run_id = :id"""),
            {"s": state, "r": reason, "id": run_id},
        )


def test_who_started_and_cancelled_a_run_is_told(facet_inside: Facet) -> None:
    (opened,) = facet_inside.ok("run", "start", FEED, "--json").json
    facet_inside.ok("run", "cancel", opened["run_id"], "--because", "wrong account")
    assert story(facet_inside, opened["run_id"]) == [
        ("started", WHO, f"full run of {FEED} started"),
        ("run.cancel", WHO, "run.cancel: wrong account"),
        ("cancelled", None, "cancelled: wrong account"),
    ]


def test_every_ending_is_told_with_what_came_between(facet_inside: Facet) -> None:
    engine = system.engine()
    with transaction(engine) as tx:
        run_id = runs.start(tx, FEED).run_id
    held = held_item(engine, run_id=run_id)
    with transaction(engine) as tx:
        letter = ledger.bury(tx, held, reason="permanent", error="not allowed")
    ended(engine, run_id, "partial", "fetch gave up: not allowed")
    seen = Sighting("run_partial", "warning", "it is partial", "facet run show X", FEED, run_id)
    with transaction(engine) as tx:
        incidents.see(tx, [seen], gap_s=15)
    with transaction(engine) as tx:
        dead_letters.replay(tx, letter, actor="ana", because="allowed again")
    ended(engine, run_id, "complete", None)
    with transaction(engine) as tx:
        incidents.resolve(tx, ["run_partial"], after_s=0)
    gave_up = "fetch of part 1 gave up at offset 0 after 1 try (permanent): not allowed"
    assert story(facet_inside, run_id) == [
        ("started", None, f"full run of {FEED} started"),
        ("gave_up", None, f"{gave_up}; dead letter {letter}"),
        ("planned", None, "planned: 1 partition, 100 offers counted"),
        ("partial", None, "partial: fetch gave up: not allowed"),
        ("incident_opened", None, "incident 1, run partial (warning): it is partial"),
        ("dead-letter.replay", "ana", f"dead-letter.replay {letter}: allowed again"),
        ("complete", None, "complete: 100 offers, 90 stones written, 0 delisted, 10 rejected"),
        ("incident_resolved", None, "incident 1, run partial: over"),
    ]


def test_the_story_fits_80_columns(facet_inside: Facet, monkeypatch: pytest.MonkeyPatch) -> None:
    (opened,) = facet_inside.ok("run", "start", FEED, "--json").json
    because = "a reason that goes on and on " * 9
    facet_inside.ok("run", "cancel", opened["run_id"], "--because", because)
    screen = Console(force_terminal=True, width=80, color_system=None, highlight=False)
    monkeypatch.setattr(output, "data", screen)
    lines = facet_inside.ok("run", "show", opened["run_id"]).out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("goes on" in line for line in lines) > 9


def test_status_counts_the_incidents_that_last_and_names_the_command(facet_inside: Facet) -> None:
    (calm,) = facet_inside.ok("status", "--json").json
    assert (calm["incidents"], calm["gravest_incident"]) == (0, None)
    assert "facet alert list" not in facet_inside.ok("status").err
    seen = [
        Sighting("disk_low", "critical", "full", "facet retention plan", subject="/data"),
        Sighting("leases_expiring", "warning", "many", "facet lease list"),
    ]
    with transaction(system.engine()) as tx:
        incidents.see(tx, seen, gap_s=15)
    assert "2 incidents last, the gravest: critical; `facet alert list`" in (
        facet_inside.ok("status").err
    )
