"""Every statement is sound against the schema and has a caller."""

import re
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sql import query, statements

ROOT = Path(__file__).parents[2]
STAGING = ("make_staging", "make_price_staging")  # the tables that other statements read
UNPREPARED = ("clear_staging",)  # PREPARE takes no TRUNCATE
ROOMS = ("cli", "consolidator", "scheduler", "shared", "worker")


@pytest.mark.parametrize("name", sorted(statements()))
def test_the_statement_is_sound(name: str, engine: Engine) -> None:
    numbers: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        if match[1] not in numbers:
            numbers.append(match[1])
        return f"${numbers.index(match[1]) + 1}"

    compiled = str(query(name).compile(dialect=engine.dialect))
    plain = re.sub(r"%\((\w+)\)s", numbered, compiled).replace("%%", "%")
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        if name in STAGING:
            driver.execute(plain)
            return
        for made in STAGING:
            driver.execute(statements()[made])
        driver.execute(plain if name in UNPREPARED else f"PREPARE checked AS {plain}")


@pytest.mark.parametrize("name", sorted(statements()))
def test_the_statement_has_a_caller(name: str) -> None:
    quoted = f'"{name}"'
    sources = (path for room in (*ROOMS, "sql") for path in (ROOT / room).rglob("*.py"))
    assert any(quoted in path.read_text(encoding="utf-8") for path in sources)


@pytest.mark.parametrize("name", sorted(statements()))
def test_the_statement_says_what_it_does(name: str) -> None:
    """One that reads or writes a row by its key needs no words; anything longer does."""
    body = statements()[name]
    assert body.startswith("--") or len(body.splitlines()) <= 12


def test_nobody_writes_sql_outside_the_sql_room() -> None:
    """COPY and one streamed read aside, which go through psycopg's own protocol."""
    allowed = {
        "consolidator/fold.py",
        "consolidator/stock.py",
        "scheduler/cut.py",
        "worker/fetch.py",
    }
    found = subprocess.run(
        ["git", "grep", "-lE", r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b [a-z*]", "--", *ROOMS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    offenders = {line for line in found.stdout.split() if line.endswith(".py")}
    assert offenders <= allowed | {"shared/db.py"}
