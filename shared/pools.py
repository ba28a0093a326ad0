"""How each process uses its database connections, told to whoever asks: over Redis, since only the
process itself knows who waits in it.

Off by default. What a process said lapses when it says no more.
"""

import json
import os
import socket
import threading
import weakref
from collections.abc import Iterator
from typing import NamedTuple

import redis
import structlog
from sqlalchemy import Engine

from shared import db, telemetry
from shared.errors import BrokerUnavailable
from shared.waits import PoolUse

log = structlog.get_logger(__name__)

KEY = "facet:pool:"
LAPSES_AFTER = 3  # silent reports


class Said(NamedTuple):
    """What one process said last."""

    role: str
    process: str
    use: PoolUse


def report(engine: Engine, client: "redis.Redis", *, every_s: float) -> threading.Thread:
    """Tell every so often, in a thread of its own, until the engine is gone."""
    process = f"{socket.gethostname()}-{os.getpid()}"
    known = weakref.ref(engine)
    pause = threading.Event()

    def tell() -> None:
        away = False
        while (made := known()) is not None:
            said = json.dumps([telemetry.role(), process, *db.pool_use(made)])
            del made
            try:
                client.set(KEY + process, said, px=round(1000 * LAPSES_AFTER * every_s))
                away = False
            except redis.RedisError as error:
                if not away:
                    log.warning("pool_not_reported", error=str(error))
                away = True
            pause.wait(every_s)

    thread = threading.Thread(target=tell, name="pool-report", daemon=True)
    thread.start()
    return thread


def said(client: "redis.Redis") -> Iterator[Said]:
    """What the processes said lately. Raises BrokerUnavailable."""
    try:
        for key in client.scan_iter(match=f"{KEY}*", count=1000):
            text = client.get(key)
            if text is not None:  # lapsed meanwhile
                role, process, *use = json.loads(text)
                yield Said(role, process, PoolUse(*use))
    except redis.RedisError as error:
        raise BrokerUnavailable(f"pools cannot be read: {error}") from error
