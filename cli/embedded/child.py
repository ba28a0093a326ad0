"""A program we started: on a leash, with a log file, in a process group of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from cli.embedded.process_id import ProcessId
from shared.errors import NotNow

LEASH = Path(__file__).with_name("leash.py")
POLL_S = 0.01
KILL_WAIT_S = 10.0  # a killed process is gone at once, unless the disk holds it
LOG_BYTES_MAX = 10_000_000  # a longer log is set aside as NAME.log.1 at the next start
TAIL_BYTES = 2_000


class Child:
    """One process and what it takes to stop it. Start children from the main thread (leash.py)."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None,
        log: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        account: tuple[int, int] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start `argv`; output goes to the end of `log`.

        env       its whole environment; None: the bare one of the servers
        account   (uid, gid) to run as; only root may give one
        folder    the working directory; None keeps ours
        """
        self.name = name
        self.log = log
        self.stop_signal = stop_signal
        set_aside(log)
        user = "-" if account is None else f"{account[0]}:{account[1]}"
        kind = "bare" if env is None else "whole"
        leash = (
            sys.executable,
            "-I",
            "-S",
            LEASH,
            str(os.getpid()),
            str(int(stop_signal)),
            user,
            kind,
        )
        with log.open("ab") as output:
            log.chmod(0o600)
            self._log_start = output.tell()
            self._popen = subprocess.Popen(
                (*leash, *argv),
                env=None if env is None else dict(env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.id = ProcessId.of(self._popen.pid)

    def ended(self) -> bool:
        """Whether the program has ended; its group may have members left."""
        if self._popen.returncode is not None:
            return True
        # Not waited for yet: the number is still its own.
        return psutil.Process(self._popen.pid).status() == psutil.STATUS_ZOMBIE

    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it. Ends the group with it."""
        if self.ended():
            self.kill()
        return self._popen.returncode

    def tail(self) -> str:
        """The last lines it wrote since it was started."""
        return tail(self.log, self._log_start)

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Ask `is_ready` in short intervals until it says so.

        Raises NotNow, with the log's tail, where the process ends before or the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            code = self.exit_code()
            if code is not None:
                raise NotNow(f"{self.name} ended at its start (exit {code})\n{self.tail()}".strip())
            if time.monotonic() > deadline:
                message = f"{self.name} was not ready in {timeout_s:g} s\n{self.tail()}"
                raise NotNow(message.strip())
            time.sleep(POLL_S)

    def ask_to_stop(self) -> None:
        if not self.ended():
            os.kill(self._popen.pid, self.stop_signal)

    def wait_stopped(self, timeout_s: float) -> bool:
        """Wait for the end, then kill what is left of the group. True where it ended by itself."""
        deadline = time.monotonic() + timeout_s
        while not self.ended() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        by_itself = self.ended()
        self.kill()
        return by_itself

    def kill(self) -> None:
        """Kill the process and its whole group; harmless where all of it is gone."""
        if self._popen.returncode is not None:
            return
        # Not waited for yet, so the number of the process and its group is still ours alone.
        with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of zombies
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait(KILL_WAIT_S)


def tail(log: Path, start: int = 0) -> str:
    """The end of `log`, from byte `start` on at the earliest: whole lines, about 2 kB."""
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    if end - start > TAIL_BYTES:
        text = text.partition("\n")[2]
    return text.strip()


def set_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_name(f"{log.name}.1"))
