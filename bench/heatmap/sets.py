"""The feeds that the scan is tried on, and what a day makes of them.

Prices are per carat, in cents; -1 stands for no price. Everything is drawn from a seed, but for
the real table. Carats are even between 0.30 and 5.00, so that carat, shape and laboratory can cut
what one price holds; only in `one cell` nothing can.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.table import PATH as REAL_TABLE

SHAPES = (
    *("ROUND", "OVAL", "CUSHION", "PRINCESS", "EMERALD"),
    *("PEAR", "RADIANT", "MARQUISE", "ASSCHER", "HEART"),
)
SHAPE_SHARES = (0.28, 0.16, 0.12, 0.1, 0.09, 0.08, 0.06, 0.05, 0.03, 0.03)
LABS = ("GIA", "IGI", "HRD")
LAB_SHARES = (0.5, 0.3, 0.2)
NO_PRICE = -1

Column = NDArray[Any]  # whole numbers; prices in dollars have fractions
Draw = np.random.Generator
Day = Literal["2 % redrawn", "10 % redrawn", "5 % more", "3 % dearer", "20 % from a new supplier"]
QUIET_DAYS: tuple[Day, ...] = ("2 % redrawn", "10 % redrawn", "5 % more")
SHOCKS: tuple[Day, ...] = ("3 % dearer", "20 % from a new supplier")


@dataclass(frozen=True, slots=True)
class Offers:
    """A feed at one moment: columns of equal length."""

    price: Column  # a carat, in cents
    carat: Column  # hundredths
    shape: Column  # place in SHAPES
    lab: Column  # place in LABS

    def __len__(self) -> int:
        return len(self.price)

    def columns(self) -> tuple[Column, Column, Column, Column]:
        return self.price, self.carat, self.shape, self.lab

    def taken(self, at: Column) -> "Offers":
        """Those at some places, in that order."""
        return Offers(*(column[at] for column in self.columns()))


def real_prices() -> Column:
    """Prices per carat of the 53,940 real stones."""
    table = pl.read_csv(REAL_TABLE, columns=["carat", "price"])
    return (table["price"] * 100 / table["carat"]).round().cast(pl.Int64).to_numpy()


def _scaled(rows: int, draw: Draw) -> Column:
    """The real table drawn from again and again, each price 3 % up or down."""
    price = draw.choice(real_prices(), rows) * draw.normal(1.0, 0.03, rows)
    return np.rint(price).astype(np.int64)


def _lognormal(rows: int, draw: Draw) -> Column:
    return np.rint(draw.lognormal(np.log(90_000), 1.0, rows)).astype(np.int64)


def _uniform(rows: int, draw: Draw) -> Column:
    return draw.integers(0, 5_000_000, rows)


def _zipf(rows: int, draw: Draw) -> Column:
    """Over 50,000 whole dollars; the most popular price holds about a seventh."""
    ranks = np.arange(1, 50_001)
    shares = ranks**-1.1
    dollars = draw.permutation(50_000) + 1
    return 100 * dollars[draw.choice(50_000, rows, p=shares / shares.sum())]


def _heavy_tail(rows: int, draw: Draw) -> Column:
    """Pareto: one in 25 costs more than 50,000 dollars a carat."""
    return np.minimum(50_000 * (1 + draw.pareto(0.7, rows)), 2e9).astype(np.int64)


def _one_price(rows: int, _draw: Draw) -> Column:
    return np.full(rows, 250_000)


def _two_spikes(rows: int, draw: Draw) -> Column:
    which = draw.random(rows)
    spread = draw.integers(50_000, 1_000_000, rows)
    return np.where(which < 0.48, 150_000, np.where(which < 0.96, 420_000, spread))


def _round_prices(rows: int, draw: Draw) -> Column:
    """Three in ten cost a multiple of 100 dollars a carat."""
    price = _scaled(rows, draw)
    rounded = np.maximum(10_000, (price + 5_000) // 10_000 * 10_000)
    return np.where(draw.random(rows) < 0.3, rounded, price)


def _odd_prices(rows: int, draw: Draw) -> Column:
    """Half of them on 40 prices that nobody would guess."""
    crowded = draw.choice(_scaled(rows, draw), 40)
    return np.where(draw.random(rows) < 0.5, draw.choice(crowded, rows), _scaled(rows, draw))


def _missing_prices(rows: int, draw: Draw) -> Column:
    """Three in a hundred have none, and one costs more than 50,000 dollars a carat."""
    price, which = _scaled(rows, draw), draw.random(rows)
    price = np.where(which < 0.01, draw.integers(5_000_000, 20_000_000, rows), price)
    return np.where(which > 0.97, NO_PRICE, price)


# By name: prices from a number of rows and a source of chance. What holds a fixed number of
# offers takes no notice of `rows`.
SETS: dict[str, Callable[[int, Draw], Column]] = {
    "real": lambda _rows, _draw: real_prices(),
    "real, scaled": _scaled,
    "log-normal": _lognormal,
    "uniform": _uniform,
    "zipf": _zipf,
    "heavy tail": _heavy_tail,
    "one price": _one_price,
    "two spikes": _two_spikes,
    "round prices": _round_prices,
    "odd prices": _odd_prices,
    "missing prices": _missing_prices,
    "one cell": lambda rows, draw: _one_price(min(rows, 30_000), draw),
    "no stone": lambda _rows, draw: draw.integers(0, 1, 0),
    "one stone": lambda _rows, draw: _one_price(1, draw),
}


def offers(name: str, rows: int, seed: int) -> Offers:
    """A set by name, with so many rows where it has no number of its own."""
    draw = np.random.default_rng(seed)
    made = with_prices(SETS[name](rows, draw), draw)
    if name == "one cell":
        return replace(made, carat=np.full(len(made), 100), shape=made.shape * 0, lab=made.lab * 0)
    return made


def with_prices(price: Column, draw: Draw) -> Offers:
    """Offers at these prices."""
    rows = len(price)
    return Offers(
        price.astype(np.int64),
        draw.integers(30, 501, rows),
        draw.choice(len(SHAPES), rows, p=SHAPE_SHARES),
        draw.choice(len(LABS), rows, p=LAB_SHARES),
    )


def next_day(yesterday: Offers, day: Day, seed: int) -> Offers:
    """The same feed a day later."""
    draw = np.random.default_rng(seed)
    rows = len(yesterday)
    if day == "3 % dearer":
        dearer = np.rint(yesterday.price * 1.03).astype(np.int64)
        return replace(yesterday, price=np.where(yesterday.price < 0, NO_PRICE, dearer))
    if day == "20 % from a new supplier":
        new = with_prices(_lognormal(rows // 5, draw) * 2, draw)
        return Offers(
            *(np.concatenate(pair) for pair in zip(yesterday.columns(), new.columns(), strict=True))
        )
    if day == "5 % more":
        more = yesterday.taken(draw.integers(0, max(1, rows), rows // 20))
        return Offers(
            *(
                np.concatenate(pair)
                for pair in zip(yesterday.columns(), more.columns(), strict=True)
            )
        )
    share = 0.02 if day == "2 % redrawn" else 0.1
    redrawn = draw.random(rows) < share
    other = yesterday.taken(draw.integers(0, max(1, rows), rows))
    return Offers(
        *(
            np.where(redrawn, new, old)
            for new, old in zip(other.columns(), yesterday.columns(), strict=True)
        )
    )
