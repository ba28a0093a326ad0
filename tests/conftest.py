"""Real servers for every test process, and a database of its own for every test."""

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url

from cli.embedded.servers import Servers, temporary_servers
from shared import db, tracing
from shared.settings import settings

serial = itertools.count(1)

# Tests start many processes; each would compile all of Facet again, at 5 s of CPU.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A private PostgreSQL and Valkey, gone with the test process."""
    with temporary_servers() as running:
        yield running


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """The URL of a migrated database to copy; nobody may be connected to it."""
    assert servers.database_url is not None
    _admin(servers.database_url, "CREATE DATABASE template_facet")
    url = make_url(servers.database_url).set(database="template_facet")
    engine = db.connect(url.render_as_string(hide_password=False))
    db.migrate(engine)
    engine.dispose()
    return url.render_as_string(hide_password=False)


@contextmanager
def copied_database(template: str) -> Iterator[str]:
    """The URL of a new database at the present schema; gone at the end."""
    name = f"test_{os.getpid()}_{next(serial)}"
    _admin(template, f"CREATE DATABASE {name} TEMPLATE template_facet")
    yield make_url(template).set(database=name).render_as_string(hide_password=False)
    _admin(template, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def own_database(template: str) -> Iterator[Engine]:
    """The same, connected to."""
    with copied_database(template) as url:
        made = db.connect(url, pool_size=4)
        yield made
        made.dispose()


@pytest.fixture
def database_url(template: str) -> Iterator[str]:
    """The URL of a database of the test's own, at the present schema."""
    with copied_database(template) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database of the test's own, at the present schema."""
    made = db.connect(database_url, pool_size=4)
    yield made
    made.dispose()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting of the caller's reaches a test, and none of a test's the next one."""
    for name in list(os.environ):
        if name.startswith(("FACET_", "OTEL_")) and name != "FACET_EXAMPLES":
            monkeypatch.delenv(name)
    monkeypatch.setenv("FACET_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/none")
    monkeypatch.setenv("FACET_BROKER_URL", "redis://127.0.0.1:9/0")
    settings.cache_clear()
    tracing.on.cache_clear()
    yield
    settings.cache_clear()
    tracing.on.cache_clear()


def _admin(url: str, statement: str) -> None:
    admin = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(statement)
    finally:
        admin.dispose()
