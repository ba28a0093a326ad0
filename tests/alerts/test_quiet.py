"""Quiet hours: what is critical goes out, the rest comes as one message after."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text

from shared.alerts import quiet
from shared.alerts.kinds import Sighting
from shared.db import transaction
from shared.errors import BadSettings
from shared.settings import load
from tests.alerts.conftest import WEBHOOK_SECRET, Alarm, MakeAlarm, of_slack
from tests.alerts.providers import Slack
from tests.alerts.test_deliveries import failed

MADRID = ZoneInfo("Europe/Madrid")
QUIET = {"FACET_ALERT_QUIET_HOURS": "22:00-07:00", "FACET_ALERT_TIME_ZONE": "Europe/Madrid"}
NIGHT = datetime(2026, 11, 21, 3, 0, tzinfo=MADRID)
MORNING = datetime(2026, 11, 21, 7, 0, tzinfo=MADRID)


@pytest.mark.parametrize(
    ("span", "moment", "held"),
    [
        ("22:00-07:00", "2026-11-21T20:59Z", False),
        ("22:00-07:00", "2026-11-21T21:00Z", True),  # 22:00 in Madrid
        ("22:00-07:00", "2026-11-21T05:59Z", True),
        ("22:00-07:00", "2026-11-21T06:00Z", False),
        ("13:00 - 15:30", "2026-11-21T12:00Z", True),
        ("13:00 - 15:30", "2026-11-21T14:30Z", False),
        ("22:00-07:00", "2026-07-21T20:00Z", True),  # summer time
        ("22:00-07:00", "2026-07-21T05:00Z", False),
    ],
)
def test_quiet_hours_go_by_the_clock_of_their_zone(span: str, moment: str, held: bool) -> None:
    now = datetime.fromisoformat(moment)
    assert now.tzinfo == UTC
    assert quiet.read(span, MADRID).holds(now) == held


def test_quiet_hours_are_read() -> None:
    assert quiet.read("22:00-07:30", MADRID) == (time(22), time(7, 30), MADRID)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_QUIET_HOURS", "22-07"),
        ("ALERT_QUIET_HOURS", "25:00-07:00"),
        ("ALERT_QUIET_HOURS", "22:00-22:00"),
        ("ALERT_TIME_ZONE", "Europe/Atlantis"),
        ("ALERT_CHANNELS", "slack,pigeon"),
        ("ALERT_SLACK_URL", "ftp://hush-hush"),
        ("ALERT_SLACK_URL", "hush-hush"),
        ("ALERT_RESEND_URL", "https://hush-hush@api.resend.com"),
        ("ALERT_WEBHOOK_SECRET", "whsec_hush-hush"),
        ("ALERT_WEBHOOK_SECRET", WEBHOOK_SECRET[:20]),
        ("ALERT_SLACK_SEVERITY", "loud"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(BadSettings, match=f"FACET_{name}") as caught:
        load({f"FACET_{name}": value})
    assert "hush-hush" not in str(caught.value)


def night(alarm: Alarm) -> None:
    """What happened so far happened in the night, by the given clock."""
    with transaction(alarm.engine) as tx:
        tx.execute(
            text(
                "UPDATE incidents SET first_at = :at, last_at = now(), resolved_at = CASE WHEN "
                "resolved_at IS NULL THEN NULL ELSE CAST(:at AS timestamptz) END"
            ),
            {"at": NIGHT},
        )


def test_what_is_held_back_at_night_is_one_message_in_the_morning(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack
) -> None:
    alarm = make_alarm(of_slack(slack), QUIET)
    alarm.now = NIGHT
    for feed in ("nivoda-natural", "nivoda-labgrown"):
        alarm.see(failed(engine, feed))
        assert alarm.tell() == 0
    alarm.see(Sighting("folds_waiting", "warning", "x", "facet status", feed="idex-natural"))
    alarm.over("folds_waiting")  # nobody was told that it began
    night(alarm)
    assert alarm.tell() == 0
    alarm.now = MORNING
    assert alarm.tell() == 1
    alarm.deliver_all()
    (words,) = slack.words()
    assert "2 incidents, 1 over, held back in the quiet hours" in words.lower()
    assert "nivoda-natural" in words
    assert "nivoda-labgrown" in words
    assert "over: *folds waiting: idex-natural*" in words
    (alert,) = alarm.alerts()
    assert alert["kind"] == "digest"
    assert alarm.tell() == 0


def test_what_is_critical_goes_out_at_night(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack
) -> None:
    alarm = make_alarm(of_slack(slack), QUIET)
    alarm.now = NIGHT
    alarm.see(failed(engine), failed(engine, "nivoda-labgrown", severity="critical"))
    assert alarm.tell() == 1
    alarm.deliver_all()
    (words,) = slack.words()
    assert "CRITICAL run failed: nivoda-labgrown" in words
    assert "nivoda-natural" not in words
    assert alarm.alerts()[0]["kind"] == "news"
    held = [one["feed"] for one in alarm.incidents() if one["news"]]
    assert held == ["nivoda-natural"]
