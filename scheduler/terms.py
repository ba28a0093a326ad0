"""What goes into a scan and what comes out of it. Pure definitions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.feeds.base import Slice, Slicing

MARGIN = 0.90  # of the depth a supplier answers: offers are added between counting and fetching
FILL_COLD = 0.93  # of what a part may hold, where cuts are aimed by guess
FILL_WARM = 0.96  # the same, where the catalogue says where the offers lie


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What one scan is given.

    workers     among whom the plan balances its partitions
    offers_max  of a partition; never above the supplier's depth less a margin, whatever is asked
    balance     heaviest worker over the mean, at which a plan is even enough
    calls_max   counts and pages together; None: by the size of the feed
    base        conditions every ask carries, such as `updated_from`
    priceless   offers without a price exist and can be asked for
    pages       the driver can read a page, to see what a stubborn bucket holds
    rank_chains where the supplier lists offers in order of price: edges looked for at once
    scale       units of the price axis in a US dollar per carat
    """

    slicing: Slicing
    workers: int = 2
    offers_max: int | None = None
    balance: float = 1.10
    fill: float | None = None
    margin: float = MARGIN
    calls_max: int | None = None
    base: Slice = field(default_factory=Slice)
    priceless: bool = False
    pages: bool = False
    rank_chains: int = 8
    scale: float = 1.0

    @property
    def cap(self) -> int:
        """Offers a partition is planned to hold at most."""
        deep = max(1, int(self.margin * self.slicing.depth))
        return deep if self.offers_max is None else max(1, min(deep, self.offers_max))


class Ask(NamedTuple):
    """A call to make: a count, or where `limit` is not 0 a page."""

    number: int
    part: Slice
    offset: int = 0
    limit: int = 0
    axis: str = "price"  # on which axis a page's coordinates are wanted
    ranked: bool = False  # the page is wanted in order of price
    attempt: int = 1


class Leaf(NamedTuple):
    """One partition to be."""

    slice: Slice
    offers: int
    estimated: bool  # never counted; `offers` is what we expect
    saturated: bool  # deeper than the supplier's offset reaches, and cannot be cut
    reason: str  # why it is estimated or heavier than it should be, or ""


class Range(NamedTuple):
    """A stretch of the price axis, for the picture."""

    low: int  # inclusive
    high: int | None  # exclusive; None: no upper end
    offers: int


class Plan(NamedTuple):
    """A feed cut into leaves that cover it."""

    leaves: list[Leaf]
    total: int | None  # offers in the whole feed, counted in one go; None: never answered
    unreachable: int  # offers without a price, where the supplier has no way to ask for them
    histogram: list[Range]  # gapless from 0
    calls: int
    rounds: int  # calls that had to wait for one another, one behind the other
    failed: int
    estimated: int  # leaves
    balance: float  # heaviest worker over the mean, in requests, dealt largest first
    why_stopped: str
    probes: Mapping[str, bool]  # asked of the feed itself, such as whether all offers have a carat
