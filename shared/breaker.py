"""A circuit breaker whose state all processes share.

pybreaker decides; the state is one hash in Redis, read and written here. Where Redis is away the
call fails: a breaker that nobody can read protects nobody. Only SupplierUnavailable counts as a
failure, since every other answer shows a supplier that is up.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pybreaker
import redis
import structlog

from shared.errors import BrokerUnavailable, SupplierBusy, SupplierUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

FAILURES_MAX = 5  # in a row, over all processes
COOLDOWN_S = 30.0  # then one call tries again

# The clock is Redis's own, so that no host's clock decides how long the breaker stays open.
READ = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local opened = redis.call('HGET', KEYS[1], 'opened_at')
local open_s = opened and string.format('%.6f', now - opened) or false
return {redis.call('HGET', KEYS[1], 'state'), open_s}
"""
OPEN = """
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'opened_at', time[1] .. string.format('.%06d', time[2]))
"""


class Breaker:
    """The breaker of one account; one object a process, used by all its threads.

    Opens after `failures_max` failures in a row, over all processes, and lets a call through
    again after `cooldown_s`: its success closes the breaker, its failure opens it anew.
    """

    def __init__(
        self,
        client: "redis.Redis",
        key: str,
        *,
        failures_max: int = FAILURES_MAX,
        cooldown_s: float = COOLDOWN_S,
    ) -> None:
        self.key = key
        self.failures_max = failures_max
        self.cooldown_s = cooldown_s
        self._state = _SharedState(client, key)
        self._local = threading.local()

    def check(self) -> None:
        """Raise SupplierBusy while the breaker is open, without counting as a call."""
        state, open_s = self._state.read()
        if state == pybreaker.STATE_OPEN and open_s < self.cooldown_s:
            raise self._open(self.cooldown_s - open_s)

    def call(self, function: Callable[[], T]) -> T:
        """Call `function`. Raises SupplierBusy while open, BrokerUnavailable, or what it raises."""
        try:
            result: T = self._breaker().call(function)
        except pybreaker.CircuitBreakerError as error:
            raise self._open(self.cooldown_s) from error
        return result

    def _breaker(self) -> Any:
        """One a thread, since pybreaker holds a lock while it calls."""
        if not hasattr(self._local, "breaker"):
            self._local.breaker = pybreaker.CircuitBreaker(
                fail_max=self.failures_max,
                reset_timeout=self.cooldown_s,
                exclude=[lambda error: not isinstance(error, SupplierUnavailable)],
                listeners=[_Logger()],
                state_storage=self._state,
                name=self.key,
                throw_new_error_on_trip=False,
            )
        return self._local.breaker

    def _open(self, wait_s: float) -> SupplierBusy:
        return SupplierBusy(
            f"{self.key} failed {self.failures_max} times in a row and is left alone for the next "
            f"{wait_s:.0f} s",
            retry_after_s=wait_s,
        )


class _SharedState(pybreaker.CircuitBreakerStorage):
    """pybreaker's state in one hash. Every method raises BrokerUnavailable."""

    def __init__(self, client: "redis.Redis", key: str) -> None:
        super().__init__("redis")
        self._client = client
        self._key = f"facet:breaker:{{{key}}}"
        self._read = client.register_script(READ)
        self._open_now = client.register_script(OPEN)

    def read(self) -> tuple[str, float]:
        """The state, and the seconds since it was last opened."""
        state, open_s = self._ask(lambda: self._read(keys=[self._key]))
        return _text(state) or pybreaker.STATE_CLOSED, float(open_s or 0)

    @property
    def state(self) -> str:
        return _text(self._ask(lambda: self._client.hget(self._key, "state"))) or "closed"

    @state.setter
    def state(self, state: str) -> None:
        self._ask(lambda: self._client.hset(self._key, "state", state))

    @property
    def opened_at(self) -> datetime:
        """In this host's time, as pybreaker compares it."""
        return datetime.now(UTC) - timedelta(seconds=self.read()[1])

    @opened_at.setter
    def opened_at(self, _: datetime) -> None:
        self._ask(lambda: self._open_now(keys=[self._key]))

    @property
    def counter(self) -> int:
        return self._count("failures")

    def increment_counter(self) -> None:
        self._ask(lambda: self._client.hincrby(self._key, "failures", 1))

    def reset_counter(self) -> None:
        self._ask(lambda: self._client.hset(self._key, "failures", 0))

    @property
    def success_counter(self) -> int:
        return self._count("successes")

    def increment_success_counter(self) -> None:
        self._ask(lambda: self._client.hincrby(self._key, "successes", 1))

    def reset_success_counter(self) -> None:
        self._ask(lambda: self._client.hset(self._key, "successes", 0))

    def _count(self, field: str) -> int:
        return int(self._ask(lambda: self._client.hget(self._key, field)) or 0)

    def _ask(self, command: Callable[[], Any]) -> Any:
        try:
            return command()
        except redis.RedisError as error:
            raise BrokerUnavailable(f"the breaker {self._key} cannot be read: {error}") from error


class _Logger(pybreaker.CircuitBreakerListener):
    """Each process logs a change when it makes it or first meets it."""

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        before = old_state.name if old_state is not None else None
        event = {
            pybreaker.STATE_OPEN: log.error,
            pybreaker.STATE_HALF_OPEN: log.info,
            pybreaker.STATE_CLOSED: log.info,
        }[new_state.name]
        event("breaker_changed", breaker=cb.name, before=before, after=new_state.name)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
