"""A run is checked once, before anything else is asked for; what is found is kept."""

import threading
from typing import Any

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from scheduler.check import check_run
from shared import queue, runs
from shared.checks import Checked
from shared.db import transaction
from shared.errors import ClaimLost, SupplierChanged, SupplierUnavailable
from shared.feeds import feed
from shared.feeds.health import Finding, Harm, Health
from shared.ledger import Claim
from tests.builders import FEED, claim, item_now, open_run, rows


def finding(harm: Harm) -> Finding:
    return Finding("Diamond.milky", "removed", harm, "gone; milky: empty")


class Making:
    """What a check finds, and how often it was made."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings
        self.times = 0

    def __call__(self) -> Checked:
        self.times += 1
        return Checked(Health(self.findings), requests=5)


def plan_item(engine: Engine) -> Claim:
    open_run(engine)
    (item,) = rows(engine, "SELECT item_id FROM work_items WHERE kind = 'plan'")
    held = claim(engine, item["item_id"], "plan")
    assert held is not None
    return held


def check(engine: Engine, held: Claim, make: Any) -> str:
    return check_run(held, engine=engine, feed=feed(FEED), make=make, lease_s=60)


@pytest.mark.parametrize(
    ("harm", "verdict", "level"), [("none", "compatible", None), ("some", "degraded", "warning")]
)
def test_a_run_that_may_go_on_is_checked_once(
    engine: Engine, harm: Harm, verdict: str, level: str | None
) -> None:
    held, make = plan_item(engine), Making(finding(harm))
    with capture_logs() as lines:
        assert check(engine, held, make) == verdict
        assert check(engine, held, make) == verdict
    assert make.times == 1
    (kept,) = rows(engine, "SELECT feed, run_id, verdict, findings, requests FROM feed_checks")
    assert kept == {
        "feed": FEED,
        "run_id": held.run_id,
        "verdict": verdict,
        "findings": [finding(harm)._asdict()],
        "requests": 5,
    }
    assert rows(engine, "SELECT scan_calls FROM runs") == [{"scan_calls": 5}]
    assert [(line["event"], line["log_level"]) for line in lines] == (
        [("feed_degraded", level)] if level else []
    )


def test_a_drift_that_breaks_stops_the_run_and_is_an_error_event(engine: Engine) -> None:
    held, make = plan_item(engine), Making(finding("breaks"))
    with capture_logs() as lines, pytest.raises(SupplierChanged) as raised:
        check(engine, held, make)
    assert "Diamond.milky: gone" in str(raised.value)
    assert f"`facet feed check {FEED}`" in str(raised.value)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("feed_incompatible", "error")
    assert (line["feed"], line["fields"]) == (FEED, ["Diamond.milky"])
    assert rows(engine, "SELECT verdict FROM feed_checks") == [{"verdict": "incompatible"}]

    make.findings = ()
    assert check(engine, held, make) == "compatible"  # the plan was made due again
    assert make.times == 2
    (kept,) = rows(engine, "SELECT verdict, requests FROM feed_checks")
    assert kept == {"verdict": "compatible", "requests": 10}


def test_a_supplier_that_is_away_is_asked_again_later(engine: Engine) -> None:
    def away() -> Checked:
        raise SupplierUnavailable("no connection")

    open_run(engine)
    (item,) = rows(engine, "SELECT item_id, epoch FROM work_items")
    message = {"item": item["item_id"], "epoch": item["epoch"]}
    done = queue.deliver(message, "plan", lambda held: check(engine, held, away), engine=engine)  # type: ignore[func-returns-value]
    assert done == "due"
    assert item_now(engine, item["item_id"])["state"] == "due"
    assert rows(engine, "SELECT 1 FROM feed_checks") == []
    assert rows(engine, "SELECT state FROM runs") == [{"state": "planning"}]


def test_the_lease_is_kept_while_the_supplier_takes_its_time(engine: Engine) -> None:
    held, beaten = plan_item(engine), threading.Event()
    before = item_now(engine, held.item_id)["lease_until"]

    def slow() -> Checked:
        while not beaten.is_set():
            if item_now(engine, held.item_id)["lease_until"] > before:
                beaten.set()
        return Checked(Health(()), requests=5)

    assert check(engine, held, slow) == "compatible"


def test_a_run_cancelled_while_it_is_checked_keeps_nothing(engine: Engine) -> None:
    held = plan_item(engine)

    def cancelled() -> Checked:
        with transaction(engine) as tx:
            runs.cancel(tx, held.run_id, reason="wrong account", actor="ana")
        return Checked(Health(()), requests=5)

    with pytest.raises(ClaimLost):
        check(engine, held, cancelled)
    assert rows(engine, "SELECT 1 FROM feed_checks") == []
