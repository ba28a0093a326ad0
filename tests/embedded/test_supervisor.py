"""What the supervisor starts, restarts and stops, and what is left when it is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from cli.embedded import leftovers, memory
from cli.embedded import supervisor as module
from cli.embedded.backoff import Backoff
from cli.embedded.home import live_runtime, read_runtime
from cli.embedded.leftovers import of_server
from cli.embedded.memory import Peak, peak_memory
from cli.embedded.process_id import ProcessId, start_mark
from cli.embedded.servers import start_servers
from cli.embedded.supervisor import Supervisor
from shared.errors import NotNow
from tests.embedded.launcher import family
from tests.embedded.waiting import printed_numbers, until, until_gone

PROJECT = Path(__file__).parents[2]


@contextmanager
def launcher(home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A launcher in a process of its own that has everything up."""
    argv = [sys.executable, "-m", "tests.embedded.launcher", home, *words]
    with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def everything(home: Path) -> list[psutil.Process]:
    """The processes of a live launch, the servers' own children included."""
    runtime = live_runtime(home)
    assert runtime is not None
    roots = [process.find() for process in runtime.processes.values()]
    return [p for root in roots if root for p in (root, *root.children(recursive=True))]


def parent(process: psutil.Process) -> int | None:
    with suppress(psutil.NoSuchProcess):  # a server's process that served its connection
        return process.ppid()
    return None


def test_kill_9_of_the_launcher_leaves_nothing_and_the_next_start_works(home: Path) -> None:
    with launcher(home) as process:
        printed_numbers(home / "logs" / "worker.log")
        runtime = live_runtime(home)
        assert runtime is not None
        with psycopg.connect(str(runtime.database_url).replace("+psycopg", "")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS stone")
        children = everything(home)
        # A child of the worker's own has no leash: the next start ends it.
        on_leash = [p for p in children if parent(p) != runtime.processes["worker"].pid]
        assert len(children) - 1 == len(on_leash)
        assert len(on_leash) > 5
        process.kill()
    if sys.platform == "linux":
        until_gone(on_leash)
    assert live_runtime(home) is None
    with start_servers(home) as servers:
        until_gone(children)
        with psycopg.connect(str(servers.database_url).replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT stone FROM kept").fetchone() == (1,)


def test_the_next_start_ends_a_deaf_process_and_its_child(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "STOP_WAIT_S", 0.5)
    with launcher(home, "light", "deaf") as process:
        orphans = printed_numbers(home / "logs" / "worker.log")
        process.kill()
    assert all(orphan.is_running() for orphan in orphans)
    with start_servers(home, database=False):
        until_gone(orphans)


def test_sigterm_stops_everything_in_order(home: Path) -> None:
    with launcher(home) as process:
        children = everything(home)
        process.terminate()
        assert process.wait() == 0
    until_gone(children)
    assert read_runtime(home) is None
    log = (home / "logs" / "postgres.log").read_text()
    assert "database system is shut down" in log


def test_two_processes_have_start_marks_of_their_own() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        assert start_mark(later.pid) == start_mark(later.pid)
        assert start_mark(later.pid) != start_mark(os.getpid())
        later.communicate(b"\n")
    with pytest.raises(psutil.NoSuchProcess):
        start_mark(later.pid)


def test_a_reused_process_number_is_not_touched(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        with start_servers(home, database=False) as servers:
            record = servers.session.runtime
        me = ProcessId.of(stranger.pid)
        before = ProcessId(pid=me.pid, started=f"{me.started}1")
        left = record.model_copy(update={"supervisor": before, "processes": {"worker": before}})
        (home / "runtime.json").write_text(left.model_dump_json())
        assert live_runtime(home) is None
        with start_servers(home, database=False):
            assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_a_crashed_process_is_started_again_without_its_children(home: Path) -> None:
    with Supervisor(home, database=False, broker=False) as supervisor:
        log = home / "logs" / "worker.log"
        first = supervisor.start_process("worker", family())
        before = printed_numbers(log)
        os.kill(first.id.pid, signal.SIGKILL)

        def restarted() -> bool:
            supervisor.tick()
            return supervisor.session.runtime.processes["worker"] != first.id

        until(restarted)
        until_gone(before)
        after = printed_numbers(log, skip=2)
        assert all(process.is_running() for process in after)
    until_gone(after)


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_crashed_server_comes_back_with_its_data_at_the_same_address(
    home: Path, name: str
) -> None:
    with Supervisor(home) as supervisor:
        servers = supervisor.servers
        url = str(servers.database_url).replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS stone")
        first = servers.children[name]
        os.kill(first.id.pid, signal.SIGKILL)

        def restarted() -> bool:
            supervisor.tick()
            return servers.children[name] is not first and servers.down() == []

        until(restarted)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT stone FROM kept").fetchone() == (1,)
        assert supervisor.session.runtime.processes[name] == servers.children[name].id
    assert of_server("postgres", supervisor.session.servers) == []


def test_the_wait_before_a_restart_doubles_up_to_a_bound_and_is_forgiven() -> None:
    backoff = Backoff(started=0.0)
    assert [backoff.crashed(1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert not backoff.is_due(30.9)
    assert backoff.is_due(31.0)
    assert backoff.crashed(100.0) == 0.5


NOTE_STOP = """
import pathlib, signal, sys, time
def note(*_):
    time.sleep(float(sys.argv[3]))
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2] + " ")
    sys.exit()
signal.signal(signal.SIGTERM, note)
print("ready", flush=True)
time.sleep(600)
"""


def test_what_others_depend_on_is_stopped_last(home: Path, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    with Supervisor(home, database=False, broker=False) as supervisor:
        for name, delay_s in (("simulator", "0"), ("worker", "0.3")):
            argv = [sys.executable, "-c", NOTE_STOP, str(noted), name, delay_s]
            supervisor.start_process(name, argv, stop_last=name == "simulator")
            until(lambda name=name: "ready" in (home / "logs" / f"{name}.log").read_text())
    assert noted.read_text().split() == ["worker", "simulator"]


def test_a_deaf_process_is_killed_with_its_group_when_the_time_is_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.2)
    with Supervisor(home, database=False, broker=False) as supervisor:
        supervisor.start_process("worker", family("deaf"))
        processes = printed_numbers(home / "logs" / "worker.log")
    until_gone(processes)


def test_a_process_gets_its_environment_and_a_log_closed_to_others(home: Path) -> None:
    show = [sys.executable, "-c", "import os; print(os.environ['WORD'], os.environ['PATH'])"]
    with Supervisor(home, database=False, broker=False) as supervisor:
        child = supervisor.start_process("worker", show, {"WORD": "loupe"})
        until(child.ended)
        assert child.tail() == f"loupe {os.environ['PATH']}"
        assert child.log.stat().st_mode & 0o777 == 0o600


def test_a_failing_launch_gives_everything_back(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), Supervisor(home, database=False) as supervisor:
        child = supervisor.start_process("worker", family())
        children = everything(home)
        _ = 1 / 0
    assert child.ended()
    until_gone(children)
    with Supervisor(home, database=False, broker=False):
        pass


def test_a_second_supervisor_is_told_that_one_is_running(home: Path) -> None:
    with (
        Supervisor(home, database=False, broker=False),
        pytest.raises(NotNow, match="is running") as caught,
    ):
        Supervisor(home, database=False, broker=False).__enter__()
    assert caught.value.hint == "facet down"


HEAVY = """
import os, pathlib, sys, time
if os.fork() == 0:
    heavy = bytearray(80_000_000)
    os.write(1, b"full ")
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.01)
    os._exit(0)
os.wait()
os.write(1, b"done ")
time.sleep(600)
"""


def test_the_peak_of_a_process_counts_children_that_have_ended(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def counted(roots: dict[str, int]) -> dict[str, Peak]:
        looks.append(peak_memory(roots))
        return looks[-1]

    monkeypatch.setattr(memory, "peak_memory", counted)
    with Supervisor(home, broker=False) as supervisor:
        supervisor.start_process("worker", [sys.executable, "-c", HEAVY, str(tmp_path / "end")])
        log = home / "logs" / "worker.log"
        until(lambda: "full" in log.read_text())
        seen = len(looks)
        until(lambda: len(looks) > seen + 1)
        (tmp_path / "end").touch()
        until(lambda: "done" in log.read_text())
        peaks = supervisor.memory()
    assert set(peaks) == {"supervisor", "postgres", "worker"}
    assert 80 <= peaks["worker"].mb < 120
    assert peaks["worker"].processes == 2
    assert peaks["postgres"].processes > 3
    assert 10 < peaks["supervisor"].mb < 1_000
