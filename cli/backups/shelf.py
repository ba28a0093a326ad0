"""The folder of backups: each a dump and, beside it, what it must contain.

A dump is there under its name only when it is whole and was restored once; before that it is
called `.part`.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ValidationError

from cli.backups.rotation import kept
from shared.errors import BackupFailed

NAME = "facet-%Y%m%dT%H%M%SZ.dump"
READ_BYTES = 1 << 20


class Table(BaseModel):
    """What a table holds: its rows, and a sum over their contents that no order changes."""

    rows: int
    checksum: str


class Manifest(BaseModel):
    """What stands beside a dump, in NAME.json."""

    made_at: AwareDatetime
    database: str
    schema_version: str
    server_major: int
    bytes: int
    sha256: str
    roles: list[str]  # that own or may use something, and must exist for their grants to come back
    tables: dict[str, Table]
    verified_at: AwareDatetime | None = None


def manifest_of(dump: Path) -> Path:
    return dump.with_name(dump.name + ".json")


def read(dump: Path) -> Manifest:
    """What a dump must contain. Raises BackupFailed where that is unknown or it is damaged."""
    hint = "`facet backup --list` shows those that are whole"
    try:
        manifest = Manifest.model_validate_json(manifest_of(dump).read_bytes())
        found = sha256(dump)
    except (OSError, ValidationError) as error:
        problem = error.strerror if isinstance(error, OSError) else "its .json is not ours"
        raise BackupFailed(f"{dump} cannot be used: {problem}", hint=hint) from error
    if found != manifest.sha256:
        raise BackupFailed(f"{dump} is damaged: its checksum is another one", hint=hint)
    return manifest


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def listed(folder: Path) -> dict[Path, Manifest]:
    """The backups of a folder, the newest first. A dump without a manifest is not one."""
    found = {}
    for dump in sorted(folder.glob("facet-*.dump"), reverse=True):
        try:
            found[dump] = Manifest.model_validate_json(manifest_of(dump).read_bytes())
        except (OSError, ValidationError):
            continue
    return found


def rotate(folder: Path, *, daily: int, weekly: int) -> list[Path]:
    """Remove the backups that are not kept any more; returns them."""
    there: Mapping[Path, Manifest] = listed(folder)
    keep = kept((one.made_at for one in there.values()), daily=daily, weekly=weekly)
    gone = [dump for dump, one in there.items() if one.made_at not in keep]
    for dump in gone:
        dump.unlink()
        manifest_of(dump).unlink()
    return gone


def named(folder: Path, made_at: datetime) -> Path:
    return folder / made_at.strftime(NAME)
