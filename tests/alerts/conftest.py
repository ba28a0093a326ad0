"""Providers, settings that name them, and an alarm: the watch and the deliveries of one steward."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from cli.embedded.servers import Servers
from scheduler.alerting import Alerting
from scheduler.watch import Watch
from shared.alerts import compose, incidents
from shared.alerts.kinds import Sighting
from shared.breaker import Breaker
from shared.db import transaction
from shared.settings import Settings, load
from tests.alerts import providers
from tests.alerts.providers import Receiver, Resend, Slack
from tests.builders import rows

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def slack() -> Iterator[Slack]:
    with providers.serving(Slack) as served:
        yield served


@pytest.fixture
def resend() -> Iterator[Resend]:
    with providers.serving(Resend) as served:
        yield served


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with providers.serving(Receiver) as served:
        yield served


def of_slack(slack: Slack) -> dict[str, str]:
    return {"FACET_ALERT_SLACK_URL": slack.webhook}


def of_resend(resend: Resend) -> dict[str, str]:
    return {
        "FACET_ALERT_RESEND_URL": resend.url,
        "FACET_ALERT_RESEND_API_KEY": providers.RESEND_KEY,
        "FACET_ALERT_EMAIL_FROM": "Facet <facet@shop.example>",
        "FACET_ALERT_EMAIL_TO": "ana@shop.example, leo@shop.example",
    }


def of_receiver(receiver: Receiver) -> dict[str, str]:
    return {
        "FACET_ALERT_WEBHOOK_URL": receiver.webhook,
        "FACET_ALERT_WEBHOOK_SECRET": WEBHOOK_SECRET,
    }


class Alarm:
    """One steward's watch and deliveries, a step at a time."""

    def __init__(self, engine: Engine, given: Settings, client: "redis.Redis") -> None:
        self.engine = engine
        self.given = given
        self.now: datetime | None = None  # in place of the database's clock, for quiet hours
        self.watch = Watch(
            engine,
            given,
            lambda account: Breaker(client, account),
            clock=lambda now: self.now or now,
        )
        self.alerting = Alerting(engine, given, self.watch)

    def look(self) -> None:
        """One look, however short ago the last one was."""
        self._move("UPDATE watch_marks SET looked_at = looked_at - interval '1 min'")
        assert self.watch.look()

    def look_later(self) -> None:
        """The same after so long that what is not seen any more is over."""
        self._move(
            "UPDATE incidents SET last_at = last_at - interval '1 h', "
            "first_at = first_at - interval '1 h' WHERE state <> 'resolved'"
        )
        self.look()

    def see(self, *sightings: Sighting) -> None:
        """As if a look had seen these."""
        with transaction(self.engine) as tx:
            incidents.see(tx, sightings, gap_s=15)

    def over(self, *kinds: Any) -> None:
        """As if looks had not seen these for long."""
        with transaction(self.engine) as tx:
            incidents.resolve(tx, kinds, after_s=0)

    def tell(self) -> int:
        """Make messages of news; returns how many."""
        with transaction(self.engine) as tx:
            now = self.now or tx.execute(text("SELECT now()")).scalar_one()
            return compose.tell(tx, self.given, now=now)

    def stand_in(self) -> int:
        """Hand on what was given up; returns how many messages that were."""
        with transaction(self.engine) as tx:
            return compose.stand_in(tx, self.given)

    def deliver(self) -> int:
        """Try every message that is due, those that wait for another attempt included."""
        self._move(
            "UPDATE work_items SET not_before = now(), announced_at = NULL "
            "WHERE kind = 'alert' AND state = 'due'"
        )
        return self.alerting.deliver()

    def deliver_all(self) -> None:
        """Until nothing is due any more, fallbacks included."""
        while self.deliver() + self.stand_in():
            pass

    def after_a_pause(self) -> None:
        """As if the last message had gone out long ago."""
        self._move("UPDATE alerts SET created_at = created_at - interval '10 min'")

    def incidents(self) -> list[dict[str, Any]]:
        return rows(self.engine, "SELECT * FROM incidents ORDER BY incident_id")

    def alerts(self) -> list[dict[str, Any]]:
        return rows(self.engine, "SELECT * FROM alerts ORDER BY alert_id")

    def attempts(self) -> list[dict[str, Any]]:
        return rows(self.engine, "SELECT * FROM deliveries ORDER BY alert_id, epoch")

    def _move(self, statement: str) -> None:
        with transaction(self.engine) as tx:
            tx.execute(text(statement))


MakeAlarm = Callable[..., Alarm]


@pytest.fixture
def make_alarm(engine: Engine, servers: Servers) -> Iterator[MakeAlarm]:
    """Builds alarms over the test's database; settings as in the environment."""
    with ExitStack() as stack:

        def make(*settings: dict[str, str], **more: str) -> Alarm:
            client = redis.Redis.from_url(str(servers.redis_url))
            stack.callback(client.close)
            given: dict[str, str] = {}
            for one in settings:
                given |= one
            return Alarm(engine, load(given | more), client)

        yield make


def kinds(found: Sequence[dict[str, Any]]) -> list[str]:
    return [one["kind"] for one in found]
