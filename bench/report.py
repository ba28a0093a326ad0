"""How a benchmark reports: a table for people, then one line of JSON with `aims_met`."""

import os
import resource
from collections.abc import Mapping
from typing import Any

from cli.output import emit


def memory_mb() -> int:
    """The most that this process has held so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def finish(figures: Mapping[str, Any], *, aims_met: bool) -> int:
    """Print the last line; returns the exit code, 1 where an aim is missed."""
    machine = {"processors": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    emit({**figures, "machine": machine, "aims_met": aims_met})
    return 0 if aims_met else 1
