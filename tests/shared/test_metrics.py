"""What Prometheus is told, and that the dashboard and the alert rules ask for nothing else."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import yaml
from prometheus_client.core import Metric
from sqlalchemy import Engine

from cli.embedded.servers import Servers
from shared import db, ledger, pools
from shared.accounts import Account
from shared.breaker import Breaker
from shared.db import transaction
from shared.errors import SupplierUnavailable
from shared.limits import Limiter
from shared.metrics import Facet
from tests.builders import FEED, claim, due_item, held_item, lapse, rows
from tests.test_pages import commands

OPS = Path(__file__).parents[2] / "ops"
RULES = OPS / "prometheus" / "alerts.yml"
DASHBOARD = OPS / "grafana" / "dashboards" / "facet.json"
SUFFIXES = ("_bucket", "_count", "_sum", "_total", "")


@pytest.fixture
def client(servers: Servers) -> Iterator["redis.Redis"]:
    made = redis.Redis.from_url(str(servers.redis_url))
    yield made
    made.close()


@pytest.fixture
def account(client: "redis.Redis") -> Account:
    name = f"test-{uuid4()}"
    limiter = Limiter(client, name, rate_per_s=50, in_flight_max=4, wait_s_max=5)
    return Account(limiter, Breaker(client, name, failures_max=1))


@pytest.fixture
def facet(engine: Engine, client: "redis.Redis", account: Account) -> Facet:
    return Facet(engine, client, [account])


def value(facet: Facet, name: str, **labels: str) -> float:
    """One sample; fails where there is none."""
    (found,) = [
        sample.value
        for metric in facet.collect()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(found)


def test_lag_is_the_age_of_the_oldest_due_work_of_a_kind(engine: Engine, facet: Facet) -> None:
    item_id = due_item(engine)
    assert value(facet, "facet_work_oldest_due_seconds", kind="fold") == 0
    with transaction(engine) as tx:
        tx.exec_driver_sql(
            f"UPDATE work_items SET not_before = now() - interval '90 s' WHERE item_id = {item_id}"
        )
    assert 90 <= value(facet, "facet_work_oldest_due_seconds", kind="fetch") < 200
    assert value(facet, "facet_work_unannounced", kind="fetch") == 1
    claim(engine, item_id)
    assert value(facet, "facet_work_oldest_due_seconds", kind="fetch") == 0


def test_backlog_leases_attempts_and_dead_letters(engine: Engine, facet: Facet) -> None:
    held = held_item(engine)
    assert value(facet, "facet_work_items", kind="fetch", state="held") == 1
    assert value(facet, "facet_work_items", kind="plan", state="due") == 1
    lapse(engine, held.item_id)
    assert value(facet, "facet_leases_expired", kind="fetch") == 1
    with transaction(engine) as tx:
        ledger.retry(tx, held, SupplierUnavailable("down"))
    assert value(facet, "facet_work_retrying", kind="fetch") == 1
    assert value(facet, "facet_work_attempts_max", kind="fetch") == 1
    with transaction(engine) as tx:
        tx.exec_driver_sql("UPDATE work_items SET not_before = now()")
    again = claim(engine, held.item_id)
    assert again is not None
    with transaction(engine) as tx:
        ledger.bury(tx, again, reason="permanent", error="no")
    assert value(facet, "facet_dead_letters", kind="fetch", reason="permanent") == 1


def test_a_run_is_counted_until_the_next_one_begins(engine: Engine, facet: Facet) -> None:
    due_item(engine)
    with transaction(engine) as tx:
        tx.exec_driver_sql(
            "UPDATE partitions SET landed = 70, requests = 3, fetched_at = now(), fetch_ms = 4000,"
            " offers = 60, inserted = 40, changed = 5, unchanged = 10, rejected = 5,"
            " price_changes = 45, folded_at = now(), fold_ms = 300"
        )
    assert value(facet, "facet_run_offers_total", feed=FEED, stage="landed") == 70
    assert value(facet, "facet_run_offers_total", feed=FEED, stage="written") == 45
    assert value(facet, "facet_run_requests_total", feed=FEED) == 3
    assert value(facet, "facet_run_state", feed=FEED, state="planning") == 1
    assert value(facet, "facet_fold_seconds_bucket", feed=FEED, le="0.25") == 0
    assert value(facet, "facet_fold_seconds_bucket", feed=FEED, le="0.5") == 1
    assert value(facet, "facet_fold_seconds_sum", feed=FEED) == pytest.approx(0.3)
    assert value(facet, "facet_fetch_seconds_count", feed=FEED) == 1
    with transaction(engine) as tx:
        tx.exec_driver_sql(
            "UPDATE runs SET state = 'cancelled', reason = 'a test', finished_at = now()"
        )
    due_item(engine)
    assert value(facet, "facet_run_offers_total", feed=FEED, stage="landed") == 0


def test_requests_stand_against_their_limit_and_the_breaker_says_how_it_is(
    facet: Facet, account: Account
) -> None:
    name = account.limiter.key
    with account.limiter.turn():
        assert value(facet, "facet_limit_in_flight", account=name) == 1
    assert value(facet, "facet_limit_requests_total", account=name) == 1
    assert value(facet, "facet_limit_rate", account=name, which="nominal") == 50

    def failing() -> None:
        raise SupplierUnavailable("down")

    with pytest.raises(SupplierUnavailable):
        account.breaker.call(failing)
    assert value(facet, "facet_breaker_state", account=name, state="open") == 1
    assert value(facet, "facet_breaker_openings_total", account=name) == 1


def test_processes_tell_how_their_pools_are_used(
    engine: Engine, client: "redis.Redis", facet: Facet
) -> None:
    for key in client.scan_iter(f"{pools.KEY}*"):
        client.delete(key)
    with transaction(engine):
        thread = pools.report(engine, client, every_s=60)
        while not list(pools.said(client)):
            assert thread.is_alive()
    assert value(facet, "facet_pool_in_use") == 1
    assert value(facet, "facet_pool_max") == 5
    assert value(facet, "facet_pool_waiting") == 0


def test_connections_stand_against_the_servers_limit(engine: Engine, facet: Facet) -> None:
    rows(engine, "SELECT 1")
    assert value(facet, "facet_database_connections", role="cli") >= 1
    assert value(facet, "facet_database_connections_max") == 97  # of 100, three for superusers


def test_a_source_that_is_away_is_told_of_and_the_other_one_still_tells(
    client: "redis.Redis", account: Account
) -> None:
    away = Facet(db.connect("postgresql+psycopg://x@127.0.0.1:9/none"), client, [account])
    assert value(away, "facet_source_up", source="database") == 0
    assert value(away, "facet_source_up", source="redis") == 1
    assert value(away, "facet_limit_in_flight") == 0


def told(facet: Facet, engine: Engine) -> dict[str, Metric]:
    due_item(engine)
    return {metric.name: metric for metric in facet.collect()}


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\bfacet_[a-z_]+", expression))


def unknown(names: set[str], known: dict[str, Metric]) -> set[str]:
    whole = {f"{name}{suffix}" for name in known for suffix in SUFFIXES}
    return names - whole


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_alert_rules_are_whole_and_ask_for_what_there_is(facet: Facet, engine: Engine) -> None:
    known = told(facet, engine)
    for rule in rules():
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in {"info", "warning", "error", "critical"}
        assert rule["annotations"]["command"].startswith("facet ")
        assert rule["annotations"]["summary"]
        assert unknown(asked(rule["expr"]), known) == set(), rule["alert"]
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)


def test_the_dashboard_asks_for_what_there_is_and_shows_all_of_it(
    facet: Facet, engine: Engine
) -> None:
    known = told(facet, engine)
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    shown = {name for one in expressions for name in asked(one)}
    assert unknown(shown, known) == set()
    assert {name for name in known if not any(s.startswith(name) for s in shown)} == set()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert panels[0]["title"].startswith("Lag")


def test_commands_that_the_rules_name_exist() -> None:
    known = commands()
    for rule in rules():
        words = rule["annotations"]["command"].split()
        assert any(" ".join(words[:n]) in known for n in (2, 3)), rule["alert"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True, timeout=60)
