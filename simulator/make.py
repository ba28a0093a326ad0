"""Make stones: columns of a seeded random draw from the real table, rescaled to today's prices.

Pure: the same generator, kind and number give the same stones on the same machine and numpy.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator import curves, stone, table, words
from simulator.companies import COMPANIES
from simulator.stone import Columns

CHUNK = 1 << 16  # stones drawn at once; bounds the memory a draw takes on top of its columns
CARAT_MAX = 1_501  # hundredths; where the supplier's own filter ends
HOUR_S = 3_600
DAY_S = 24 * HOUR_S

# Column → type. What is not here follows from the stone's own bits (`fields.py`).
DTYPES: dict[str, type[Any]] = {
    "carat": np.uint16,  # hundredths
    "price": np.int32,  # cents, the whole stone
    "discount": np.int16,  # hundredths of a percent
    "created": np.int32,  # seconds since the base of the stock's time
    "updated": np.int32,  # the same
    "length": np.uint16,  # hundredths of a millimetre; 0 where nobody measured
    "width": np.uint16,
    "depth": np.uint16,
    "depth_percent": np.uint16,  # tenths, as are all below
    "table_percent": np.uint16,
    "crown_angle": np.uint16,  # of these six, 0 is null
    "crown_height": np.uint16,
    "pavilion_angle": np.uint16,
    "pavilion_depth": np.uint16,
    "star_length": np.uint16,
    "lower_girdle": np.uint16,
} | dict.fromkeys(
    (  # codes of words, but for the last four
        *("shape", "color", "clarity", "cut", "polish", "symmetry", "fluorescence"),
        *("fluorescence_color", "lab", "fancy_color", "fancy_intensity", "fancy_overtone"),
        *("girdle", "culet", "eye_clean", "brown", "green", "milky", "symbols", "origin"),
        *("company", "availability", "labgrown", "growth", "treated"),
        *("media", "days_min", "days_max", "express"),
    ),
    np.uint8,
)

# Bits of the column `media`.
IMAGE, VIDEO, V360, PDF = 1, 2, 4, 8


class Span(NamedTuple):
    """When the stones come on sale: seconds since the base, from `first` to `last`."""

    first: int
    last: int  # inclusive


LISTED_BEFORE = Span(-500 * DAY_S, 0)  # when the stock of tick 0 came on sale

_DAYS = np.array([(c.days_min, c.days_max) for c in COMPANIES], np.uint8)
_COMPANIES = words.Vocabulary(
    tuple(c.id for c in COMPANIES),
    tuple(c.weight for c in COMPANIES),
    tuple(c.weight * (1.5 if n % 3 else 0.5) for n, c in enumerate(COMPANIES)),
)


def stones(rng: np.random.Generator, n: int, *, labgrown: bool, listed: Span) -> Columns:
    """The columns of `n` new stones. About a second a million."""
    columns: Columns = {name: np.zeros(n, dtype) for name, dtype in DTYPES.items()}
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        for name, values in _chunk(rng, size, labgrown=labgrown, listed=listed).items():
            columns[name][start : start + size] = values
    return columns


def _chunk(rng: np.random.Generator, n: int, *, labgrown: bool, listed: Span) -> Columns:
    real = table.load()
    source = _draw(rng, n, real, labgrown=labgrown)
    share = _share(rng, source, real, labgrown=labgrown)
    carat, grown = _carat(rng, source, share, real, labgrown=labgrown)
    columns: Columns = {"carat": carat}
    columns |= stone.grades(rng, source, real, labgrown=labgrown)
    columns |= stone.proportions(rng, source, real, grown=grown, shape=columns["shape"])
    columns |= _listing(rng, n, labgrown=labgrown, listed=listed)

    per_carat = curves.usd_per_carat(share, labgrown=labgrown)
    if labgrown:
        whole = rng.random(n) < curves.LABGROWN_WHOLE_DOLLARS
        per_carat = np.where(whole, np.rint(per_carat), per_carat)
    # Dollars a carat times hundredths of a carat are cents, rounded once.
    columns["price"] = np.maximum(np.rint(per_carat * carat), 1).astype(np.int32)
    columns["discount"] = discounts(columns)
    return columns


def discounts(columns: Columns) -> NDArray[np.int16]:
    """Hundredths of a percent below (negative) or above the invented list, from the price."""
    carat = columns["carat"].astype(np.int64)
    color = columns["color"].astype(np.uint8)
    listed = curves.list_price(carat, color, columns["clarity"].astype(np.uint8))
    part = columns["price"].astype(np.float64) / carat / listed
    return np.clip(np.rint((part - 1) * 10_000), -9_990, 9_990).astype(np.int16)


def _draw(
    rng: np.random.Generator, n: int, real: table.Table, *, labgrown: bool
) -> NDArray[np.int64]:
    """Rows of the table, with replacement; lab-grown ones the more often the larger they are."""
    if not labgrown:
        return rng.integers(0, len(real.carat), n)
    weights = np.cumsum(real.carat)
    return np.searchsorted(weights, rng.integers(0, weights[-1], n), side="right")


def _share(
    rng: np.random.Generator, source: NDArray[np.int64], real: table.Table, *, labgrown: bool
) -> NDArray[np.float64]:
    """Where the stone's price stands among all, 0..1: its rank in the table, a little shaken."""
    log_price = real.log_price[source] + rng.normal(0, 0.03, len(source))
    order = real.log_price_sorted
    if labgrown:  # the draw favours large stones: rank among what was drawn
        order = np.sort(log_price)
    place = np.searchsorted(order, log_price) + rng.random(len(source))
    return np.minimum(place / len(order), 1.0)


def _carat(
    rng: np.random.Generator,
    source: NDArray[np.int64],
    share: NDArray[np.float64],
    real: table.Table,
    *,
    labgrown: bool,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Weight in hundredths, and how much larger than its model each stone is.

    The popular weights stay; others move by up to two points. The table ends near five carats and
    has few above two, so a part of the dear stones is made larger, price per carat as it was.
    """
    carat = real.carat[source]
    moved = np.maximum(carat + rng.integers(-2, 3, len(carat)), table.CARAT_MIN)
    keep = real.spike[carat] | real.spike[moved]
    carat = np.where(keep, carat, moved)
    chance = np.where(labgrown, 0.10, np.clip((share - 0.80) * 2.2, 0, 0.44))
    factor = np.where(rng.random(len(carat)) < chance, 1 + rng.gamma(2.0, 0.75, len(carat)), 1.0)
    larger = np.minimum(np.rint(carat * factor), CARAT_MAX).astype(np.int64)
    return larger, np.cbrt(larger / real.carat[source])


def _listing(rng: np.random.Generator, n: int, *, labgrown: bool, listed: Span) -> Columns:
    company = _COMPANIES.pick(rng, n, labgrown=labgrown)
    lab = words.LABS.pick(rng, n, labgrown=labgrown)
    certified = lab != words.NO_LAB
    media = IMAGE * (rng.random(n) < 0.86)
    media |= VIDEO * (rng.random(n) < 0.78)
    media |= V360 * (rng.random(n) < 0.55)
    media |= PDF * (certified & (rng.random(n) < 0.93))

    # Most stones come in their supplier's uploads, every six hours: many share one second.
    span = listed.last - listed.first
    age = rng.exponential(0.25, n) % 1.0 * span
    created = (listed.last - age).astype(np.int64)
    upload = created // (6 * HOUR_S) * (6 * HOUR_S) + company.astype(np.int64) * 37
    upload = np.where((upload > listed.first) & (upload <= listed.last), upload, created)
    created = np.where(rng.random(n) < 0.7, upload, created)
    untouched = rng.random(n) < 0.4
    later = created + (rng.random(n) ** 0.5 * (listed.last - created)).astype(np.int64)
    return {
        "company": company,
        "lab": lab,
        "media": media,
        "created": created,
        "updated": np.where(untouched, created, later),
        "days_min": _DAYS[company, 0],
        "days_max": _DAYS[company, 1],
        "express": (_DAYS[company, 1] <= 5) & (rng.random(n) < 0.8),
    } | {
        name: vocabulary.pick(rng, n, labgrown=labgrown)
        for name, vocabulary in (
            ("girdle", words.GIRDLES),
            ("culet", words.CULETS),
            ("eye_clean", words.EYE_CLEAN),
            ("brown", words.TINGES),
            ("green", words.TINGES),
            ("milky", words.TINGES),
            ("symbols", words.SYMBOLS),
            ("origin", words.ORIGINS),
            ("availability", words.AVAILABILITY),
            ("labgrown", words.LABGROWN),
            ("growth", words.GROWTH),
            ("treated", words.TREATED),
        )
    }
