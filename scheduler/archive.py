"""Write a day's raw offers to Parquet files, and read them back, before they are dropped.

Any place that fsspec knows: a local folder, `s3://BUCKET/PREFIX`. A file at a time goes through
memory and a temporary file; the same day again writes the same files.
"""

import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import structlog
from sqlalchemy import Engine

from shared.db import transaction
from shared.errors import ArchiveFailed
from sql import query

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

log = structlog.get_logger(__name__)

FILE_ROWS = 10_000  # about 30 MB of payloads in memory, 3 MB in the file

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "landed_on": pl.Date,
    "feed": pl.String,
    "run_id": pl.String,
    "partition_id": pl.Int64,
    "position": pl.Int32,
    "offer_id": pl.String,
    "read_at": pl.Datetime("us", "UTC"),
    "payload": pl.String,
}


class Archived(NamedTuple):
    """A day's files; `rows` as they were read back from them."""

    url: str
    files: int
    rows: int
    bytes: int


def archive_day(
    engine: Engine,
    day: date,
    url: str,
    *,
    file_rows: int = FILE_ROWS,
    beat: Callable[[], None] = lambda: None,
) -> Archived:
    """Write that day's raw offers below `url`, read their numbers back, and note it.

    beat   called after each file

    What an earlier attempt left of the same day is replaced. Raises ArchiveFailed where the place
    cannot be written or does not give back what was written, DatabaseUnavailable.
    """
    from fsspec.core import url_to_fs  # noqa: PLC0415  most processes never archive

    folder = f"{url.rstrip('/')}/raw_offers/day={day}"
    try:
        fs, path = url_to_fs(folder)
        if fs.exists(path):
            fs.rm(path, recursive=True)
        fs.makedirs(path, exist_ok=True)
        files = rows = size = 0
        for frame in _frames(engine, day, file_rows):
            kept, stored = _write(fs, f"{path}/part-{files:05d}.parquet", frame)
            if kept != frame.height:
                raise ArchiveFailed(f"{folder}: wrote {frame.height} rows, read back {kept}")
            files, rows, size = files + 1, rows + kept, size + stored
            beat()
    except (OSError, ImportError, ValueError, pl.exceptions.PolarsError) as error:
        raise ArchiveFailed(
            f"{folder} cannot be written and read back: {error}", hint="look at FACET_ARCHIVE_URL"
        ) from error
    done = Archived(folder, files, rows, size)
    with transaction(engine) as tx:
        tx.execute(query("note_archive"), {"day": day} | done._asdict())
    log.info("raw_offers_archived", day=str(day), **done._asdict())
    return done


def _frames(engine: Engine, day: date, file_rows: int) -> Iterator[pl.DataFrame]:
    """The day's rows in order, `file_rows` at a time. No transaction is open between two."""
    after = (-1, -1)
    while True:
        place = {"day": day, "after_partition": after[0], "after_position": after[1]}
        with transaction(engine) as tx:
            found = tx.execute(query("raw_offers_to_archive"), place | {"batch": file_rows}).all()
        if not found:
            return
        after = (found[-1].partition_id, found[-1].position)
        yield pl.DataFrame([tuple(row) for row in found], schema=SCHEMA, orient="row")


def _write(fs: "AbstractFileSystem", path: str, frame: pl.DataFrame) -> tuple[int, int]:
    """Write one file; returns the rows read back from where it lies, and its bytes."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as local:
        frame.write_parquet(local.name, compression="zstd")
        fs.put_file(local.name, path)
    with fs.open(path, "rb") as stored:
        rows = pl.read_parquet(stored, columns=["position"]).height
    return rows, int(fs.size(path))
