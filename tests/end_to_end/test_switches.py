"""What the pipeline makes of every fault that a supplier can be given, alone.

Each switch of the simulator has its cases here; a switch without one fails the first test.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine

from shared.feeds import feed as find_feed
from simulator import switches
from tests.builders import rows
from tests.end_to_end import supplier as simulated
from tests.end_to_end.catalogue import assert_exact, catalogue, marks
from tests.end_to_end.conftest import MakeShop
from tests.end_to_end.faulty import Faults, clear, finish, looks, shown_by
from tests.end_to_end.pipeline import Pipeline
from tests.end_to_end.shop import LABGROWN, NATURAL, Shop
from tests.end_to_end.supplier import Supplier
from tests.oracle.oracle import NOTHING, after_run

SIZE = 90
PART = 40  # offers a partition at most

FEW: dict[str, Any] = {"after": 3, "times": 4}  # requests in a row: more than the edge's attempts
SOME: dict[str, Any] = {"probability": 0.05}
SHALLOW = 45  # how deep a listing goes, where a test lowers that


def patient(pipeline: Pipeline) -> None:
    """Give up on an answer sooner, so that the test need not wait."""
    pipeline.edge.timeout_s = 0.5


def shallow(pipeline: Pipeline) -> None:
    """A supplier that answers no offset beyond SHALLOW, and says so."""

    def found(name: str) -> Any:
        known = find_feed(name)
        return replace(known, slicing=known.slicing._replace(page_size=10, depth=SHALLOW))

    pipeline.feed = found


class Exact(NamedTuple):
    """The run ends complete, and the catalogue is what the oracle says of the stones as shown."""

    options: dict[str, Any]
    feed: str = NATURAL
    given: Callable[[Pipeline], None] = lambda _: None
    shows: bool = True  # False: what it takes to meet this fault is never done
    check: str = "compatible"
    empty: tuple[str, ...] = ()  # fields of a diamond that come as null to us
    strays: bool = False  # offers that were not asked for are rejected on top
    late: bool = False  # it comes when the run is planned


class Partial(NamedTuple):
    """The run ends partial for this reason, and takes nothing off sale."""

    options: dict[str, Any]
    why: str
    late: bool = False


class Failed(NamedTuple):
    """The run ends before it asks for anything, names this, and changes nothing."""

    options: dict[str, Any]
    why: str


Case = Exact | Partial | Failed

ANSWERS: dict[str, list[Case]] = {
    "short-page": [
        Exact({"probability": 0.5}),
        Failed({"items": 0}, "a real page: empty at offset"),
        Partial({"items": 0}, "the supplier counts", late=True),
    ],
    "endless": [Exact({}), Exact({"what": "strays"}, strays=True)],
    "count-drift": [
        Exact({"how": "less", "share": 0.3}),
        Partial({"how": "more", "share": 0.3}, "the supplier counts"),
    ],
    "churn": [
        Exact({"how": "removed", "n": 3, "probability": 0.3}),
        Exact({"how": "inserted", "n": 3, "probability": 0.3}),
    ],
    "inverted-strays": [Exact({}, shows=False)],
    "token-expiry": [Exact({"probability": 0.2})],
    "waf": [Exact({"times": 3}, late=True), Exact({"crawls": True}, shows=False)],
    "throttle": [Exact({"probability": 0.3, "retry_after": "mixed"}, late=True)],
    "slow": [Exact({"ms": 30}), Exact({"ms": 800, "times": 2}, given=patient)],
    "hang": [Exact({"times": 2}, given=patient)],
    "reset": [Exact(FEW), Exact(FEW | {"halfway": True})],
    "truncated": [Exact(FEW), Exact(FEW | {"share": 0})],
    "server-error": [Exact(FEW), Exact(FEW | {"html": False})],
    "deep-offset": [
        Exact({"how": "refused", "above": SHALLOW}, given=shallow, shows=False),
        Exact({"how": "served"}, shows=False),
    ],
    "big-limit": [
        Exact({"how": "clamped", "above": 20}),
        Failed({"how": "refused", "above": 20}, "a real page: refused"),
    ],
    "null-item": [Exact(SOME), Exact(SOME | {"nullable": True})],
    "null-labgrown": [Exact({}, feed=LABGROWN)],
    "dirty-values": [Exact({}), Exact({"lossy": False, "probability": 0.5})],
    "twins": [Exact({"offers": 4})],
    "dead-media": [Exact({})],
    "cents": [Failed({}, "DiamondQuery.dollar_per_carat: the price filters are in cents")],
    "schema-drift": [
        Failed({"removed": ["DiamondItem.price"]}, "DiamondItem.price: gone; no cost"),
        Failed({"renamed": ["Certificate.carats:weight"]}, "perhaps `weight` now"),
        Failed({"retyped": ["DiamondQuery.updated:String"]}, "DateRange became String"),
        Failed({"added": ["DiamondQuery.market:Int!"]}, "DiamondQuery.market: demanded now"),
        Exact({"removed": ["Diamond.milky"]}, check="degraded", empty=("milky",)),
        Exact({"renamed": ["Diamond.video:film"]}, check="degraded", empty=("video",)),
        Exact({"retyped": ["Certificate.carats:String!", "DiamondItem.price:String!"]}),
        Exact({"added": ["Diamond.novelty", "DiamondQuery.region"]}),
    ],
}


def cases(kind: type[Case]) -> Any:
    return pytest.mark.parametrize(
        ("name", "case"),
        [
            pytest.param(name, case, id=f"{name} {case.options}")
            for name, found in ANSWERS.items()
            for case in found
            if isinstance(case, kind)
        ],
    )


@pytest.fixture(scope="module")
def running() -> Iterator[Supplier]:
    with simulated.running(SIZE, 5) as started:
        yield started


@pytest.fixture
def shop(running: Supplier, make_shop: MakeShop) -> Iterator[Shop]:
    clear(running)
    yield make_shop(running, partition_offers_max=PART)
    clear(running)


def test_every_switch_of_the_simulator_has_its_answer() -> None:
    assert ANSWERS.keys() == {switch.name for switch in switches.ALL}
    assert all(ANSWERS.values())


@cases(Exact)
def test_the_run_is_complete_and_exact(engine: Engine, shop: Shop, name: str, case: Exact) -> None:
    faults: Faults = {name: case.options}
    case.given(shop.pipeline)
    shown_before = shown_by(shop.supplier)[name]
    run = finish(shop, faults, feed=case.feed, late=case.late)
    assert (run["state"], run["reason"]) == ("complete", None)
    now, nulls = looks(shop, faults, feed=case.feed, empty=case.empty)
    wanted = after_run(NOTHING, now)
    if case.strays:
        assert catalogue(engine, case.feed) == wanted.catalogue
    else:
        assert_exact(engine, run, wanted, nulls=nulls)
        assert run["offers"] == len(now.ids()) + nulls
    assert (shown_by(shop.supplier)[name] > shown_before) == case.shows
    assert rows(engine, "SELECT verdict FROM feed_checks") == [{"verdict": case.check}]
    assert rows(engine, "SELECT 1 FROM dead_letters") == []


@cases(Partial)
def test_the_run_is_partial_and_takes_nothing_off_sale(
    engine: Engine, shop: Shop, name: str, case: Partial
) -> None:
    before, there = shop.first_run(), marks(engine, NATURAL)
    shown_before = shown_by(shop.supplier)[name]
    run = finish(shop, {name: case.options}, late=case.late)
    assert (run["state"], run["delisted"]) == ("partial", 0)
    assert case.why in run["reason"]
    assert catalogue(engine, NATURAL) == before
    assert marks(engine, NATURAL) == there
    assert shown_by(shop.supplier)[name] > shown_before


@cases(Failed)
def test_the_run_fails_before_it_harms_and_names_what_drifted(
    engine: Engine, shop: Shop, name: str, case: Failed
) -> None:
    shop.first_run()
    there, state = marks(engine, NATURAL), rows(engine, "SELECT * FROM feeds")
    run = finish(shop, {name: case.options})
    assert (run["state"], run["delisted"], run["offers"]) == ("failed", 0, 0)
    assert case.why in run["reason"]
    assert "`facet feed check nivoda-natural`" in run["reason"]
    assert marks(engine, NATURAL) == there
    assert rows(engine, "SELECT * FROM feeds") == state
    of_run = "FROM {} WHERE run_id = :run"
    for table in ("partitions", "heatmaps"):
        assert rows(engine, f"SELECT 1 {of_run.format(table)}", run=run["run_id"]) == []
    (check,) = rows(engine, f"SELECT * {of_run.format('feed_checks')}", run=run["run_id"])
    assert check["verdict"] == "incompatible"
    assert run["requests"] == check["requests"] <= 12

    clear(shop.supplier)
    assert finish(shop)["state"] == "complete"
