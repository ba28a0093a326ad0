"""`python -m simulator` as a process of its own."""

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator import serve
from tests.simulator.asking import COUNT, LOGIN, PAGE

COMMAND = (sys.executable, "-m", "simulator")


@contextmanager
def simulator(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running simulator and what it said when it was ready."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()  # blocks until it serves, or has ended
            assert ready, process.stderr.read() if process.stderr else ""
            yield process, json.loads(ready)
        finally:
            process.kill()


def token(http: httpx.Client, *, username: str = "facet", password: str) -> str:
    answer = http.post(
        "", json={"query": LOGIN, "variables": {"username": username, "password": password}}
    ).json()
    return str(answer["data"]["authenticate"]["username_and_password"]["token"])


def test_it_serves_logs_and_ends_on_sigterm(tmp_path: Path) -> None:
    ready_file, log = tmp_path / "ready.json", tmp_path / "requests.jsonl"
    ready_file.write_text("stale")
    arguments = ("--natural", "500", "--labgrown", "700", "--seed", "3", "--time", "2")
    arguments += ("--log", str(log), "--ready-file", str(ready_file), "--token-lifetime-s", "9")

    with simulator(*arguments) as (process, ready):
        assert json.loads(ready_file.read_text()) == ready
        assert ready["pid"] == process.pid
        assert ready["endpoint"] == ready["url"] + "/api/diamonds"
        with httpx.Client(base_url=ready["endpoint"]) as http:
            http.headers["Authorization"] = "Bearer " + token(http, password="facet")
            count = http.post("", json={"query": COUNT, "variables": {"q": {"labgrown": True}}})
            page = http.post("", json={"query": PAGE, "variables": {"limit": 7}})
            state = http.get(ready["url"] + "/control/state").json()
            # Each line is there as soon as its answer is.
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""

    assert count.json()["data"]["diamonds_by_query_count"] == state["labgrown"]
    assert len(page.json()["data"]["diamonds_by_query"]["items"]) == 7
    assert [line["kind"] for line in lines] == ["login", "count", "page"]
    assert state["time"] == 2
    assert state["start_seconds"] > 0


def test_answers_are_not_held_back_on_their_way() -> None:
    """Nagle's algorithm against delayed acknowledgement would cost 40 ms an answer."""
    accepted: asyncio.Queue[int] = asyncio.Queue()

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        accepted.put_nowait(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def accept_one() -> int:
        listener = serve.listen("127.0.0.1", 0)
        async with await asyncio.start_server(note, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            no_delay = await accepted.get()
            writer.close()
            await writer.wait_closed()
        return no_delay

    assert asyncio.run(accept_one()) == 1


def test_credentials_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATOR_PASSWORD", "from the environment")
    with (
        simulator("--natural", "5", "--labgrown", "5", "--username", "shop") as (_, ready),
        httpx.Client(base_url=ready["endpoint"]) as http,
    ):
        assert token(http, username="shop", password="from the environment")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_what_keeps_it_from_starting_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        in_use = run("--natural", "0", "--labgrown", "0", "--port", str(port))
    no_folder = run("--natural", "0", "--labgrown", "0", "--log", str(tmp_path / "no" / "log"))

    for ended in (in_use, no_folder):
        assert ended.returncode == 1
        assert ended.stdout == ""
        (sentence,) = ended.stderr.splitlines()
        assert sentence.startswith("simulator: cannot start: ")
    assert os.strerror(errno.EADDRINUSE) in in_use.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--natural", "1500001"),
        ("--labgrown", "-1"),
        ("--time", "x"),
        ("--token-lifetime-s", "-1"),
        ("--latency-ms", "inf"),
        ("--base-time", "soon"),
        ("--no-such-flag",),
    ],
)
def test_wrong_usage_ends_with_two(wrong: tuple[str, ...]) -> None:
    ended = run(*wrong)

    assert ended.returncode == 2
    assert wrong[0] in ended.stderr
