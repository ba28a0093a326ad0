"""`facet db roles`, and which login and pool a process is given."""

import json

import pytest
from sqlalchemy import Engine, text

from cli import system
from cli.system import Role
from shared.db import transaction
from shared.settings import load
from sql import roles
from tests.cli.test_conventions import assert_fails, facet
from tests.sql.test_roles import House, house

__all__ = ["house"]

pytestmark = pytest.mark.timeout(400)  # processes of their own, on a busy machine


def services(engine: Engine) -> dict[str, str]:
    url = engine.url.render_as_string(hide_password=False)
    return {"FACET_DATABASE_URL_MIGRATE": url, "FACET_BROKER_URL": "redis://127.0.0.1:9/0"} | {
        "FACET_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/none"
    }


def test_what_was_granted_by_hand_is_put_right(house: House) -> None:
    with transaction(house.owner) as tx:
        tx.exec_driver_sql("GRANT DELETE ON audit_events TO facet_operator")
    done = facet("db", "roles", "--json", **services(house.owner))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "created": [],
        "mended": ["facet_operator has DELETE on audit_events"],
    }
    again = facet("db", "roles", **services(house.owner))
    assert "each may do what it does" in again.stderr


def test_a_dry_run_prints_what_would_do_the_same_and_changes_nothing(house: House) -> None:
    with transaction(house.owner) as tx:
        tx.exec_driver_sql("GRANT DELETE ON diamonds TO facet_operator")
    done = facet("db", "roles", "--dry-run", **services(house.owner))
    assert done.returncode == 0, done.stderr
    with transaction(house.owner) as tx:
        assert roles.deviations(tx) == ["facet_operator has DELETE on diamonds"]
    statements = [line for line in done.stdout.splitlines() if line not in {"BEGIN;", "COMMIT;"}]
    with transaction(house.owner) as tx:
        for statement in statements:
            tx.execute(text(statement))
        assert roles.deviations(tx) == []


def test_who_may_not_is_told_what_to_do(house: House) -> None:
    done = facet("db", "roles", **services(house.logins["facet_readonly"]))
    assert_fails(done, "this user may not", "facet db roles --dry-run", 1)


@pytest.mark.parametrize(
    ("role", "concurrency", "login", "pool"),
    [
        ("steward", 1, "scheduler", "1"),
        ("scheduler", 3, "scheduler", "1"),
        ("worker", 6, "worker", "6"),
        ("consolidator", 4, "everybody", "1"),
    ],
)
def test_a_process_logs_in_as_its_own_role_with_a_pool_for_its_threads(
    role: Role, concurrency: int, login: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = load(
        {
            "FACET_DATABASE_URL": "postgresql+psycopg://everybody@host/facet",
            "FACET_DATABASE_URL_SCHEDULER": "postgresql+psycopg://scheduler@host/facet",
            "FACET_DATABASE_URL_WORKER": "postgresql+psycopg://worker@host/facet",
        }
    )
    url = f"postgresql+psycopg://{login}@host/facet"
    assert system.own_settings(given, role, concurrency) == {
        "FACET_DATABASE_URL": url,
        "FACET_POOL_SIZE": pool,
    }
    monkeypatch.setenv("FACET_POOL_SIZE", "9")
    assert system.own_settings(given, role, concurrency) == {"FACET_DATABASE_URL": url}
