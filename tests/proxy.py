"""A wire to PostgreSQL that can be cut at a COMMIT: unheard, or heard and unanswered."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

Cut = Literal["unheard", "unanswered"]

COMMIT = b"COMMIT"


class Wire:
    """Forwards connections; the next COMMIT after `cut` was set is lost, and then all is well."""

    def __init__(self, server: Path, port: int) -> None:
        self._server = str(server / f".s.PGSQL.{port}")
        self.cut: Cut | None = None
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who accepts
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                deaf, gone = threading.Event(), threading.Event()
                for one in (self._up, self._down):
                    words = (client, server, deaf, gone)
                    threading.Thread(target=one, args=words, daemon=True).start()

    def _up(
        self,
        client: socket.socket,
        server: socket.socket,
        deaf: threading.Event,
        gone: threading.Event,
    ) -> None:
        with suppress(OSError), closing(client), closing(server):
            while said := client.recv(65_536):
                if COMMIT in said and self.cut is not None:
                    how, self.cut = self.cut, None
                    self.cuts += 1
                    deaf.set()  # nobody hears an answer any more
                    if how == "unanswered":
                        server.sendall(said)
                        server.shutdown(socket.SHUT_WR)
                        gone.wait()  # the server has done it
                    client.shutdown(socket.SHUT_RDWR)
                    server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(said)

    def _down(
        self,
        client: socket.socket,
        server: socket.socket,
        deaf: threading.Event,
        gone: threading.Event,
    ) -> None:
        try:
            with suppress(OSError):
                while said := server.recv(65_536):
                    if not deaf.is_set():
                        client.sendall(said)
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        finally:
            gone.set()


@contextmanager
def wire_to(server: Path, port: int) -> Iterator[Wire]:
    """A wire to the PostgreSQL whose socket lies in that folder."""
    made = Wire(server, port)
    try:
        yield made
    finally:
        made.close()
