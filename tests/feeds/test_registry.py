import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import UnknownFeed
from shared.feeds import FEEDS, feed, sliced, snapshot
from shared.feeds.base import Slice, SupplierSettings
from shared.rejections import Reason
from tests.feeds.canned import Canned, Script
from tests.feeds.conftest import MakeEdge
from tests.feeds.offers import lab_grown, payload

ROOT = Path(__file__).parents[2]


def test_every_feed_is_known_by_its_name() -> None:
    kinds = {name: found.kind for name, found in FEEDS.items()}
    assert kinds == {
        "nivoda-natural": "sliced",
        "nivoda-labgrown": "sliced",
        "nivoda-file-natural": "snapshot",
        "nivoda-file-fancy": "snapshot",
        "nivoda-file-labgrown": "snapshot",
        "idex-natural": "snapshot",
        "idex-labgrown": "snapshot",
    }
    for name, found in FEEDS.items():
        assert feed(name) is found
        assert found.name == name


def test_a_feed_of_one_kind_is_not_taken_for_the_other() -> None:
    assert snapshot("idex-natural") is feed("idex-natural")
    with pytest.raises(UnknownFeed, match="says everything at once"):
        sliced("idex-natural")
    with pytest.raises(UnknownFeed, match="is counted and paged"):
        snapshot("nivoda-natural")


def test_both_feeds_of_nivoda_are_cut_as_its_api_allows() -> None:
    for name in ("nivoda-natural", "nivoda-labgrown"):
        found = sliced(name)
        assert found.slicing.page_size == 50
        assert found.slicing.depth == 50_000
        assert found.slicing.touching


def test_an_unknown_feed_is_told_which_there_are() -> None:
    with pytest.raises(UnknownFeed, match="nivoda-natural, nivoda-labgrown") as raised:
        feed("nivoda")
    assert "facet feed list" in raised.value.hint


@pytest.mark.parametrize(("name", "said"), [("natural", payload()), ("labgrown", lab_grown())])
def test_a_feed_maps_its_own_kind(name: str, said: bytes) -> None:
    mapped = feed(f"nivoda-{name}").map_offers([said])
    assert mapped.stones["kind"].to_list() == [name]


@pytest.mark.parametrize(("name", "labgrown"), [("natural", "false"), ("labgrown", "true")])
def test_a_feed_asks_for_its_own_kind(
    supplier: SupplierSettings, make_edge: MakeEdge, name: str, labgrown: str
) -> None:
    session = b'{"data": {"authenticate": {"username_and_password": {"token": "t"}}}}'
    script = Script(Canned(200, session), Canned(200, b'{"data": {"diamonds_by_query_count": 7}}'))
    source = sliced(f"nivoda-{name}").open(supplier, make_edge(script))
    assert source.count(Slice()) == 7
    assert f'"labgrown":{labgrown}'.encode() in script.requests[-1].content


def test_a_worker_that_only_fetches_loads_no_columns() -> None:
    program = "import sys, shared.feeds, worker.tasks; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.strip() == b"False"


def test_every_reason_is_explained() -> None:
    page = (ROOT / "docs" / "rejected-offers.md").read_text()
    mapping = page.partition("## From the mapping")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", mapping, re.MULTILINE)) == sorted(Reason)
