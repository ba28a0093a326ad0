"""The database: one engine a process, short transactions, errors under our names.

Whoever opens a transaction closes it, in the same function. None is open across a call to a
supplier.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.errors import DatabaseUnavailable, OldSchema
from sql import MIGRATIONS

if TYPE_CHECKING:
    from alembic.config import Config

CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 30  # a process that waits longer for its own connections has a leak

# SQLSTATEs after which the same transaction may well succeed: lost connections and shutdowns,
# serialization failure and deadlock, too many connections, out of disk, cancelled by time-out.
_TRANSIENT = ("08", "57", "40", "53", "55P03", "25P03")


def connect(url: str, *, pool_size: int = 2, statement_timeout_s: float = 300) -> Engine:
    """An engine; opens no connection yet. `url` as SQLAlchemy writes it."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=1,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "facet",
            "options": f"-c statement_timeout={round(statement_timeout_s * 1000)} -c timezone=UTC",
        },
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on any exception.

    Raises DatabaseUnavailable for what another attempt may cure. After a lost commit the caller
    does not know whether it happened: every write is keyed or fenced, so doing it again is safe.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailable(_sentence(error), hint="`facet doctor`") from error
    except DBAPIError as error:
        if _transient(error.orig):
            raise DatabaseUnavailable(_sentence(error), hint="`facet doctor`") from error
        raise
    except PoolTimeout as error:
        raise DatabaseUnavailable("no free database connection in this process") from error
    except psycopg.Error as error:  # from COPY, which SQLAlchemy does not wrap
        if _transient(error) or isinstance(error, psycopg.OperationalError):
            raise DatabaseUnavailable(str(error).strip().splitlines()[0]) from error
        raise


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


def _sentence(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return f"the database does not answer: {lines[0] if lines else type(error.orig).__name__}"


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema to this code's version; returns the versions before and after.

    Safe to run by several at once: an advisory lock queues them.
    """
    from alembic.command import upgrade  # noqa: PLC0415  most processes never migrate

    with transaction(engine) as tx:
        tx.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('facet.migrate'))")
        before = schema_version(tx)
        config = _alembic()
        config.attributes["connection"] = tx
        upgrade(config, "head")
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
    """Raise OldSchema, with the command that helps, where the schema is not this code's."""
    with transaction(engine) as tx:
        found = schema_version(tx)
    needed = versions()[-1]
    if found == needed:
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


def _alembic() -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
