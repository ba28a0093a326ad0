"""docs/adding-a-feed.md, followed to the letter."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from shared import feeds
from shared.errors import SupplierRefused
from shared.feeds.base import SnapshotFeed, SupplierSettings
from tests.feeds import examples
from tests.feeds.canned import Canned, Script
from tests.feeds.conformance import CASES, Case
from tests.feeds.conftest import MakeEdge

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-feed.md"
ADAPTER, EXAMPLE = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
LINES_MAX = 150

FILE = b"""Stock No,Shape,Weight,Colour,Clarity,Cut Grade,Lab,Certificate No,Price USD
A-1,Brilliant,1.06,E,VS1,Excellent,GIA,600100200,204.12
A-2,Oval,0.71,G
A-3,Pear,0.5,F,SI1,,GIA,600100201,99
"""


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The adapter as a module, and its example among the others."""
    path = tmp_path_factory.mktemp("page") / "acme.py"
    path.write_text(ADAPTER)
    spec = importlib.util.spec_from_file_location("acme", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["acme"] = module
    spec.loader.exec_module(module)
    exec(compile(EXAMPLE, PAGE, "exec"), vars(examples))  # noqa: S102  our own page
    yield module
    del sys.modules["acme"], examples.EXAMPLES["acme-natural"]


@pytest.fixture
def feed(acme: ModuleType, monkeypatch: pytest.MonkeyPatch) -> SnapshotFeed:
    """Registered, and found by its name."""
    for one in acme.feeds():
        monkeypatch.setitem(feeds.FEEDS, one.name, one)
    return feeds.snapshot("acme-natural")


def test_the_adapter_is_short() -> None:
    assert len(ADAPTER.splitlines()) < LINES_MAX


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_conformance(feed: SnapshotFeed, case: Case) -> None:
    case(feed, examples.EXAMPLES[feed.name])


def test_it_reads_a_file_of_its_supplier(
    feed: SnapshotFeed, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    script = Script(Canned(200, FILE, {"Content-Type": "text/csv"}))
    source = feed.open(supplier, make_edge(script))
    with source.take(lambda: None) as snapshot:
        offers = list(snapshot.offers())
        assert list(snapshot.offers()) == offers
    assert script.requests[0].headers["X-Api-Key"] == "pa$$w0rd"
    assert [offer.offer_id for offer in offers] == ["A-1", "A-2", "A-3"]
    stones, rejected = feed.map_offers([offer.payload for offer in offers])
    assert stones["shape"].to_list() == ["ROUND", "PEAR"]
    assert stones["cost_cents"].to_list() == [20_412, 9_900]
    assert rejected["detail"].to_list() == ["4 fields in place of 9"]
    assert feed.check(supplier, make_edge(script)).verdict == "incompatible"  # a third is rejected


def test_a_refused_key_is_an_error_for_good(
    feed: SnapshotFeed, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    script = Script(Canned(401, b'{"error": "no"}', {"Content-Type": "application/json"}))
    with (
        pytest.raises(SupplierRefused, match="Acme answered 401"),
        feed.open(supplier, make_edge(script)).take(lambda: None),
    ):
        pass
    assert len(script.requests) == 1
