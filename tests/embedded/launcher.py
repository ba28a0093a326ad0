"""A launcher to be killed: `python -m tests.embedded.launcher HOME`.

Runs the servers and a `worker` that has a child of its own, and prints a line when all is up. Words
after HOME: `light` leaves PostgreSQL out, `deaf` makes the worker ignore SIGTERM.
"""

import sys
from pathlib import Path

from cli.embedded.supervisor import Supervisor

# A process with a child in its group. Both print their number; the parent may be told to be deaf.
FAMILY = """
import os, signal, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
os.write(1, b'%d ' % os.getpid())
time.sleep(600)
"""


def family(*words: str) -> list[str]:
    return [sys.executable, "-c", FAMILY, *words]


if __name__ == "__main__":
    with Supervisor(Path(sys.argv[1]), database="light" not in sys.argv) as supervisor:
        supervisor.start_process("worker", family(*sys.argv[2:]))
        sys.stdout.write("up\n")
        sys.stdout.flush()
        supervisor.run()
