"""Two stewards as processes, and the one that leads is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from cli.embedded.servers import Servers
from tests.builders import due_item, item_now, open_run, rows

LIMIT_S = 90.0  # for what takes a second on an idle machine


class Steward:
    """A steward's process, and what it has logged."""

    def __init__(self, log: Path, env: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scheduler.steward"],
                env=os.environ | env,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def leads(self) -> bool:
        """Whether it led when it last said anything of that."""
        told = self._log.read_text()
        return told.rfind('"event": "leads"') > told.rfind('"event": "follows"')


@pytest.fixture
def stewards(database_url: str, servers: Servers, tmp_path: Path) -> Iterator[list[Steward]]:
    env = {
        "FACET_DATABASE_URL": database_url,
        "FACET_BROKER_URL": str(servers.broker_url),
        "FACET_LEADER_LEASE_S": "10",  # nobody loses it by being slow for a moment
        "FACET_STEWARD_POLL_S": "0.05",
    }
    made = [Steward(tmp_path / f"{number}.log", env) for number in range(2)]
    yield made
    for steward in made:
        steward.process.kill()
        steward.process.wait()


def until(ask: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_the_other_steward_goes_on_where_the_leader_was_killed(
    engine: Engine, stewards: list[Steward]
) -> None:
    run_id = open_run(engine)
    first = due_item(engine, run_id=run_id)
    until(lambda: item_now(engine, first)["announced_at"])
    leader = until(lambda: next((one for one in stewards if one.leads()), None))
    (other,) = [one for one in stewards if one is not leader]
    leader.process.kill()
    leader.process.wait()
    second = due_item(engine, run_id=run_id)
    until(lambda: item_now(engine, second)["announced_at"])
    assert other.leads()
    (row,) = rows(engine, "SELECT epoch FROM leaders")
    assert row["epoch"] >= 2
    other.process.terminate()
    assert other.process.wait(LIMIT_S) == 0
    (left,) = rows(engine, "SELECT lease_until < now() AS resigned FROM leaders")
    assert left["resigned"]
