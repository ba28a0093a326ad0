"""One small stock for all tests that only look at it."""

import pytest

from simulator.stock import Stock
from tests.simulator.asking import Client


@pytest.fixture(scope="session")
def still() -> Client:
    """A client of a stock that no test may move."""
    return Client(Stock(1_200, 1_500, seed=11))


@pytest.fixture(scope="session")
def large() -> Stock:
    """Enough stones to compare distributions; no test may move it."""
    return Stock(120_000, 120_000, seed=5)
