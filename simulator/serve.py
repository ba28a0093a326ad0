"""A process that serves: a socket, a web server on it, and a file that says it is ready."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.mishaps import CONNECTION
from simulator.server import ENDPOINT

KEEP_ALIVE_S = 75  # longer than a client's pool keeps a connection idle
SHUTDOWN_S = 2  # for requests under way
BACKLOG = 2_048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    # Only where the protocol is named does asyncio turn Nagle's algorithm off, which would hold
    # every second answer back by 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def announce(ready_file: Path | None, listener: socket.socket) -> dict[str, str | int]:
    """Say where the supplier is reached, in one step: who finds the file finds all of it."""
    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}"
    where: dict[str, str | int] = {"url": url, "endpoint": url + ENDPOINT, "pid": os.getpid()}
    if ready_file is not None:
        part = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        part.write_text(json.dumps(where) + "\n", encoding="utf-8")
        part.replace(ready_file)
    return where


def run(
    app: ASGIApp,
    listener: socket.socket,
    when_ready: Callable[[], None],
    when_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests under way get SHUTDOWN_S to end."""
    asyncio.run(_Server(app, when_ready, when_stopping).serve(sockets=[listener]))


class _Protocol(HttpToolsProtocol):
    """Lets a request reach its connection, which a fault may reset."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: self.transport}  # type: ignore[dict-item]


class _Server(uvicorn.Server):
    """Tells when it serves, and takes a signal as the request to end that it is: exit code 0."""

    def __init__(
        self, app: ASGIApp, when_ready: Callable[[], None], when_stopping: Callable[[], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=SHUTDOWN_S,
            )
        )
        self._when_ready = when_ready
        self._when_stopping = when_stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._when_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self._stop)
        yield

    def _stop(self) -> None:
        self.force_exit = self.should_exit  # the second signal does not wait
        self.should_exit = True
        self._when_stopping()
