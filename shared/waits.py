"""How an engine's connections are used, and how long its threads wait for one."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from sqlalchemy import QueuePool
from sqlalchemy.exc import TimeoutError as PoolTimeout

log = structlog.get_logger(__name__)

WAITED_S_TOLD = 1.0  # who waits so long for a connection says so


class PoolUse(NamedTuple):
    """How an engine's connections are used."""

    in_use: int
    waiting: int  # threads that wait for one
    most: int  # connections it may have
    waits: int  # so often somebody waited longer than WAITED_S_TOLD
    waited_s: float  # all waiting there ever was
    timeouts: int  # so often nobody gave one back in time


class Waits:
    """The waiting for connections of one engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.waiting = 0
        self.waits = 0
        self.waited_s = 0.0
        self.timeouts = 0

    @contextmanager
    def counted(self, pool: QueuePool, most: int) -> Iterator[None]:
        """Count whoever finds none free, or waits long for another reason."""
        started = time.monotonic()
        full = pool.checkedout() >= most
        with self._lock:
            self.waiting += full
        try:
            yield
        except PoolTimeout:
            with self._lock:
                self.timeouts += 1
            raise
        finally:
            took_s = time.monotonic() - started
            long = took_s >= WAITED_S_TOLD
            with self._lock:
                self.waiting -= full
                self.waited_s += took_s if full or long else 0.0
                self.waits += long
            if long:
                log.warning("database_connection_waited", duration_ms=round(1000 * took_s))
