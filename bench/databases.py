"""Copies of a prepared database: every contender meets the same rows, indexes and settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, make_url

from shared import db

TIMEOUT_S = 3_600


def connected(url: str) -> Engine:
    """An engine whose statements may take long."""
    return db.connect(url, statement_timeout_s=TIMEOUT_S)


@contextmanager
def copied(url: str, name: str) -> Iterator[Engine]:
    """A database like that of `url`, to which nobody may be connected; gone at the end."""
    admin(url, f"CREATE DATABASE {name} TEMPLATE {make_url(url).database} STRATEGY file_copy")
    admin(url, "CHECKPOINT")
    engine = connected(make_url(url).set(database=name).render_as_string(hide_password=False))
    try:
        yield engine
    finally:
        engine.dispose()
        admin(url, f"DROP DATABASE {name} WITH (FORCE)")


def admin(url: str, statement: str, *, database: str = "postgres") -> None:
    """Run what no transaction may hold, such as VACUUM."""
    engine = create_engine(make_url(url).set(database=database), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
