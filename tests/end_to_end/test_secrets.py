"""What a run full of faults leaves behind holds neither the password nor a token."""

import os
import re
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from sqlalchemy import Engine, text

from cli import demo, system
from cli.embedded.supervisor import Supervisor
from shared import db
from shared.db import transaction
from tests.builders import rows
from tests.end_to_end import supplier as simulated
from tests.end_to_end.conftest import EXAMPLE
from tests.end_to_end.faulty import clear, switch
from tests.end_to_end.shop import FEEDS, NATURAL, hurry
from tests.end_to_end.supplier import Supplier
from tests.end_to_end.test_processes import ended, home, start, until

__all__ = ["home"]

PASSWORD = f"pw-{secrets.token_hex(12)}"
TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}")  # how every JWT begins
FAULTS: dict[str, Any] = {  # so many that the work goes back, so few that the breaker stays closed
    "truncated": {"kinds": ["login"], "times": 3},
    "token-expiry": {"after": 6, "times": 4},
    "server-error": {"after": 20, "times": 3},
    "reset": {"after": 30, "times": 2},
    "null-item": {"probability": 0.05},
}


@pytest.fixture
def supplier(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supplier]:
    monkeypatch.setenv("SIMULATOR_PASSWORD", PASSWORD)
    with simulated.running(300, 6) as started:
        monkeypatch.delenv("SIMULATOR_PASSWORD")
        yield started


def test_nothing_left_behind_holds_a_secret(
    home: Path, supplier: Supplier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "facet_nivoda_password").write_text(PASSWORD)
    monkeypatch.setenv("FACET_SECRETS_DIR", str(tmp_path))
    for name in ("FACET_DATABASE_URL", "FACET_BROKER_URL"):
        monkeypatch.delenv(name)
    with Supervisor(home) as supervisor:
        env = demo.servers(supervisor) | {
            "FACET_NIVODA_URL": supplier.url,
            "FACET_NIVODA_USERNAME": "facet",
            "FACET_NIVODA_REQUESTS_PER_S": "0",
            "FACET_STEWARD_POLL_S": "0.05",
            "FACET_PARTITION_OFFERS_MAX": "100",
        }
        engine = db.connect(env["FACET_DATABASE_URL"], pool_size=2)
        system.prepare_database(engine, ruleset=EXAMPLE, actor="ana")
        system.start_stages(supervisor, env, workers=1, consolidators=1)
        switch(supplier, FAULTS)
        for feed in FEEDS:
            through(supervisor, engine, feed)
        # And runs that fail for good, so that there are dead letters.
        for change in ("Session.token:key", "DiamondItem.price:amount"):
            clear(supplier)
            switch(supplier, {"schema-drift": {"renamed": [change]}})
            through(supervisor, engine, NATURAL)

        assert rows(engine, "SELECT 1 FROM dead_letters WHERE traceback IS NOT NULL")
        left = {
            "logs": b"".join(p.read_bytes() for p in (home / "logs").rglob("*") if p.is_file()),
            "database": everything(engine),
            "redis": everything_in(redis.Redis.from_url(env["FACET_REDIS_URL"])),
            "processes": processes(supervisor),
        }
        engine.dispose()
    sought = {"logs": b"token_refused", "database": b"feed_checks", "redis": b"facet:"}
    for where, found in left.items():
        assert sought.get(where, b"FACET_NIVODA_URL") in found, where  # it is looked at indeed
        assert PASSWORD.encode() not in found, where
        assert TOKEN.search(found) is None, (where, TOKEN.search(found))


def through(supervisor: Supervisor, engine: Engine, feed: str) -> None:
    """Take a run to whatever end it has, without its waits."""
    run_id = start(engine, feed)

    def over() -> Any:
        hurry(engine)
        return ended(engine, run_id)

    until(supervisor, f"the end of {feed}", partial(over))


def everything(engine: Engine) -> bytes:
    """Every row of every table as text."""
    tables = rows(engine, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = []
    with transaction(engine) as tx:
        for table in (row["tablename"] for row in tables):
            found.append(table)
            found += tx.execute(text(f"SELECT t::text FROM {table} AS t")).scalars().all()
    return "\n".join(found).encode()


def everything_in(client: "redis.Redis") -> bytes:
    """Every key and its value, as the server would write them to disk."""
    found = [part for key in client.scan_iter() for part in (key, client.dump(key) or b"")]
    client.close()
    return b"\n".join(found)


def processes(supervisor: Supervisor) -> bytes:
    """Command lines and environments of all that we started."""
    found = []
    for name in supervisor.session.runtime.processes:
        process = supervisor.session.runtime.processes[name].find()
        assert process is not None
        for one in (process, *process.children(recursive=True)):
            try:
                found += [*one.cmdline(), *(f"{k}={v}" for k, v in one.environ().items())]
            except psutil.Error:  # it has ended, or is another user's server
                continue
    assert len(found) > len(os.environ)
    return "\n".join(found).encode()
