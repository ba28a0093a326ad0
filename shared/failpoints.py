"""Named places where the fault campaign ends, stops or cuts off a process that runs.

Off, which costs one comparison with None a point, unless the process was started with
`FACET_FAILPOINTS` naming a folder that holds a file `MARK`: nothing but the campaign makes one, and
a process that was started without it can never be told later. What the folder's `armed/` holds
strikes once: `armed/page.after_commit` with the text `kill 3` kills at the third time.

A point of a commit is given to `transaction`, by the commit's name; the others call `reached`.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

VARIABLE = "FACET_FAILPOINTS"
MARK = "this-folder-kills-facet"

# What is committed.
COMMITS = (
    *("announce", "reap", "close_runs", "close_reprices"),  # by the steward
    *("claim", "heartbeat", "give_back", "bury", "bad_message"),  # around every work
    *("check", "plan", "cut", "sweep", "expect_file"),
    *("page", "partition_end", "begin_file", "file_page", "file_end"),
    *("fold", "reconciling", "reconcile", "reprice"),
)

# Every point there is. `announce.before_commit` comes after the messages are sent: it is the mark.
NAMES = (
    *(f"{name}.{when}_commit" for name in COMMITS for when in ("before", "after")),
    *("announce.before_send", "announce.after_send"),
    *("ack.before", "ack.after"),
    *("supplier.before_call", "supplier.after_call"),
)

Action = Literal["kill", "child", "stop", "term", "cut"]


class Armed:
    """The points of this process, switched by the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._main = os.getpid()  # forked children import nothing again
        flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY
        self._log = os.open(folder / "reached", flags, 0o600)
        self._actions: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "child": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
            "term": lambda: os.kill(self._main, signal.SIGTERM),
            "cut": (folder / "cut").touch,  # the campaign's proxy cuts the next COMMIT's answer
        }

    def reached(self, name: str) -> None:
        """Note it, and strike where it is armed and its time has come."""
        os.write(self._log, f"{time.monotonic():.6f} {os.getpid()} {name}\n".encode())
        armed, mine = self._folder / "armed" / name, self._folder / f"{name}.{os.getpid()}"
        try:
            armed.rename(mine)  # who renames it has it alone
        except FileNotFoundError:
            return
        action, times = mine.read_text(encoding="ascii").split()
        if int(times) > 1:
            mine.write_text(f"{action} {int(times) - 1}", encoding="ascii")
            mine.rename(armed)
            return
        mine.write_text(f"{action} {os.getpid()} {self._main} {time.monotonic():.6f}")
        mine.rename(self._folder / "struck" / name)
        self._actions[action]()

    def _kill(self) -> None:
        """The whole process: of a Celery worker with children the parent too."""
        for pid in (self._main, os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _from_environment() -> Armed | None:
    named = os.environ.get(VARIABLE)
    if not named or not (Path(named) / MARK).is_file():
        return None
    return Armed(Path(named))


_on = _from_environment()


def reached(name: str) -> None:
    """Say that this point is reached; one of NAMES."""
    if _on is not None:
        _on.reached(name)


def committing(name: str | None) -> None:
    """Say that the commit of that name comes next. None: it has none."""
    if _on is not None and name is not None:
        _on.reached(f"{name}.before_commit")


def committed(name: str | None) -> None:
    """Say that the commit of that name is done. None: it has none."""
    if _on is not None and name is not None:
        _on.reached(f"{name}.after_commit")
