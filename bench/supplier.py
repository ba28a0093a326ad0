"""The simulated supplier as a process, and what its request log says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

WINDOW_MS = 1_000.0


class Supplier(NamedTuple):
    url: str  # of its GraphQL endpoint
    log: Path

    def account(self) -> dict[str, str]:
        """The settings that reach it."""
        names = {"URL": self.url, "USERNAME": "facet", "PASSWORD": "facet"}
        return {f"FACET_NIVODA_{name}": value for name, value in names.items()}


class Request(NamedTuple):
    came_ms: float  # on the machine's monotonic clock
    ended_ms: float
    kind: str


@contextmanager
def running(folder: Path, *, natural: int, latency_ms: float) -> Iterator[Supplier]:
    """A supplier of that many natural stones, gone at the end; its log is in `folder`."""
    log = folder / "requests.jsonl"
    program = [
        *(sys.executable, "-m", "simulator", "--natural", str(natural), "--labgrown", "0"),
        *("--latency-ms", str(latency_ms), "--log", str(log)),
    ]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None  # noqa: S101  asked for above
            # It stands for another machine, whose clock ours does not hold up; root may say so,
            # on Linux.
            with suppress(PermissionError, AttributeError):
                os.sched_setscheduler(process.pid, os.SCHED_RR, os.sched_param(1))
            yield Supplier(json.loads(process.stdout.readline())["endpoint"], log)
        finally:
            process.terminate()


def requests(log: Path, *, skip: int = 0) -> list[Request]:
    """What the supplier was asked after the first `skip` requests, by when it came."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()[skip:]]
    found = [
        Request(one["mono_ms"], one["mono_ms"] + one["duration_ms"], one["kind"]) for one in lines
    ]
    return sorted(found)


def worst_window(came_ms: Sequence[float]) -> int:
    """The most requests that came within one second, wherever it begins. `came_ms` ascending."""
    worst = first = 0
    for last, came in enumerate(came_ms):
        while came_ms[first] <= came - WINDOW_MS:
            first += 1
        worst = max(worst, last - first + 1)
    return worst
