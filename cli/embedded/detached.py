"""Start Facet in the background, and end it: `facet up`, `facet down`."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cli.embedded.child import LEASH, set_aside, tail
from cli.embedded.home import Home, Runtime, live_runtime
from cli.embedded.leftovers import KILL_WAIT_S, wait_gone
from cli.embedded.session import open_session
from shared.errors import NotNow

READY_FD = "FACET_READY_FD"  # the pipe on which the background process says that it is ready
READY = b"ready\n"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 90.0  # the processes' 40 s, the servers' 30 s
POLL_S = 0.05


def spawn_detached(
    argv: Sequence[str | Path],
    *,
    home: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> Runtime:
    """Run `argv`, a command that calls `Supervisor.run`, in the background until it is ready.

    Does nothing where Facet runs in `home` already. Output goes to FACET_HOME/logs/supervisor.log.

    env   variables on top of our own environment; FACET_HOME is set to `home`

    Returns what runs. Raises NotNow, with the log's tail, where it ends or the time is over first;
    in the second case it is told to stop.
    """
    place = Home(home)
    place.create()
    deadline = time.monotonic() + timeout_s
    if live_runtime(home) is not None:
        return wait_until_ready(place, deadline)
    log = place.log("supervisor")
    set_aside(log)
    reader, writer = os.pipe()
    try:
        with log.open("ab") as output:
            log.chmod(0o600)
            log_start = output.tell()
            whole = {**os.environ, **(env or {}), "FACET_HOME": str(place.path)}
            try:
                subprocess.run(
                    (sys.executable, "-I", "-S", LEASH, "detach", str(writer), *argv),
                    env=whole | {READY_FD: str(writer)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[writer],
                    check=True,
                )
            finally:
                os.close(writer)
        said = read_until(reader, READY, deadline)
    finally:
        os.close(reader)
    runtime = live_runtime(home)
    if said.endswith(READY) and runtime is not None:
        return runtime
    pid = int(said.split()[0])
    if runtime is not None and runtime.supervisor.pid != pid:
        return wait_until_ready(place, deadline)  # another start was a moment earlier
    why = "ended at its start"
    if time.monotonic() >= deadline:
        why = f"was not ready in {timeout_s:g} s"
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    raise NotNow(f"Facet {why}\n{tail(log, log_start)}".strip(), hint=f"less {log}")


def read_until(reader: int, end: bytes, deadline: float) -> bytes:
    """What comes through the pipe up to `end`, the other side's end, or the deadline."""
    said = b""
    while not said.endswith(end):
        if not select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
            break
        part = os.read(reader, 1024)
        if not part:
            break
        said += part
    return said


def wait_until_ready(home: Home, deadline: float) -> Runtime:
    """Wait for a launch that somebody else began."""
    while True:
        runtime = live_runtime(home.path)
        if runtime is None:
            raise NotNow(f"Facet stopped in {home.path} while starting", hint="facet up")
        if runtime.ready:
            return runtime
        if time.monotonic() > deadline:
            raise NotNow(
                f"Facet is starting in {home.path}, and not ready yet", hint="facet status"
            )
        time.sleep(POLL_S)


def say_ready() -> None:
    """Tell the process that waits in `spawn_detached`; harmless where none does."""
    descriptor = os.environ.pop(READY_FD, None)
    if descriptor is None:
        return
    with suppress(BrokenPipeError):  # it has given up waiting, or was stopped
        os.write(int(descriptor), READY)
    os.close(int(descriptor))


def stop_running(home: Path, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """Stop what runs in `home`, and wait for its end; clean up what a killed launch left.

    Returns whether anything ran. A launcher that does not end in time is killed, and its children
    after it.
    """
    place = Home(home)
    if not place.runtime.exists():
        return False
    runtime = live_runtime(home)
    process = runtime.supervisor.find() if runtime is not None else None
    if process is not None:
        process.send_signal(signal.SIGTERM)
        for stuck in wait_gone([process], timeout_s):
            stuck.kill()
        wait_gone([process], KILL_WAIT_S)
    if place.runtime.exists():
        with open_session(home):
            pass  # opening ends the leftovers
    return process is not None
