"""One limit on the requests of one account, over every process and host.

The state is in Redis and the clock is Redis's own. A caller asks in one round trip: it gets one of
the places for calls in flight and with it the next free slot, and sleeps until that comes. Where
all places are taken it stands in line. First come, first served, whichever host it is on.

A slot is given only where less than the rate can be sent within the second before it, whoever is
late: a request counts from its slot on, until a second after its sender said that it is sent. So
no second holds more than the rate in the supplier's own log, as long as what was sent is there
`WAY_S` later; slots that lie apart only keep a second's requests from coming at once.

A supplier that says 429, or whose firewall says 403, has its rate cut for all of us; it grows back
by the minute. What an operator orders (shared/orders.py) is read with each turn, in place of the
settings. What the numbers are from: docs/decisions/0008-one-limit.md.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import redis
import structlog

from shared import limit_scripts
from shared.errors import BrokerUnavailable, SupplierBusy, Throttled

log = structlog.get_logger(__name__)

# How much longer than the quickest a request may be on its way after it was said to be sent: the
# network, and a supplier that is busy before it looks at the clock.
WAY_S = 0.02

# How far apart slots lie, of an even spread. Closer than that, so that what one request that was
# late has cost is made good by those after it.
PACE = 0.8

SEND_S_MAX = 5.0  # who wakes later than that after its slot takes another
UNSENT_S = 2 * SEND_S_MAX  # a slot of which nobody said more counts no longer: its holder died

CUT_TO = 0.5  # what is left of the rate when the supplier says that it is too high
CUT_EVERY_S = 5.0  # the calls in flight at that moment all say so: it is one complaint
CUT_FLOOR = 0.1  # of the nominal rate; so the supplier is still asked, and can be found well
RECOVER_S = 120.0  # from nothing to the nominal rate

RATE_MIN = 0.1  # requests a second: an order may not ask for less
# How long a request is remembered: the longest window that a cut of the lowest rate may lead to.
COUNTS_S = 2 + (RATE_MIN + 1) / (RATE_MIN * CUT_FLOOR)

RETRIES_KEPT = 10  # retries that an account can save up, and has to begin with
PLACE_S = 120.0  # a place whose holder says no more of itself is free again
AWAY_WAIT_S = 5.0  # how long work waits where the limit cannot be read

Ended = Literal["answered", "throttled", "failed"]


class Used(NamedTuple):
    total: int  # requests since the count began
    in_last_second: int
    in_flight: int  # calls that have a place, those that wait for their slot included
    rate_per_s: float | None  # what is allowed at present; None: no limit


class Standing(NamedTuple):
    """How a limit stands, orders included."""

    nominal_per_s: float | None  # None: no limit
    burst: int
    in_flight_max: int | None
    rate_per_s: float | None  # what is allowed at present: less than nominal after a complaint
    in_last_second: int
    in_last_minute: int  # of the last 60 to 70 seconds
    in_flight: int
    waiting: int  # calls in line for a place
    retries_left: int
    total: int


class Slot(NamedTuple):
    """When a call may be sent, on the monotonic clock; how long Redis took to say so is in it."""

    from_at: float
    until_at: float


class Call(NamedTuple):
    """A call that has a place until it is released, and a slot."""

    id: str
    asked_at: float  # on the monotonic clock
    slot: Slot
    place_s: float  # how long the place lasts after the slot where it is not released


class Limiter:
    """The limit of one account; one object a process, used by all its threads.

    client         answers in bytes; its socket timeouts bound how long we wait for it
    key            the account's name; the same on every host
    rate_per_s     requests a second, None: no limit, they are only counted
    burst          requests that may come at once after a pause, within the rate
    in_flight_max  calls at once, None: no limit
    wait_s_max     longest wait for a turn, in seconds; shorter than a lease
    retry_share    retries earned by an answered call
    """

    def __init__(
        self,
        client: "redis.Redis",
        key: str,
        *,
        rate_per_s: float | None,
        burst: int = 1,
        in_flight_max: int | None = None,
        wait_s_max: float,
        retry_share: float = 0.2,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if (rate_per_s is not None and rate_per_s <= 0) or burst < 1 or wait_s_max < 0:
            raise ValueError(f"no limit: {rate_per_s} a second, burst {burst}, wait {wait_s_max}")
        if (in_flight_max is not None and in_flight_max < 1) or retry_share < 0:
            raise ValueError(f"no limit: {in_flight_max} in flight, retry share {retry_share}")
        self.key = key
        self.rate_per_s = rate_per_s
        self.burst = burst
        self.in_flight_max = in_flight_max
        self.wait_s_max = wait_s_max
        self.retry_share = retry_share
        self._sleep = sleep
        self._cut = threading.Event()  # while we know the rate to be below the nominal one
        self._counts_ms = round(1000 * COUNTS_S)
        if rate_per_s is not None and rate_per_s < RATE_MIN:
            self._counts_ms = 2000 + round(1000 * (rate_per_s + 1) / (rate_per_s * CUT_FLOOR))
        parts = (
            *("next", "count", "calls", "line", "waiting", "pace", "unsent", "sent", "retries"),
            *("orders", "tens"),
        )
        # Braces keep them on one node of a Redis cluster.
        self._keys = {part: f"facet:limit:{{{key}}}:{part}" for part in parts}
        self._acquire, self._sent, self._release, self._retry, self._used = (
            client.register_script(script)
            for script in (
                limit_scripts.ACQUIRE,
                limit_scripts.SENT,
                limit_scripts.RELEASE,
                limit_scripts.RETRY,
                limit_scripts.USED,
            )
        )

    @contextmanager
    def turn(self, place_s: float = PLACE_S) -> Iterator[Call]:
        """Hold a place and a slot; whoever sends calls `wait` before it and `sent` after.

        A `Throttled` that comes out of it cuts the rate; anything else does not. Raises as
        `reserve`.
        """
        call = self.reserve(place_s)
        ended: Ended = "failed"
        try:
            yield call
            ended = "answered"
        except Throttled:
            ended = "throttled"
            raise
        finally:
            self.release(call, ended)

    def reserve(self, place_s: float = PLACE_S) -> Call:
        """Wait for a place, and take it with the next free slot.

        place_s  how long the place lasts after its slot where it is not released

        Raises SupplierBusy where the slot would be later than `wait_s_max`, having reserved
        nothing, and BrokerUnavailable where Redis does not answer: without the limit nothing is
        sent.
        """
        call_id, asked_at = uuid4().hex, time.monotonic()
        return Call(call_id, asked_at, self._slot(call_id, asked_at, place_s), place_s)

    def wait(self, call: Call) -> float:
        """Sleep until the slot comes; returns the seconds since the call was asked for.

        Who wakes too late takes a new slot, and raises as `reserve` where there is none.
        """
        slot = call.slot
        while True:
            if (pause_s := slot.from_at - time.monotonic()) > 0:
                self._sleep(pause_s)
            if (now := time.monotonic()) <= slot.until_at:
                return now - call.asked_at
            slot = self._slot(call.id, call.asked_at, call.place_s)

    def sent(self, call: Call) -> None:
        """Say that the request is on its way, whole; until then it may yet come at any time.

        Never raises for Redis: unsaid, it counts until the call is released.
        """
        try:
            self._sent(
                keys=[self._keys[part] for part in ("unsent", "sent")],
                args=[call.id, self._counts_ms],
            )
        except redis.RedisError as error:
            log.warning("sending_not_noted", account=self.key, error=str(error))

    def release(self, call: Call, ended: Ended) -> None:
        """Give the place back; a throttled call cuts the rate, an answered one earns a retry.

        Never raises for Redis: the answer is in hand, and the place comes free by itself.
        """
        rates = (self.rate_per_s or 0, _us(RECOVER_S), CUT_TO, CUT_FLOOR, _us(CUT_EVERY_S))
        try:
            parts = ("calls", "pace", "retries", "unsent", "sent", "orders")
            cut, rate, nominal = self._release(
                keys=[self._keys[part] for part in parts],
                args=[*(call.id, ended, *rates, self.retry_share, RETRIES_KEPT, self._counts_ms)],
            )
        except redis.RedisError as error:
            log.warning("place_not_released", account=self.key, error=str(error))
            return
        if cut:
            self._cut.set()
            log.warning(
                "limit_cut",
                account=self.key,
                rate_per_s=round(float(rate), 2),
                nominal_per_s=float(nominal),
            )

    def may_retry(self) -> bool:
        """Take one of the retries that are left to the account. Raises BrokerUnavailable."""
        return bool(self._run(self._retry, ("retries",), [RETRIES_KEPT]))

    def used(self) -> Used:
        """Requests so far and at present, and the present rate. Raises BrokerUnavailable."""
        now = self.standing()
        return Used(now.total, now.in_last_second, now.in_flight, now.rate_per_s)

    def standing(self) -> Standing:
        """What is allowed, orders included, and what is used. Raises BrokerUnavailable."""
        parts = ("count", "sent", "calls", "pace", "orders", "tens", "line", "retries")
        places = self.in_flight_max or 0
        arguments = [self.rate_per_s or 0, _us(RECOVER_S), self.burst, places, RETRIES_KEPT]
        total, recent, in_flight, rate, nominal, burst, places, minute, waiting, retries = (
            self._run(self._used, parts, arguments)
        )
        return Standing(
            nominal_per_s=float(nominal) or None,
            burst=burst,
            in_flight_max=places or None,
            rate_per_s=float(rate) or None,
            in_last_second=recent,
            in_last_minute=minute,
            in_flight=in_flight,
            waiting=waiting,
            retries_left=retries,
            total=total,
        )

    def _slot(self, call_id: str, asked_at: float, place_s: float) -> Slot:
        """Stand in line until there is a place, and take a slot."""
        settings = [self.rate_per_s or 0, PACE, self.burst, self.in_flight_max or 0]
        bounds = [_us(seconds) for seconds in (place_s, RECOVER_S, UNSENT_S, WAY_S)]
        parts = (
            *("next", "count", "calls", "line", "waiting", "pace", "unsent", "sent"),
            *("orders", "tens"),
        )
        while True:
            began = time.monotonic()
            left_s = max(0.0, self.wait_s_max - (began - asked_at))
            arguments = [call_id, *settings, _us(left_s), *bounds]
            got, wait_us, rate, nominal = self._run(self._acquire, parts, arguments)
            self._note(float(rate), float(nominal))
            wait_s = float(wait_us) / 1e6
            if got == b"slot":
                return Slot(time.monotonic() + wait_s, began + wait_s + SEND_S_MAX)
            if got == b"never":
                raise SupplierBusy(
                    f"the limit of {self.key} ({self._limit(float(rate))}) is used up for the next "
                    f"{wait_s:.1f} s",
                    retry_after_s=wait_s,
                )
            self._sleep(wait_s)

    def _note(self, rate: float, nominal: float) -> None:
        """Each process that knew of a cut logs that it is over."""
        if nominal and rate < nominal:
            self._cut.set()
        elif self._cut.is_set():
            self._cut.clear()
            log.info("limit_recovered", account=self.key, rate_per_s=nominal)

    def _limit(self, rate: float) -> str:
        parts = [f"{rate:g} requests a second"] if rate else []
        return ", ".join(parts + ([f"{self.in_flight_max} at once"] if self.in_flight_max else []))

    def _run(
        self, script: Callable[..., Any], parts: Sequence[str], arguments: Sequence[object]
    ) -> Any:
        try:
            return script(keys=[self._keys[part] for part in parts], args=arguments)
        except redis.RedisError as error:
            raise BrokerUnavailable(
                f"the limit of {self.key} cannot be read: {type(error).__name__}: {error}",
                retry_after_s=AWAY_WAIT_S,
            ) from error


def _us(seconds: float) -> int:
    return round(1e6 * seconds)
