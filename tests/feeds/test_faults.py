"""What the Nivoda adapter makes of each fault of the simulated supplier."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from pydantic import SecretStr

from shared.errors import (
    FacetError,
    SupplierBusy,
    SupplierRefused,
    SupplierUnavailable,
    Transient,
)
from shared.feeds import sliced
from shared.feeds.base import Mapped, RawOffer, Slice, SlicedSource, Span, SupplierSettings
from tests.feeds.conftest import MakeEdge


def drift(**changes: str) -> dict[str, Any]:
    """The switch of another schema."""
    return {"schema-drift": {how: [change] for how, change in changes.items()}}


FEED = sliced("nivoda-labgrown")
STONES = 260
PAGE = {"kinds": ["page"]}


class Simulator(NamedTuple):
    url: str
    control: str

    def switch(self, faults: dict[str, Any]) -> None:
        answer = httpx.post(f"{self.control}/faults", json=faults)
        assert answer.status_code == 200, answer.text

    def shown(self) -> set[str]:
        return set(httpx.get(f"{self.control}/state").json()["faults"])


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    program = [sys.executable, "-m", "simulator", "--natural", "10", "--labgrown", str(STONES)]
    with subprocess.Popen([*program, "--seed", "7"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield Simulator(ready["endpoint"], ready["url"] + "/control")
        finally:
            process.kill()  # a hang would hold it up


@pytest.fixture
def simulator(running: Simulator) -> Iterator[Simulator]:
    yield running
    httpx.delete(f"{running.control}/faults").raise_for_status()


@pytest.fixture
def account_there(simulator: Simulator, supplier: SupplierSettings) -> SupplierSettings:
    return supplier.model_copy(update={"url": simulator.url, "password": SecretStr("facet")})


@pytest.fixture
def source(account_there: SupplierSettings, make_edge: MakeEdge) -> SlicedSource:
    """The feed, logged in, at a supplier without faults so far."""
    found = FEED.open(account_there, make_edge(None, timeout_s=2))
    assert found.count(Slice()) > 200
    return found


def read_all(source: SlicedSource, part: Slice | None = None) -> list[RawOffer]:
    found: list[RawOffer] = []
    while page := source.page(part or Slice(), len(found), 50).offers:
        found += page
    return found


def mapped(offers: list[RawOffer]) -> Mapped:
    return FEED.map_offers([offer.payload for offer in offers])


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ({"server-error": PAGE | {"status": 500}}, SupplierUnavailable),
        ({"server-error": PAGE | {"status": 503, "html": False}}, SupplierUnavailable),
        ({"reset": PAGE}, SupplierUnavailable),
        ({"reset": PAGE | {"halfway": True}}, SupplierUnavailable),
        ({"truncated": PAGE}, SupplierUnavailable),
        ({"truncated": PAGE | {"share": 0}}, SupplierUnavailable),
        ({"waf": PAGE}, SupplierBusy),
        ({"throttle": PAGE}, SupplierBusy),
        ({"token-expiry": PAGE}, SupplierUnavailable),
        ({"deep-offset": {"how": "refused", "above": 10}}, SupplierRefused),
        ({"big-limit": {"how": "refused", "above": 10}}, SupplierRefused),
        (drift(renamed="DiamondItem.price:amount"), SupplierRefused),
        (drift(removed="DiamondQuery.labgrown"), SupplierRefused),
        (drift(added="DiamondQuery.market:Int!"), SupplierRefused),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else value.__name__,
)
def test_what_does_not_end_becomes_one_of_our_errors(
    faults: dict[str, Any], error: type[FacetError], simulator: Simulator, source: SlicedSource
) -> None:
    simulator.switch(faults)
    with pytest.raises(error) as raised:
        source.page(Slice(), 20, 50)
    assert type(raised.value).__mro__.index(error) <= 1
    assert faults.keys() <= simulator.shown()


@pytest.mark.parametrize("faults", [{"hang": PAGE}, {"slow": PAGE | {"ms": 5_000}}])
def test_an_answer_that_does_not_come_is_given_up(
    faults: dict[str, Any],
    simulator: Simulator,
    account_there: SupplierSettings,
    make_edge: MakeEdge,
) -> None:
    source = FEED.open(account_there, make_edge(None, timeout_s=0.5))
    source.count(Slice())
    simulator.switch(faults)
    with pytest.raises(SupplierUnavailable, match=r"within 0\.5 s"):
        source.page(Slice(), 0, 50)
    assert source.requests() == 5  # login, count, and three attempts


@pytest.mark.parametrize(
    ("form", "wait_s"),
    [
        ("absent", None),
        ("garbage", None),
        ("zero", 0),
        ("negative", 0),
        ("past", 0),
        ("seconds", 90),
        ("date", 90),
        ("absurd", 3_600),
    ],
)
def test_every_retry_after_is_read_sanely(
    form: str, wait_s: float | None, simulator: Simulator, source: SlicedSource
) -> None:
    simulator.switch({"throttle": PAGE | {"retry_after": form, "seconds": 90}})
    with pytest.raises(SupplierBusy) as raised:
        source.page(Slice(), 0, 50)
    assert raised.value.retry_after_s == (
        wait_s if wait_s is None else pytest.approx(wait_s, abs=2)
    )


@pytest.mark.parametrize(
    "faults",
    [
        {"server-error": {}},
        {"reset": {}},
        {"reset": {"halfway": True}},
        {"truncated": {}},
        {"waf": {}},
        {"throttle": {"retry_after": "absent"}},
        {"throttle": {"retry_after": "negative"}},
        {"throttle": {"retry_after": "date", "seconds": 1}},
        {"slow": {"ms": 50}},
        {"slow": {"ms": 2_500}},
        *(
            {"token-expiry": {"wording": wording, "status": status}}
            for status in (200, 401)
            for wording in ("jwt expired", "jwt malformed", "invalid token")
        ),
        {"token-expiry": {"wording": "Unauthenticated", "code": False}},
        {"token-expiry": {"wording": "Unauthorized", "code": False}},
    ],
    ids=json.dumps,
)
def test_what_happens_once_is_survived(
    faults: dict[str, dict[str, Any]], simulator: Simulator, source: SlicedSource
) -> None:
    before = source.page(Slice(), 0, 50)
    simulator.switch({name: options | {"times": 1} for name, options in faults.items()})
    if "waf" in faults:  # a firewall is given half a minute, by the ledger
        with pytest.raises(SupplierBusy) as raised:
            source.page(Slice(), 0, 50)
        assert raised.value.retry_after_s == 30
    assert source.page(Slice(), 0, 50) == before
    assert faults.keys() <= simulator.shown()


@pytest.mark.parametrize(
    "faults",
    [
        {"short-page": {"probability": 0.7}},
        {"big-limit": {"above": 20}},
        {"schema-drift": {"added": ["Diamond.novelty", "DiamondQuery.region"]}},
    ],
    ids=json.dumps,
)
def test_a_scan_brings_everything_all_the_same(
    faults: dict[str, Any], simulator: Simulator, source: SlicedSource
) -> None:
    before = read_all(source)
    simulator.switch(faults)
    assert read_all(source) == before


def test_everything_at_once_is_survived_by_asking_again(
    simulator: Simulator, source: SlicedSource
) -> None:
    before = read_all(source)
    names = ("short-page", "server-error", "reset", "truncated", "throttle", "token-expiry", "waf")
    often: dict[str, Any] = {name: {"probability": 0.1} for name in names}
    simulator.switch(often | {"slow": {"probability": 0.1, "ms": 20}})
    found: list[RawOffer] = []
    while len(found) < len(before):
        try:
            found += source.page(Slice(), len(found), 10).offers
        except Transient:  # the ledger's part
            continue
    assert found == before


def test_pages_beyond_the_end_are_full_of_what_is_known(
    simulator: Simulator, source: SlicedSource
) -> None:
    """The adapter leaves it to its caller, who has the count, to stop."""
    known = read_all(source)
    simulator.switch({"endless": {}})
    beyond = source.page(Slice(), len(known) + 10, 50)
    assert len(beyond.offers) == 50
    assert set(beyond.offers) <= set(known)


def test_a_count_that_is_off_is_still_a_count(simulator: Simulator, source: SlicedSource) -> None:
    true = source.count(Slice())
    simulator.switch({"count-drift": {"how": "less", "share": 1}})
    assert source.count(Slice()) == 0 < true


def test_an_inverted_range_is_never_asked(simulator: Simulator, source: SlicedSource) -> None:
    simulator.switch({"inverted-strays": {}})
    with pytest.raises(ValueError, match="200"):
        source.page(Slice(price=Span(200, 100)), 0, 50)


def test_an_offset_beyond_the_maximum_is_never_asked(
    simulator: Simulator, source: SlicedSource
) -> None:
    simulator.switch({"deep-offset": {"how": "served"}})
    asked = source.requests()
    with pytest.raises(SupplierRefused, match="beyond the 50,000"):
        source.page(Slice(), 50_001, 50)
    assert source.requests() == asked


def test_a_null_item_is_a_rejected_offer_and_the_page_stands(
    simulator: Simulator, source: SlicedSource
) -> None:
    before = read_all(source)
    simulator.switch({"null-item": {"probability": 0.1}})
    after = read_all(source)
    nulls = [offer for offer in after if offer.offer_id is None]
    assert 5 < len(nulls) < 60
    assert len(after) == len(before)
    assert set(after) - set(nulls) < set(before)
    assert mapped(after).rejected.height == len(nulls)


def test_a_field_that_broke_costs_the_field_alone(
    simulator: Simulator, source: SlicedSource
) -> None:
    before = read_all(source)
    simulator.switch({"null-item": {"nullable": True}})
    found = mapped(read_all(source))
    assert found.rejected.height == 0
    assert found.stones.height == len(before)
    assert found.stones["clarity"].null_count() == len(before)


@pytest.mark.parametrize(
    "faults",
    [{"null-labgrown": {}}, {"dirty-values": {"lossy": False}}],
    ids=json.dumps,
)
def test_what_is_said_otherwise_means_the_same(
    faults: dict[str, Any], simulator: Simulator, source: SlicedSource
) -> None:
    before = read_all(source)
    simulator.switch(faults)
    after = read_all(source)
    assert after != before
    assert mapped(after).rejected.height == 0
    assert mapped(after).stones.equals(mapped(before).stones)


@pytest.mark.parametrize(
    "faults", [{"dirty-values": {}}, {"twins": {"offers": 4}}, {"dead-media": {}}], ids=json.dumps
)
def test_what_is_dirty_costs_no_offer(
    faults: dict[str, Any], simulator: Simulator, source: SlicedSource
) -> None:
    plain = mapped(read_all(source)).stones["certificate_number"].n_unique()
    simulator.switch(faults)
    offers = read_all(source)
    found = mapped(offers)
    assert len(offers) == source.count(Slice()) > 200
    assert found.rejected.height == 0
    assert found.stones["offer_id"].is_unique().all()
    numbers = found.stones["certificate_number"].n_unique()
    assert numbers < plain / 2 if "twins" in faults else numbers == plain


@pytest.mark.parametrize(
    ("faults", "verdict", "field", "says"),
    [
        ({"cents": {}}, "incompatible", "DiamondQuery.dollar_per_carat", "in cents"),
        (drift(removed="DiamondItem.price"), "incompatible", "DiamondItem.price", "no cost"),
        (
            drift(renamed="Certificate.carats:weight"),
            "incompatible",
            "Certificate.carats",
            "weight",
        ),
        (drift(removed="Diamond.milky"), "degraded", "Diamond.milky", "milky: empty"),
        (
            drift(retyped="Certificate.table:[String]"),
            "incompatible",
            "Certificate.table",
            "[String]",
        ),
        (drift(retyped="DiamondItem.price:String!"), "compatible", "DiamondItem.price", "as text"),
        (drift(added="Diamond.novelty"), "compatible", "Diamond.novelty", "new"),
        (
            drift(added="DiamondQuery.market:Int!"),
            "incompatible",
            "DiamondQuery.market",
            "demanded",
        ),
        (
            drift(retyped="DiamondQuery.dollar_per_carat:String"),
            *("incompatible", "DiamondQuery.dollar_per_carat", "IntRange became String"),
        ),
        (drift(renamed="Session.token:key"), "incompatible", "Session.token", "no token"),
        ({"big-limit": {"how": "refused", "above": 10}}, "incompatible", "a real page", "refused"),
        ({"null-item": {"probability": 0.2}}, "degraded", "a real page", "null_item"),
    ],
    ids=json.dumps,
)
def test_the_check_names_what_drifted_and_what_it_would_break(
    faults: dict[str, Any],
    verdict: str,
    field: str,
    says: str,
    simulator: Simulator,
    account_there: SupplierSettings,
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(None)
    assert FEED.check(account_there, edge).findings == []
    assert edge.requests() <= 6  # with the login
    simulator.switch(faults)
    health = FEED.check(account_there, edge)
    assert health.verdict == verdict
    assert any(one.what == field and says in one.says for one in health.findings), health


@pytest.mark.parametrize(
    ("gone", "column"),
    [
        (drift(removed="Certificate.floInt"), "fluorescence"),
        (drift(renamed="Diamond.milky:cloudy"), "milky"),
        (drift(removed="Diamond.supplier"), "supplier_name"),
    ],
    ids=json.dumps,
)
def test_a_field_that_an_offer_can_do_without_is_left_out_once_it_is_gone(
    gone: dict[str, Any], column: str, simulator: Simulator, source: SlicedSource
) -> None:
    before = mapped(read_all(source)).stones
    simulator.switch(gone)
    after = mapped(read_all(source)).stones
    assert after.height == before.height
    assert after[column].null_count() == after.height > before[column].null_count()
    asked = source.requests()
    source.page(Slice(), 0, 50)
    assert source.requests() == asked + 1  # it is known by now
    simulator.switch({"schema-drift": None})
    assert source.page(Slice(), 0, 50).received == 50


@pytest.mark.parametrize(
    "change", ["DiamondItem.price:String!", "Certificate.carats:String", "Certificate.length:Float"]
)
def test_a_retyped_field_costs_no_stone_that_can_be_read(
    change: str, simulator: Simulator, source: SlicedSource
) -> None:
    before = mapped(read_all(source))
    simulator.switch({"schema-drift": {"retyped": [change]}})
    after = mapped(read_all(source))
    assert after.stones.height + after.rejected.height == before.stones.height
    assert after.rejected.height == 0
    assert after.stones.equals(before.stones)
