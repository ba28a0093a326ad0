"""The driver of a scan asks what the scan wants; what goes wrong costs calls, not the plan."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Event, Semaphore
from typing import Any

import pytest

from scheduler.heatmap import Scan
from scheduler.scan import run_scan
from scheduler.terms import Plan, ScanSettings
from shared.errors import (
    ClaimLost,
    Stopped,
    SupplierBusy,
    SupplierRefused,
    SupplierUnavailable,
)
from shared.feeds import feed
from shared.feeds.base import Page, RawOffer, Slice, Span
from shared.feeds.coordinates import by_mapping
from tests.feeds.offers import payload
from tests.scheduler.stones import Stone, Supplier, assert_covers, slicing


def given_settings(*, touching: bool = False, **wanted: Any) -> ScanSettings:
    return ScanSettings(**{"slicing": slicing(touching=touching), "workers": 3} | wanted)


class Counted:
    """A source for the driver: answers as a function says."""

    def __init__(self, answer: Callable[[Slice], int]) -> None:
        self.answer = answer

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        return self.answer(part)

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        return Page((), 0)

    def requests(self) -> int:
        return 0

    def close(self) -> None:
        pass


def nothing_known(_offers: Sequence[RawOffer], _axis: str) -> list[float]:
    return []


def drive(answer: Callable[[Slice], int], **wanted: Any) -> Plan:
    scan = Scan(given_settings())
    return run_scan(scan, Counted(answer), coordinates=nothing_known, **wanted)


def test_the_driver_asks_and_returns_the_plan() -> None:
    supplier = Supplier([Stone(price=float(n)) for n in range(300)])
    plan = drive(lambda part: len(supplier.inside(part)))
    assert_covers(plan)
    assert plan.total == 300


def test_a_supplier_that_never_answers_is_its_error() -> None:
    def refuse(part: Slice) -> int:
        raise SupplierUnavailable("connection refused")

    with pytest.raises(SupplierUnavailable, match="connection refused"):
        drive(refuse)


def test_a_refusal_ends_the_scan_at_once() -> None:
    def refuse(part: Slice) -> int:
        raise SupplierRefused("wrong password")

    with pytest.raises(SupplierRefused):
        drive(refuse)


def test_some_counts_that_fail_cost_calls_and_not_the_plan() -> None:
    chance = random.Random(1)
    supplier = Supplier([Stone(price=float(n)) for n in range(300)])

    def shaky(part: Slice) -> int:
        if chance.random() < 0.2:
            raise SupplierUnavailable("timeout")
        return len(supplier.inside(part))

    plan = drive(shaky)
    assert_covers(plan)
    assert plan.failed > 0


def test_the_deadline_yields_the_plan_so_far() -> None:
    ticks = iter(range(10**6))
    supplier = Supplier([Stone(price=float(n)) for n in range(3_000)])
    plan = drive(
        lambda part: len(supplier.inside(part)), clock=lambda: float(next(ticks)), deadline_s=40.0
    )
    assert_covers(plan)
    assert "deadline" in plan.why_stopped


def spread_out(number: int = 300) -> Supplier:
    return Supplier([Stone(price=float(n)) for n in range(number)])


def test_as_many_counts_are_in_flight_as_allowed_and_no_more() -> None:
    supplier, flying, most = spread_out(2_000), Semaphore(0), 0
    full = Barrier(4)  # four calls wait here for one another

    def slow(part: Slice) -> int:
        nonlocal most
        flying.release()
        if part.price not in (None, Span(0, None)):
            most = max(most, flying._value)
            with suppress(BrokenBarrierError):
                full.wait(timeout=0.2)
        flying.acquire()
        return len(supplier.inside(part))

    assert_covers(drive(slow, in_flight=4))
    assert most == 4


def test_a_count_that_hangs_is_given_up_and_the_others_go_on() -> None:
    supplier, over = spread_out(), Event()
    hung: list[Slice] = []

    def answer(part: Slice) -> int:
        if part.price not in (None, Span(0, None)) and not hung:
            hung.append(part)
            over.wait()
        return len(supplier.inside(part))

    plan = drive(answer, count_timeout_s=0.3)
    over.set()
    assert_covers(plan)
    assert (plan.failed, len(hung), plan.why_stopped) == (1, 1, "even")


def test_busy_is_waited_out_and_is_no_failure() -> None:
    supplier, refusals = spread_out(), iter([SupplierBusy("429", retry_after_s=0.05)] * 5)
    asked: list[Slice] = []

    def answer(part: Slice) -> int:
        asked.append(part)
        if (error := next(refusals, None)) is not None:
            raise error
        return len(supplier.inside(part))

    plan = drive(answer)
    assert_covers(plan)
    assert (plan.failed, plan.total) == (0, 300)
    assert len(asked) == plan.calls + 5


def test_a_supplier_that_stays_busy_is_its_error_at_the_deadline() -> None:
    def answer(part: Slice) -> int:
        raise SupplierBusy("429", retry_after_s=0.01)

    with pytest.raises(SupplierBusy):
        drive(answer, deadline_s=0.2)


def test_a_call_that_is_to_wait_an_hour_is_lost_and_the_others_go_on() -> None:
    supplier, refusals = spread_out(), iter([SupplierBusy("429", retry_after_s=3_600)] * 2)

    def answer(part: Slice) -> int:
        if part.price is not None and (error := next(refusals, None)) is not None:
            raise error
        return len(supplier.inside(part))

    plan = drive(answer)
    assert_covers(plan)
    assert (plan.failed, plan.total, plan.why_stopped) == (2, 300, "even")


def test_what_the_heartbeat_raises_ends_the_scan() -> None:
    beats = iter(range(3))

    def beat() -> None:
        if next(beats, None) is None:
            raise ClaimLost("item 7")

    supplier = spread_out()
    with pytest.raises(ClaimLost):
        drive(lambda part: len(supplier.inside(part)), heartbeat=beat)


def test_being_stopped_inside_a_call_ends_the_scan() -> None:
    def answer(part: Slice) -> int:
        raise Stopped("asked to stop")

    with pytest.raises(Stopped):
        drive(answer)


def test_a_bug_in_a_call_is_not_taken_for_a_failure() -> None:
    def answer(part: Slice) -> int:
        raise KeyError("diamonds")

    with pytest.raises(KeyError):
        drive(answer)


def test_whoever_watches_is_told_how_many_calls_it_took() -> None:
    supplier, told = spread_out(), list[int]()
    plan = drive(lambda part: len(supplier.inside(part)), on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == plan.calls


def test_pages_are_read_by_the_mapping_of_the_feed() -> None:
    price, carat = 177_700, 0.5
    offers = [RawOffer(f"D/{n}", payload(price=round(price * carat))) for n in range(5)]
    read = by_mapping(feed("nivoda-natural").map_offers)
    weights = read(offers, "carat")
    assert len(set(weights)) == 1
    assert read(offers, "price") == [pytest.approx(price * carat / weights[0])] * 5
    assert read([RawOffer(None, b"null")], "price") == []


def test_a_scan_that_wants_pages_needs_someone_who_can_read_them() -> None:
    with pytest.raises(ValueError, match="coordinates"):
        run_scan(Scan(given_settings(pages=True)), Counted(lambda part: 0))
