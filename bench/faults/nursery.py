"""`python -m bench.faults.nursery`: starts processes that have imported the libraries already.

A campaign starts thousands of processes; each would spend seconds of a processor on importing
Celery, Polars and SQLAlchemy. This one imports them once and forks. Nothing of the pipeline is
imported before the fork, and a child runs the very module that `facet serve` runs, as `__main__`.

It reads a JSON line for each process to start and answers with its process id. Children die with
it, and it ends with its standard input.
"""

import ctypes
import importlib
import json
import os
import random
import runpy
import signal
import sys
import time
from typing import Any

LIBRARIES = (
    *("celery.bin.celery", "celery.apps.worker", "celery.worker.consumer", "celery.worker.state"),
    *("celery.worker.request", "celery.worker.strategy", "celery.worker.components"),
    *("celery.concurrency.prefork", "celery.concurrency.thread", "celery.app.amqp"),
    *("celery.app.control", "celery.app.events", "celery.app.log", "celery.fixups.django"),
    *("kombu.transport.redis", "kombu.transport.virtual", "kombu.asynchronous", "billiard.pool"),
    *("alembic", "httpx", "numpy", "polars", "psycopg", "psycopg_binary", "pybreaker", "pydantic"),
    *("pydantic_settings", "redis", "sqlalchemy", "sqlalchemy.dialects.postgresql.psycopg"),
    *("structlog", "tenacity", "yaml"),
)
PR_SET_PDEATHSIG = 1


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has ended is gone, without being asked for
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    mine = os.getpid()
    while line := sys.stdin.readline():
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(wanted, mine)
            return
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def become(wanted: dict[str, Any], parent: int) -> None:
    """Be the process asked for; returns, or raises SystemExit, at its end."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    log = os.open(wanted["log"], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.update(wanted["env"])
    random.seed()
    if wanted["skew_s"]:
        skew(wanted["skew_s"])
    module, *words = wanted["words"]
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def skew(by_s: float) -> None:
    """Let the clock of the day be wrong by so much for the pipeline's code in this process."""
    right = time.time
    time.time = lambda: right() + by_s


if __name__ == "__main__":
    main()
