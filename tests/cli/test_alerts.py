"""`facet alert`: what is wrong, who was told, whether a channel works, and: I have seen it."""

import json
import subprocess
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from cli import main, system
from cli.embedded.servers import Servers
from shared.alerts import incidents
from shared.alerts.kinds import Sighting
from shared.db import transaction
from tests.alerts.conftest import (
    MakeAlarm,
    make_alarm,
    of_resend,
    of_slack,
    resend,
    slack,
    without_proxies,
)
from tests.alerts.providers import Answer, Resend, Slack
from tests.alerts.test_deliveries import failed
from tests.builders import rows
from tests.cli.test_conventions import assert_fails

__all__ = ["make_alarm", "resend", "slack", "without_proxies"]

Facet = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def facet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Facet:
    """The command in this process, which spares its second of imports; settings as given."""
    monkeypatch.setattr("shared.telemetry.configure", lambda **_: None)  # other tests log too

    def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["facet", *words])
        capfd.readouterr()
        try:
            main.main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            forget()
        printed = capfd.readouterr()
        return subprocess.CompletedProcess(words, int(str(code)), printed.out, printed.err)

    def forget() -> None:
        if system.unchecked_engine.cache_info().currsize:
            system.unchecked_engine().dispose()
        system.unchecked_engine.cache_clear()
        system.settings.cache_clear()

    forget()
    return run


@pytest.fixture
def services(database_url: str, servers: Servers) -> dict[str, str]:
    return {"FACET_DATABASE_URL": database_url, "FACET_BROKER_URL": str(servers.broker_url)}


def test_incidents_are_listed_gravest_first_each_with_its_command(
    engine: Engine, facet: Facet, services: dict[str, str]
) -> None:
    assert "nothing is wrong" in facet("alert", "list", **services).stderr
    with transaction(engine) as tx:
        found = (
            Sighting("folds_waiting", "warning", "too many", "facet status", feed="idex-natural"),
            Sighting("workers_silent", "critical", "nobody", "facet doctor", subject="fetch"),
            Sighting("disk_low", "critical", "full", "facet retention plan", subject="/data"),
        )
        incidents.see(tx, found, gap_s=15)
        incidents.resolve(tx, ["disk_low"], after_s=-1)
    done = facet("alert", "list", **services)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("workers_silent fetch") < done.stdout.index("folds_waiting")
    assert "next: facet doctor" in done.stdout
    assert "disk_low" not in done.stdout
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80
    listed = facet("alert", "list", "--all", "--json", **services).stdout.splitlines()
    assert [json.loads(line)["kind"] for line in listed] == [
        "workers_silent",
        "folds_waiting",
        "disk_low",
    ]
    one = facet("alert", "list", "--feed", "idex-natural", "--json", **services).stdout
    assert json.loads(one)["kind"] == "folds_waiting"
    none = facet("alert", "list", "--kind", "run_failed", "--json", **services)
    assert (none.returncode, none.stdout) == (0, "")


def test_an_incident_shows_who_was_told_and_which_channel_failed(
    engine: Engine,
    facet: Facet,
    services: dict[str, str],
    make_alarm: MakeAlarm,
    slack: Slack,
    resend: Resend,
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend), FACET_ALERT_EMAIL_SEVERITY="critical")
    slack.next_answers = [Answer(404, "no_service")]
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver_all()
    done = facet("alert", "show", "1", **services)
    assert done.returncode == 0, done.stderr
    assert "no_service" in done.stdout
    assert "alert 1" in done.stdout  # the mail stands in for it
    shown = json.loads(facet("alert", "show", "1", "--json", **services).stdout)
    assert [(one["channel"], one["state"]) for one in shown["alerts"]] == [
        ("slack", "failed"),
        ("email", "sent"),
    ]
    assert [one["outcome"] for one in shown["deliveries"]] == ["refused", "sent"]
    assert shown["deliveries"][1]["provider_id"] in resend.sent
    assert_fails(
        facet("alert", "show", "99", **services), "no incident 99", "facet alert list --all", 1
    )


def test_an_acknowledged_incident_is_audited_and_not_told_again(
    engine: Engine, facet: Facet, services: dict[str, str], make_alarm: MakeAlarm, slack: Slack
) -> None:
    alarm = make_alarm(of_slack(slack))
    seen = failed(engine)
    alarm.see(seen)
    done = facet("alert", "ack", "1", "--reason", "the supplier knows", **services)
    assert done.returncode == 0, done.stderr
    alarm.see(seen)
    assert alarm.tell() == 0
    (event,) = rows(engine, "SELECT actor, action, subject, reason FROM audit_events")
    assert event["actor"]
    assert (event["action"], event["subject"]) == ("alert.ack", "incident 1")
    assert event["reason"] == "the supplier knows"
    again = facet("alert", "ack", "1", "--reason", "again", **services)
    assert_fails(again, "acked already", "facet alert show 1", 1)
    assert len(rows(engine, "SELECT 1 FROM audit_events")) == 1
    assert facet("alert", "ack", "1", **services).returncode == 2  # no reason
    alarm.see(seen._replace(severity="critical"))
    assert [(one["state"], one["news"]) for one in alarm.incidents()] == [("open", "worse")]


def test_a_channel_is_tried_and_the_providers_answer_printed(
    engine: Engine, facet: Facet, services: dict[str, str], slack: Slack, resend: Resend
) -> None:
    given = services | of_slack(slack) | of_resend(resend)
    done = facet("alert", "test", "--channel", "slack", **given)
    assert done.returncode == 0, done.stderr
    assert "slack took it: ok" in done.stderr
    assert "a test of this channel" in slack.words()[0]
    mailed = json.loads(facet("alert", "test", "--channel", "email", "--json", **given).stdout)
    assert mailed["provider_id"] in resend.sent
    slack.next_answers = [Answer(403, "invalid_token")]
    refused = facet("alert", "test", "--channel", "slack", **given)
    assert_fails(refused, "answered 403: invalid_token", "FACET_ALERT_SLACK_URL", 1)
    kept = rows(engine, "SELECT channel, state FROM alerts WHERE kind = 'test' ORDER BY alert_id")
    assert [(one["channel"], one["state"]) for one in kept] == [
        ("slack", "sent"),
        ("email", "sent"),
        ("slack", "failed"),
    ]


@pytest.mark.parametrize(
    ("channel", "sentence", "hint"),
    [
        ("slack", "FACET_ALERT_SLACK_URL not set", "docs/alerts.md"),
        ("pigeon", "no channel is called pigeon", "slack, email, webhook"),
    ],
)
def test_a_channel_that_is_not_set_up_is_named(
    engine: Engine, facet: Facet, services: dict[str, str], channel: str, sentence: str, hint: str
) -> None:
    assert_fails(facet("alert", "test", "--channel", channel, **services), sentence, hint, 2)
