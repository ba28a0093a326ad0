"""Files as snapshots: looked over before the first row, then read row by row, in bounded memory."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

from shared.errors import SupplierRefused
from shared.feeds.base import RawOffer
from shared.feeds.rows import Layout, csv_offers, decoded, json_offers, split

PIECE_BYTES = 1 << 20
LINE_BYTES_MAX = 1 << 20  # a longer line is cut, and its parts are broken rows
UNPACKED_BYTES_MAX = 8 * 2**30  # more is no list of stones but an archive made to fill a disk

OpenFile = Callable[[], IO[bytes]]  # at its start; may be called again after it was closed


class Bound(NamedTuple):
    """A file whose columns are known."""

    layout: Layout
    has_header: bool


class Survey(NamedTuple):
    """What was found when a file was read through once."""

    checksum: str  # SHA-256 of its bytes
    size_bytes: int
    lines: int


def survey(open_file: OpenFile, alive: Callable[[], None]) -> Survey:
    """Read a file to its end; so it is known to be whole. Raises what reading it raises."""
    digest, size, lines, last = hashlib.sha256(), 0, 0, b"\n"
    with open_file() as file:
        while piece := file.read(PIECE_BYTES):
            alive()
            digest.update(piece)
            size += len(piece)
            lines += piece.count(b"\n")
            last = piece[-1:]
    return Survey(digest.hexdigest(), size, lines + (last != b"\n"))


def lines_of(file: IO[bytes]) -> Iterator[str]:
    """The lines of a file as text, a byte order mark left out."""
    first = True
    while line := file.readline(LINE_BYTES_MAX):
        yield decoded(line.removeprefix(b"\xef\xbb\xbf") if first else line)
        first = False


@contextmanager
def zipped(archive: IO[bytes], shown: str) -> Iterator[OpenFile]:
    """The one CSV file in a ZIP archive.

    Raises SupplierRefused where it is no archive, holds anything but one CSV file, or is broken:
    at the start, or while the file is read.
    """
    try:
        with _broken_is_refused(shown), zipfile.ZipFile(archive) as opened:
            member = _only_csv(opened, shown)

            def open_member() -> IO[bytes]:
                return opened.open(member)

            yield open_member
    finally:
        archive.seek(0)


@contextmanager
def _broken_is_refused(shown: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise SupplierRefused(
            f"{shown} sent a broken archive: {error}",
            hint="ask the supplier, and `facet run start FEED` when there is a new file",
        ) from error


def _only_csv(archive: zipfile.ZipFile, shown: str) -> zipfile.ZipInfo:
    members = [one for one in archive.infolist() if not one.is_dir()]
    names = ", ".join(one.filename for one in members[:5]) or "nothing"
    if len(members) != 1 or not members[0].filename.lower().endswith(".csv"):
        raise SupplierRefused(f"{shown} sent an archive of {names} in place of one CSV file")
    (member,) = members
    if member.flag_bits & 1:
        raise SupplierRefused(f"{shown} sent an encrypted archive")
    if member.file_size > UNPACKED_BYTES_MAX:
        raise SupplierRefused(f"{shown} sent {member.file_size:,} bytes packed in {names}")
    return member


def reopened(file: IO[bytes]) -> IO[bytes]:
    """The same file from its start, for one reader at a time; closing it leaves `file` open."""
    file.seek(0)
    return os.fdopen(os.dup(file.fileno()), "rb")


class FileSnapshot:
    """One file, looked over."""

    def __init__(self, name: str, open_file: OpenFile, alive: Callable[[], None]) -> None:
        """Read it through once. Raises what reading it raises."""
        self.name = name
        self._open = open_file
        seen = survey(open_file, alive)
        self.checksum, self.size_bytes = seen.checksum, seen.size_bytes
        self.offers_about = seen.lines

    def offers(self) -> Iterator[RawOffer]:
        """Every row, in the file's order."""
        with self._open() as file:
            yield from self._read(line for line in lines_of(file) if line.strip())

    def _read(self, lines: Iterator[str]) -> Iterator[RawOffer]:
        raise NotImplementedError


class CsvSnapshot(FileSnapshot):
    """A CSV file."""

    def __init__(
        self,
        name: str,
        open_file: OpenFile,
        bind: Callable[[Sequence[str]], Bound],
        alive: Callable[[], None],
        *,
        delimiter: str = ",",
    ) -> None:
        """Read it through once, and find its columns.

        bind  the first row's fields → the columns; raises SupplierRefused where it knows none

        Raises what `bind` and reading raise.
        """
        super().__init__(name, open_file, alive)
        with open_file() as file:
            first = next((line for line in lines_of(file) if line.strip()), None)
        self._bound = None if first is None else bind(split(first, delimiter) or [first])
        if self._bound is not None and self._bound.has_header:
            self.offers_about = max(0, self.offers_about - 1)

    def _read(self, lines: Iterator[str]) -> Iterator[RawOffer]:
        if self._bound is None:
            return
        if self._bound.has_header:
            next(lines)
        yield from csv_offers(lines, self._bound.layout)


class JsonSnapshot(FileSnapshot):
    """A file of one JSON object a line."""

    def __init__(
        self, name: str, open_file: OpenFile, id_path: str, alive: Callable[[], None]
    ) -> None:
        """Read it through once.

        id_path  dotted, where an offer's id stands
        """
        super().__init__(name, open_file, alive)
        self._id_path = id_path

    def _read(self, lines: Iterator[str]) -> Iterator[RawOffer]:
        yield from json_offers(lines, self._id_path)


class NothingThere:
    """A snapshot without an offer: what some suppliers answer when they have nothing to say."""

    name = "an empty answer"
    checksum = hashlib.sha256().hexdigest()
    size_bytes = 0
    offers_about = 0

    def offers(self) -> Iterator[RawOffer]:
        """None."""
        return iter(())
