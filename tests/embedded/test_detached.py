"""Facet in the background: up once, down once, and a failure that says why."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from cli.embedded import detached
from cli.embedded.detached import READY_FD, spawn_detached, stop_running
from cli.embedded.home import live_runtime
from cli.embedded.supervisor import Supervisor
from shared.errors import NotNow
from tests.embedded.waiting import until, until_gone

PROJECT = Path(__file__).parents[2]
PATH = {"PYTHONPATH": ":".join([str(PROJECT), *sys.path])}


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "tests.embedded.launcher", str(home), *words]


def test_up_twice_is_once_and_down_ends_all_of_it(home: Path) -> None:
    runtime = spawn_detached(command(home), home=home, env=PATH)
    assert runtime.ready
    assert set(runtime.processes) == {"postgres", "valkey", "worker"}
    assert live_runtime(home) == runtime
    assert spawn_detached(["/no/such/program"], home=home) == runtime

    with pytest.raises(NotNow, match="is running") as caught:
        Supervisor(home).__enter__()
    assert caught.value.hint == "facet down"

    processes = [id_.find() for id_ in (runtime.supervisor, *runtime.processes.values())]
    assert stop_running(home)
    until_gone(process for process in processes if process)
    assert live_runtime(home) is None
    assert not stop_running(home)


def test_two_starts_at_once_end_with_one(home: Path) -> None:
    argv = command(home, "light")
    with ThreadPoolExecutor(2) as pool:
        starts = [pool.submit(spawn_detached, argv, home=home, env=PATH) for _ in "ab"]
        first, second = (start.result() for start in starts)
    assert first == second
    assert stop_running(home)


def test_a_start_that_fails_shows_the_end_of_the_log(home: Path) -> None:
    (home / "logs").mkdir()
    (home / "logs" / "supervisor.log").write_text("of another day\n")
    argv = [sys.executable, "-c", "raise SystemExit('the database is of glass')"]
    with pytest.raises(NotNow, match=r"ended at its start\nthe database is of glass$") as caught:
        spawn_detached(argv, home=home)
    assert str(home / "logs" / "supervisor.log") in caught.value.hint


def test_a_program_that_is_not_there_is_a_failed_start(home: Path) -> None:
    with pytest.raises(NotNow, match="cannot run /no/such/program"):
        spawn_detached(["/no/such/program"], home=home)


def test_a_start_that_takes_too_long_is_ended(home: Path) -> None:
    said = home / "said"
    slow = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))"
    argv = [sys.executable, "-c", f"{slow}; time.sleep(600)", str(said)]
    with pytest.raises(NotNow, match="was not ready in 3 s"):
        spawn_detached(argv, home=home, timeout_s=3)
    until(lambda: not psutil.pid_exists(int(said.read_text())))


def test_down_kills_a_launcher_that_does_not_end(home: Path) -> None:
    deaf = (
        "import signal, sys; from pathlib import Path\n"
        "from cli.embedded.supervisor import Supervisor\n"
        "with Supervisor(Path(sys.argv[1]), database=False) as supervisor:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    supervisor.ready()\n"
        "    signal.pause()\n"
    )
    runtime = spawn_detached([sys.executable, "-c", deaf, str(home)], home=home, env=PATH)
    processes = [id_.find() for id_ in (runtime.supervisor, *runtime.processes.values())]
    assert stop_running(home, timeout_s=0.5)
    until_gone(process for process in processes if process)
    assert live_runtime(home) is None
    assert not (home / "runtime.json").exists()


def test_the_environment_of_a_start_is_not_handed_down(home: Path) -> None:
    runtime = spawn_detached(command(home, "light"), home=home, env=PATH)
    worker = runtime.processes["worker"].find()
    assert worker is not None
    environment = worker.environ()
    assert READY_FD not in environment
    assert environment["FACET_HOME"] == str(home)
    assert stop_running(home)
    assert detached.live_runtime(home) is None
