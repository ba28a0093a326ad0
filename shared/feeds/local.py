"""Feeds of files on our own disks: what an ERP or a partner exports into a directory.

They are named in one YAML file, FACET_FEEDS_FILE, with the mapping of their columns;
docs/local-feeds.md shows it. All files of the directory together are the feed: what stands in none
of them is gone. A file that lies there twice counts once.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import BadSettings, SupplierRefused, SupplierUnavailable
from shared.feeds.base import (
    Kind,
    Mapped,
    RawOffer,
    Snapshot,
    SnapshotFeed,
    SnapshotSource,
    SupplierSettings,
)
from shared.feeds.files import Bound, CsvSnapshot, FileSnapshot, JsonSnapshot
from shared.feeds.health import Health
from shared.feeds.rows import Layout, key_of, keys_of

if TYPE_CHECKING:
    from shared.edge import Edge

NEEDED = ("offer_id", "shape", "carat")
COSTS = ("cost", "cost_cents")  # an amount with a point; whole cents

FeedName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class LocalFeed(BaseModel):
    """One directory and what its columns mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path
    kind: Kind
    files: str = "*.csv"  # a pattern
    format: Literal["csv", "ndjson"] = "csv"
    delimiter: str = Field(default=",", min_length=1, max_length=1)  # of CSV
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    mapping_version: int = Field(default=1, ge=1)
    columns: dict[str, str]  # of ours → of the file; in NDJSON a dotted path
    words: dict[str, dict[str, str]] = {}  # column of ours → their word → our word

    @model_validator(mode="after")
    def _sound(self) -> "LocalFeed":
        from shared.stone import STONE_COLUMNS  # noqa: PLC0415  a worker needs no columns

        if missing := [name for name in NEEDED if name not in self.columns]:
            raise ValueError(f"columns must say where {', '.join(missing)} stands")
        if len([name for name in COSTS if name in self.columns]) != 1:
            raise ValueError("columns must have one of cost (12.50) and cost_cents (1250)")
        ours = {*STONE_COLUMNS, "cost"} - {"kind", "cost_currency"}
        if unknown := sorted(({*self.columns, *self.words}) - ours):
            raise ValueError(f"no column of ours is called {', '.join(unknown)}")
        return self

    def paths(self) -> dict[str, str]:
        """Column of ours → path in the payload."""
        as_read = key_of if self.format == "csv" else str
        return {name: as_read(theirs) for name, theirs in self.columns.items()}


class FeedsFile(BaseModel):
    """What FACET_FEEDS_FILE holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feeds: dict[FeedName, LocalFeed]


class LocalSource:
    """A directory whose files together are a feed. Nobody is asked, so there is no limit."""

    def __init__(self, feed: LocalFeed) -> None:
        self._feed = feed

    @contextmanager
    def take(self, alive: Callable[[], None]) -> Iterator[Snapshot]:
        """All files of this moment, each read through once.

        Raises SupplierRefused where a file cannot be read or has not the columns that were named,
        SupplierUnavailable where one changes meanwhile, and what `alive` raises.
        """
        where = self._feed.directory
        if not where.is_dir():
            raise SupplierRefused(f"{where} is no directory", hint="check FACET_FEEDS_FILE")
        found: dict[str, Watched] = {}
        for path in sorted(where.glob(self._feed.files)):
            if path.is_file():
                one = Watched(path, self._feed, alive)
                found.setdefault(one.file.checksum, one)
        yield Directory(where, list(found.values()))

    def requests(self) -> int:
        """None is ever sent."""
        return 0

    def close(self) -> None:
        """Nothing is kept open."""


class Watched:
    """A file that must stay as it was when it was first read."""

    def __init__(self, path: Path, feed: LocalFeed, alive: Callable[[], None]) -> None:
        self._path = path
        with _disk(path):
            self._stamp = _stamp(path)
            self.file = _look_over(path, feed, alive)
            self._unchanged()

    def offers(self) -> Iterator[RawOffer]:
        """Every row. Raises SupplierUnavailable at its end where the file is another one now."""
        with _disk(self._path):
            yield from self.file.offers()
            self._unchanged()

    def _unchanged(self) -> None:
        if _stamp(self._path) != self._stamp:
            raise SupplierUnavailable(f"{self._path} changed while it was read")


class Directory:
    """Several files as one snapshot, in the order of their names."""

    def __init__(self, where: Path, files: Sequence[Watched]) -> None:
        self._files = files
        self.name = f"{len(files)} files of {where}"
        self.checksum = hashlib.sha256(
            "\n".join(one.file.checksum for one in files).encode()
        ).hexdigest()
        self.size_bytes = sum(one.file.size_bytes for one in files)
        self.offers_about = sum(one.file.offers_about for one in files)

    def offers(self) -> Iterator[RawOffer]:
        """Every row of every file."""
        for one in self._files:
            yield from one.offers()


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """What a disk says, in our words."""
    try:
        yield
    except FileNotFoundError as error:
        raise SupplierUnavailable(f"{path} was taken away while it was read") from error
    except OSError as error:
        raise SupplierRefused(f"{path} cannot be read: {error.strerror}") from error


def _stamp(path: Path) -> tuple[int, int, int]:
    now = os.stat(path)  # noqa: PTH116
    return now.st_ino, now.st_size, now.st_mtime_ns


def _look_over(path: Path, feed: LocalFeed, alive: Callable[[], None]) -> FileSnapshot:

    def open_file() -> IO[bytes]:
        return path.open("rb")

    if feed.format == "ndjson":
        return JsonSnapshot(path.name, open_file, feed.columns["offer_id"], alive)
    bind = partial(_bind, path=path, feed=feed)
    return CsvSnapshot(path.name, open_file, bind, alive, delimiter=feed.delimiter)


def _bind(first: Sequence[str], *, path: Path, feed: LocalFeed) -> Bound:
    keys = keys_of(first)
    if missing := [feed.columns[name] for name, key in feed.paths().items() if key not in keys]:
        raise SupplierRefused(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(first)[:200]}",
            hint="mend the file, or its columns in FACET_FEEDS_FILE",
        )
    return Bound(Layout(keys, (feed.paths()["offer_id"],), feed.delimiter), has_header=True)


def feeds() -> dict[str, SnapshotFeed]:
    """The feeds that FACET_FEEDS_FILE names; none where it is not set. Raises BadSettings."""
    from shared.settings import feeds_file  # noqa: PLC0415  the settings need this package

    path = feeds_file()
    return {} if path is None else _feeds_in(path)


def load(path: Path) -> dict[str, LocalFeed]:
    """What a file names. Raises BadSettings with one line a mistake."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return FeedsFile.model_validate(document).feeds
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSettings(f"FACET_FEEDS_FILE, {path}: {error}") from error
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise BadSettings(
            f"FACET_FEEDS_FILE, {path}: {'; '.join(lines)}", hint="docs/local-feeds.md shows one"
        ) from None


@cache
def _feeds_in(path: Path) -> dict[str, SnapshotFeed]:
    return {name: as_feed(name, one) for name, one in load(path).items()}


def as_feed(name: str, local: LocalFeed) -> SnapshotFeed:
    """The feed that a description stands for."""
    return SnapshotFeed(
        name=name,
        mapping_version=local.mapping_version,
        open=partial(_open, local),
        map_offers=partial(_map_offers, local),
        check=partial(_check, local),
    )


def _open(local: LocalFeed, _supplier: SupplierSettings, _edge: "Edge") -> SnapshotSource:
    return LocalSource(local)


def _map_offers(local: LocalFeed, payloads: Sequence[bytes]) -> Mapped:
    from shared.feeds.mapping import OfferMap, map_offers  # noqa: PLC0415  a worker needs no columns

    paths = local.paths()
    reads = {}
    if "cost" in paths:
        paths["cost_cents"] = paths.pop("cost")
        reads = {"cost_cents": "cents"}
    words = {
        name: {theirs.upper(): ours.upper() for theirs, ours in spellings.items()}
        for name, spellings in local.words.items()
    }
    by = OfferMap(kind=local.kind, paths=paths, reads=reads, words=words, currency=local.currency)  # type: ignore[arg-type]
    return map_offers(payloads, by)


def _check(local: LocalFeed, _supplier: SupplierSettings, _edge: "Edge") -> Health:
    from shared.feeds.snapshot_check import check  # noqa: PLC0415  the same

    return check(LocalSource(local), partial(_map_offers, local))
