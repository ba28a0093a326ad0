"""`facet feed`: what a supplier's contract is like, from the command line."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from cli.embedded.servers import Servers
from tests.builders import open_run, rows
from tests.cli.test_conventions import facet
from tests.end_to_end import supplier as simulated
from tests.end_to_end.faulty import clear, switch
from tests.end_to_end.supplier import Supplier

FEED = "nivoda-natural"


@pytest.fixture(scope="module")
def running() -> Iterator[Supplier]:
    with simulated.running(80, 3) as started:
        yield started


@pytest.fixture
def settings(running: Supplier, database_url: str, servers: Servers) -> Iterator[dict[str, str]]:
    yield {
        "FACET_DATABASE_URL": database_url,
        "FACET_BROKER_URL": str(servers.broker_url),
        "FACET_REDIS_URL": str(servers.redis_url),
        "FACET_NIVODA_URL": running.url,
        "FACET_NIVODA_USERNAME": "facet",
        "FACET_NIVODA_PASSWORD": "facet",
    }
    clear(running)


@pytest.mark.parametrize(
    ("removed", "verdict", "code"),
    [
        (None, "compatible", 0),
        ("Diamond.milky", "degraded", 3),
        ("DiamondItem.price", "incompatible", 1),
    ],
)
def test_a_check_names_what_drifted_keeps_it_and_exits_by_its_verdict(
    engine: Engine,
    running: Supplier,
    settings: dict[str, str],
    removed: str | None,
    verdict: str,
    code: int,
) -> None:
    if removed is not None:
        switch(running, {"schema-drift": {"removed": [removed]}})
    done = facet("feed", "check", FEED, "--json", **settings)
    assert done.returncode == code, done.stderr
    answer = json.loads(done.stdout)
    assert answer["verdict"] == verdict
    assert [one["what"] for one in answer["findings"]] == ([removed] if removed else [])
    said = facet("feed", "check", FEED, **settings)
    assert f"{FEED} is {verdict}" in said.stderr
    assert "logged_in" not in said.stderr  # that is for the logs of a process
    assert removed is None or removed in said.stdout
    kept = rows(engine, "SELECT feed, run_id, verdict FROM feed_checks")
    assert kept == [{"feed": FEED, "run_id": None, "verdict": verdict}] * 2

    listed = [
        json.loads(line) for line in facet("feed", "list", "--json", **settings).stdout.splitlines()
    ]
    first = next(one for one in listed if one["feed"] == FEED)
    assert (first["kind"], first["verdict"], first["run_id"]) == ("sliced", verdict, None)
    assert {"nivoda-natural", "nivoda-labgrown"} <= {one["feed"] for one in listed}
    status = facet("status", **settings)
    assert (f"`facet feed check {FEED}`" in status.stderr) == (verdict != "compatible")


def test_a_supplier_that_is_away_is_one_sentence(settings: dict[str, str]) -> None:
    away = settings | {"FACET_NIVODA_URL": "http://127.0.0.1:9/api/diamonds"}
    done = facet("feed", "check", FEED, **away)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "check FACET_NIVODA_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_feeds_are_listed_before_they_ever_ran(engine: Engine, settings: dict[str, str]) -> None:
    open_run(engine)
    done = facet("feed", "list", **settings)
    assert done.returncode == 0, done.stderr
    assert FEED in done.stdout
