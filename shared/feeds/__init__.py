"""The feeds there are, by name."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from shared.errors import UnknownFeed
from shared.feeds.base import Feed, Health, Mapped, SlicedSource, SupplierSettings
from shared.feeds.nivoda_query import SLICING

if TYPE_CHECKING:
    from shared.edge import Edge

Kind = Literal["natural", "labgrown"]

NIVODA_MAPPING_VERSION = 1  # goes up when the same payload would map to another stone


def feed(name: str) -> Feed:
    """The feed of that name. Raises UnknownFeed."""
    try:
        return FEEDS[name]
    except KeyError:
        known = ", ".join(FEEDS)
        raise UnknownFeed(
            f"no feed is called {name}; there are {known}",
            hint="`facet feed list` lists the known feeds",
        ) from None


def _open_nivoda(supplier: SupplierSettings, edge: "Edge", *, kind: Kind) -> SlicedSource:
    from shared.feeds.nivoda import NivodaSource  # noqa: PLC0415  the edge needs this package

    return NivodaSource(supplier, edge, labgrown=kind == "labgrown")


def _map_nivoda(payloads: Sequence[bytes], *, kind: Kind) -> Mapped:
    from shared.feeds.nivoda_mapping import map_offers  # noqa: PLC0415  a worker needs no columns

    return map_offers(payloads, kind=kind)


def _check_nivoda(supplier: SupplierSettings, edge: "Edge", *, kind: Kind) -> Health:
    from shared.feeds.nivoda_check import check  # noqa: PLC0415  the same

    return check(_open_nivoda(supplier, edge, kind=kind), partial(_map_nivoda, kind=kind))


def _nivoda(kind: Kind) -> Feed:
    return Feed(
        name=f"nivoda-{kind}",
        kind="sliced",
        mapping_version=NIVODA_MAPPING_VERSION,
        slicing=SLICING,
        open=partial(_open_nivoda, kind=kind),
        map_offers=partial(_map_nivoda, kind=kind),
        check=partial(_check_nivoda, kind=kind),
    )


FEEDS: dict[str, Feed] = {one.name: one for one in (_nivoda("natural"), _nivoda("labgrown"))}
