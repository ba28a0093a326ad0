"""Delivering alerts, in a thread of the steward.

Not through the broker and not in the scheduler's workers: an alert must go out while the broker is
away, and must not wait behind a scan. The ledger is the same as for all work: claims, attempts,
fence, dead letters; any number of stewards share it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import structlog
from sqlalchemy import Engine

from scheduler.watch import Watch, measure_prices, measure_reprice
from shared import ledger, queue
from shared.alerts import channels
from shared.alerts.deliver import deliver_alert
from shared.db import transaction
from shared.errors import Transient
from shared.ledger import Claim
from shared.settings import Settings

log = structlog.get_logger(__name__)

POLL_S = 1.0
BATCH = 10  # messages at once; what waits longer than that is another steward's too
HEARTBEAT_S = 60.0
SILENT_LOOKS = 3  # looks missed before the heartbeat stops


class Alerting:
    """What the thread does, a round at a time."""

    def __init__(self, engine: Engine, given: Settings, watch: Watch) -> None:
        """Raises BadSettings for a channel that is set up by half."""
        self._engine = engine
        self._given = given
        self._watch = watch
        self._beaten = 0.0
        channels.set_up(given)

    def round(self) -> int:
        """Deliver what is due, measure prices; returns how many things it did. Raises Transient."""
        done = self.deliver() + measure_prices(self._engine, self._given)
        done += measure_reprice(self._engine, self._given)
        self.beat()
        return done

    def deliver(self) -> int:
        """Try every message that is due; returns how many. Raises DatabaseUnavailable."""
        with transaction(self._engine) as tx:
            due = ledger.announce(
                tx, "alert", again_s=self._given.announce_again_s, announced_max=BATCH
            )
        for one in due:
            message = {"item": one.item_id, "epoch": one.epoch}
            queue.deliver(message, "alert", self._work, engine=self._engine)
        return len(due)

    def _work(self, held: Claim) -> None:
        deliver_alert(
            held,
            engine=self._engine,
            channel=lambda name: channels.open_channel(self._given, name),
        )

    def beat(self) -> None:
        """Tell the dead man's switch that the watch looks; where it does not, say nothing."""
        url = self._given.alert_heartbeat_url
        now = time.monotonic()
        looks = now - self._watch.looked < SILENT_LOOKS * self._given.watch_pause_s
        if url is None or not looks or now - self._beaten < HEARTBEAT_S:
            return
        self._beaten = now
        try:
            answer = httpx.get(url.get_secret_value(), timeout=self._given.alert_timeout_s)
        except httpx.HTTPError as error:
            log.warning("heartbeat_failed", error=type(error).__name__)
            return
        if not answer.is_success:
            log.warning("heartbeat_failed", status=answer.status_code)


@contextmanager
def running(alerting: Alerting, stop: threading.Event) -> Iterator[Callable[[], None]]:
    """Rounds in a thread until `stop`. Yields what raises the error that ended it, if any."""
    with ThreadPoolExecutor(1, thread_name_prefix="alerting") as pool:
        thread = pool.submit(_rounds, alerting, stop)
        try:
            yield lambda: _raise_its_end(thread)
        finally:
            stop.set()


def _rounds(alerting: Alerting, stop: threading.Event) -> None:
    away = False
    while not stop.is_set():
        try:
            done = alerting.round()
        except Transient as error:
            if not away:
                log.error("alerting_waits", error=str(error))
            away, done = True, 0
        else:
            away = False
        if not done:
            stop.wait(POLL_S)


def _raise_its_end(thread: Future[None]) -> None:
    """A bug ends the thread; the steward must not go on without it."""
    if thread.done():
        thread.result()
