"""Name a process so that it cannot be mistaken for another."""

import sys
from pathlib import Path

import psutil
from pydantic import BaseModel


class ProcessId(BaseModel, frozen=True):
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: str  # as `start_mark` says it

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """Raises psutil.NoSuchProcess where it is gone already."""
        return cls(pid=pid, started=start_mark(pid))

    def find(self) -> psutil.Process | None:
        """The process while it lives; None when it is gone, a zombie, or its number is reused."""
        try:
            process = psutil.Process(self.pid)
            same = start_mark(self.pid) == self.started
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def start_mark(pid: int) -> str:
    """When a process started, in words that never change while it lives.

    On Linux ticks since the boot, and which boot: the time of day that psutil makes of them moves
    whenever the clock is set. Raises psutil.NoSuchProcess.
    """
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError) as error:
            raise psutil.NoSuchProcess(pid) from error
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The 22nd field, counted from behind the name, which may hold blanks and brackets.
        return f"{boot} {stat.rpartition(')')[2].split()[19]}"
    return repr(psutil.Process(pid).create_time())
