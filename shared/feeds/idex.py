"""IDEX's file as a feed that says everything at once.

One POST with the credentials in its body brings a ZIP of one CSV. The whole list is in it; there
is no part of it, no increment and no count. A new file is made every two hours, lab-grown every
hour, and the same one comes again before that.

What breaks is told apart by who can mend it: an error that names what our request lacks, an archive
that is not whole and a layout that nobody knows will be the same at the next attempt, so the run
fails at once; any other error is worth another attempt.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from shared.errors import SupplierRefused, SupplierUnavailable
from shared.feeds.base import (
    Kind,
    Mapped,
    Snapshot,
    SnapshotFeed,
    SnapshotSource,
    SupplierSettings,
)
from shared.feeds.files import CsvSnapshot, NothingThere, zipped
from shared.feeds.health import Health
from shared.feeds.idex_layouts import FORMATS, bind

if TYPE_CHECKING:
    from shared.edge import Answer, Edge

MAPPING_VERSION = 1  # goes up when the same payload would map to another stone

ENDPOINTS: dict[Kind, str] = {"natural": "fullfeed", "labgrown": "labgrownfullfile"}
# No authentication section, no parameters section, missing required fields.
OURS_TO_MEND = (2001, 2002, 3112)
CHECK_KEYS = "check FACET_IDEX_API_KEY and FACET_IDEX_API_SECRET"

EMPTY, FILE = "empty", "file"


class IdexSource:
    """An open connection to one of IDEX's feeds."""

    def __init__(self, supplier: SupplierSettings, edge: "Edge", *, kind: Kind) -> None:
        self._supplier = supplier
        self._edge = edge
        self._kind = kind
        self._url = f"{supplier.url.rstrip('/')}/{ENDPOINTS[kind]}"

    @contextmanager
    def take(self, alive: Callable[[], None]) -> Iterator[Snapshot]:
        """The file of this moment. One request, if all goes well.

        Raises SupplierUnavailable, SupplierBusy, BrokerUnavailable, SupplierRefused, and what
        `alive` raises.
        """
        with TemporaryFile(prefix="facet-idex-") as file:
            found = self._edge.download(
                "POST",
                self._url,
                into=file,
                shown=self._url,
                content=self._body(),
                headers={"Content-Type": "application/json"},
                read=self._read,
                alive=alive,
            )
            if found == EMPTY:
                yield NothingThere()
                return
            with zipped(file, self._url) as open_file:
                name = f"IDEX {FORMATS[self._kind]}"
                yield CsvSnapshot(name, open_file, partial(bind, kind=self._kind), alive)

    def requests(self) -> int:
        """Requests sent since this source was opened, retries included."""
        return self._edge.requests()

    def close(self) -> None:
        """Give the connections back."""
        self._edge.close()

    def _body(self) -> bytes:
        """The credentials are in it: it is logged nowhere."""
        secret = self._supplier.password.get_secret_value()
        parameters = {"file_format": "csv", "data_format": FORMATS[self._kind]}
        return to_json(
            {
                "authentication_details": {
                    "api_key": self._supplier.username,
                    "api_secret": secret,
                },
                "parameters": parameters | {"create_zip_file": True},
            }
        )

    def _read(self, answer: "Answer") -> str:
        """Whether a file came, or nothing; an error in its place is raised."""
        head = answer.body.strip()
        if answer.status == 200 and head.startswith(b"PK"):
            return FILE
        if answer.status == 200 and head in (b"", b"[]"):
            return EMPTY
        try:
            document = json.loads(head)
        except ValueError:
            raise SupplierUnavailable(
                f"{self._url} answered {answer.status} with neither a ZIP nor JSON"
            ) from None
        raise self._error(answer.status, document)

    def _error(self, status: int, document: Any) -> Exception:
        info = document.get("result_info") if isinstance(document, dict) else None
        info = info if isinstance(info, dict) else {}
        code, text = info.get("response_code"), str(info.get("response_description", ""))
        for secret in (self._supplier.password.get_secret_value(), self._supplier.username):
            text = text.replace(secret, "***") if secret else text
        said = f"{self._url} answered {status}, code {code}: {text or 'no description'}"
        if status in (400, 401, 403) or code in OURS_TO_MEND:
            return SupplierRefused(said, hint=CHECK_KEYS)
        return SupplierUnavailable(said, hint=CHECK_KEYS)


def feeds() -> tuple[SnapshotFeed, ...]:
    """Both feeds."""
    return _feed("natural"), _feed("labgrown")


def _feed(kind: Kind) -> SnapshotFeed:
    return SnapshotFeed(
        name=f"idex-{kind}",
        mapping_version=MAPPING_VERSION,
        open=partial(_open, kind=kind),
        map_offers=partial(_map_offers, kind=kind),
        check=partial(_check, kind=kind),
    )


def _open(supplier: SupplierSettings, edge: "Edge", *, kind: Kind) -> SnapshotSource:
    return IdexSource(supplier, edge, kind=kind)


def _map_offers(payloads: Sequence[bytes], *, kind: Kind) -> Mapped:
    from shared.feeds.idex_mapping import map_offers  # noqa: PLC0415  a worker needs no columns

    return map_offers(payloads, kind=kind)


def _check(supplier: SupplierSettings, edge: "Edge", *, kind: Kind) -> Health:
    from shared.feeds.snapshot_check import check  # noqa: PLC0415  the same

    return check(_open(supplier, edge, kind=kind), partial(_map_offers, kind=kind))
