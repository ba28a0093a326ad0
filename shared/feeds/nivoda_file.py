"""Nivoda's own bulk files as feeds that say everything at once: one CSV by URL, for each kind.

The URL holds a secret, so it is shown nowhere. What is documented of these files is little; their
columns are those that integrators report.

- the cost is `deliveredPrice`, the price that has delivery in it, where there is one; else `price`.
  `markup_price` holds a markup of the shop's own and is no cost.
- identity is `diamond_id`; `stock_id`, where a row has no `diamond_id`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from shared.errors import SupplierRefused, SupplierUnavailable
from shared.feeds.base import (
    Kind,
    Mapped,
    Snapshot,
    SnapshotFeed,
    SnapshotSource,
    SupplierSettings,
)
from shared.feeds.files import Bound, CsvSnapshot, reopened
from shared.feeds.health import Health
from shared.feeds.rows import Layout, keys_of

if TYPE_CHECKING:
    from shared.edge import Answer, Edge

MAPPING_VERSION = 1  # goes up when the same payload would map to another stone

SHOWN = "the URL of Nivoda's file"
ID_KEYS = ("diamond_id", "stock_id")  # the first that a row has
NEEDED = ("shape", "carats", "price")
CHECK_URL = "check the URLs FACET_NIVODA_FILE_…_URL"


class NivodaFileSource:
    """An open connection to one of Nivoda's files."""

    def __init__(self, supplier: SupplierSettings, edge: "Edge") -> None:
        self._url = supplier.password.get_secret_value()
        self._edge = edge

    @contextmanager
    def take(self, alive: Callable[[], None]) -> Iterator[Snapshot]:
        """The file of this moment. One request, if all goes well.

        Raises SupplierUnavailable, SupplierBusy, BrokerUnavailable, SupplierRefused, and what
        `alive` raises.
        """
        with TemporaryFile(prefix="facet-nivoda-") as file:
            self._edge.download(
                "GET", self._url, into=file, shown=SHOWN, headers={}, read=_read, alive=alive
            )

            yield CsvSnapshot("Nivoda's file", partial(reopened, file), bind, alive)

    def requests(self) -> int:
        """Requests sent since this source was opened, retries included."""
        return self._edge.requests()

    def close(self) -> None:
        """Give the connections back."""
        self._edge.close()


def _read(answer: "Answer") -> None:
    """Raise for what is no CSV."""
    if answer.status in (401, 403, 404, 410):
        raise SupplierRefused(f"{SHOWN} answered {answer.status}", hint=CHECK_URL)
    if answer.status != 200 or answer.body.lstrip()[:1] in (b"<", b"{", b"["):
        raise SupplierUnavailable(f"{SHOWN} answered {answer.status} with no CSV", hint=CHECK_URL)


def bind(first: Sequence[str]) -> Bound:
    """The columns of a file, by its header. Raises SupplierRefused."""
    keys = keys_of(first)
    id_keys = tuple(key for key in ID_KEYS if key in keys)
    missing = [key for key in NEEDED if key not in keys]
    if not id_keys or missing:
        absent = ", ".join([*([] if id_keys else ID_KEYS[:1]), *missing])
        raise SupplierRefused(
            f"the file's header has no {absent}",
            hint="the layout has changed: the adapter must follow",
        )
    return Bound(Layout(keys, id_keys), has_header=True)


def feeds() -> tuple[SnapshotFeed, ...]:
    """Natural, fancy and lab-grown stones come in files of their own."""
    return _feed("natural", "natural"), _feed("fancy", "natural"), _feed("labgrown", "labgrown")


def _feed(which: str, kind: Kind) -> SnapshotFeed:
    return SnapshotFeed(
        name=f"nivoda-file-{which}",
        mapping_version=MAPPING_VERSION,
        open=_open,
        map_offers=partial(_map_offers, kind=kind),
        check=partial(_check, kind=kind),
    )


def _open(supplier: SupplierSettings, edge: "Edge") -> SnapshotSource:
    return NivodaFileSource(supplier, edge)


def _map_offers(payloads: Sequence[bytes], *, kind: Kind) -> Mapped:
    from shared.feeds.nivoda_file_mapping import map_offers  # noqa: PLC0415  a worker needs no columns

    return map_offers(payloads, kind=kind)


def _check(supplier: SupplierSettings, edge: "Edge", *, kind: Kind) -> Health:
    from shared.feeds.snapshot_check import check  # noqa: PLC0415  the same

    return check(_open(supplier, edge), partial(_map_offers, kind=kind))
