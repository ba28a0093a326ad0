"""`facet rejected`, as a person types it."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, text

from cli.embedded.servers import Servers
from shared.db import transaction
from tests.builders import FEED, claim, rows
from tests.cli.test_conventions import assert_fails, facet
from tests.consolidator.landing import (
    NO_PEARS,
    TWICE_THE_COST,
    activate,
    end,
    fold,
    folded,
    land,
    rejected,
    stones,
)
from tests.consolidator.test_fold import offer

Services = dict[str, str]


@pytest.fixture
def services(database_url: str, servers: Servers) -> Services:
    """Settings that name real servers."""
    return {"FACET_DATABASE_URL": database_url, "FACET_BROKER_URL": str(servers.broker_url)}


def lines(*words: str, **environment: str) -> list[Any]:
    """What a command says as JSON."""
    done = facet(*words, "--json", **environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_rejected_offers_are_listed_counted_and_shown(engine: Engine, services: Services) -> None:
    activate(engine, NO_PEARS)
    early = folded(engine, [offer("A", shape="PEAR"), offer("B")])
    late = folded(engine, [offer("A", shape="PEAR"), offer("C", shape="PEAR"), offer("D", price=0)])
    assert {(r["offer_id"], r["reason"]) for r in lines("rejected", "list", **services)} == {
        ("A", "refused_by_rule"), ("C", "refused_by_rule"), ("D", "no_price"),
    }  # fmt: skip
    counted = lines("rejected", "list", "--counts", **services)
    assert [(r["reason"], r["offers"], r["runs"]) for r in counted] == [
        ("refused_by_rule", 3, 2), ("no_price", 1, 1),
    ]  # fmt: skip
    early_only = (
        "--run",
        str(early),
        "--reason",
        "refused_by_rule",
        "--feed",
        FEED,
        "--since",
        "1h",
    )
    assert len(lines("rejected", "list", *early_only, **services)) == 1
    assert lines("rejected", "list", "--feed", "idex-natural", **services) == []
    (newest,) = lines("rejected", "show", "A", **services)
    assert (newest["run_id"], newest["payload"]["id"]) == (str(late), "A")
    assert lines("rejected", "show", newest["id"], **services) == [newest]
    drawn = facet("rejected", "list", **services)
    assert "we sell no pears" in drawn.stdout
    assert max(map(len, drawn.stdout.splitlines())) <= 80
    nobody = facet("rejected", "show", "nobody", **services)
    assert_fails(nobody, "no rejected offer", "facet rejected list", 1)
    soon = facet("rejected", "list", "--since", "soon", **services)
    assert_fails(soon, "no length of time", "--since 2h", 2)


def test_after_a_fix_rejected_offers_are_folded_again_and_nothing_else_changes(
    engine: Engine, services: Services
) -> None:
    activate(engine, NO_PEARS.replace("factor: 3", "factor: 2"))
    run_id = folded(engine, [offer("A", shape="PEAR"), offer("B"), offer("C", price=0)])
    activate(engine, TWICE_THE_COST)
    words = ("rejected", "fold-again", "--rejected-as", "refused_by_rule", "--reason", "no more")
    (tried,) = lines(*words, "--dry-run", **services)
    assert (tried["offers"], tried["due"]) == (1, [])
    assert rows(engine, "SELECT * FROM audit_events WHERE action LIKE 'rejected.%'") == []
    (done,) = lines(*words, **services)
    (again,) = lines(*words, **services)
    assert (len(done["due"]), again["due"], again["open"]) == (1, [], 1)
    (event,) = rows(engine, "SELECT * FROM audit_events WHERE action = 'rejected.fold_again'")
    assert (event["reason"], event["subject"]) == ("no more", "reason=refused_by_rule")
    (item,) = rows(engine, "SELECT * FROM work_items WHERE kind = 'fold'")
    held = claim(engine, item["item_id"], "fold")
    assert held is not None
    assert held.run_id == run_id
    counts = fold(engine, held)
    assert (counts.offers, counts.inserted, counts.rejected) == (2, 1, 1)
    assert {row["offer_id"]: row["price_cents"] for row in stones(engine)} == {
        "A": 20_000,
        "B": 20_000,
    }
    assert rejected(engine) == [("C", "no_price")]


def test_what_a_later_run_has_read_and_what_is_no_longer_kept_is_left_alone(
    engine: Engine, services: Services
) -> None:
    activate(engine, NO_PEARS)
    folded(engine, [offer("A", shape="PEAR")])
    held = land(engine, [offer("A", shape="PEAR"), offer("B")])
    fold(engine, held)
    words = ("rejected", "fold-again", "--reason", "a test", "--dry-run")
    (before,) = lines(*words, **services)
    assert (before["offers"], before["overtaken"]) == (2, 0)  # the later run is not complete
    end(engine, held.run_id)
    (after,) = lines(*words, **services)
    assert (after["offers"], after["overtaken"]) == (1, 1)
    with transaction(engine) as tx:
        tx.execute(text("DELETE FROM raw_offers"))
    (gone,) = lines(*words, **services)
    assert (gone["offers"], gone["overtaken"], gone["gone"]) == (0, 1, 1)
