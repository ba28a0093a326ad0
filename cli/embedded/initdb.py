"""Make PostgreSQL's data folder."""

import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from cli.embedded.account import Account, private_folder
from cli.embedded.home import write_private
from cli.embedded.leash import BARE_ENVIRONMENT
from shared.errors import BadSettings, NotNow

USER = "facet"  # the superuser
# Code point order everywhere. macOS does not always know C.UTF-8; PostgreSQL brings one of its own.
LOCALE = ["--locale=C.UTF-8"]
if sys.platform == "darwin":
    LOCALE = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
INITDB_TIMEOUT_S = 300.0


def make_data(programs: Path, data: Path, password: str, account: Account | None) -> None:
    """Run initdb into a folder that gets its name only once it is whole."""
    part = data.with_name(f"{data.name}.part")
    if part.exists():
        shutil.rmtree(part)
    private_folder(part, account)
    password_file = data.parent / "initdb-password"
    write_private(password_file, password, account)
    uid, gid = account or (None, None)
    try:
        subprocess.run(
            [
                programs / "initdb",
                *("-D", part, "-U", USER, "-A", "scram-sha-256", f"--pwfile={password_file}"),
                *LOCALE,
                *("-E", "UTF8", "--no-instructions"),
            ],
            env=BARE_ENVIRONMENT,
            cwd=data.parent,
            user=uid,
            group=gid,
            extra_groups=None if account is None else [],
            capture_output=True,
            text=True,
            timeout=INITDB_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise NotNow(f"initdb failed in {part}\n{error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise NotNow(f"initdb was not done in {INITDB_TIMEOUT_S:g} s") from error
    finally:
        password_file.unlink()
    part.rename(data)


def check_name(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError as error:
        raise BadSettings(
            f"PostgreSQL does not run as a user without a name, and user {uid} has no name",
            hint="add the user to /etc/passwd, or name a server with FACET_DATABASE_URL",
        ) from error
