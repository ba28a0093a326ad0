"""Whole runs of a directory of files: row by row, once, and exact."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from sqlalchemy import Engine

from cli.embedded.servers import Servers
from shared.feeds.base import SupplierSettings
from tests.builders import rows
from tests.end_to_end.catalogue import assert_exact, marks
from tests.end_to_end.conftest import EXAMPLE, Activate, settings
from tests.end_to_end.pipeline import Pipeline
from tests.end_to_end.shop import Active
from tests.oracle.file_reading import cents
from tests.oracle.oracle import NOTHING, Catalogue, Offered, after_run, at_our_prices
from tests.oracle.reading import COLUMNS, Stone, check, decimal, text, word

CSV, NDJSON = FEEDS = ("partner-natural", "erp-labgrown")
HEADER = "SKU;Shape;Weight;Price;Colour;Clarity;Report;Lab"
Row = dict[str, str]


def row(number: int, **wanted: str) -> Row:
    shape = ("ROUND", "OVAL", "PEAR")[number % 3]
    sound = {"SKU": f"S-{number}", "Shape": shape, "Weight": f"{0.3 + number % 300 / 100:.2f}"}
    more = {
        "Price": f"{200 + number * 7 % 9_000}.{number % 100:02d}",
        "Colour": "DEFGH"[number % 5],
    }
    rest = {"Clarity": "VS1", "Report": f"{6_000_000 + number}", "Lab": "GIA"}
    return sound | more | rest | wanted


def reading(kind: str) -> Callable[[Row], Stone]:
    def read(said: Row) -> Stone:
        stone = dict.fromkeys(COLUMNS) | {
            "offer_id": text(said["SKU"]),
            "kind": kind,
            "shape": word(said["Shape"]),
            "carat": decimal(said["Weight"]),
            "color": word(said["Colour"]),
            "clarity": word(said["Clarity"]),
            "certificate_number": text(said["Report"]),
            "lab": word(said["Lab"]),
            "cost_cents": cents(said["Price"]),
            "cost_currency": "USD",
        }
        check(stone, grown=None if kind == "natural" else True)
        return stone

    return read


class Files:
    """The directories of both feeds, and a pipeline over them."""

    def __init__(self, directory: Path, pipeline: Pipeline, active: Active) -> None:
        self.directory = directory
        self.pipeline = pipeline
        self.active = active

    def write(self, feed: str, name: str, said: list[Row], *more: str) -> None:
        """A file of rows in the feed's format, and of lines as they are."""
        if feed == CSV:
            lines = [HEADER, *(";".join(one.values()) for one in said), *more]
        else:
            lines = [*(json.dumps(one) for one in said), *more]
        (self.directory / feed / name).write_text("\n".join(lines) + "\n")

    def run(self, feed: str) -> dict[str, Any]:
        return self.pipeline.run(feed)

    def has(self, feed: str, said: list[Row], known: Catalogue = NOTHING) -> Offered:
        there = [(one["SKU"], one) for one in said]
        read = reading(feed.rsplit("-", 1)[1])
        ruleset_id, rules = self.active
        return at_our_prices(there, read, rules, ruleset_id, feed=feed, known=known)


@pytest.fixture
def files(
    engine: Engine,
    servers: Servers,
    activate: Activate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Files]:
    columns = dict(
        zip(
            ("offer_id", "shape", "carat", "cost", "color", "clarity", "certificate_number", "lab"),
            HEADER.split(";"),
            strict=True,
        )
    )
    forms = {
        CSV: {"kind": "natural", "delimiter": ";", "files": "*.csv"},
        NDJSON: {"kind": "labgrown", "format": "ndjson", "files": "*.ndjson"},
    }
    for feed in FEEDS:
        (tmp_path / feed).mkdir()
        forms[feed] |= {"directory": str(tmp_path / feed), "columns": columns}  # type: ignore[dict-item]
    path = tmp_path / "feeds.yaml"
    path.write_text(yaml.safe_dump({"feeds": forms}))
    monkeypatch.setenv("FACET_FEEDS_FILE", str(path))
    client = redis.Redis.from_url(str(servers.redis_url))
    account = SupplierSettings(account="local", url="")
    pipeline = Pipeline(engine, settings(partition_offers_max=50), account, client)
    yield Files(tmp_path, pipeline, activate(EXAMPLE))
    pipeline.edge.close()
    client.close()


@pytest.mark.parametrize("feed", FEEDS)
def test_files_become_exactly_what_they_say_row_by_row(
    engine: Engine, files: Files, feed: str
) -> None:
    suffix = "csv" if feed == CSV else "ndjson"
    said = [row(number) for number in range(300)]
    said[7]["Price"] = "on request"
    said[8]["Weight"] = "0"
    files.write(feed, f"a.{suffix}", said[:200])
    files.write(feed, f"b.{suffix}", said[200:], "this is no row")
    run = files.run(feed)
    assert (run["state"], run["reason"], run["landed"]) == ("complete", None, 301)
    wanted = after_run(NOTHING, files.has(feed, said))
    assert (wanted.rejected["S-7"], wanted.rejected["S-8"]) == ("unreadable", "no_carat")
    broken = "this is no row" if feed == CSV else None
    rejected = {**wanted.rejected, broken: "broken"}
    assert_exact(engine, run, wanted._replace(rejected=rejected))  # type: ignore[arg-type]

    stood = marks(engine, feed)
    files.write(feed, f"copy of a.{suffix}", said[:200])  # it lies there twice now
    again = files.run(feed)
    assert (again["state"], again["landed"], again["written"]) == ("complete", 301, 0)
    assert marks(engine, feed) == stood
    (snapshot,) = rows(engine, "SELECT * FROM snapshots WHERE run_id = :id", id=again["run_id"])
    assert snapshot["same_as"] == run["run_id"]


def test_the_next_export_changes_what_it_changes_and_delists_what_is_gone(
    engine: Engine, files: Files
) -> None:
    first = [row(number) for number in range(100)]
    files.write(CSV, "stock.csv", first)
    assert files.run(CSV)["state"] == "complete"
    before = after_run(NOTHING, files.has(CSV, first)).catalogue
    then = [row(number, Price="777.77" if number < 5 else row(number)["Price"])
            for number in range(90)]  # fmt: skip
    files.write(CSV, "stock.csv", then)
    run = files.run(CSV)
    after = after_run(before, files.has(CSV, then, known=before))
    assert_exact(engine, run, after)
    assert len(after.delisted) == 10


def test_an_export_that_came_out_empty_takes_nothing_off_sale(engine: Engine, files: Files) -> None:
    files.write(CSV, "stock.csv", [row(number) for number in range(60)])
    assert files.run(CSV)["state"] == "complete"
    stood = marks(engine, CSV)
    files.write(CSV, "stock.csv", [])
    run = files.run(CSV)
    assert run["state"] == "partial"
    assert run["reason"].startswith("suspiciously empty: 0 offers")
    assert marks(engine, CSV) == stood


def test_of_two_rows_with_one_id_the_later_counts_every_time(engine: Engine, files: Files) -> None:
    files.write(CSV, "a.csv", [row(number, Price="500.00") for number in range(80)])
    files.write(CSV, "b.csv", [row(number, Price="600.00") for number in range(80)])
    for _ in range(2):
        run = files.run(CSV)
        assert (run["state"], run["landed"], run["offers"]) == ("complete", 160, 80)
        costs = rows(engine, "SELECT DISTINCT cost_cents FROM diamonds")
        assert [one["cost_cents"] for one in costs] == [60_000]
    assert run["written"] == 0
