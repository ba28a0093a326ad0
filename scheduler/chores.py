"""What a steward does beside its rounds, each at a pace of its own."""

import time
from collections.abc import Callable, Sequence

import redis
import structlog
from sqlalchemy import Engine

from scheduler import schedules
from shared import orders, presence
from shared.db import transaction
from shared.errors import BadSettings, BrokerUnavailable

log = structlog.get_logger(__name__)

SLOTS_S = 0.5
ORDERS_S = 1.0
FORGET_S = 3_600.0


class Chore:
    """A function that is called at most every so many seconds; returns what it returns, or 0."""

    def __init__(
        self,
        every_s: float,
        function: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s = every_s
        self._function = function
        self._clock = clock
        self._due_at = clock()

    def __call__(self) -> int:
        if self._clock() < self._due_at:
            return 0
        self._due_at = self._clock() + self._every_s
        return self._function()


class Spread:
    """Carries operators' orders to Redis; one that is away is tried again."""

    def __init__(self, engine: Engine, client: Callable[[], "redis.Redis"]) -> None:
        self._engine = engine
        self._client = client
        self._away = False

    def __call__(self) -> int:
        with transaction(self._engine) as tx:
            known = orders.load(tx)
        if not known:
            return 0
        try:
            orders.spread(self._client(), known)
        except (BrokerUnavailable, BadSettings) as error:
            if not self._away:
                log.error("orders_not_spread", error=str(error))
            self._away = True
            return 0
        if self._away:
            log.info("orders_spread_again")
        self._away = False
        return 0


def of_steward(engine: Engine, client: Callable[[], "redis.Redis"]) -> Sequence[Callable[[], int]]:
    """All of them. Each raises DatabaseUnavailable only.

    client  opens the Redis of limiters and breakers when it is needed
    """
    return (
        Chore(SLOTS_S, lambda: schedules.start_due(engine)),
        Chore(ORDERS_S, Spread(engine, client)),
        Chore(FORGET_S, lambda: presence.forget(engine)),
    )
