"""Every statement of the pipeline, by name.

`queries/*.sql` hold them: a line `-- name: NAME`, the contract as comments, the statement. Nothing
here knows a connection.
"""

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

ROOT = Path(__file__).parent
MIGRATIONS = ROOT / "migrations"

_NAME = re.compile(r"^-- name: *([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """All statements, name to text, comments left in. Raises ValueError for a name used twice."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "queries").glob("*.sql")):
        parts = _NAME.split(path.read_text(encoding="utf-8"))
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in found:
                raise ValueError(f"two statements are named {name}")
            found[name] = body.strip().rstrip(";")
    return found


@cache
def query(name: str) -> TextClause:
    """The statement of that name, with `:name` parameters. KeyError where there is none."""
    return text(statements()[name])


@cache
def plain(name: str) -> str:
    """The same with `%(name)s`, for a cursor of the driver's own. KeyError where there is none.

    Of use for what is done many times a second, which then spends a tenth less on the way.
    """
    return str(query(name).compile(dialect=PGDialect_psycopg()))  # type: ignore[no-untyped-call]


def run_script(connection: Connection, path: Path) -> None:
    """Run a file of several statements inside the connection's transaction, as it stands."""
    driver = connection.connection.driver_connection
    if driver is None:
        raise TypeError("the connection is closed")
    driver.execute(path.read_text(encoding="utf-8"))
