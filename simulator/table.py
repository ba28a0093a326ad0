"""The real diamonds table: 53,940 round natural stones. Where from: `data/LICENSE-diamonds.md`.

Taken for the joint shape of its columns, never for its prices: they only rank the stones.
"""

import csv
import gzip
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PATH = Path(__file__).parent / "data" / "diamonds.csv.gz"
CARAT_MIN = 40  # hundredths; the feed's published figures start at 0.40 ct

CUTS = ("Fair", "Good", "Very Good", "Premium", "Ideal")
COLORS = ("D", "E", "F", "G", "H", "I", "J")
CLARITIES = ("IF", "VVS1", "VVS2", "VS1", "VS2", "SI1", "SI2", "I1")


class Table(NamedTuple):
    """Columns of the stones of at least CARAT_MIN, in the order of the file."""

    carat: NDArray[np.int64]  # hundredths
    cut: NDArray[np.uint8]  # index of CUTS
    color: NDArray[np.uint8]  # index of COLORS
    clarity: NDArray[np.uint8]  # index of CLARITIES
    depth_percent: NDArray[np.int64]  # tenths
    table_percent: NDArray[np.int64]  # tenths
    millimetres: NDArray[np.float64]  # (stones, 3): x, y, z; 0 where the file has 0
    log_price: NDArray[np.float64]  # ln of price per carat
    log_price_sorted: NDArray[np.float64]  # the same, ascending
    spike: NDArray[np.bool_]  # indexed by hundredths of a carat: a weight people ask for


@cache
def load() -> Table:
    """Read the table, once a process: about 0.2 s."""
    with gzip.open(PATH, "rt", encoding="ascii", newline="") as file:
        rows = list(csv.reader(file))[1:]
    carat, cut, color, clarity, depth, table, price, *sides = zip(*rows, strict=True)
    hundredths = np.rint(_numbers(carat) * 100).astype(np.int64)
    kept = hundredths >= CARAT_MIN
    log_price = np.log(_numbers(price) / (hundredths / 100))[kept]
    return Table(
        carat=hundredths[kept],
        cut=_codes(cut, CUTS)[kept],
        color=_codes(color, COLORS)[kept],
        clarity=_codes(clarity, CLARITIES)[kept],
        depth_percent=np.rint(_numbers(depth) * 10).astype(np.int64)[kept],
        table_percent=np.rint(_numbers(table) * 10).astype(np.int64)[kept],
        millimetres=np.stack([_numbers(side) for side in sides], axis=1)[kept],
        log_price=log_price,
        log_price_sorted=np.sort(log_price),
        spike=_spikes(hundredths[kept]),
    )


def _numbers(words: tuple[str, ...]) -> NDArray[np.float64]:
    return np.fromiter(map(float, words), np.float64, len(words))


def _codes(words: tuple[str, ...], vocabulary: tuple[str, ...]) -> NDArray[np.uint8]:
    index = {word: code for code, word in enumerate(vocabulary)}
    return np.array([index[word] for word in words], np.uint8)


def _spikes(hundredths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Weights with at least twice as many stones as the mean of the five on either side."""
    counts = np.bincount(hundredths, minlength=2_000)
    around = np.convolve(counts, np.ones(11), mode="same") - counts
    return (counts >= 20) & (counts >= 2 * around / 10)
