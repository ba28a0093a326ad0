"""The driver of a scan asks what the scan wants; what goes wrong costs calls, not the plan."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from scheduler.heatmap import Scan
from scheduler.scan import run_scan
from scheduler.terms import Plan, ScanSettings
from shared.errors import SupplierRefused, SupplierUnavailable
from shared.feeds.base import Page, RawOffer, Slice
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
