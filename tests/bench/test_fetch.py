"""The benchmark itself, with figures so small that only its working is tested, not its aims."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fetch import calls_for
from bench.supplier import worst_window
from tests.fakes import FakeSource
from tests.worker.test_ahead import FIFTY, offers, read


@given(st.integers(0, 300))
def test_the_calls_needed_are_those_of_a_lone_reader(number: int) -> None:
    source = FakeSource(offers(number))
    read(source, number, pages=1, slicing=FIFTY)
    assert calls_for(number, 50) == source.sent


@pytest.mark.parametrize(
    ("came_ms", "worst"),
    [
        ([0.0], 1),
        ([0.0, 999.9], 2),
        ([0.0, 1000.0], 1),
        ([0.0, 500.0, 1100.0, 1200.0, 1300.0, 2200.0], 4),
    ],
)
def test_the_worst_window_is_found_wherever_it_begins(came_ms: list[float], worst: int) -> None:
    assert worst_window(came_ms) == worst


def test_the_benchmark_runs_and_keeps_its_limit() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.fetch", "--offers", "1200", "--latency-ms", "50"),
            *("--workers", "2", "--landing-offers", "500", "--landing-rounds", "1"),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["aims_met"] is (done.returncode == 0)
    (row,) = figures["fetching"]
    assert row["calls_made"] == row["calls_needed"]
    assert row["worst_window"] <= row["limit_per_s"]
    assert figures["landing"]["landed_per_s"] > 0
