"""Each fault that a doctor should find, made; and the command that mends it, named."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
import pytest
import redis
from sqlalchemy import Engine, make_url

from cli import doctor
from cli.doctor import Finding, Patient
from cli.embedded.servers import Servers
from shared import checks, db
from shared.accounts import accounts
from shared.db import transaction
from shared.errors import SupplierUnavailable, Throttled
from shared.feeds import feed
from shared.feeds.health import Finding as Drift
from shared.feeds.health import Health
from shared.settings import load
from tests.builders import FEED, due_item, held_item, lapse
from tests.cli.test_conventions import facet
from tests.sql.test_roles import House, apply, house

__all__ = ["house"]


def patient(engine: Engine, servers: Servers, home: Path, **given: str) -> Patient:
    named = {
        "FACET_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "FACET_BROKER_URL": str(servers.redis_url),
    }
    return Patient(load(named | given), engine, home, embedded=False)


@pytest.fixture
def well(engine: Engine, servers: Servers, tmp_path: Path) -> Patient:
    return patient(engine, servers, tmp_path)


def worst(found: Iterator[Finding]) -> Finding:
    """The finding that says most; fails where all is well."""
    there = [one for one in found if one.level != "ok"]
    assert there, "nothing was found"
    assert all(one.mend for one in there)
    return max(there, key=lambda one: one.level == "problem")


def test_a_database_that_is_away_is_found_and_the_rest_is_still_looked_at(
    servers: Servers, tmp_path: Path
) -> None:
    away = db.connect("postgresql+psycopg://x@127.0.0.1:9/none")
    found = list(doctor.examine(patient(away, servers, tmp_path)))
    assert (found[0].check, found[0].level) == ("database", "problem")
    assert {one.check for one in found} == {"database", "broker", "disk"}


def test_an_old_schema_is_found(well: Patient) -> None:
    with transaction(well.engine) as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    (found,) = [one for one in doctor.examine(well) if one.check == "schema"]
    assert (found.level, found.mend) == ("problem", "`facet db migrate`")


@pytest.mark.parametrize(("off_s", "level"), [(0, "ok"), (10, "warning"), (-90, "problem")])
def test_clocks_that_disagree_are_found(well: Patient, off_s: int, level: str) -> None:
    def now() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=off_s)

    (found,) = [one for one in doctor.database(well, now) if one.check == "clock"]
    assert found.level == level


@pytest.mark.parametrize("url", ["redis://127.0.0.1:9/0", "amqp://127.0.0.1:9//"])
def test_a_broker_that_is_away_is_found(
    engine: Engine, servers: Servers, tmp_path: Path, url: str
) -> None:
    away = patient(engine, servers, tmp_path, FACET_BROKER_URL=url)
    assert worst(doctor.broker(away)).level == "problem"


def test_a_redis_that_forgets_is_found(well: Patient, servers: Servers) -> None:
    client = redis.Redis.from_url(str(servers.redis_url))
    before = client.config_get("maxmemory-policy")
    assert [one.level for one in doctor.broker(well)] == ["ok"]
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = worst(doctor.broker(well))
    finally:
        client.config_set("maxmemory-policy", before["maxmemory-policy"])
        client.close()
    assert found.level == "problem"
    assert "maxmemory-policy noeviction" in found.mend


class Supplied(NamedTuple):
    patient: Patient
    account: Any


@pytest.fixture
def supplied(
    engine: Engine, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Supplied]:
    """A house with an account at a supplier, whose limit and breaker are nobody else's."""
    given = {"URL": "http://127.0.0.1:9/api", "USERNAME": "ana", "PASSWORD": "hush-hush"}
    named = {f"FACET_NIVODA_{key}": value for key, value in given.items()}
    made = patient(engine, servers, tmp_path, FACET_NIVODA_BREAKER_FAILURES="1", **named)
    client = redis.Redis.from_url(str(servers.redis_url))
    for key in client.scan_iter("facet:*{nivoda}*"):
        client.delete(key)
    (account,) = [one for one in accounts(made.given, client) if one.limiter.key == "nivoda"]
    yield Supplied(made, account)
    for key in client.scan_iter("facet:*{nivoda}*"):
        client.delete(key)
    client.close()


def test_a_limit_that_was_cut_is_found(supplied: Supplied) -> None:
    assert {one.level for one in doctor.limiter(supplied.patient)} == {"ok"}
    with pytest.raises(Throttled), supplied.account.limiter.turn():
        raise Throttled("429")
    found = worst(doctor.limiter(supplied.patient))
    assert (found.level, "nivoda complained" in found.says) == ("warning", True)


def test_an_open_breaker_is_found(supplied: Supplied) -> None:
    def failing() -> None:
        raise SupplierUnavailable("down")

    for _ in range(5):
        with pytest.raises(SupplierUnavailable):
            supplied.account.breaker.call(failing)
    found = worst(doctor.limiter(supplied.patient))
    assert (found.level, "breaker of nivoda is open" in found.says) == ("problem", True)


def test_a_limiter_that_is_away_is_found(engine: Engine, servers: Servers, tmp_path: Path) -> None:
    away = patient(engine, servers, tmp_path, FACET_REDIS_URL="redis://127.0.0.1:9/0")
    assert worst(doctor.limiter(away)).level == "problem"


def aged(engine: Engine, item_id: int, *, announced: bool) -> None:
    mark = "now()" if announced else "NULL"
    with transaction(engine) as tx:
        tx.exec_driver_sql("UPDATE work_items SET not_before = now() + interval '1 h'")
        tx.exec_driver_sql(
            "UPDATE work_items SET not_before = now() - interval '10 min',"
            f" announced_at = {mark} WHERE item_id = {item_id}"
        )


def test_work_that_nobody_claims_is_found_with_the_process_that_is_missing(well: Patient) -> None:
    aged(well.engine, due_item(well.engine), announced=True)
    found = worst(doctor.work(well))
    assert (found.check, found.mend) == ("worker", "`facet serve worker`")


def test_work_that_nobody_announces_is_found(well: Patient) -> None:
    aged(well.engine, due_item(well.engine), announced=False)
    found = worst(doctor.work(well))
    assert (found.check, found.mend) == ("steward", "`facet serve steward`")


def test_work_that_waits_behind_other_work_is_not_deaf(well: Patient) -> None:
    waiting = due_item(well.engine)
    aged(well.engine, waiting, announced=True)
    with transaction(well.engine) as tx:
        tx.exec_driver_sql("UPDATE runs SET state = 'cancelled', reason = 'x', finished_at = now()")
    held_item(well.engine)
    assert [one.level for one in doctor.work(well)] == ["ok"]


def test_leases_that_nobody_takes_back_are_found(well: Patient) -> None:
    held = held_item(well.engine)
    lapse(well.engine, held.item_id)
    assert [one.level for one in doctor.work(well)] == ["ok"]  # a steward may just be at it
    with transaction(well.engine) as tx:
        tx.exec_driver_sql(
            "UPDATE work_items SET lease_until = now() - interval '5 min' WHERE state = 'held'"
        )
    assert worst(doctor.work(well)).check == "steward"


def test_processes_that_may_open_more_than_the_server_takes_are_found(well: Patient) -> None:
    assert [one.level for one in doctor.connections(well)] == ["ok"]
    url = make_url(well.given.database_url.get_secret_value()).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    with psycopg.connect(address, application_name="facet/worker/a-1/60"):
        assert [one.level for one in doctor.connections(well)] == ["ok"]
        with psycopg.connect(address, application_name="facet/worker/b-1/60"):
            found = worst(doctor.connections(well))
    assert (found.level, "may open 1" in found.says) == ("problem", True)


def test_roles_that_are_not_there_are_found(well: Patient) -> None:
    found = worst(doctor.access(well))
    assert (found.level, found.mend) == ("warning", "`facet db roles`")


def test_a_role_that_may_too_much_is_found(house: House, servers: Servers, tmp_path: Path) -> None:
    there = patient(house.owner, servers, tmp_path)
    assert [one.level for one in doctor.access(there)] == ["ok"]
    with transaction(house.owner) as tx:
        tx.exec_driver_sql("GRANT UPDATE ON diamonds TO facet_worker")
    found = worst(doctor.access(there))
    assert (found.level, found.mend) == ("problem", "`facet db roles`")
    apply(house.owner)


def test_a_disk_that_fills_up_is_found(well: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, level in ((50, "ok"), (8, "warning"), (2, "problem")):
        usage = SimpleNamespace(total=100, used=100 - free, free=free)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path, usage=usage: usage)
        assert [one.level for one in doctor.disk(well)] == [level]


def test_a_disk_of_another_folder_or_of_the_database_is_looked_at(
    engine: Engine, servers: Servers, tmp_path: Path
) -> None:
    folders = f"{tmp_path}, {tmp_path / 'gone'}"
    watched = patient(engine, servers, tmp_path / "none", FACET_WATCH_DISKS=folders)
    there, gone = doctor.disk(watched)
    assert str(tmp_path) in there.says
    assert (gone.level, gone.mend) == ("warning", "mend FACET_WATCH_DISKS")
    full = patient(engine, servers, tmp_path, FACET_DATABASE_DISK_BYTES="1000000")
    (found,) = [one for one in doctor.database(full) if one.check == "disk"]
    assert (found.level, found.mend) == ("problem", "`facet retention plan`")


def test_a_role_of_which_nobody_is_at_work_is_found_before_work_is_late(well: Patient) -> None:
    with transaction(well.engine) as tx:
        for role, silent_s in (("steward", 600), ("scheduler", 0), ("worker", 0)):
            tx.exec_driver_sql(
                "INSERT INTO processes (process_id, role, host, pid, concurrency, release, seen_at)"
                f" VALUES (gen_random_uuid(), '{role}', 'a', 1, 1, '1',"
                f"         now() - interval '{silent_s} s')"
            )
    found = worst(doctor.processes(well))
    assert found.says == "at work is no steward, no consolidator"
    assert found.mend == "`facet serve steward`"
    with transaction(well.engine) as tx:
        tx.exec_driver_sql("UPDATE processes SET seen_at = now()")
        tx.exec_driver_sql("UPDATE processes SET role = 'consolidator' WHERE role = 'scheduler'")
    assert worst(doctor.processes(well)).says == "at work is no scheduler"


def test_a_contract_that_drifted_or_was_not_looked_at_is_found(well: Patient) -> None:
    assert [one.level for one in doctor.contracts(well)] == ["ok"]
    found = feed(FEED)
    gone = Drift("price", "removed", "breaks", "no stone could be priced")
    with transaction(well.engine) as tx:
        checks.keep(tx, found, checks.Checked(Health([gone]), 8))
    one = worst(doctor.contracts(well))
    assert (one.level, one.mend) == ("problem", f"`facet feed check {FEED}`")
    with transaction(well.engine) as tx:
        tx.exec_driver_sql(
            "UPDATE feed_checks SET verdict = 'compatible', checked_at = now() - interval '9 days'"
        )
    assert worst(doctor.contracts(well)).level == "warning"
    with transaction(well.engine) as tx:
        tx.exec_driver_sql("UPDATE feeds SET paused_at = now(), paused_reason = 'stocktaking'")
    assert worst(doctor.contracts(well)).mend == f"`facet feed resume {FEED} --because TEXT`"


@pytest.mark.timeout(400)  # three processes of its own, on a busy machine
def test_the_command_says_all_of_it_within_80_columns_and_by_its_exit_code(
    engine: Engine, servers: Servers, tmp_path: Path
) -> None:
    services = {
        "FACET_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "FACET_BROKER_URL": str(servers.broker_url),
        "FACET_REDIS_URL": str(servers.redis_url),
        "FACET_HOME": str(tmp_path / str(uuid4())),
        "COLUMNS": "80",
    }
    done = facet("doctor", **services, FORCE_COLOR="1")  # as on a terminal
    assert done.returncode == 3, done.stderr  # without roles, or as a superuser
    shown = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "roles: " in done.stderr
    lines = facet("doctor", "--json", **services).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert {one["check"] for one in found} >= {
        "database",
        "schema",
        "clock",
        "broker",
        "roles",
        "processes",
    }
    assert all(one.keys() == {"check", "level", "says", "mend"} for one in found)
    with transaction(engine) as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    assert facet("doctor", **services).returncode == 1
