"""One launch in a home: the lock, the clean-up of the launch before, the record of this one."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydantic import BaseModel

from cli.embedded.account import (
    Account,
    private_folder,
    remove_servers_folder,
    server_account,
    servers_folder,
)
from cli.embedded.home import (
    Home,
    Runtime,
    live_runtime,
    locked,
    read_runtime,
    write_private,
)
from cli.embedded.leftovers import end_leftovers
from cli.embedded.process_id import ProcessId

log = structlog.get_logger()

SOCKET_FOLDER_BYTES_MAX = 80  # the system's limit is about 100 for the path of the socket itself
RELEASE_WAIT_S = 5.0
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")


class Passwords(BaseModel):
    """Made once for a home."""

    postgres: str
    valkey: str


class Session:
    """A home whose lock we hold, and its runtime record. Made by `open_session`."""

    def __init__(self, home: Home, servers: Path, account: Account | None) -> None:
        self.home = home
        self.servers = servers
        self.account = account
        self.runtime = Runtime(
            launch=secrets.token_hex(8),
            supervisor=ProcessId.of(os.getpid()),
            started_at=datetime.now(UTC),
        )

    def record(self, **fields: object) -> None:
        """Change fields of the record and write it, whole."""
        self.runtime = self.runtime.model_copy(update=fields)
        write_private(self.home.runtime, self.runtime.model_dump_json(indent=2))

    def record_process(self, name: str, process: ProcessId) -> None:
        self.record(processes=self.runtime.processes | {name: process})

    def passwords(self) -> Passwords:
        """Read secrets.json, or make it at the first time."""
        if not self.home.secrets.exists():
            made = Passwords(postgres=secrets.token_hex(24), valkey=secrets.token_hex(24))
            write_private(self.home.secrets, made.model_dump_json(indent=2))
        return Passwords.model_validate_json(self.home.secrets.read_bytes())

    def socket_folder(self) -> Path:
        """A folder for the sockets whose path is short and fits a URL as it is.

        servers/run, or a new folder below the temporary one where that is too long or has a
        blank or another odd letter in it; that one goes with the launch.
        """
        folder = self.servers / "run"
        if is_plain(folder):
            private_folder(folder, self.account)
        else:
            below = Path(tempfile.gettempdir())
            name = tempfile.mkdtemp(prefix="facet-", dir=below if is_plain(below) else "/tmp")  # noqa: S108
            folder = Path(name)
            self.record(socket_folder=folder)
            if self.account is not None:
                os.chown(folder, *self.account)
        if self.account is not None:
            folder.chmod(0o755)  # the passwords keep others out
        return folder


@contextmanager
def open_session(path: Path) -> Iterator[Session]:
    """Take the home's lock, clean up after the launch before, and forget all of it at the end.

    Raises NotNow where Facet runs there already, BadSettings where the folder cannot be used.
    """
    home = Home(path)
    home.create()
    with ExitStack() as stack:
        # Whoever runs is named at once; whoever has just ended may still be letting go.
        wait_s = 0.0 if live_runtime(home.path) else RELEASE_WAIT_S
        stack.enter_context(locked(home.lock, lambda: running(home), wait_s))
        account = server_account()
        servers = servers_folder(home, account)
        # A copied home would share a folder elsewhere with the original.
        stack.enter_context(locked(servers / "lock", lambda: shared(servers), RELEASE_WAIT_S))
        ended = end_leftovers(read_runtime(home.path), servers)
        if ended:
            log.warning("leftovers_ended", home=str(home.path), processes=sorted(ended))
        session = Session(home, servers, account)
        session.record()
        try:
            yield session
        finally:
            if session.runtime.socket_folder is not None:
                shutil.rmtree(session.runtime.socket_folder, ignore_errors=True)
            home.runtime.unlink(missing_ok=True)


def running(home: Home) -> str:
    runtime = live_runtime(home.path)
    if runtime is None:
        return f"Facet is starting or stopping in {home.path}"
    since = f"{runtime.started_at:%Y-%m-%d %H:%M} UTC"
    return f"Facet is running in {home.path} (process {runtime.supervisor.pid}, since {since})"


def shared(servers: Path) -> str:
    return f"another Facet runs the servers in {servers}"


def erase(path: Path) -> None:
    """Remove a home with all its data, wherever the servers' folder is.

    Raises NotNow where Facet runs there.
    """
    home = Home(path)
    if not home.path.is_dir():
        return
    with open_session(path):
        remove_servers_folder(home)
        shutil.rmtree(home.path)


def is_plain(folder: Path) -> bool:
    text = str(folder)
    return len(text.encode()) <= SOCKET_FOLDER_BYTES_MAX and set(text) <= PLAIN
