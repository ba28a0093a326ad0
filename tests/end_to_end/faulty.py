"""A supplier whose faults are switched on and off, and how its stones then look on our side."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import numpy as np

from simulator import faults, items
from simulator.fields import Batch
from simulator.shown import shown
from simulator.stock import Stock
from simulator.switches import NullItem
from tests.end_to_end.shop import NATURAL, Shop, hurry
from tests.end_to_end.supplier import Supplier
from tests.oracle.oracle import AVAILABLE, NOTHING, Catalogue, Offered, offered

Faults = Mapping[str, Any]  # the name of a switch → its options

NOT_FAULTY: Faults = MappingProxyType({})
ROUNDS_MAX = 60


def switch(supplier: Supplier, named: Faults) -> None:
    """Switch these on as they are; others stay."""
    answer = httpx.post(f"{supplier.control}/faults", json=dict(named))
    assert answer.status_code == 200, answer.text


def clear(supplier: Supplier) -> None:
    """Switch all off."""
    httpx.delete(f"{supplier.control}/faults").raise_for_status()


def shown_by(supplier: Supplier) -> Counter[str]:
    """How many requests each switch has had an effect on."""
    return Counter(supplier.state()["faults"])


def finish(
    shop: Shop, faults: Faults = NOT_FAULTY, *, feed: str = NATURAL, late: bool = False
) -> dict[str, Any]:
    """Take a new run under these faults to its end, however often work waits; returns its row.

    late    they come when the run is planned
    """
    pipeline = shop.pipeline
    run_id = pipeline.start(feed)
    if late:
        pipeline.drain("plan")
    switch(shop.supplier, faults)
    for _ in range(ROUNDS_MAX):
        pipeline.drain()
        if pipeline.row(run_id)["finished_at"] is not None:
            return pipeline.row(run_id)
        hurry(pipeline.engine)
    raise AssertionError(f"no end after {ROUNDS_MAX} rounds: {pipeline.work()}")


class Look(NamedTuple):
    """A stock as the switches of stones show it."""

    stock: Stock
    named: Faults
    empty: Sequence[str] = ()  # fields of a diamond that never come

    def items(self, labgrown: bool) -> Iterator[dict[str, Any]]:
        """The complete item of every stone of a kind, but for those that come as null."""
        for item, broken in self._all(labgrown):
            if broken and not self._nullable():
                continue
            if broken:
                item["diamond"]["certificate"]["clarity"] = None
            item["diamond"] |= dict.fromkeys(self.empty)
            yield item

    def nulls(self, labgrown: bool) -> int:
        """How many that are asked for come as null."""
        if self._nullable():
            return 0
        found = (item for item, broken in self._all(labgrown) if broken)
        return sum(item["diamond"]["availability"] == AVAILABLE for item in found)

    def _nullable(self) -> bool:
        return bool(self.named.get(NullItem.name, {}).get("nullable"))

    def _all(self, labgrown: bool) -> Iterator[tuple[dict[str, Any], bool]]:
        look = shown(self.stock.shelf(labgrown), faults.read(self.named), self.stock.seed)
        rows = np.arange(look.size)
        broken = [False] * look.size
        if NullItem.name in self.named:
            broken = list(Batch(look, rows).touched(NullItem))
        yield from zip(items.raw(look, rows), broken, strict=True)


def looks(
    shop: Shop,
    named: Faults,
    *,
    feed: str = NATURAL,
    time: int = 0,
    known: Catalogue = NOTHING,
    empty: Sequence[str] = (),
) -> tuple[Offered, int]:
    """What a feed offers under these switches at our prices, and how many items come as null."""
    look = Look(shop.supplier.stock(time), named, empty)
    kind = feed.removeprefix("nivoda-")
    ruleset_id, rules = shop.active
    now = offered(look, kind, rules, ruleset_id, feed=feed, known=known)
    return now, look.nulls(kind == "labgrown")
