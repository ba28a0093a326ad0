"""Wait for what happens in other processes."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from cli.embedded.leftovers import is_gone

LIMIT_S = 30.0


def until(happened: Callable[[], bool]) -> None:
    """Raises AssertionError where it has not happened in LIMIT_S."""
    deadline = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def until_gone(processes: Iterable[psutil.Process]) -> None:
    until(lambda: all(is_gone(process) for process in processes))


def printed_numbers(log: Path, skip: int = 0) -> list[psutil.Process]:
    """The processes of a `family`, by what they print into `log`; `skip` numbers come before."""
    until(lambda: log.exists() and len(log.read_text().split()) >= skip + 2)
    return [psutil.Process(int(word)) for word in log.read_text().split()[skip:]]
