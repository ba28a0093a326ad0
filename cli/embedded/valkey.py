"""A private Valkey (the broker): write its configuration, start it, know its URLs.

Everything is in its append-only file, synced each second. The password is in a configuration file
of mode 0600, never on the command line.
"""

from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from cli.embedded.account import Account, private_folder
from cli.embedded.binaries import valkey_program
from cli.embedded.child import Child
from cli.embedded.home import write_private
from cli.embedded.postgres import wrong_password

SOCKET_NAME = "r.sock"
READY_TIMEOUT_S = 120.0  # it loads the whole append-only file first
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Valkey:
    """Where one server lives and how it is reached; the fields are those of `Postgres`."""

    program = "valkey-server"

    folder: Path  # the servers' folder
    account: Account | None
    password: str
    sockets: Path | None
    port: int | None

    def broker_url(self) -> str:
        """For Celery. A password in the query of a socket URL would be ignored."""
        if self.sockets is None:
            return self.redis_url()
        return f"redis+socket://:{self.password}@{self.sockets / SOCKET_NAME}?virtual_host=0"

    def redis_url(self) -> str:
        """For redis-py."""
        if self.sockets is None:
            return f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        return f"unix://:{self.password}@{self.sockets / SOCKET_NAME}?db=0"

    def start(self, log: Path) -> Child:
        """Start the server; returns at once, `wait_ready` waits."""
        private_folder(self.folder / "valkey", self.account)
        return Child(
            "valkey",
            [valkey_program(self.account), self.write_settings()],
            env=None,
            log=log,
            account=self.account,
            folder=self.folder,
        )

    def write_settings(self) -> Path:
        settings = {
            "requirepass": self.password,
            "dir": quoted(self.folder / "valkey"),
            "port": str(self.port or 0),
            "bind": "127.0.0.1",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "always-show-logo": "no",
        }
        if self.sockets is not None:
            settings["unixsocket"] = str(self.sockets / SOCKET_NAME)
            # The folder keeps others out; as root it is open, and the password does.
            settings["unixsocketperm"] = "700" if self.account is None else "777"
        path = self.folder / "valkey.conf"
        lines = [f"{name} {value}\n" for name, value in settings.items()]
        write_private(path, "".join(lines), self.account)
        return path

    def wait_ready(self, server: Child) -> None:
        server.wait_ready(self.answers, READY_TIMEOUT_S)

    def answers(self) -> bool:
        """Raises BadSettings where the server is there, but with another password."""
        with redis.Redis.from_url(
            self.redis_url(), retry=Retry(NoBackoff(), 0), socket_timeout=CONNECT_TIMEOUT_S
        ) as client:
            try:
                return bool(client.ping())
            except AuthenticationError as error:
                raise wrong_password("Valkey", self.folder) from error
            except (redis.ConnectionError, redis.TimeoutError):  # also: still loading
                return False


def quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
