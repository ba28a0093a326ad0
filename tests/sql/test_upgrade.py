"""The processes of the release before go on while the database is migrated (docs/upgrade.md).

`released/NNNN.sql` holds every statement that the release at schema NNNN sends; each is prepared
against the present schema. Statements of a release that the schema does not serve any more are
taken out of the folder with the migration that raises `schema_serves`.
"""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from shared import db
from sql import query
from tests.builders import rows

RELEASED = Path(__file__).parent / "released"
RELEASES = sorted(path.stem for path in RELEASED.glob("*.sql"))
STAGING = ("make_staging", "make_price_staging")
NAMED = re.compile(r"^-- name: *([a-z][a-z0-9_]*)\s*$", re.MULTILINE)

# What goes to the database by COPY, in that release's words.
COPIED = {
    "0004": {
        "raw_offers": "landed_on, partition_id, position, offer_id, read_at, payload",
    }
}

# What a release cannot do any more on the present schema though its words are understood, and what
# becomes of it. The changelog tells it.
BROKEN = {"0004": {"bury_message": "an unreadable message is not kept; its worker logs the error"}}


def released(version: str) -> dict[str, str]:
    parts = NAMED.split((RELEASED / f"{version}.sql").read_text(encoding="utf-8"))
    return {n: b.strip().rstrip(";") for n, b in zip(parts[1::2], parts[2::2], strict=True)}


def prepared(engine: Engine, statement: str) -> str:
    """As PREPARE wants it: parameters by number."""
    numbers: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        if match[1] not in numbers:
            numbers.append(match[1])
        return f"${numbers.index(match[1]) + 1}"

    compiled = str(text(statement).compile(dialect=engine.dialect))
    return re.sub(r"%\((\w+)\)s", numbered, compiled).replace("%%", "%")


def test_every_release_that_the_schema_serves_is_here(engine: Engine) -> None:
    (row,) = rows(engine, "SELECT oldest FROM schema_serves")
    assert row["oldest"] in RELEASES
    assert row["oldest"] == min(RELEASES)
    assert all(version in db.versions() for version in RELEASES)


@pytest.mark.parametrize(("version", "name"), [(v, n) for v in BROKEN for n in BROKEN[v]])
def test_what_is_said_to_be_broken_is(engine: Engine, version: str, name: str) -> None:
    values = {"message": b"?", "error": "a test"}
    with pytest.raises(IntegrityError), engine.begin() as tx:
        tx.execute(text(released(version)[name]), values)


@pytest.mark.parametrize("version", RELEASES)
def test_the_statements_of_a_release_before_run_on_the_present_schema(
    engine: Engine, version: str
) -> None:
    before = released(version)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        for made in STAGING:
            driver.execute(before[made])
        for name, statement in before.items():
            if name not in STAGING:
                driver.execute(f"PREPARE before_{name} AS {prepared(engine, statement)}")
        found = driver.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
        assert found is not None
        assert found[0] >= len(before) - len(STAGING)
        for table, columns in COPIED[version].items():
            driver.execute(f"SELECT {columns} FROM {table}")


@pytest.mark.parametrize("version", RELEASES)
def test_a_run_of_a_release_before_goes_from_its_start_to_its_end(
    engine: Engine, version: str
) -> None:
    """Its writes, in their order, with its words and on the present schema's constraints."""
    before = released(version)

    def old(name: str, **values: object) -> dict[str, object]:
        with engine.begin() as tx:
            found = tx.execute(text(before[name]), values)
            row = found.mappings().first() if found.returns_rows else None
        return dict(row or {})

    feed = "nivoda-natural"
    old("know_feed", feed=feed)
    run = old("open_run", feed=feed, kind="full", updated_from=None, traceparent=None)
    old("make_room", day=run["landed_on"])
    one = {"run_id": run["run_id"], "partition_id": None, "priority": 0, "traceparent": None}
    item = old("add_item", kind="plan", attempts_max=5, **one)
    told = old("announce_items", kind="plan", again_s=30, announced_max=64)
    assert told["item_id"] == item["item_id"]
    owner = "00000000-0000-0000-0000-000000000001"
    claim = old("claim_item", kind="plan", epoch=0, owner=owner, lease_s=60, **item)
    part = old(
        "add_partition",
        run_id=run["run_id"],
        parent_id=None,
        sweep=False,
        next_offset=0,
        slice="{}",
        price_low=0,
        price_high=None,
        planned_offers=1,
        estimated=False,
        saturated=False,
    )
    old("run_fetching", run_id=run["run_id"], counted=1)
    fence = {"item_id": item["item_id"], "epoch": claim["epoch"]}
    assert old("finish_item", **fence) == item
    old("partition_fetched", partition_id=part["partition_id"], requests=1, elapsed_ms=1)
    assert old("runs_to_sweep", attempts_max=8) == {"run_id": run["run_id"]}
    with engine.begin() as tx:
        tx.execute(text("UPDATE work_items SET state = 'done', finished_at = now()"))
    assert old("runs_to_reconcile", attempts_max=6) == {"run_id": run["run_id"]}
    totals = ("landed", "offers", "rejected", "written", "delisted", "price_changes", "requests")
    ended = {"state": "complete", "reason": None, "recounted": None} | dict.fromkeys(totals, 0)
    assert old("finish_run", run_id=run["run_id"], **ended) == {"run_id": run["run_id"]}
    # And the present release reads what that one has written.
    with engine.begin() as tx:
        shown = tx.execute(query("run_progress"), {"run_id": run["run_id"]}).mappings().one()
    assert (shown["state"], shown["partitions"]) == ("complete", 1)
