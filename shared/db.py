"""The database: one engine a process, short transactions, errors under our names.

Whoever opens a transaction closes it, in the same function. None is open across a call to a
supplier. Nothing of a session outlives a transaction, so that a pooler may hand each of them
another connection (docs/connections.md).
"""

import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from shared import failpoints, telemetry
from shared.errors import CommitInDoubt, DatabaseUnavailable, OldSchema
from shared.waits import PoolUse, Waits
from sql import MIGRATIONS, roles

if TYPE_CHECKING:
    from alembic.config import Config

CONNECT_TIMEOUT_S = 5
IDLE_S = 1.0  # after which a pooled connection is asked whether it is still one
POOL_TIMEOUT_S = 30.0  # a process that waits longer for its own connections has a leak
POOL_OVERFLOW = 1  # connections above the pool's size, given up when they come back
REFUSED_BY_POOLER = "unsupported startup parameter"
NAME_BYTES_MAX = 63  # PostgreSQL cuts an application's name there

# SQLSTATEs after which the same transaction may well succeed: lost connections and shutdowns,
# serialization failure and deadlock, too many connections, out of disk, cancelled by time-out.
_TRANSIENT = ("08", "57", "40", "53", "55P03", "25P03")

# Of these, the answers to a COMMIT after which it certainly did not happen, such as a failed
# serialization. Whatever else a COMMIT ends with leaves doubt: 08007 and 40003 say so themselves, a
# broken connection says nothing, and a server that shuts down may have committed before.
_ROLLED_BACK = ("40000", "40001", "40002", "40P01", "53", "55P03")


_waits: "WeakKeyDictionary[Engine, Waits]" = WeakKeyDictionary()


def connect(
    url: str,
    *,
    pool_size: int = 2,
    statement_timeout_s: float = 300,
    pool_timeout_s: float = POOL_TIMEOUT_S,
    pooled: bool = False,
) -> Engine:
    """An engine; opens no connection yet. `url` as SQLAlchemy writes it.

    pool_size       connections kept; one more is opened where all are in use
    pool_timeout_s  longest wait for one of them
    pooled          the URL leads to a pooler in transaction mode: nothing is prepared, and what
                    would be set for a session is set for each transaction
    """
    most = pool_size + POOL_OVERFLOW
    wanted = {"statement_timeout": str(round(statement_timeout_s * 1000)), "timezone": "UTC"}
    session: dict[str, Any] = {"prepare_threshold": None}
    if not pooled:
        session = {"options": " ".join(f"-c {name}={value}" for name, value in wanted.items())}
    made = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=pool_timeout_s,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": application_name(most),
            **session,
        },
    )
    if pooled:
        settings = ", ".join(f"set_config('{key}', '{to}', true)" for key, to in wanted.items())

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT {settings}")

        event.listen(made, "begin", begin)
    event.listen(made, "connect", _binary_lists)
    event.listen(made, "checkin", _rested)
    event.listen(made, "checkout", partial(_awake, made))
    _waits[made] = Waits()
    return made


def _binary_lists(driver: psycopg.Connection[Any], _: object) -> None:
    """Send lists as they are. As text each document in one would be escaped, which takes longer
    than to land it."""
    driver.adapters.register_dumper(list, ListBinaryDumper)


def application_name(most: int) -> str:
    """How the server lists our connections: role, process, how many that process may open.

    `facet doctor` adds up the connections that there may be from it.
    """
    tail = f"-{os.getpid()}/{most}"
    head = f"facet/{telemetry.role()}/{socket.gethostname()}"
    return head[: NAME_BYTES_MAX - len(tail)] + tail


def pool_use(engine: Engine) -> PoolUse:
    """How an engine made by `connect` uses its connections at this moment."""
    pool, waits = engine.pool, _waits[engine]
    if not isinstance(pool, QueuePool):
        raise TypeError(f"QueuePool expected, {type(pool)} found")
    return PoolUse(
        in_use=pool.checkedout(),
        waiting=waits.waiting,
        most=pool.size() + POOL_OVERFLOW,
        waits=waits.waits,
        waited_s=waits.waited_s,
        timeouts=waits.timeouts,
    )


def _rested(_driver: object, record: ConnectionPoolEntry) -> None:
    """Note when a connection came back to the pool."""
    record.info["back_at"] = time.monotonic()


def _awake(engine: Engine, driver: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
    """Ask a connection that has lain idle whether its server still listens; else the pool takes
    another. One that was used a moment ago is taken as it is: asking costs a tenth of a landing."""
    if time.monotonic() - record.info.get("back_at", math.inf) > IDLE_S:
        try:
            engine.dialect.do_ping(driver)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


@contextmanager
def transaction(engine: Engine, name: str | None = None) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on any exception.

    name    of the commit's failpoints, one of `failpoints.COMMITS`; None: it has none

    Raises DatabaseUnavailable for what another attempt may cure; and of these CommitInDoubt where
    the connection was lost while it committed: then whether it happened has to be read, by key,
    before anything is done again (docs/decisions/0013-a-commit-in-doubt.md).
    """
    committing = False
    try:
        with _connection(engine) as connection, connection.begin():
            yield connection
            failpoints.committing(name)
            committing = True
        failpoints.committed(name)
    except DBAPIError as error:
        lost = isinstance(error, OperationalError | InterfaceError)
        if committing and (lost or _transient(error.orig)) and not _rolled_back(error.orig):
            raise CommitInDoubt(
                f"the connection was lost during a commit: {_first_line(error)}",
                hint="`facet doctor`",
            ) from error
        if lost or _transient(error.orig):
            refused = REFUSED_BY_POOLER in str(error)
            hint = "set FACET_DATABASE_POOLED" if refused else "`facet doctor`"
            raise DatabaseUnavailable(_sentence(error), hint=hint) from error
        raise
    except PoolTimeout as error:
        raise DatabaseUnavailable(
            "no free database connection in this process", hint="`facet doctor`"
        ) from error
    except psycopg.Error as error:  # from COPY, which SQLAlchemy does not wrap
        if _transient(error) or isinstance(error, psycopg.OperationalError):
            raise DatabaseUnavailable(str(error).strip().splitlines()[0]) from error
        raise


def _connection(engine: Engine) -> Connection:
    """A connection of the pool, waited for no longer than it allows."""
    waits, pool = _waits.get(engine), engine.pool
    if waits is None or not isinstance(pool, QueuePool):  # not made by `connect`
        return engine.connect()
    with waits.counted(pool, pool.size() + POOL_OVERFLOW):
        return engine.connect()


def cursor(connection: Connection) -> psycopg.Cursor[Any]:
    """A psycopg cursor inside the transaction of `connection`, for COPY."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError(f"psycopg expected, {type(driver)} found")
    return driver.cursor()


def as_it_is(document: str | bytes) -> bytes:
    """For `set_json_loads`: a JSON document as its bytes, for who reads many at once."""
    return document if isinstance(document, bytes) else document.encode()


def _transient(error: BaseException | None) -> bool:
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_TRANSIENT)


def _rolled_back(error: BaseException | None) -> bool:
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_ROLLED_BACK)


def _sentence(error: DBAPIError) -> str:
    return f"the database does not answer: {_first_line(error)}"


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema to this code's version; returns the versions before and after.

    Safe to run by several at once: an advisory lock queues them.
    """
    from alembic.command import upgrade  # noqa: PLC0415  most processes never migrate

    with transaction(engine) as tx:
        tx.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('facet.migrate'))")
        before = schema_version(tx)
        owned = roles.owns_schema(tx)
        if owned:  # what is made now belongs to it too, whoever is logged in
            tx.exec_driver_sql(f"SET LOCAL ROLE {roles.OWNER}")
        config = _alembic()
        config.attributes["connection"] = tx
        upgrade(config, "head")
        if owned:
            roles.grant(tx)
        return before, versions()[-1]


def schema_version(tx: Connection) -> str | None:
    """The schema's version; None for a database without one."""
    there = tx.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar_one()
    if there is None:
        return None
    found = tx.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return None if found is None else str(found)


@cache
def versions() -> tuple[str, ...]:
    """Every version there was, in order; the last is the one this code was written for."""
    names = sorted(path.name for path in (MIGRATIONS / "versions").glob("v*.py"))
    return tuple(name.removeprefix("v").partition("_")[0] for name in names)


def require_schema(engine: Engine) -> None:
    """Raise OldSchema, with the command that helps, where this code does not run on the schema.

    It runs on its own, and on a later one that says it serves code as old as this.
    """
    needed = versions()[-1]
    with transaction(engine) as tx:
        found = schema_version(tx)
        if found == needed or (found is not None and _serves(tx, found, needed)):
            return
    if found is None or found in versions():
        raise OldSchema(
            f"the database is at schema {found or 'none'}, this release needs {needed}",
            hint="`facet db migrate`",
        )
    raise OldSchema(
        f"the database is at schema {found}, which this release does not know",
        hint="install the release that migrated it, or a later one",
    )


def _serves(tx: Connection, found: str, needed: str) -> bool:
    """Whether a later schema still serves the code that was written for `needed`."""
    if not found.isdigit() or found <= needed:
        return False
    there = tx.exec_driver_sql("SELECT to_regclass('schema_serves')").scalar_one()
    if there is None:
        return False
    oldest = tx.exec_driver_sql("SELECT oldest FROM schema_serves").scalar_one()
    return bool(needed >= oldest)


def _alembic() -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
