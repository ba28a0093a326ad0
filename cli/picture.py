"""Draw a heatmap: the offers of a feed along its price axis, and where it was cut.

Pure functions over what the database keeps. The axis is logarithmic, from the cheapest offers to
the dearest; a bucket's offers are spread evenly over its width.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

Bucket = tuple[int, int | None, int]  # low, high (None: no end), offers; ascending, gapless

BLOCKS = " ▁▂▃▄▅▆▇█"
TAIL = 4.0  # a bucket from 0 or without an end is drawn so many times as high as low


class Axis(NamedTuple):
    """A logarithmic axis in the feed's units, cut into columns of equal width on the paper."""

    low: float
    high: float
    width: int

    def place(self, value: float) -> float:
        """Columns from the left, 0 to `width`."""
        value = min(max(value, self.low), self.high)
        return float(self.width * math.log(value / self.low) / math.log(self.high / self.low))

    def value(self, place: float) -> float:
        """The other way round."""
        return float(self.low * (self.high / self.low) ** (place / self.width))


def axis(buckets: Sequence[Bucket], width: int) -> Axis:
    """An axis over all buckets with offers, its ends on round numbers."""
    filled = [bucket for bucket in buckets if bucket[2]]
    if not filled:
        return Axis(1, 10, width)
    first = filled[0]
    low = first[0] or max(1.0, (first[1] or TAIL) / TAIL)
    last = filled[-1]
    high = last[1] if last[1] is not None else max(last[0], 1) * TAIL
    return Axis(_round_down(low), max(_round_up(high), _round_down(low) * 10), width)


def columns(buckets: Sequence[Bucket], over: Axis) -> list[float]:
    """Offers in each column of the axis; they sum up to those of the buckets."""
    drawn = [0.0] * over.width
    for low, high, offers in buckets:
        if not offers:
            continue
        left = over.place(low)
        right = over.place(high if high is not None else max(low, 1) * TAIL)
        start, end = min(left, over.width - 1e-9), max(right, left + 1e-9)
        for column in range(int(start), min(over.width, math.ceil(end))):
            shared = min(end, column + 1) - max(start, column)
            drawn[column] += offers * shared / (end - start)
    return drawn


def terminal(
    buckets: Sequence[Bucket], cuts: Sequence[int], *, width: int = 76, rows: int = 10
) -> str:
    """The picture in block characters: the columns, the cuts, the axis. No line over `width`."""
    over = axis(buckets, width)
    heights = columns(buckets, over)
    top = max(heights) or 1.0
    lines = []
    for row in reversed(range(rows)):
        filled = (min(max(h / top * rows - row, 0.0), 1.0) for h in heights)
        lines.append("".join(BLOCKS[math.ceil(part * 8)] for part in filled).rstrip())
    marks = ["─"] * width
    for cut in cuts:
        if over.low < cut < over.high:
            marks[min(int(over.place(cut)), width - 1)] = "┴"
    lines.append("".join(marks))
    labels = [" "] * width
    for value in ticks(over):
        word, place = short(value), int(over.place(value))
        start = min(max(0, place - len(word) // 2), width - len(word))
        if all(c == " " for c in labels[max(0, start - 1) : start + len(word) + 1]):
            labels[start : start + len(word)] = word
    lines.append("".join(labels).rstrip())
    return "\n".join(lines)


def svg(buckets: Sequence[Bucket], cuts: Sequence[int], *, title: str, unit: str) -> str:
    """The picture as an SVG document of 960 × 360, light and dark paper alike."""
    width, height, left, top, bottom = 960, 360, 48, 44, 40
    over = axis(buckets, width - 2 * left)
    step = 4
    coarse = over._replace(width=over.width // step)
    heights = columns(buckets, coarse)
    highest = max(heights) or 1.0
    room = height - top - bottom
    floor = height - bottom
    bars = "".join(
        f'<rect x="{left + n * step}" y="{floor - room * h / highest:.1f}" width="{step - 0.5}" '
        f'height="{room * h / highest:.1f}"/>'
        for n, h in enumerate(heights)
        if h
    )
    edges = "".join(
        f'<path d="M{left + over.place(cut):.1f} {top}V{floor}"/>'
        for cut in cuts
        if over.low < cut < over.high
    )
    labels = "".join(
        f'<text x="{left + over.place(value):.1f}" y="{floor + 18}" text-anchor="middle">'
        f"{short(value)}</text>"
        for value in ticks(over)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="{left}" y="24" font-size="15" font-weight="600" fill="#1c2733">'
        f"{escape(title)}</text>"
        f'<g stroke="#b3541e" stroke-opacity="0.45" stroke-width="1">{edges}</g>'
        f'<g fill="#2f6f8f">{bars}</g>'
        f'<path d="M{left} {floor}H{width - left}" stroke="#1c2733"/>'
        f'<g fill="#1c2733">{labels}'
        f'<text x="{width - left}" y="{height - 6}" text-anchor="end">{escape(unit)}</text>'
        "</g></svg>\n"
    )


def ticks(over: Axis) -> list[float]:
    """Round values on the axis: powers of ten, with 2 and 5 between where there is room."""
    decades = math.log10(over.high / over.low)
    steps = (1,) if decades > 5 else (1, 2, 5)
    first, last = math.floor(math.log10(over.low)), math.ceil(math.log10(over.high))
    values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return [value for value in values if over.low <= value <= over.high]


def short(value: float) -> str:
    """A round value in few characters: 500, 2k, 10k, 1M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _round_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(step for step in (1, 2, 5) if step * power <= value) * power


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return min(step for step in (1, 2, 5, 10) if step * power >= value) * power
