"""dlt's merge into the same PostgreSQL: the same offers as rows, keyed by their id.

dlt is a yardstick and no dependency: `pip install --group bench` puts it beside Facet. It is given
rows that are mapped and priced already, and merges them by its strategy `upsert`, from CSV files.
It writes no price changes and no rejected offers, and every row whether it changed or not.
"""

import os
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, text

from bench import legacy, rules
from shared.db import transaction

DATASET = "bench_dlt"
PAGE_ROWS = 5_000


def installed() -> str | None:
    """Its version; None where it is not there."""
    try:
        return version("dlt")
    except PackageNotFoundError:
        return None


def merge(engine: Engine, offers: int, found: list[rules.Bracket]) -> list[float]:
    """The seconds of merging so many offers, fresh and once more unchanged.

    Mapping and pricing them happens before and does not count.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DLT_DATA_DIR": folder,
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RUNTIME__LOG_LEVEL": "ERROR",
        }
        return [_once(engine, rows, folder) for rows in [_rows(engine, offers, found)] * 2]


def _rows(engine: Engine, offers: int, found: list[rules.Bracket]) -> list[dict[str, Any]]:
    with transaction(engine) as tx:
        statement = text("SELECT payload FROM payloads WHERE n <= :offers ORDER BY n")
        payloads = tx.execute(statement, {"offers": offers}).scalars().all()
    return [legacy.stone(payload, found) for payload in payloads]


def _once(engine: Engine, rows: list[dict[str, Any]], folder: str) -> float:
    import dlt  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    url = engine.url.set(drivername="postgresql")
    if "host" in url.query:  # the socket's folder: libpq reads it in a host's place, dlt only there
        host, port = str(url.query["host"]), int(str(url.query["port"]))
        url = url.set(host=quote(host, safe=""), port=port, query={})
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(
            credentials=url.render_as_string(hide_password=False)
        ),
        dataset_name=DATASET,
    )
    pages = (rows[start : start + PAGE_ROWS] for start in range(0, len(rows), PAGE_ROWS))
    stones = dlt.resource(
        pages,
        name="stones",
        primary_key="offer_id",
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )
    started = time.monotonic()
    pipeline.run(stones, loader_file_format="csv").raise_on_failed_jobs()
    return round(time.monotonic() - started, 2)
