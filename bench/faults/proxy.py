"""A TCP proxy in front of PostgreSQL that cuts a connection around a COMMIT.

It reads the frontend's messages just far enough to know a COMMIT. Told to, it passes one on, waits
until the server has answered it, and closes both sides with the answer unsaid: the client cannot
know whether it is committed. Or it closes them with the COMMIT unsent.
"""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

Cut = Literal["answer", "request"]

CHUNK = 65_536
STARTUP = 196_608  # protocol 3.0; other codes before it ask for encryption


class Proxy:
    """Listens on a loopback port; connects to a unix socket. A context manager."""

    def __init__(self, target: Path, *, asked: Callable[[], bool] = lambda: False) -> None:
        """asked    called at each COMMIT: whether this one's answer is to be cut off"""
        self._target = str(target)
        self._asked = asked
        self._lock = threading.Lock()
        self._armed: list[Cut] = []
        self._links: set[Link] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._serve, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.drop_all()

    def cut_next(self, what: Cut) -> None:
        """Cut at the next COMMIT, whosever it is."""
        with self._lock:
            self._armed.append(what)

    def waiting(self) -> int:
        """Cuts that no COMMIT has come for yet."""
        with self._lock:
            return len(self._armed)

    def disarm(self) -> None:
        with self._lock:
            self._armed.clear()

    def drop_all(self) -> int:
        """Close every connection now; returns how many."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()
        return len(links)

    def take(self) -> Cut | None:
        """What to do with a COMMIT that has come."""
        with self._lock:
            armed = self._armed.pop(0) if self._armed else None
        if armed is None and self._asked():
            armed = "answer"
        if armed is not None:
            self.cuts += 1
        return armed

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:
                server.close()
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()

    def forget(self, link: "Link") -> None:
        with self._lock:
            self._links.discard(link)


class Link:
    """One connection, pumped by a thread each way."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._swallowing = False

    def start(self) -> None:
        for pump in (self._up, self._down):
            threading.Thread(target=pump, name="proxy-link", daemon=True).start()

    def close(self) -> None:
        for side in (self._client, self._server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
        self._proxy.forget(self)

    def _up(self) -> None:
        """From the client, message by message."""
        held = b""
        started = False
        try:
            while data := self._client.recv(CHUNK):
                held += data
                send_to = 0
                while True:
                    head = 1 if started else 0
                    if len(held) - send_to < head + 4:
                        break
                    (length,) = struct.unpack_from("!i", held, send_to + head)
                    end = send_to + head + length
                    if len(held) < end:
                        break
                    message = held[send_to:end]
                    if not started:
                        started = struct.unpack_from("!i", message, 4)[0] == STARTUP
                    elif is_commit(message):
                        what = self._proxy.take()
                        if what == "request":
                            self.close()
                            return
                        self._swallowing = what == "answer"
                    send_to = end
                self._server.sendall(held[:send_to])
                held = held[send_to:]
        except OSError:
            pass
        self.close()

    def _down(self) -> None:
        """From the server, as it comes; an answer to be swallowed ends the connection."""
        try:
            while data := self._server.recv(CHUNK):
                if self._swallowing:
                    break
                self._client.sendall(data)
        except OSError:
            pass
        self.close()


def is_commit(message: bytes) -> bool:
    """A simple query, or a statement to be parsed, that is COMMIT."""
    if message[:1] == b"Q":
        return message[5:].upper().startswith(b"COMMIT")
    return message[:1] == b"P" and b"\0COMMIT\0" in message[:64].upper()
