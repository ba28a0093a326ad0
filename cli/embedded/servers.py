"""Start and stop PostgreSQL and Valkey together.

`start_servers` and `temporary_servers` are what tests and benchmarks use.
"""

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cli.embedded.child import Child
from cli.embedded.leftovers import end_server
from cli.embedded.postgres import Postgres
from cli.embedded.session import Session, erase, open_session
from cli.embedded.valkey import Valkey
from shared.errors import NotNow

# Where people expect servers of their own, should the system's range of free ports hold them.
STANDARD_PORTS = frozenset({3306, 5432, 5433, 5672, 6379, 6380, 8080, 27017})
PORT_ATTEMPTS = 5  # another process may take a free port before the server does
STOP_TIMEOUT_S = 30.0  # writing back 128 MB of shared buffers to a slow disk


class Servers:
    """The embedded servers of one session. The URLs hold passwords: never log them."""

    database_url: str | None = None  # SQLAlchemy, psycopg 3; None where not embedded
    broker_url: str | None = None  # Celery; None where not embedded
    redis_url: str | None = None  # redis-py; None where not embedded

    def __init__(
        self, session: Session, *, database: bool = True, broker: bool = True, tcp: bool = False
    ) -> None:
        """Start nothing yet.

        database, broker   which of the two servers to embed
        tcp                free loopback ports instead of unix sockets
        """
        self.session = session
        self.children: dict[str, Child] = {}
        self._parts: dict[str, Postgres | Valkey] = {}
        self._wanted = (database, broker)
        self._tcp = tcp

    def start(self) -> None:
        """Start both and wait until they answer. Raises NotNow with the log's tail."""
        for attempts_left in reversed(range(PORT_ATTEMPTS if self._tcp else 1)):
            self._place()
            try:
                self.revive()
            except NotNow:
                self.stop()
                if not attempts_left or not self._port_was_taken():
                    raise
            else:
                break
        self.session.record(
            database_url=self.database_url, broker_url=self.broker_url, redis_url=self.redis_url
        )

    def revive(self) -> None:
        """Start what is down, where it was, and wait until it answers. Raises NotNow."""
        names = self.down()
        for name in names:
            if name in self.children:
                end_server(self._parts[name].program, self.session.servers)
            child = self._parts[name].start(self.session.home.log(name))
            self.children[name] = child
            self.session.record_process(name, child.id)
        for name in names:
            self._parts[name].wait_ready(self.children[name])

    def down(self) -> list[str]:
        """The servers that are wanted and do not run."""
        return [
            name
            for name in self._parts
            if name not in self.children or self.children[name].exit_code() is not None
        ]

    def stop(self) -> None:
        """Stop both at once, cleanly. Harmless where they are down."""
        for child in self.children.values():
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self.children.values():
            child.wait_stopped(deadline - time.monotonic())

    def _place(self) -> None:
        database, broker = self._wanted
        if not database and not broker:
            return
        folder, account = self.session.servers, self.session.account
        passwords = self.session.passwords()
        sockets = None if self._tcp else self.session.socket_folder()
        ports = free_ports(2) if self._tcp else [None, None]
        if database:
            postgres = Postgres(folder, account, passwords.postgres, sockets, ports[0])
            self._parts["postgres"] = postgres
            self.database_url = postgres.url()
        if broker:
            valkey = Valkey(folder, account, passwords.valkey, sockets, ports[1])
            self._parts["valkey"] = valkey
            self.broker_url, self.redis_url = valkey.broker_url(), valkey.redis_url()

    def _port_was_taken(self) -> bool:
        """Whether a port that our servers have left is in use."""
        return any(part.port and not is_free(part.port) for part in self._parts.values())


@contextmanager
def start_servers(
    home: Path, *, database: bool = True, broker: bool = True, tcp: bool = False
) -> Iterator[Servers]:
    """Run PostgreSQL (with an empty database `facet` at the first time) and Valkey in `home`.

    Data stays in `home` for the next start. Call it from the main thread, or from one that lives
    until the end: on Linux the servers stop when the thread that started them ends.
    Raises NotNow where Facet runs there already or a server does not start, BadSettings where the
    folder or the machine does not fit. About a second the first time, then a fifth of one.
    """
    with open_session(home) as session:
        servers = Servers(session, database=database, broker=broker, tcp=tcp)
        try:
            servers.start()
            session.record(ready=True)
            yield servers
        finally:
            servers.stop()


@contextmanager
def temporary_servers(
    *, database: bool = True, broker: bool = True, tcp: bool = False
) -> Iterator[Servers]:
    """`start_servers` in a new home that is removed, with all its data, at the end."""
    home = Path(tempfile.mkdtemp(prefix="facet-"))
    with ExitStack() as stack:
        stack.callback(erase, home)
        yield stack.enter_context(start_servers(home, database=database, broker=broker, tcp=tcp))


def free_ports(wanted: int) -> list[int]:
    """Loopback TCP ports that nobody listens on, none of them a standard one."""
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < wanted:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port not in STANDARD_PORTS:
                ports.append(port)
    return ports


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
