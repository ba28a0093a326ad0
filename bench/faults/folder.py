"""The folder through which the campaign arms failpoints and hears which were reached."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from shared.failpoints import MARK, VARIABLE, Action


class Strike(NamedTuple):
    """A point that struck."""

    action: str
    pid: int
    main: int  # of its process, where that is a child of a Celery worker
    at: float  # on the machine's monotonic clock


class Folder:
    """One world's failpoints. See `shared.failpoints`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("armed", "struck"):
            (path / name).mkdir(parents=True)
        (path / MARK).touch()
        self._read_to = 0
        self.reached: Counter[str] = Counter()

    def environment(self) -> dict[str, str]:
        """What a process must be started with."""
        return {VARIABLE: str(self.path)}

    def arm(self, point: str, action: Action, times: int = 1) -> None:
        """Let a point strike once, at the `times`th time from now that it is reached."""
        made = self.path / f"new.{os.getpid()}"
        made.write_text(f"{action} {times}", encoding="ascii")
        made.rename(self.path / "armed" / point)

    def struck(self, point: str) -> Strike | None:
        """Whether it has struck since it was last asked; then forgotten."""
        path = self.path / "struck" / point
        try:
            action, pid, main, at = path.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return None
        path.unlink()
        return Strike(action, int(pid), int(main), float(at))

    def disarm(self) -> None:
        """Nothing strikes any more."""
        for name in ("armed", "struck"):
            for path in (self.path / name).iterdir():
                path.unlink(missing_ok=True)
        (self.path / "cut").unlink(missing_ok=True)

    def take_cut(self) -> bool:
        """Whether a process asked that its next COMMIT be cut off; once."""
        try:
            (self.path / "cut").unlink()
        except FileNotFoundError:
            return False
        return True

    def read(self) -> Counter[str]:
        """How often each point was reached since this was last called."""
        try:
            with (self.path / "reached").open("rb") as log:
                log.seek(self._read_to)
                lines = log.read()
        except FileNotFoundError:
            return Counter()
        whole = lines.rfind(b"\n") + 1
        self._read_to += whole
        found = Counter(line.split()[2].decode() for line in lines[:whole].splitlines())
        self.reached += found
        return found
