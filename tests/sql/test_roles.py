"""Each role may do what its processes do and nothing else, over every table there is."""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from cli.embedded.servers import Servers
from shared import db, runs
from shared.db import transaction
from sql import query, roles
from tests.builders import rows

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
PASSWORD = secrets.token_hex(8)

# What must never be, written down a second time, apart from the table that grants.
NEVER = {
    "facet_worker": {
        "diamonds": {"INSERT", "UPDATE", "DELETE"},
        "price_changes": {"INSERT", "UPDATE", "DELETE"},
        "rulesets": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "rates": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "feeds": {"INSERT", "UPDATE", "DELETE"},
        "reprices": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    },
    "facet_consolidator": {
        "rulesets": {"INSERT", "UPDATE", "DELETE"},
        "rates": {"INSERT", "UPDATE", "DELETE"},
        "raw_offers": {"INSERT", "UPDATE", "DELETE"},
        "diamonds": {"DELETE"},
        "price_changes": {"UPDATE", "DELETE"},
        "runs": {"INSERT", "DELETE"},
    },
    "facet_scheduler": {
        "diamonds": {"INSERT", "UPDATE", "DELETE"},
        "price_changes": {"INSERT", "UPDATE", "DELETE"},
        "raw_offers": {"INSERT", "UPDATE", "DELETE"},
        "rulesets": {"INSERT", "UPDATE", "DELETE"},
        "rates": {"INSERT", "UPDATE", "DELETE"},
        "audit_events": {"UPDATE", "DELETE"},
    },
    "facet_operator": {
        "diamonds": {"INSERT", "UPDATE", "DELETE"},
        "price_changes": {"INSERT", "UPDATE", "DELETE"},
        "raw_offers": {"INSERT", "UPDATE", "DELETE"},
        "audit_events": {"UPDATE", "DELETE"},
    },
}

UNDO_0010 = (
    "ALTER TABLE reprices DROP CONSTRAINT measured_whole, DROP CONSTRAINT jumped_is_changed",
    "ALTER TABLE reprices DROP measured_at, DROP measured_stones, DROP changed_stones",
    "ALTER TABLE reprices DROP jumped_stones, DROP jump",
)
UNDO_0009 = (
    "DROP FUNCTION drop_raw_offers, drop_price_changes, table_sums",
    "DROP TABLE archives, retentions, schema_serves",
    "ALTER TABLE runs DROP COLUMN pruned_at CASCADE",
    "DROP INDEX work_items_by_run, dead_letters_by_partition",
    "UPDATE alembic_version SET version_num = '0008'",
)


class House(NamedTuple):
    """A hosted database: nobody in it is a superuser."""

    owner: Engine
    logins: dict[str, Engine]  # by role


@pytest.fixture(scope="module")
def house(servers: Servers) -> Iterator[House]:
    """Migrated by its owner, who may make roles and nothing more; roles; a login in each."""
    admin = create_engine(str(servers.database_url), isolation_level="AUTOCOMMIT")
    suffix = f"{os.getpid()}"
    name, owner = f"house_{suffix}", f"owner_{suffix}"
    logins = {role: f"{role}_{suffix}" for role in roles.names()}
    with ExitStack() as stack:
        stack.callback(admin.dispose)
        server = stack.enter_context(admin.connect())

        def clean() -> None:
            server.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            for user in (*logins.values(), *roles.names(), owner):
                server.exec_driver_sql(f"DROP ROLE IF EXISTS {user}")

        stack.callback(clean)
        server.exec_driver_sql(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        server.exec_driver_sql(f"CREATE DATABASE {name} OWNER {owner}")

        def login(user: str) -> Engine:
            url = make_url(str(servers.database_url)).set(
                username=user, password=PASSWORD, database=name
            )
            made = db.connect(url.render_as_string(hide_password=False))
            stack.callback(made.dispose)
            return made

        mine = login(owner)
        db.migrate(mine)
        apply(mine)
        with transaction(mine) as tx:
            for role, user in logins.items():
                tx.exec_driver_sql(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}' IN ROLE {role}")
        yield House(mine, {role: login(user) for role, user in logins.items()})


def apply(engine: Engine) -> None:
    """What `facet db roles` does."""
    with transaction(engine) as tx:
        for statement in (*roles.create(roles.missing(tx)), *roles.hand_over(tx)):
            tx.exec_driver_sql(statement)
        roles.grant(tx)


def tables(engine: Engine) -> list[str]:
    with transaction(engine) as tx:
        return [str(name) for name in tx.execute(query("tables_there")).scalars()]


def attempts(engine: Engine, table: str) -> dict[str, str]:
    """A statement for each verb that changes nothing whoever may do it."""
    columns = rows(
        engine,
        "SELECT attname AS name, atttypid::regtype::text AS kind FROM pg_attribute"
        " WHERE attrelid = CAST(:t AS regclass) AND attnum > 0 AND attidentity = ''"
        " AND NOT attisdropped ORDER BY attnum",
        t=table,
    )
    name, kind = columns[0]["name"], columns[0]["kind"]
    return {
        "SELECT": f"SELECT FROM {table} LIMIT 0",
        "INSERT": f'INSERT INTO {table} ("{name}") SELECT CAST(NULL AS {kind}) WHERE false',
        "UPDATE": f'UPDATE {table} SET "{name}" = CAST(NULL AS {kind}) WHERE false',
        "DELETE": f"DELETE FROM {table} WHERE false",
        "TRUNCATE": f"TRUNCATE {table} CASCADE",
    }


def allowed(engine: Engine, statement: str) -> bool:
    """Whether the server lets a login do that; taken back in any case."""
    with engine.connect() as connection:
        try:
            connection.execute(text(statement))
        except ProgrammingError as error:
            if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                raise
            return False
        finally:
            connection.rollback()
    return True


def test_every_table_has_its_line(engine: Engine) -> None:
    assert set(tables(engine)) - set(roles.TABLES) == set(), "sql/roles.py grants nothing on them"


def test_what_a_login_may_do_is_what_stands_in_the_table_and_nothing_else(house: House) -> None:
    wrong = []
    for table in tables(house.owner):
        granted = {(one.role, one.verb) for one in roles.privileges(table) if one.column is None}
        whole = attempts(house.owner, table)
        is_view = table in {"catalogue", "spent_runs"}
        for role in roles.names()[:-1]:
            for verb in VERBS[:1] if is_view else VERBS:
                may = allowed(house.logins[role], whole[verb])
                if may != ((role, verb) in granted):
                    wrong.append((role, verb, table, may))
    assert wrong == []


@pytest.mark.parametrize("role", sorted(NEVER))
def test_what_a_role_must_never_do_is_refused(role: str, house: House) -> None:
    for table, verbs in NEVER[role].items():
        whole = attempts(house.owner, table)
        assert [v for v in verbs if allowed(house.logins[role], whole[v])] == [], table


def test_who_only_reads_reads_everything_and_writes_nothing(house: House) -> None:
    reader = house.logins["facet_readonly"]
    for table in tables(house.owner):
        whole = attempts(house.owner, table)
        assert allowed(reader, whole["SELECT"]), table
        writes = [] if table in {"catalogue", "spent_runs"} else VERBS[1:]
        assert not any(allowed(reader, whole[verb]) for verb in writes), table


@pytest.mark.parametrize(
    ("role", "statement", "may"),
    [
        ("facet_worker", "UPDATE runs SET counted = 1 WHERE false", True),
        ("facet_worker", "UPDATE runs SET state = 'complete' WHERE false", False),
        ("facet_consolidator", "UPDATE feeds SET watermark = now() WHERE false", True),
        ("facet_consolidator", "UPDATE feeds SET paused_at = NULL WHERE false", False),
        ("facet_scheduler", "SELECT make_room('2026-11-21')", True),
        ("facet_worker", "SELECT make_room('2026-11-21')", False),
        ("facet_consolidator", "CREATE TABLE mine (a int)", False),
        ("facet_consolidator", "CREATE TEMPORARY TABLE mine (a int)", True),
        ("facet_operator", "DROP TABLE diamonds", False),
        ("facet_operator", "CREATE TABLE mine (a int)", False),
        ("facet_operator", "CREATE ROLE more LOGIN", False),
        ("facet_migrate", "CREATE TABLE mine (a int)", True),
        ("facet_migrate", "ALTER TABLE runs ADD COLUMN mine int", True),
    ],
)
def test_what_is_not_of_a_table(house: House, role: str, statement: str, may: bool) -> None:
    assert allowed(house.logins[role], statement) is may


def test_granting_again_puts_right_what_was_granted_by_hand(house: House) -> None:
    with transaction(house.owner) as tx:
        assert roles.deviations(tx) == []
        tx.exec_driver_sql("GRANT UPDATE ON diamonds TO facet_worker")
        tx.exec_driver_sql("REVOKE SELECT ON runs FROM facet_operator")
        assert roles.deviations(tx) == [
            "facet_operator lacks SELECT on runs",
            "facet_worker has UPDATE on diamonds",
        ]
    apply(house.owner)
    with transaction(house.owner) as tx:
        assert roles.deviations(tx) == []


def test_a_migration_by_a_login_of_the_owners_role_leaves_everything_to_that_role(
    house: House,
) -> None:
    login = house.logins["facet_migrate"]
    with transaction(login) as tx:  # the last migrations undone
        tx.exec_driver_sql(f"SET LOCAL ROLE {roles.OWNER}")
        for statement in UNDO_0010 + UNDO_0009:
            tx.exec_driver_sql(statement)
    assert db.migrate(login) == ("0008", db.versions()[-1])
    with transaction(login) as tx:
        assert tx.execute(query("objects_of_others"), {"owner": roles.OWNER}).all() == []
        assert roles.deviations(tx) == []
    assert allowed(house.logins["facet_scheduler"], "SELECT drop_raw_offers('2020-01-01', NULL)")


def test_a_database_without_the_roles_has_nothing_to_put_right(engine: Engine) -> None:
    with transaction(engine) as tx:
        assert roles.owns_schema(tx) is False
        assert not roles.in_use(tx)
        assert roles.deviations(tx) == []


def test_a_run_is_opened_by_who_owns_nothing(house: House) -> None:
    for role, feed in (("facet_operator", "nivoda-natural"), ("facet_scheduler", "idex-natural")):
        with transaction(house.logins[role]) as tx:
            assert runs.start(tx, feed).run_id
