"""Runs whose detail retention has dropped: commands say so, and claim nothing beyond that."""

from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from scheduler import retention
from shared.db import transaction
from shared.settings import load
from tests.cli.inside import Facet
from tests.cli.test_run_diff import ended_run

DAY = 24 * 60


@pytest.fixture
def later(engine: Engine) -> UUID:
    return ended_run(engine, "A", "B", minutes_ago=DAY)


@pytest.fixture
def pruned(engine: Engine, later: UUID) -> UUID:
    """A run of 200 days ago, after retention."""
    run_id = ended_run(engine, minutes_ago=200 * DAY, rejected=10)
    with transaction(engine) as tx:
        ended = text(
            "UPDATE runs SET landed_on = opened_at::date, fetching_at = opened_at, counted = 100,"
            " landed = 103, offers = 100, written = 90, price_changes = 7, requests = 12"
            " WHERE run_id = :id"
        )
        tx.execute(ended, {"id": run_id})
    given = load({})
    removed = retention.apply(engine, given, retention.begin_by_hand(engine))
    assert removed["work of runs"] == 1
    return run_id


def test_a_run_without_its_detail_cannot_be_verified_and_says_so(
    facet_inside: Facet, pruned: UUID
) -> None:
    for more in ((), ("--json",)):
        done = facet_inside("run", "verify", str(pruned), *more)
        assert (done.code, done.out) == (2, "")
        assert "were dropped" in done.err
        assert f"facet run show {str(pruned)[:8]}" in done.err
    assert "unexplained" not in done.err


def test_a_run_without_its_detail_is_shown_by_what_its_own_row_says(
    facet_inside: Facet, pruned: UUID
) -> None:
    (shown,) = facet_inside.ok("run", "show", str(pruned), "--json").json
    known = ("landed", "offers", "written", "rejected", "price_changes", "requests")
    assert [shown[name] for name in known] == [103, 100, 90, 10, 7, 12]
    unknown = ("partitions", "fetched", "folded", "inserted", "unchanged", "dead", "open")
    assert [shown[name] for name in unknown] == [None] * len(unknown)
    assert shown["pruned_at"]
    told = [(one["event"], one["text"]) for one in shown["story"]]
    assert ("planned", "planned: 100 offers counted") in told
    assert told[-1][0] == "pruned"
    assert "were dropped" in told[-1][1]
    done = facet_inside.ok("run", "show", str(pruned))
    assert "its partitions and work items were dropped" in done.err


def test_a_run_without_its_detail_is_watched_listed_and_compared(
    facet_inside: Facet, pruned: UUID, later: UUID
) -> None:
    watched = facet_inside.ok("run", "watch", str(pruned))
    assert "100 offers, 90 stones written" in watched.err
    parts = facet_inside.ok("partition", "list", str(pruned))
    assert "were dropped" in parts.err
    (found,) = facet_inside("run", "diff", str(pruned), str(later), "--json").json
    assert (found["added"], found["removed"]) == (None, None)
    assert found["counts"]["rejected"] == [10, 0]
    assert found["counts"]["inserted"] == [None, 0]
