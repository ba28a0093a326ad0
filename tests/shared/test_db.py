"""Connections: how many there are, how long they are waited for, what they leave behind."""

import threading

import pytest
from sqlalchemy import text

from shared import db, telemetry
from shared.db import transaction
from shared.errors import DatabaseUnavailable, Transient
from tests.builders import rows


def test_who_waits_too_long_for_a_connection_gives_the_work_back(database_url: str) -> None:
    engine = db.connect(database_url, pool_size=1, pool_timeout_s=0.05)
    with transaction(engine), transaction(engine):
        assert db.pool_use(engine).in_use == db.pool_use(engine).most == 2
        third = transaction(engine)
        with pytest.raises(DatabaseUnavailable, match="no free database connection") as caught:
            third.__enter__()
    assert isinstance(caught.value, Transient)
    use = db.pool_use(engine)
    assert (use.in_use, use.waiting, use.timeouts) == (0, 0, 1)
    assert use.waited_s >= 0.05
    engine.dispose()


def test_who_waits_is_counted_while_it_waits(database_url: str) -> None:
    engine = db.connect(database_url, pool_size=1, pool_timeout_s=60)
    got = threading.Event()

    def wait() -> None:
        with transaction(engine):
            got.set()

    with transaction(engine), transaction(engine):
        waiting = threading.Thread(target=wait)
        waiting.start()
        seen = threading.Event()
        while db.pool_use(engine).waiting == 0:
            assert not seen.wait(0.01)
        assert not got.is_set()
    waiting.join(60)
    assert got.is_set()
    assert db.pool_use(engine).waiting == 0
    engine.dispose()


def test_the_server_lists_a_process_by_its_role_and_what_it_may_open(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_role", ["worker"])
    monkeypatch.setattr(db.socket, "gethostname", lambda: "a" * 80)
    engine = db.connect(database_url, pool_size=4)
    (named,) = rows(engine, "SELECT current_setting('application_name') AS name")
    role, process = named["name"].split("/")[1:3]
    assert (role, named["name"].rpartition("/")[2]) == ("worker", "5")
    assert process.rpartition("-")[2].isdigit()
    engine.dispose()


@pytest.mark.parametrize("pooled", [False, True])
def test_every_transaction_has_its_time_limit_and_zone(database_url: str, pooled: bool) -> None:
    engine = db.connect(database_url, statement_timeout_s=17, pooled=pooled)
    for _ in range(2):
        (found,) = rows(
            engine,
            "SELECT current_setting('statement_timeout') AS most,"
            " current_setting('timezone') AS zone",
        )
        assert found == {"most": "17s", "zone": "UTC"}
    engine.dispose()


def test_through_a_pooler_nothing_is_set_or_prepared_for_a_session(database_url: str) -> None:
    engine = db.connect(database_url, pool_size=1, pooled=True)
    for _ in range(8):
        rows(engine, "SELECT 1")
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.rollback()
        found = raw.execute(
            "SELECT (SELECT count(*) FROM pg_prepared_statements),"
            " (SELECT count(*) FROM pg_settings WHERE source = 'session'),"
            " current_setting('statement_timeout')"
        ).fetchone()
        assert found == (0, 0, "0")
    engine.dispose()


def test_a_pooler_that_refuses_our_settings_is_told_of_with_the_setting_that_helps(
    monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    engine = db.connect(database_url.replace("test_", "absent_"))
    monkeypatch.setattr(db, "REFUSED_BY_POOLER", "does not exist")
    with pytest.raises(DatabaseUnavailable) as caught, transaction(engine) as tx:
        tx.execute(text("SELECT 1"))
    assert "FACET_DATABASE_POOLED" in caught.value.hint
