"""The simulated supplier as a process of its own, and the same stock on our side."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from simulator.stock import Stock


class Supplier(NamedTuple):
    """A running simulator, and what it was started with."""

    url: str  # of its GraphQL endpoint
    control: str
    size: int  # of each kind at time 0
    seed: int

    def advance(self, ticks: int) -> None:
        """Let its time go on; its stock moves."""
        httpx.post(f"{self.control}/advance", json={"ticks": ticks}).raise_for_status()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.control}/state").raise_for_status().json()
        return found

    def stock(self, time: int = 0) -> Stock:
        """What it sells at that time, made here anew."""
        return Stock.at(self.size, self.size, self.seed, time)


@contextmanager
def running(size: int, seed: int, *flags: str) -> Iterator[Supplier]:
    """A simulator with `size` stones of each kind, gone at the end."""
    program = [sys.executable, "-m", "simulator", "--natural", str(size), "--labgrown", str(size)]
    with subprocess.Popen(
        [*program, "--seed", str(seed), *flags], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield Supplier(ready["endpoint"], ready["url"] + "/control", size, seed)
        finally:
            process.terminate()
