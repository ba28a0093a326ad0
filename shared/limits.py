"""One limit on the requests of one account, over every process and host.

The state is in Redis and the clock is Redis's own. A caller reserves the next free slot in one
round trip and sleeps until it comes: first come, first served, whichever host it is on.

Slots lie `SPACING` / rate apart. With a burst of 1 no window of one second then holds more than
rate requests, even where one of them comes up to 30 ms late; a burst of b adds at most b - 1.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import redis

from shared.errors import BrokerUnavailable, SupplierBusy

# Requests reach the supplier later than their slot, by amounts that differ. Slots that lie a
# little too far apart keep two that came closer together from breaking the limit.
SPACING = 1.03

# A slot that was slept through would push the next ones together: it is given up for a new one.
LATE_S_MAX = 0.025

# KEYS  next free slot (µs), requests so far, slots of the last seconds
# ARGV  µs between slots, requests that may come at once, µs to wait at most, slots wanted,
#       how many of them are requests not counted yet
# Returns {1, µs until the last of them} with all reserved, or {0, µs until it would have been}.
RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local between, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local wait_max, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local next_free = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local after = next_free + wanted * between
local wait = math.max(0, after - burst * between - now)
if wait > wait_max then return {0, wait} end
if between > 0 then
  local gone_ms = math.ceil((after - now) / 1000) + 1000
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', gone_ms)
end
local count = redis.call('INCRBY', KEYS[2], ARGV[5])
for i = wanted - 1, 0, -1 do
  local slot = string.format('%.0f', now + math.max(0, wait - i * between))
  redis.call('ZADD', KEYS[3], slot, slot .. ':' .. (count - i))
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('(%.0f', now - 2000000))
redis.call('PEXPIRE', KEYS[3], math.ceil(wait / 1000) + 2000)
return {1, wait}
"""

# KEYS  requests so far, slots of the last seconds. Returns both figures.
USED = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local from, to = string.format('(%.0f', now - 1000000), string.format('%.0f', now)
return {tonumber(redis.call('GET', KEYS[1]) or 0), redis.call('ZCOUNT', KEYS[2], from, to)}
"""


class Used(NamedTuple):
    total: int  # requests since the count began
    in_last_second: int


class Limiter:
    """The limit of one account.

    client      answers in bytes; its socket timeouts bound how long we wait for it
    key         the account's name; the same on every host
    rate_per_s  requests a second, None: no limit, they are only counted
    burst       requests that may come at once after a pause
    wait_s_max  longest wait for a slot, in seconds; shorter than a lease
    """

    def __init__(
        self,
        client: "redis.Redis",
        key: str,
        *,
        rate_per_s: float | None,
        burst: int = 1,
        wait_s_max: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if (rate_per_s is not None and rate_per_s <= 0) or burst < 1 or wait_s_max < 0:
            raise ValueError(f"no limit: {rate_per_s} a second, burst {burst}, wait {wait_s_max}")
        self.key = key
        self.rate_per_s = rate_per_s
        self.burst = burst
        self.wait_s_max = wait_s_max
        self._sleep = sleep
        # Braces keep the three on one node of a Redis cluster.
        self._next, self._count, self._recent = (
            f"facet:limit:{{{key}}}:{part}" for part in ("next", "count", "recent")
        )
        self._reserve = client.register_script(RESERVE)
        self._used = client.register_script(USED)

    def acquire(self, n: int = 1) -> float:
        """Wait for the next `n` slots; returns the seconds waited.

        Raises SupplierBusy where they come later than `wait_s_max`, having reserved nothing, and
        BrokerUnavailable where Redis does not answer: without the limit nothing is sent.
        """
        started = time.monotonic()
        wait_s = self._take(n, self.wait_s_max, uncounted=n)
        while wait_s > 0:
            due = time.monotonic() + wait_s
            self._sleep(wait_s)
            now = time.monotonic()
            if now - due <= LATE_S_MAX:
                break
            wait_s = self._take(n, self.wait_s_max - (now - started), uncounted=0)
        return time.monotonic() - started

    def used(self) -> Used:
        """Requests sent so far and in the last second. Raises BrokerUnavailable."""
        try:
            total, recent = self._used(keys=[self._count, self._recent])
        except redis.RedisError as error:
            raise _away(self.key, error) from error
        return Used(total, recent)

    def _take(self, n: int, wait_s_max: float, *, uncounted: int) -> float:
        """Reserve; returns seconds until the last slot."""
        between_us = math.ceil(1e6 * SPACING / self.rate_per_s) if self.rate_per_s else 0
        wait_us_max = round(1e6 * max(0.0, wait_s_max))
        arguments = [between_us, self.burst, wait_us_max, n, uncounted]
        try:
            taken, wait_us = self._reserve(
                keys=[self._next, self._count, self._recent], args=arguments
            )
        except redis.RedisError as error:
            raise _away(self.key, error) from error
        if not taken:
            raise SupplierBusy(
                f"the limit of {self.key} ({self.rate_per_s:g} requests a second) is used up for "
                f"the next {wait_us / 1e6:.1f} s",
                retry_after_s=wait_us / 1e6,
            )
        return float(wait_us) / 1e6


def _away(key: str, error: redis.RedisError) -> BrokerUnavailable:
    return BrokerUnavailable(f"the limit of {key} cannot be read: {type(error).__name__}: {error}")
