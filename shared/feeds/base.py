"""What a feed is: where its offers come from and how they become stones.

Pure definitions: no network, no database. An adapter is one module that yields a `Feed`; the
registry in `shared/feeds/__init__.py` finds it by name. There are two kinds: a sliced feed is
counted and paged, a snapshot feed says everything at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from shared.feeds.health import Health

if TYPE_CHECKING:
    import polars as pl

    from shared.edge import Edge

Kind = Literal["natural", "labgrown"]


class Span(NamedTuple):
    """A half-open range of whole numbers on one axis."""

    low: int  # inclusive
    high: int | None  # exclusive; None: no upper end


class Slice(BaseModel):
    """A part of a feed that can be counted and paged: conditions that all hold.

    An axis left out does not restrict. Slices of one run tile the feed; where a supplier's ranges
    include both ends, the adapter lets neighbours touch and the fold removes the doubles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    price: Span | None = None  # the feed's price axis, in the feed's whole units (see the adapter)
    priceless: bool = False  # only offers without a price; excludes `price`
    carat: Span | None = None  # hundredths of a carat
    shapes: tuple[str, ...] | None = None  # one of these, in the supplier's words
    labs: tuple[str, ...] | None = None  # one of these, in the supplier's words
    updated_from: datetime | None = None  # inclusive; an incremental run's mark

    @model_validator(mode="after")
    def _sound(self) -> "Slice":
        for span in (self.price, self.carat):
            if span is not None and span.high is not None and span.high <= span.low:
                raise ValueError(f"inverted or empty range {span}")
        if self.priceless and self.price is not None:
            raise ValueError("a slice without prices has no price range")
        return self


class RawOffer(NamedTuple):
    """One offer as the supplier says it."""

    offer_id: str | None  # None: the item could not even be identified (a null item)
    payload: bytes  # one JSON document on one line, UTF-8, unknown fields kept


class Page(NamedTuple):
    """One answered page."""

    offers: Sequence[RawOffer]
    received: int  # items on the page, null ones included; the next offset is offset + received


class Slicing(NamedTuple):
    """What the scheduler must know to cut a feed."""

    page_size: int  # offers a page, at most
    depth: int  # offset + page_size never exceeds this
    touching: bool  # True: ranges include both ends, so neighbours share an edge
    price_unit: str  # for people: "USD per carat"
    shapes: tuple[str, ...]  # every accepted value, for the third axis
    labs: tuple[str, ...]
    ranked: bool = False  # the source is a RankedSource


class SlicedSource(Protocol):
    """An open connection to a feed that can be counted and paged.

    Both calls raise SupplierUnavailable, SupplierBusy, SupplierRefused or BrokerUnavailable, and
    nothing else on purpose. Both go through the edge: limit, breaker, timeout, bounded retries.
    """

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        """Offers in the slice at this instant. One request."""

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        """Offers `offset` to `offset + limit` of the slice, in order of creation. One request."""

    def requests(self) -> int:
        """Requests sent since this source was opened, retries and logins included."""

    def apart(self) -> Self:
        """The same connection and login, with a count of requests of its own."""

    def close(self) -> None:
        """Give the connections back."""


class RankedSource(SlicedSource, Protocol):
    """A source that can also list a slice in order of the axis it filters by."""

    def ranked(self, part: Slice, rank: int) -> float | None:
        """The price, on the feed's axis, of the offer at a rank from 0; None beyond the end.

        One request; raises as the others.
        """


class Snapshot(Protocol):
    """Everything a feed holds, taken once and whole; it does not change while it is read."""

    name: str  # what was taken, for people
    checksum: str  # of what it says: two with the same say the same
    size_bytes: int  # as it came
    offers_about: int  # for whoever watches; `offers` counts exactly

    def offers(self) -> Iterator[RawOffer]:
        """Every offer, in an order that is always the same for the same checksum.

        May be called again, and then begins at the start. In bounded memory. Raises
        SupplierRefused or SupplierUnavailable where it cannot be read to its end after all.
        """


class SnapshotSource(Protocol):
    """An open connection to a feed that says everything at once."""

    def take(self, alive: Callable[[], None]) -> AbstractContextManager[Snapshot]:
        """Take it whole, look it over, and keep it until the context ends.

        alive  called often while it is taken; what it raises ends the taking

        Raises SupplierUnavailable, SupplierBusy, BrokerUnavailable, and SupplierRefused for what
        is no snapshot that can be read. Through the edge, as all calls.
        """

    def requests(self) -> int:
        """Requests sent since this source was opened, retries included."""

    def close(self) -> None:
        """Give the connections back."""


class Mapped(NamedTuple):
    """Every input row is in exactly one of the two, by its `seq`."""

    stones: "pl.DataFrame"  # `seq` (Int64, row of the input from 0), then STONE_SCHEMA
    rejected: "pl.DataFrame"  # REJECTED_SCHEMA


class SupplierSettings(BaseModel):
    """One account at a supplier: where it is and what it lets us do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str = "nivoda"  # whose limit, breaker and count of requests this is, over all feeds
    url: str
    username: str = Field(default="", repr=False)  # at some suppliers half of a secret
    password: SecretStr = SecretStr("")
    requests_per_s: float | None = Field(default=None, gt=0)  # over all processes; None: no limit
    burst: int = Field(default=1, ge=1)  # requests at once after a pause
    in_flight_max: int | None = Field(default=None, ge=1)  # over all processes; None: no limit
    wait_s_max: float = Field(default=20, gt=0)  # for our turn under the limit
    timeout_s: float = Field(default=60, gt=0)  # for one whole answer
    retry_share: float = Field(default=0.2, ge=0, le=1)  # retries earned by an answered request
    breaker_failures: int = Field(default=5, ge=1)  # in a row, over all processes
    breaker_cooldown_s: float = Field(default=30, gt=0)


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A feed by name: what both kinds have. Its functions import what they need when called."""

    name: str  # such as nivoda-natural
    mapping_version: int  # goes up when the same payload would map to another stone
    # Total: each payload, whatever its bytes, becomes a stone or a rejected offer.
    map_offers: Callable[[Sequence[bytes]], Mapped]
    # What is not as the adapter relies on it. Raises Transient errors where it cannot be looked at.
    check: Callable[[SupplierSettings, "Edge"], Health]


@dataclass(frozen=True, kw_only=True)
class SlicedFeed(Feed):
    """A feed that can be counted and paged."""

    kind: ClassVar[Literal["sliced"]] = "sliced"
    slicing: Slicing
    # Connects to nothing yet: a wrong address or password shows at the first call.
    open: Callable[[SupplierSettings, "Edge"], SlicedSource]


@dataclass(frozen=True, kw_only=True)
class SnapshotFeed(Feed):
    """A feed that says everything at once."""

    kind: ClassVar[Literal["snapshot"]] = "snapshot"
    open: Callable[[SupplierSettings, "Edge"], SnapshotSource]  # the same


AnyFeed = SlicedFeed | SnapshotFeed
