"""The folder an embedded Facet lives in: its layout, its lock and the record of what runs there.

    FACET_HOME/            0700; as root 0711, so that `nobody` can reach the servers' folder
        lock               held (flock) by the one launcher that runs here
        runtime.json       0600: what runs and how to reach it; absent when nothing does
        secrets.json       0600: the servers' passwords, made once
        servers/           the servers' data, configuration and sockets
        servers-folder     only as root, see account.py: where the servers' folder is instead
        logs/              NAME.log for each process

Nothing here starts or ends a process.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from cli.embedded.process_id import ProcessId
from shared.errors import BadSettings, NotNow

POLL_S = 0.01


def home_dir() -> Path:
    """FACET_HOME, or /var/lib/facet as root, or the user's data folder. Absolute; may not exist."""
    named = os.environ.get("FACET_HOME")
    if named:
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/facet")
    return Path(platformdirs.user_data_dir("facet", appauthor=False))


class Home:
    """The paths below one FACET_HOME. Makes no folder until `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.lock = self.path / "lock"
        self.runtime = self.path / "runtime.json"
        self.secrets = self.path / "secrets.json"
        self.logs = self.path / "logs"

    def create(self) -> None:
        """Make the folder and its logs. Raises BadSettings where that is not possible."""
        try:
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True)
                self.path.chmod(0o700)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            hint = "set FACET_HOME to a folder you may write to"
            raise BadSettings(f"cannot use {self.path}: {error.strerror}", hint=hint) from error

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


class Runtime(BaseModel):
    """What runs in a home. The URLs hold passwords: they stay out of `repr`, logs and `ps`."""

    launch: str  # unique to one launch; in the environment of every pipeline process
    supervisor: ProcessId
    started_at: AwareDatetime
    ready: bool = False
    processes: dict[str, ProcessId] = {}
    database_url: str | None = Field(default=None, repr=False)  # None: no embedded PostgreSQL
    broker_url: str | None = Field(default=None, repr=False)  # None: no embedded Valkey
    redis_url: str | None = Field(default=None, repr=False)  # the broker, as redis-py spells it
    socket_folder: Path | None = None  # only where a temporary one is in use

    def is_live(self) -> bool:
        """Whether the launcher that wrote this still runs."""
        return self.supervisor.find() is not None


def read_runtime(home: Path) -> Runtime | None:
    """What the last launcher recorded, live or not; None where nothing was or it is unreadable.

    An unreadable record is an earlier version's: the servers' processes are found without it.
    Raises BadSettings where it is another user's.
    """
    path = Home(home).runtime
    try:
        return Runtime.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    except PermissionError as error:
        raise closed(path) from error


def live_runtime(home: Path) -> Runtime | None:
    """What runs in `home` now, ready or still starting; None when nothing does."""
    runtime = read_runtime(home)
    return runtime if runtime is not None and runtime.is_live() else None


def write_private(path: Path, text: str, owner: tuple[int, int] | None = None) -> None:
    """Write a file of mode 0600, whole or not at all; `owner` is (uid, gid), None: ourselves.

    The folder must be one that only we can write to.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(text)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path, busy: Callable[[], str], wait_s: float) -> Iterator[None]:
    """Hold `path` as a lock; the system lets go of it however we end.

    busy     makes the sentence that says who holds it
    wait_s   how long to try: a killed process with threads is gone a moment before its lock is

    Raises NotNow where another process keeps it, BadSettings where it is another user's.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise closed(path) from error
    try:
        deadline = time.monotonic() + wait_s
        while not try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise NotNow(busy(), hint="facet down")
            time.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def closed(path: Path) -> BadSettings:
    hint = "start as the user of this folder, or set FACET_HOME to another one"
    return BadSettings(f"user {os.geteuid()} may not use {path}", hint=hint)
