"""Find and end what an earlier launcher left behind.

A launcher that is killed takes its children along on Linux; elsewhere, and for what is slow to go,
the next start does it. A process is ours when its number and start time are on record, when it
carries the launch's mark in its environment, or when it is a server whose working folder is
below our servers' folder. Nothing else is touched. Call it with the home's lock held.
"""

import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from cli.embedded.home import Runtime
from shared.errors import NotNow

LAUNCH_MARK = "FACET_LAUNCH"  # an environment variable of every pipeline process
SERVER_PROGRAMS = ("initdb", "postgres", "valkey-server")
ORPHAN_WAIT_S = 3.0  # a killed PostgreSQL's processes were seen to need up to 2 s
STOP_WAIT_S = 10.0
KILL_WAIT_S = 10.0
POLL_S = 0.01


def end_leftovers(runtime: Runtime | None, servers: Path) -> list[str]:
    """End them, asking first. Returns the names of what had to be ended, in no order.

    Raises NotNow where something does not even go when it is killed.
    """
    found = list(of_launch(runtime)) if runtime is not None else []
    ended = stop_all(found)
    for program in SERVER_PROGRAMS:
        ended += end_server(program, servers)
    if runtime is not None and runtime.socket_folder is not None:
        shutil.rmtree(runtime.socket_folder, ignore_errors=True)
    return ended


def of_launch(runtime: Runtime) -> Iterator[psutil.Process]:
    """The recorded processes, their descendants, and all that carry the mark of the launch."""
    recorded = [process.find() for process in runtime.processes.values()]
    found = {process for process in recorded if process is not None}
    for process in tuple(found):
        with suppress(psutil.Error):
            found.update(process.children(recursive=True))
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(LAUNCH_MARK) == runtime.launch:
                found.add(process)
    found.discard(psutil.Process())
    yield from found


def end_server(program: str, servers: Path) -> list[str]:
    """End every process of one program, so that its server can start on its data again."""
    wait_gone(of_server(program, servers), ORPHAN_WAIT_S)
    ended = stop_all(of_server(program, servers))
    if program == "postgres":
        for pid_file in servers.glob("postgres-*/postmaster.pid"):
            # Nothing of ours runs on the data, so the number in there may be anybody's by now,
            # and would keep PostgreSQL from starting.
            pid_file.unlink()
    return ended


def of_server(program: str, servers: Path) -> list[psutil.Process]:
    """The processes of `program` whose working folder is `servers` or below."""
    root = servers.resolve()
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone, or another user's and so not ours
            if process.name() == program and Path(process.cwd()).is_relative_to(root):
                found.append(process)
    return found


def stop_all(processes: Iterable[psutil.Process]) -> list[str]:
    """Ask all to stop, kill those that do not, wait for the end. Returns their names."""
    alive = [process for process in processes if not is_gone(process)]
    names = []
    for process in alive:
        with suppress(psutil.Error):
            name = process.name()
            names.append(name)
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
    for process in wait_gone(alive, STOP_WAIT_S):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    stuck = wait_gone(alive, KILL_WAIT_S)
    if stuck:
        numbers = ", ".join(str(process.pid) for process in stuck)
        raise NotNow(f"an earlier launch left processes that cannot be ended: {numbers}")
    return names


def wait_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until all are gone. Returns those that are not when the time is over."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if not is_gone(process)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [process for process in left if not is_gone(process)]
    return left


def is_gone(process: psutil.Process) -> bool:
    """Gone, or a zombie: an orphan whose new parent does not collect it stays one for ever."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
