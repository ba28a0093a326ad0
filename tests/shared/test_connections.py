"""A pooled connection may have died while it lay idle."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from shared import db
from shared.db import transaction
from shared.errors import DatabaseUnavailable


@pytest.fixture
def others(engine: Engine) -> Iterator[Engine]:
    """The database of the test, through a pool of one connection."""
    made = db.connect(engine.url.render_as_string(hide_password=False), pool_size=1)
    yield made
    made.dispose()


def end_its_connection(others: Engine, engine: Engine) -> int:
    with transaction(others) as tx:
        pid = tx.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with transaction(engine) as tx:
        tx.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
    return int(pid)


def test_a_connection_that_died_while_idle_is_replaced_unnoticed(
    engine: Engine, others: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "IDLE_S", 0.0)
    before = end_its_connection(others, engine)
    with transaction(others) as tx:
        assert tx.execute(text("SELECT pg_backend_pid()")).scalar_one() != before


def test_one_that_dies_between_two_uses_costs_one_transaction(
    engine: Engine, others: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "IDLE_S", 3_600.0)
    before = end_its_connection(others, engine)
    with pytest.raises(DatabaseUnavailable), transaction(others) as tx:
        tx.execute(text("SELECT 1"))
    with transaction(others) as tx:
        assert tx.execute(text("SELECT pg_backend_pid()")).scalar_one() != before
