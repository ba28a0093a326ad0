"""Callers of one limiter on a clock of their own, Redis's included: hours pass in no time."""

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace

import pytest
import redis

from shared import limit_scripts, limits

SCRIPTS = ("ACQUIRE", "SENT", "RELEASE", "RETRY", "USED")
WAIT_S_MAX = 30.0  # real seconds, for what takes none


class Clock:
    """Lets one caller at a time run, up to where it sleeps; then time goes on to who wakes next."""

    def __init__(self, client: "redis.Redis", key: str) -> None:
        self.now = 1_000.0
        self._client = client
        self._key = key
        self._serial = count()
        self._asleep: list[tuple[float, int, threading.Event]] = []
        self._all_asleep = threading.Semaphore(0)
        self._failures: list[BaseException] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        woken = threading.Event()
        heapq.heappush(self._asleep, (self.now + seconds, next(self._serial), woken))
        self._all_asleep.release()
        assert woken.wait(WAIT_S_MAX)

    def run(self, callers: Sequence[Callable[[], None]]) -> None:
        """Call them all at once, each in a thread of its own, to their end."""
        threads = [threading.Thread(target=self._live, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
            assert self._all_asleep.acquire(timeout=WAIT_S_MAX)
        while self._asleep:
            self.now, _, woken = heapq.heappop(self._asleep)
            seconds, micros = divmod(round(1e6 * self.now), 1_000_000)
            self._client.mset({f"{self._key}:s": seconds, f"{self._key}:us": micros})
            woken.set()
            assert self._all_asleep.acquire(timeout=WAIT_S_MAX)
        for thread in threads:
            thread.join(WAIT_S_MAX)
        if self._failures:
            raise self._failures[0]

    def _live(self, caller: Callable[[], None]) -> None:
        try:
            self.sleep(0)
            caller()
        except BaseException as error:  # noqa: BLE001  raised by `run`
            self._failures.append(error)
        finally:
            self._all_asleep.release()


@contextmanager
def clock(client: "redis.Redis", key: str) -> Iterator[Clock]:
    """A clock that every limiter made inside lives by; give it `sleep` of the clock."""
    made = Clock(client, f"clock:{key}")
    read = f"redis.call('MGET', 'clock:{key}:s', 'clock:{key}:us')"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "time", SimpleNamespace(monotonic=made.monotonic))
        for name in SCRIPTS:
            script = getattr(limit_scripts, name)
            patch.setattr(limit_scripts, name, script.replace("redis.call('TIME')", read))
        yield made
