"""What the migrations lead to, as text: `python -m tests.sql.schema` writes sql/schema.sql."""

import subprocess
from pathlib import Path

from sqlalchemy import make_url

from cli.embedded.binaries import postgres_programs
from cli.embedded.servers import temporary_servers
from shared import db

SCHEMA = Path(__file__).parents[2] / "sql" / "schema.sql"
HEADER = """\
-- What the migrations lead to; `make schema` writes it, a test compares.
-- Read it for what is always true. Change it by a migration.
"""


def dump(database_url: str) -> str:
    """The schema of a database, without owners, settings and comments."""
    programs, _version = postgres_programs(None)
    url = make_url(database_url).set(drivername="postgresql")
    dumped = subprocess.run(
        [
            programs / "pg_dump",
            *("--schema-only", "--no-owner", "--no-privileges", "--no-comments"),
            *("--exclude-table=alembic_version", "--dbname"),
            url.render_as_string(hide_password=False),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    noise = ("--", "SET ", "SELECT pg_catalog.", "\\")
    lines = [line for line in dumped.splitlines() if not line.startswith(noise)]
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return f"{HEADER}\n{text.strip()}\n"


def main() -> None:
    """Migrate an empty database and write down what came of it."""
    with temporary_servers(broker=False) as servers:
        assert servers.database_url is not None
        engine = db.connect(servers.database_url)
        db.migrate(engine)
        engine.dispose()
        SCHEMA.write_text(dump(servers.database_url), encoding="utf-8")


if __name__ == "__main__":
    main()
