"""A directory of files as a feed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared import feeds
from shared.errors import BadSettings, SupplierRefused, SupplierUnavailable, UnknownFeed
from shared.feeds.base import RawOffer, Snapshot
from shared.feeds.local import LocalFeed, LocalSource, load

PAGE = Path(__file__).parents[2] / "docs" / "local-feeds.md"
COLUMNS = {"offer_id": "SKU", "shape": "Shape", "carat": "Weight", "cost": "Price"}
HEADER = "SKU,Shape,Weight,Price\n"

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def source(directory: Path, **wanted: Any) -> LocalSource:
    values: dict[str, Any] = {"directory": directory, "kind": "natural", "columns": COLUMNS}
    return LocalSource(LocalFeed.model_validate(values | wanted))


def ids(snapshot: Snapshot) -> list[str | None]:
    return [offer.offer_id for offer in snapshot.offers()]


def taken(one: LocalSource) -> list[str | None]:
    with one.take(lambda: None) as snapshot:
        return ids(snapshot)


def test_all_files_together_are_the_feed_in_the_order_of_their_names(
    tmp_path: Path, write: Write
) -> None:
    write("b.csv", HEADER + "2,ROUND,1,10\n3,ROUND,1,10\n")
    write("a.csv", HEADER + "1,ROUND,1,10")
    write("notes.txt", "nothing of ours")
    assert taken(source(tmp_path)) == ["1", "2", "3"]


def test_the_same_file_under_two_names_is_one(tmp_path: Path, write: Write) -> None:
    write("a.csv", HEADER + "1,ROUND,1,10\n")
    with source(tmp_path).take(lambda: None) as alone:
        pass
    write("a (1).csv", HEADER + "1,ROUND,1,10\n")
    with source(tmp_path).take(lambda: None) as doubled:
        assert ids(doubled) == ["1"]
    assert doubled.checksum == alone.checksum
    assert doubled.offers_about == 1


def test_another_file_is_another_snapshot(tmp_path: Path, write: Write) -> None:
    write("a.csv", HEADER + "1,ROUND,1,10\n")
    with source(tmp_path).take(lambda: None) as before:
        pass
    write("a.csv", HEADER + "1,ROUND,1,11\n")
    with source(tmp_path).take(lambda: None) as after:
        assert after.checksum != before.checksum


@pytest.mark.parametrize("change", ["grows", "goes"])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, write: Write, change: str
) -> None:
    path = write("a.csv", HEADER + "1,ROUND,1,10\n2,ROUND,1,10\n")
    with source(tmp_path).take(lambda: None) as snapshot:
        if change == "goes":
            path.unlink()
        else:
            path.write_text(path.read_text() + "3,ROUND,1,10\n")
        with pytest.raises(SupplierUnavailable, match="while it was read"):
            ids(snapshot)


def test_an_empty_directory_is_a_feed_without_offers(tmp_path: Path, write: Write) -> None:
    assert taken(source(tmp_path)) == []
    write("a.csv", "")
    assert taken(source(tmp_path)) == []


def test_a_column_that_was_named_and_is_missing_ends_it_by_name(
    tmp_path: Path, write: Write
) -> None:
    write("a.csv", "SKU,Shape,Price\n1,ROUND,10\n")
    with pytest.raises(SupplierRefused, match="has no column Weight; it has SKU, Shape, Price"):
        taken(source(tmp_path))


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SupplierRefused, match="is no directory"):
        taken(source(tmp_path / "nowhere"))


def test_lines_of_json_are_read_by_dotted_paths(tmp_path: Path, write: Write) -> None:
    write("a.ndjson", '{"sku": 1, "stone": {"shape": "ROUND", "ct": 1}}\nbroken\n')
    columns = {"offer_id": "sku", "shape": "stone.shape", "carat": "stone.ct", "cost_cents": "c"}
    one = source(tmp_path, format="ndjson", files="*.ndjson", columns=columns)
    with one.take(lambda: None) as snapshot:
        first, broken = snapshot.offers()
    assert first == RawOffer("1", b'{"sku": 1, "stone": {"shape": "ROUND", "ct": 1}}')
    assert broken.offer_id is None


def test_the_page_shows_a_file_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    document = yaml.safe_load(shown)
    document["feeds"]["partner-natural"]["directory"] = str(tmp_path)
    monkeypatch.setenv("FACET_FEEDS_FILE", str(write("feeds.yaml", yaml.safe_dump(document))))
    write("a.csv", "SKU;Shape;Weight;Price;Colour;Clarity;Report;Lab\n1;RD;0.5;9.99;E;VS1;7;GIA\n")
    feed = feeds.snapshot("partner-natural")
    with LocalSource(load(tmp_path / "feeds.yaml")["partner-natural"]).take(
        lambda: None
    ) as snapshot:
        mapped = feed.map_offers([offer.payload for offer in snapshot.offers()])
    (stone,) = mapped.stones.to_dicts()
    assert (stone["shape"], stone["cost_cents"], stone["color"]) == ("ROUND", 999, "E")
    assert list(feeds.known()) == [*feeds.FEEDS, "partner-natural"]
    with pytest.raises(UnknownFeed, match="partner-natural"):
        feeds.feed("nobody")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "glass"}, "feeds.partner.kind"),
        ({"columns": {"offer_id": "a"}}, "shape, carat"),
        ({"columns": COLUMNS | {"cost_cents": "b"}}, "one of cost"),
        ({"columns": COLUMNS | {"colour": "b"}}, "no column of ours is called colour"),
        ({"unknown": 1}, "feeds.partner.unknown"),
        ({"currency": "dollars"}, "feeds.partner.currency"),
    ],
    ids=str,
)
def test_a_bad_description_is_refused_by_name(
    write: Write, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    sound: dict[str, Any] = {"directory": str(tmp_path), "kind": "natural", "columns": COLUMNS}
    path = write("feeds.yaml", yaml.safe_dump({"feeds": {"partner": sound | change}}))
    with pytest.raises(BadSettings, match=re.escape(words)):
        load(path)


def test_a_name_that_is_taken_is_refused(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = {"directory": str(tmp_path), "kind": "natural", "columns": COLUMNS}
    path = write("feeds.yaml", yaml.safe_dump({"feeds": {"idex-natural": sound}}))
    monkeypatch.setenv("FACET_FEEDS_FILE", str(path))
    with pytest.raises(BadSettings, match="idex-natural, which is a feed already"):
        feeds.known()


@pytest.mark.parametrize("text", ["feeds: [", "nothing", ""])
def test_a_file_that_cannot_be_read_is_refused_by_name(write: Write, text: str) -> None:
    path = write("feeds.yaml", text)
    with pytest.raises(BadSettings, match=re.escape(str(path))):
        load(path)
    with pytest.raises(BadSettings, match="no-such"):
        load(path.with_name("no-such.yaml"))
