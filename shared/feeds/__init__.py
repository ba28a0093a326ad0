"""The feeds there are, by name."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from shared.errors import BadSettings, UnknownFeed
from shared.feeds import idex, local, nivoda_file
from shared.feeds.base import (
    AnyFeed,
    Kind,
    Mapped,
    SlicedFeed,
    SnapshotFeed,
    SupplierSettings,
)
from shared.feeds.health import Health
from shared.feeds.nivoda_query import SLICING

if TYPE_CHECKING:
    from shared.edge import Edge
    from shared.feeds.nivoda import NivodaSource

NIVODA_MAPPING_VERSION = 1  # goes up when the same payload would map to another stone


def feed(name: str) -> AnyFeed:
    """The feed of that name. Raises UnknownFeed, and BadSettings for a bad FACET_FEEDS_FILE."""
    if name in FEEDS:
        return FEEDS[name]
    there = known()
    if name not in there:
        raise UnknownFeed(
            f"no feed is called {name}; there are {', '.join(there)}",
            hint="`facet feed list` lists the known feeds",
        )
    return there[name]


def known() -> dict[str, AnyFeed]:
    """Every feed there is, those of FACET_FEEDS_FILE included. Raises BadSettings for a bad one."""
    named = local.feeds()
    if taken := sorted(named.keys() & FEEDS.keys()):
        raise BadSettings(f"FACET_FEEDS_FILE names {', '.join(taken)}, which is a feed already")
    return {**FEEDS, **named}


def sliced(name: str) -> SlicedFeed:
    """The same, where only a feed that can be counted and paged will do. Raises UnknownFeed."""
    found = feed(name)
    if not isinstance(found, SlicedFeed):
        raise UnknownFeed(f"{name} says everything at once: it cannot be counted and paged")
    return found


def snapshot(name: str) -> SnapshotFeed:
    """The same, where only a feed that says everything at once will do. Raises UnknownFeed."""
    found = feed(name)
    if not isinstance(found, SnapshotFeed):
        raise UnknownFeed(f"{name} is counted and paged: it cannot be taken at once")
    return found


def _open_nivoda(supplier: SupplierSettings, edge: "Edge", *, kind: Kind) -> "NivodaSource":
    from shared.feeds.nivoda import NivodaSource  # noqa: PLC0415  the edge needs this package

    return NivodaSource(supplier, edge, labgrown=kind == "labgrown")


def _map_nivoda(payloads: Sequence[bytes], *, kind: Kind) -> Mapped:
    from shared.feeds.nivoda_mapping import map_offers  # noqa: PLC0415  a worker needs no columns

    return map_offers(payloads, kind=kind)


def _check_nivoda(supplier: SupplierSettings, edge: "Edge", *, kind: Kind) -> Health:
    from shared.feeds.nivoda_check import check  # noqa: PLC0415  the same

    return check(_open_nivoda(supplier, edge, kind=kind), partial(_map_nivoda, kind=kind))


def _nivoda(kind: Kind) -> SlicedFeed:
    return SlicedFeed(
        name=f"nivoda-{kind}",
        mapping_version=NIVODA_MAPPING_VERSION,
        slicing=SLICING,
        open=partial(_open_nivoda, kind=kind),
        map_offers=partial(_map_nivoda, kind=kind),
        check=partial(_check_nivoda, kind=kind),
    )


_ALL: tuple[AnyFeed, ...] = (
    _nivoda("natural"),
    _nivoda("labgrown"),
    *nivoda_file.feeds(),
    *idex.feeds(),
)
FEEDS = {one.name: one for one in _ALL}
