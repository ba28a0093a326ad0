"""The adapter against the simulated supplier, over a real connection."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from shared.edge import Edge
from shared.errors import SupplierBusy, SupplierRefused
from shared.feeds import sliced
from shared.feeds.base import RawOffer, Slice, SlicedFeed, SlicedSource, Span, SupplierSettings
from shared.feeds.nivoda import NivodaSource, _Token
from tests.feeds.conftest import MakeEdge

FEEDS = ("nivoda-natural", "nivoda-labgrown")
BOTH = pytest.mark.parametrize("found", [sliced(name) for name in FEEDS], ids=FEEDS)


@contextmanager
def simulated(log: Path) -> Iterator[str]:
    """The endpoint of a simulator of 900 natural and 700 lab-grown stones."""
    program = [sys.executable, "-m", "simulator", "--natural", "900", "--labgrown", "700"]
    with subprocess.Popen(
        [*program, "--seed", "7", "--port", "0", "--log", str(log)],
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["endpoint"]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulated(tmp_path_factory.mktemp("simulator") / "requests.jsonl") as url:
        yield url


def at(supplier: SupplierSettings, url: str, **wanted: Any) -> SupplierSettings:
    return supplier.model_copy(update={"url": url, "password": SecretStr("facet")} | wanted)


def read_all(source: SlicedSource, part: Slice) -> list[RawOffer]:
    found: list[RawOffer] = []
    while (page := source.page(part, len(found), 50)).received:
        found += page.offers
    return found


@BOTH
def test_a_whole_feed_becomes_stones(
    found: SlicedFeed, endpoint: str, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    source = found.open(at(supplier, endpoint), make_edge(None))
    offers = read_all(source, Slice())
    assert len(offers) == source.count(Slice()) > 600
    mapped = found.map_offers([offer.payload for offer in offers])
    assert mapped.rejected.rows() == []
    assert mapped.stones["offer_id"].to_list() == [offer.offer_id for offer in offers]
    assert mapped.stones["offer_id"].is_unique().all()
    assert set(mapped.stones["kind"]) == {found.name.removeprefix("nivoda-")}


@BOTH
def test_slices_that_tile_hold_every_offer(
    found: SlicedFeed, endpoint: str, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    source = found.open(at(supplier, endpoint), make_edge(None))
    edges = [0, 150, 200, 1_000, 3_000, None]
    prices = [Span(low, high) for low, high in pairwise(edges) if low is not None]
    carats = [Span(0, 100), Span(100, None)]
    parts = [Slice(price=price, carat=carat) for price in prices for carat in carats]
    found_ids = {offer.offer_id for part in parts for offer in read_all(source, part)}
    assert found_ids == {offer.offer_id for offer in read_all(source, Slice())}
    assert sum(source.count(part) for part in parts) >= len(found_ids)


def test_a_slice_of_shapes_and_labs_is_what_it_says(
    endpoint: str, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    found = sliced("nivoda-natural")
    source = found.open(at(supplier, endpoint), make_edge(None))
    part = Slice(shapes=("OVAL", "PEAR"), labs=("GIA",))
    stones = found.map_offers([offer.payload for offer in read_all(source, part)]).stones
    assert stones.height == source.count(part) > 0
    assert set(stones["shape"]) == {"OVAL", "PEAR"}
    assert set(stones["lab"]) == {"GIA"}


@BOTH
def test_the_contract_is_found_kept(
    found: SlicedFeed, endpoint: str, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    assert found.check(at(supplier, endpoint), make_edge(None)).findings == []


def test_a_wrong_password_is_refused_and_never_shown(
    endpoint: str, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    wrong = at(supplier, endpoint, password=SecretStr("guessed"))
    source = sliced("nivoda-natural").open(wrong, make_edge(None))
    with pytest.raises(SupplierRefused, match="refused the login") as raised:
        source.count(Slice())
    assert raised.value.hint == "check FACET_NIVODA_USERNAME and FACET_NIVODA_PASSWORD"
    assert "guessed" not in str(raised.value)


def test_a_wrong_path_is_refused(
    endpoint: str, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    source = sliced("nivoda-natural").open(at(supplier, endpoint + "-not"), make_edge(None))
    with pytest.raises(SupplierRefused, match="answered 404") as raised:
        source.count(Slice())
    assert raised.value.hint == "check FACET_NIVODA_URL"


@pytest.mark.parametrize("token", ["malformed", "no.such.token"])
def test_a_token_that_is_no_good_costs_one_login(
    endpoint: str, supplier: SupplierSettings, make_edge: MakeEdge, token: str
) -> None:
    source = NivodaSource(at(supplier, endpoint), make_edge(None), labgrown=False)
    source._known.token = _Token(token, renew_at=math.inf)
    assert source.count(Slice()) > 600
    assert source.requests() == 3  # refused, login, count
    assert source.count(Slice()) > 600
    assert source.requests() == 4


def test_no_request_is_above_the_limit_and_each_is_counted(
    tmp_path: Path, client: "redis.Redis", supplier: SupplierSettings
) -> None:
    log = tmp_path / "requests.jsonl"
    with simulated(log) as url:
        limited = at(supplier, url, requests_per_s=40.0)
        edges = [Edge.for_account(limited, client) for _ in range(2)]
        for edge, name in zip(edges, FEEDS, strict=True):
            assert read_all(sliced(name).open(limited, edge), Slice(price=Span(0, None)))
    came_s = [json.loads(line)["mono_ms"] / 1_000 for line in log.read_text().splitlines()]
    worst = max(sum(start <= came < start + 1 for came in came_s) for start in came_s)
    assert worst <= 40
    used = edges[0].limiter.used()
    assert len(came_s) == sum(edge.requests() for edge in edges) == used.total
    for edge in edges:
        edge.close()


def test_a_limit_that_leaves_no_room_is_busy_not_broken(
    endpoint: str, client: "redis.Redis", supplier: SupplierSettings
) -> None:
    limited = at(supplier, endpoint, requests_per_s=0.01, wait_s_max=0.1)
    edge = Edge.for_account(limited, client)
    source = sliced("nivoda-natural").open(limited, edge)
    started = time.monotonic()
    with pytest.raises(SupplierBusy) as raised:  # the login took the one slot
        source.count(Slice())
    assert raised.value.retry_after_s is not None
    assert 90 < raised.value.retry_after_s < 110
    assert time.monotonic() - started < 30
    edge.close()
