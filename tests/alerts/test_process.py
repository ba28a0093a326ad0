"""A steward as a process: it looks and delivers by itself, also while the broker is away."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from scheduler import alerting
from tests.alerts.conftest import MakeAlarm, of_slack
from tests.alerts.providers import Slack
from tests.alerts.test_watch import end_run
from tests.builders import open_run, rows

LIMIT_S = 90.0

pytestmark = pytest.mark.timeout(400)  # of processes, on a machine that may be busy


@contextmanager
def stewarding(log: Path, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A steward; killed at the end where it has not ended by then."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FACET_")}
    with log.open("wb") as into:
        process = subprocess.Popen(
            [sys.executable, "-m", "scheduler.steward"], env=kept | settings, stderr=into
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(ask: Callable[[], Any], log: Path) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := ask()):
        assert time.monotonic() < deadline, log.read_text()[-3_000:]
        time.sleep(0.05)
    return found


@pytest.fixture
def given(database_url: str, slack: Slack) -> dict[str, str]:
    return of_slack(slack) | {
        "FACET_DATABASE_URL": database_url,
        "FACET_BROKER_URL": "redis://127.0.0.1:9/0",  # away
        "FACET_WATCH_PAUSE_S": "0.2",
        "FACET_WATCH_RESOLVE_AFTER_S": "0.5",
        "FACET_ALERT_PAUSE_S": "0",
        "FACET_ALERT_HEARTBEAT_URL": f"{slack.url}/alive",
    }


def test_a_steward_tells_what_is_wrong_and_what_is_over_while_the_broker_is_away(
    engine: Engine, slack: Slack, given: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "steward.log"
    run_id = open_run(engine)
    with stewarding(log, **given) as process:
        until(lambda: "steward_waits" in log.read_text(), log)  # the broker is missed
        end_run(engine, run_id, "failed", "no answer from the supplier")
        until(lambda: slack.taken, log)
        assert f"facet run show {str(run_id)[:8]}" in slack.words()[0]
        end_run(engine, open_run(engine), "complete")
        until(lambda: len(slack.taken) > 1, log)
        assert "OVER run failed" in slack.words()[1]
        until(lambda: [one for one in slack.requests if one.path == "/alive"], log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0, log.read_text()
    assert rows(engine, "SELECT stopped FROM watch_marks") == [{"stopped": True}]
    states = rows(engine, "SELECT kind, state FROM incidents WHERE kind LIKE 'run%'")
    assert states == [{"kind": "run_failed", "state": "resolved"}]
    assert "hush-hush" not in log.read_text()


def test_a_channel_set_up_by_half_stops_the_steward_with_a_sentence(
    engine: Engine, given: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "steward.log"
    half = {"FACET_ALERT_RESEND_API_KEY": "re_hush-hush"}
    with stewarding(log, **given | half) as process:
        assert process.wait(LIMIT_S) != 0
    assert "the channel email is set up by half: FACET_ALERT_EMAIL_FROM" in log.read_text()
    assert "hush-hush" not in log.read_text()


class Broken:
    """An alerting whose rounds have a bug."""

    def round(self) -> int:
        raise ZeroDivisionError


def test_a_bug_in_the_thread_ends_the_steward_and_is_not_swallowed() -> None:
    stop = threading.Event()
    broken: Any = Broken()
    with alerting.running(broken, stop) as raise_its_end, pytest.raises(ZeroDivisionError):
        while True:
            raise_its_end()
            stop.wait(0.01)


def test_the_heartbeat_stops_with_the_looks(make_alarm: MakeAlarm, slack: Slack) -> None:
    alarm = make_alarm(FACET_ALERT_HEARTBEAT_URL=f"{slack.url}/alive")
    alarm.alerting.beat()  # nobody has looked yet
    assert slack.requests == []
    alarm.watch.look_if_due()
    alarm.alerting.beat()
    alarm.alerting.beat()  # not again within a minute
    assert [one.path for one in slack.requests] == ["/alive"]
