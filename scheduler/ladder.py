"""Below a crowded price: carat, then shape, then certificate lab.

Pure. An axis may replace a bucket only where it is known to hold every offer in it: a stone
without a carat, or of a shape nobody listed, is in the bucket and on no finer axis. So the feed is
asked once for each axis whether it holds everything, and if not, each bucket is asked.
"""

from scheduler.axes import UNCUTTABLE, Axis, AxisName, Bucket, Known, Tiling, narrowed
from scheduler.density import COLD_CARAT, Density
from scheduler.measured import Job, Measured
from shared.feeds.base import Slice, Slicing, Span

LADDER: tuple[AxisName, ...] = ("carat", "shapes", "labs")
# Where ranges include both ends, carats are cut between the sizes that people cut stones to, and
# at any hundredth only when nothing else is left.
LADDER_TOUCHING: tuple[AxisName, ...] = ("carat", "shapes", "labs", "carat")
CARAT_GRID = (10, 9)  # hundredths: few stones have 0.99 carats, many 1.00 and 1.01


def climb(measured: Measured, tiling: Tiling, bucket: Bucket) -> Job | None:
    """Open a finer axis below a crowded bucket, once it is known to hold everything in it.

    None: it is open, or nothing can be and the bucket is stuck, or another job's answer decides.
    """
    job, waits = _first(tiling, bucket)
    ladder = LADDER_TOUCHING if measured.settings.slicing.touching else LADDER
    while not waits:
        rung = tiling.rung + 1 + bucket.skipped
        if rung >= len(ladder):
            bucket.stuck = UNCUTTABLE
            measured.version += 1
            break
        name, finer = ladder[rung], _finer(measured, tiling, bucket, rung, ladder[rung])
        if finer is None:
            bucket.skipped += 1
            continue
        waits = True
        if measured.whole.get(name):
            measured.open(bucket, finer)
        elif name in measured.whole:
            bucket.busy = True
            part = finer.slice_of(finer.buckets[0].low, finer.buckets[0].high)
            job = Job("fits", [part, finer.base], tiling, bucket, finer=finer)
        elif name not in measured.probing:
            measured.probing.add(name)
            parts = [_everything(measured, name)]
            if name in measured.doubted or measured.total is None:
                parts.append(measured.settings.base)
            job = Job("whole", parts, finer=finer)
    return job


def _first(tiling: Tiling, bucket: Bucket) -> tuple[Job | None, bool]:
    """What must be counted before, and whether to wait.

    A number that was only derived and surprises may be a phantom. And where ranges include both
    ends, what crowds here may lie on the edge to the next bucket, and is in that one too.
    """
    wanted = bucket
    if bucket.known is Known.DERIVED and not tiling.axis.touching and not bucket.surprises:
        return None, False
    if bucket.known is Known.COUNTED:
        after = tiling.after(bucket)
        if not tiling.axis.touching or after is None or after.known is not Known.DERIVED:
            return None, False
        wanted = after
    if wanted.busy or wanted.stuck:
        return None, not wanted.stuck
    wanted.busy = True
    return Job("count", [tiling.slice_of(wanted.low, wanted.high)], tiling, wanted), True


def _finer(
    measured: Measured, tiling: Tiling, bucket: Bucket, rung: int, name: AxisName
) -> Tiling | None:
    """A finer axis below a bucket, in one piece; None where it could not cut anything."""
    slicing = measured.settings.slicing
    base = tiling.slice_of(bucket.low, bucket.high)
    low, high = 0, None
    if name == "carat":
        price = base.price or Span(0, None)
        remembered = measured.prior.carat(price.low, price.high)
        density = remembered or _seen(measured, name, Density(COLD_CARAT, scale=100))
        grid = CARAT_GRID if slicing.touching and rung == 0 else None
        axis = Axis(name, density, slicing.touching, grid=grid)
        low, high = base.carat or Span(0, None)
    else:
        values = _values(slicing, name)
        # Suppliers list the common ones first, as far as we know.
        cold = Density(points=[(place, 1 / (place + 1)) for place in range(len(values))])
        axis = Axis(name, _seen(measured, name, cold), values=values)
        high = len(values)
    if axis.ends(low, high):
        return None
    return Tiling(axis, base, [Bucket(low, high, bucket.offers, Known.COUNTED)], rung)


def _seen(measured: Measured, name: AxisName, cold: Density) -> Density:
    """As it was counted along this axis below another crowded value, where that was cut finest."""
    rung = LADDER.index(name)
    seen = [t for t in measured.every_tiling() if t.axis.name == name and t.rung == rung]
    if not seen:
        return cold
    buckets = max(seen, key=lambda tiling: len(tiling.buckets)).buckets
    offers = [
        b.offers if b.finer is None else sum(one.offers for _, one in b.finer.finest())
        for b in buckets
    ]
    return cold.weighed([bucket.low for bucket in buckets[1:]], offers)


def _everything(measured: Measured, name: AxisName) -> Slice:
    """All the feed that an axis holds."""
    values = _values(measured.settings.slicing, name)
    axis = Axis(name, Density(), values=values)
    return narrowed(measured.settings.base, axis, 0, axis.top)


def _values(slicing: Slicing, name: AxisName) -> tuple[str, ...]:
    return {"shapes": slicing.shapes, "labs": slicing.labs}.get(name, ())
