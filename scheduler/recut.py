"""Cut a partition that outgrew its plan, by what was seen while fetching it.

Pure. The children tile their parent exactly, on one axis; the caller closes the parent, keeps
what was landed, and queues the children first.
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil, floor

from scheduler import cuts
from scheduler.axes import Axis, narrowed
from scheduler.density import AXIS_MAX, Density
from scheduler.ladder import LADDER
from shared.feeds.base import Slice, Slicing, Span

CHILD_FILL = 0.7  # of what a child may hold: it grew once and may grow again
CHILDREN_MAX = 64


def recut(
    part: Slice,
    offers: int,
    *,
    offers_max: int,
    slicing: Slicing,
    prices: Sequence[float] = (),
    carats: Sequence[float] = (),
    axes: Sequence[str] = LADDER,
) -> list[Slice]:
    """Children of a partition that hold at most about `offers_max` each, tiling it exactly.

    part        the partition's slice, restricted by price or `priceless`
    offers      its present count
    offers_max  of a child; well below the supplier's depth
    prices      coordinates on the price axis of the offers fetched so far
    carats      the same in hundredths of a carat
    axes        finer axes that are known to hold every offer (`Plan.probes`)

    Cut at the quantiles of what was seen, on the price axis while two different prices were seen,
    else on the first finer axis that can be cut. Returns the parent alone where nothing can be:
    then it is read as far as the supplier's offset reaches, and somebody is told. Children may
    still be too heavy, since what was seen is the part that was added first; each is cut again
    when it proves to be. Raises ValueError for a part that no price bounds.
    """
    if part.price is None and not part.priceless:
        raise ValueError("a part without a price range cannot be cut without a remainder")
    children = min(CHILDREN_MAX, max(2, ceil(offers / (CHILD_FILL * offers_max))))
    if part.price is not None and not (part.carat or part.shapes or part.labs):
        edges = _edges(part.price, prices, children, touching=slicing.touching)
        if edges:
            return _tiles(part, Axis("price", Density()), part.price, edges)
    for name in LADDER:
        if name not in axes:
            continue
        if name == "carat":
            span = part.carat or Span(0, None)
            edges = _edges(span, carats, children, touching=slicing.touching)
            if edges:
                return _tiles(part, Axis("carat", Density()), span, edges)
            continue
        values = getattr(part, name) or (slicing.shapes if name == "shapes" else slicing.labs)
        if len(values) > 1:  # the common ones stand first
            edges = list(range(1, min(children, len(values))))
            axis = Axis(name, Density(), values=values)
            return _tiles(part, axis, Span(0, len(values)), edges)
    return [part]


def _tiles(part: Slice, axis: Axis, span: Span, edges: Sequence[int]) -> list[Slice]:
    lows, highs = [span.low, *edges], [*edges, span.high]
    return [narrowed(part, axis, low, high) for low, high in zip(lows, highs, strict=True)]


def _edges(span: Span, seen: Sequence[float], parts: int, *, touching: bool) -> list[int]:
    """Whole numbers inside a span that part what was seen evenly; none where it is one value."""
    high = AXIS_MAX if span.high is None else span.high
    inside = sorted(value for value in seen if span.low <= value <= high)
    if len(set(inside)) < 2:
        return []
    at = Counter(inside)
    edges: list[int] = []
    for nth in range(1, parts):
        value = inside[len(inside) * nth // parts]
        edge = floor(value)
        if touching and at[float(edge)] > len(inside) // (4 * parts):
            edge -= 1  # what lies on an edge is fetched twice
        if max([span.low, *edges]) < edge < high:
            edges.append(edge)
    if not edges:  # everything below the lowest value seen, or above it
        middle = cuts.halfway(floor(inside[0]), floor(inside[-1]) + 1)
        edges = [middle] if middle is not None and span.low < middle < high else []
    return edges
