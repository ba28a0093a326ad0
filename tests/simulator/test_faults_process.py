"""Faults of a simulator as a process of its own, over real connections."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.simulator.asking import COUNT, PAGE
from tests.simulator.test_process import run, simulator, token

SMALL = ("--natural", "200", "--labgrown", "200")


class Process:
    def __init__(self, ready: dict[str, Any], pid_signal: Any) -> None:
        self.control = ready["url"] + "/control"
        self.http = httpx.Client(base_url=ready["endpoint"], timeout=20)
        self.stop = pid_signal

    def switch(self, faults: dict[str, Any]) -> None:
        httpx.post(f"{self.control}/faults", json=faults).raise_for_status()

    def ask(self, text: str = PAGE) -> httpx.Response:
        return self.http.post("", json={"query": text})

    def shown(self) -> dict[str, int]:
        found: dict[str, int] = httpx.get(f"{self.control}/state").json()["faults"]
        return found


@contextmanager
def started(*flags: str) -> Iterator[Process]:
    """A simulator with faults; it must end well and say nothing of them."""
    with simulator(*SMALL, *flags) as (process, ready):
        found = Process(ready, process.send_signal)
        with found.http as http:
            http.headers["Authorization"] = "Bearer " + token(http, password="facet")
            yield found
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_faults_can_be_on_from_the_start() -> None:
    flags = ("--fault", "short-page:items=3", "--fault", "twins:probability=1,offers=2")
    with started(*flags) as process:
        assert len(process.ask().json()["data"]["diamonds_by_query"]["items"]) == 3
        present = httpx.get(f"{process.control}/faults").json()
        assert list(present) == ["short-page", "twins"]
        assert process.shown()["short-page"] == 1


@pytest.mark.parametrize(
    "fault", ["slowly", "slow:fast", "slow:probability=2", "schema-drift:removed=X.y"]
)
def test_a_fault_that_cannot_be_read_ends_with_two(fault: str) -> None:
    ended = run(*SMALL, "--fault", fault)
    assert ended.returncode == 2
    assert "--fault" in ended.stderr
    assert fault.partition(":")[0] in ended.stderr


def test_a_connection_is_reset_before_an_answer_or_halfway() -> None:
    with started() as process:
        process.switch({"reset": {"times": 1}})
        with pytest.raises(httpx.ReadError, match="reset"):
            process.ask()
        process.switch({"reset": {"halfway": True, "times": 1}})
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            process.ask()
        assert process.ask().status_code == 200
        assert process.shown() == {"reset": 2}


def test_a_hang_holds_until_the_client_has_enough() -> None:
    with started("--fault", "hang:kinds=count") as process:
        before = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            process.http.post("", json={"query": COUNT}, timeout=0.3)
        assert time.monotonic() - before >= 0.3
        assert process.ask().status_code == 200
        while httpx.get(f"{process.control}/state").json()["in_flight"]:
            time.sleep(0.01)  # until it has seen the client leave
        assert process.shown() == {"hang": 1}


def test_a_hang_can_end_with_a_closed_connection() -> None:
    with (
        started("--fault", "hang:seconds=0.05,kinds=page") as process,
        pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
    ):
        process.ask()


def test_a_cut_answer_arrives_as_it_is() -> None:
    with started("--fault", "truncated:share=0.5,kinds=page") as process:
        answer = process.ask()
        assert answer.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            answer.json()


@pytest.mark.parametrize("fault", ["hang", "slow:ms=60000"])
def test_whoever_waits_does_not_keep_it_from_ending(fault: str) -> None:
    with (
        simulator(*SMALL, "--fault", fault) as (process, ready),
        ThreadPoolExecutor(1) as pool,
    ):
        hanging = pool.submit(httpx.post, ready["endpoint"], json={"query": PAGE}, timeout=30)
        while not httpx.get(ready["url"] + "/control/state").json()["in_flight"]:
            time.sleep(0.01)  # until the request has come
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        if fault == "hang":
            assert isinstance(hanging.exception(), httpx.TransportError)
        else:
            assert hanging.result().status_code == 200
        assert process.stderr is not None
        assert process.stderr.read() == ""
