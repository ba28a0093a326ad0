"""Peak memory of processes and their children, by name.

On Linux the kernel keeps each process's peak (VmHWM), so that nothing between two looks is missed
except children that live less than POLL_S; elsewhere the largest resident size seen. Shared pages
count for each process that touches them: PostgreSQL's shared buffers, a fork's inherited pages.
"""

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

POLL_S = 0.5


class Peak(NamedTuple):
    """The peak of one name."""

    mb: float  # of its largest single process, in millions of bytes
    processes: int  # at most, at the same time


class PeakMemory:
    """A thread that looks twice a second; a look took 4 ms with 100 processes on the machine."""

    def __init__(self) -> None:
        self._roots: dict[str, int] = {}
        self._peaks: dict[str, Peak] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="peak-memory", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def watch(self, name: str, pid: int) -> None:
        """Follow `pid` and its children as `name`; a restarted process goes on under its name."""
        with self._lock:
            self._roots[name] = pid

    def look(self) -> dict[str, Peak]:
        """The peaks up to now, a last look included."""
        with self._lock:
            seen = peak_memory(self._roots)
            for name, now in seen.items():
                before = self._peaks.get(name, Peak(0.0, 0))
                self._peaks[name] = Peak(
                    max(before.mb, now.mb), max(before.processes, now.processes)
                )
            return dict(self._peaks)

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            self.look()


def peak_memory(roots: dict[str, int]) -> dict[str, Peak]:
    """The peaks of living processes: each name's `pid` and all below it. Gone ones are left out."""
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            children.setdefault(process.ppid(), []).append(process.pid)
    others = set(roots.values())
    peaks = {}
    for name, root in roots.items():
        family, sizes = [root], []
        for pid in family:
            family += [child for child in children.get(pid, ()) if child not in others]
            with suppress(psutil.Error, OSError):
                sizes.append(peak_bytes(pid))
        if sizes:
            peaks[name] = Peak(max(sizes) / 1e6, len(sizes))
    return peaks


def peak_bytes(pid: int) -> int:
    """Raises psutil.Error or OSError where the process is gone or closed to us."""
    if sys.platform == "linux":
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return psutil.Process(pid).memory_info().rss  # also a zombie's, which is 0
