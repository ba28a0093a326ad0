"""A circuit breaker whose state all processes share.

pybreaker decides; the state is one hash in Redis, read and written here. Where Redis is away the
call fails: a breaker that nobody can read protects nobody. Only SupplierUnavailable counts as a
failure, since every other answer shows a supplier that is up.

pybreaker would let every process try again at once when the cooldown is over. Here one does, and
holds the probe while it tries; a probe whose holder died lapses.

An operator's order (shared/orders.py) stops every call whatever the breaker thinks.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import pybreaker
import redis
import structlog

from shared.errors import BrokerUnavailable, SupplierBusy, SupplierUnavailable
from shared.orders import redis_key

log = structlog.get_logger(__name__)

T = TypeVar("T")

FAILURES_MAX = 5  # in a row, over all processes
COOLDOWN_S = 30.0  # then one call tries again
PROBE_S = 120.0  # a probe that says no more of itself is over
PROBE_WAIT_S = 2.0  # the others ask again then
STOP_WAIT_S = 10.0  # work that an operator stopped asks again then

# The clock is Redis's own, so that no host's clock decides how long the breaker stays open.
# KEYS  state, probe, orders. Returns {state, seconds since it opened, whether it is being probed,
#       times that it opened, seconds that it is stopped by hand, why}.
READ = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local state, opened, times = unpack(redis.call('HMGET', KEYS[1], 'state', 'opened_at', 'openings'))
local open_s = opened and string.format('%.6f', now - opened) or '0'
local till, why = unpack(redis.call('HMGET', KEYS[3], 'stopped_until', 'stopped_reason'))
local stop_s = till and string.format('%.6f', math.max(0, tonumber(till) - now)) or '0'
local probed = redis.call('EXISTS', KEYS[2])
return {state or 'closed', open_s, probed, tonumber(times or 0), stop_s, why or ''}
"""
CLOSE = """
redis.call('HSET', KEYS[1], 'state', 'closed', 'failures', 0)
redis.call('DEL', KEYS[2])
"""
# A call that was under way when the breaker opened may fail later: that opens nothing anew.
OPEN = """
if redis.call('HGET', KEYS[1], 'state') == 'open' then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'opened_at', time[1] .. string.format('.%06d', time[2]))
return redis.call('HINCRBY', KEYS[1], 'openings', 1)
"""
END_PROBE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class State(NamedTuple):
    name: str  # closed, open or half-open
    open_s: float  # seconds since it last opened; 0: never
    probed: bool  # a call is trying whether the supplier is back
    openings: int  # so often it has opened


class Stop(NamedTuple):
    """No call is made, because an operator said so."""

    left_s: float  # far off where no end was named
    reason: str


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

    def state(self) -> State:
        """How it stands, for all processes. Raises BrokerUnavailable."""
        return self._state.read()[0]

    def stopped(self) -> Stop | None:
        """Whether an operator stopped all calls. Raises BrokerUnavailable."""
        return self._state.read()[1]

    def close(self) -> State:
        """Close it by hand, its count of failures at zero; returns how it stood before."""
        before = self.state()
        self._state.close()
        return before

    def check(self) -> State:
        """Raise SupplierBusy where a call would not go through, without counting as one."""
        now, stop = self._state.read()
        if stop is not None:
            raise SupplierBusy(
                f"all calls to {self.key} are stopped by hand: {stop.reason}",
                hint=f"`facet breaker close {self.key} --because TEXT`",
                retry_after_s=min(stop.left_s, STOP_WAIT_S),
            )
        if now.name == pybreaker.STATE_OPEN and now.open_s < self.cooldown_s:
            raise self._busy(self.cooldown_s - now.open_s)
        if now.name != pybreaker.STATE_CLOSED and now.probed:
            raise self._busy(PROBE_WAIT_S)
        return now

    def call(self, function: Callable[[], T]) -> T:
        """Call `function`. Raises SupplierBusy while open, BrokerUnavailable, or what it raises."""
        if self.check().name == pybreaker.STATE_CLOSED:
            return self._call(function)
        with self._probing():
            return self._call(function)

    def _call(self, function: Callable[[], T]) -> T:
        try:
            result: T = self._breaker().call(function)
        except pybreaker.CircuitBreakerError as error:
            raise self._busy(self.cooldown_s) from error
        return result

    @contextmanager
    def _probing(self) -> Iterator[None]:
        """Be the only one who tries whether the supplier is back."""
        probe = uuid4().hex
        if not self._state.take_probe(probe):
            raise self._busy(PROBE_WAIT_S)
        try:
            yield
        finally:
            self._state.end_probe(probe)

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

    def _busy(self, wait_s: float) -> SupplierBusy:
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
        self._probe = f"{self._key}:probe"
        self._orders = redis_key(key)
        self._read = client.register_script(READ)
        self._open_now = client.register_script(OPEN)
        self._end_probe = client.register_script(END_PROBE)
        self._close = client.register_script(CLOSE)

    def read(self) -> tuple[State, Stop | None]:
        name, open_s, probed, openings, stop_s, why = self._ask(
            lambda: self._read(keys=[self._key, self._probe, self._orders])
        )
        state = State(_text(name), float(open_s), bool(probed), int(openings))
        return state, Stop(float(stop_s), _text(why)) if float(stop_s) else None

    def close(self) -> None:
        self._ask(lambda: self._close(keys=[self._key, self._probe]))

    def take_probe(self, probe: str) -> bool:
        """Whether the probe is ours now."""
        lapse_ms = round(1000 * PROBE_S)
        return bool(self._ask(lambda: self._client.set(self._probe, probe, nx=True, px=lapse_ms)))

    def end_probe(self, probe: str) -> None:
        """Let the next one probe. Never raises for Redis: what the probe found is known already."""
        try:
            self._end_probe(keys=[self._probe], args=[probe])
        except redis.RedisError as error:
            log.warning("probe_not_ended", breaker=self._key, error=str(error))

    @property
    def state(self) -> str:
        return _text(self._ask(lambda: self._client.hget(self._key, "state"))) or "closed"

    @state.setter
    def state(self, state: str) -> None:
        self._ask(lambda: self._client.hset(self._key, "state", state))

    @property
    def opened_at(self) -> datetime:
        """In this host's time, as pybreaker compares it."""
        return datetime.now(UTC) - timedelta(seconds=self.read()[0].open_s)

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
