"""Messages on their way: the ledger, the providers' own libraries and HTTP between them."""

import re
from typing import Any

import pytest
from sqlalchemy import Engine
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.alerts.channels import open_channel
from shared.alerts.kinds import Sighting
from tests.alerts.conftest import (
    WEBHOOK_SECRET,
    Alarm,
    MakeAlarm,
    of_receiver,
    of_resend,
    of_slack,
)
from tests.alerts.providers import RESEND_KEY, Answer, Receiver, Resend, Slack
from tests.builders import lapse, open_run, rows
from tests.end_to_end.crashing import Crasher, Killed


def failed(engine: Engine, feed: str = "nivoda-natural", **wanted: Any) -> Sighting:
    """A run that failed."""
    run_id = wanted.pop("run_id", None) or open_run(engine, feed)
    return Sighting(
        "run_failed",
        wanted.get("severity", "error"),
        wanted.get("text", 'the supplier <refused> & "left"'),
        f"facet run show {str(run_id)[:8]}",
        feed=feed,
        run_id=run_id,
    )


def outcomes(alarm: Alarm) -> list[tuple[str, str]]:
    return [(one["channel"], one["outcome"]) for one in alarm.attempts()]


def test_an_incident_reaches_every_channel_once_and_names_run_and_command(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend, receiver: Receiver
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend), of_receiver(receiver))
    seen = failed(engine)
    alarm.see(seen)
    alarm.tell()
    alarm.deliver()
    for _ in range(3):  # it lasts, and nobody is told again
        alarm.after_a_pause()
        alarm.see(seen)
        assert alarm.tell() == 0
        assert alarm.deliver() == 0
    short = str(seen.run_id)[:8]
    (said,) = slack.words()
    (mail,) = resend.words()
    for words in (said, mail):
        assert f"run failed: nivoda-natural, run {short}" in words
        assert f"facet run show {short}" in words
    assert "&lt;refused&gt; &amp;" in said
    assert "<refused> &" in mail
    (posted,) = receiver.taken
    (incident,) = posted.json()["incidents"]
    assert incident["key"] == f"run_failed/nivoda-natural/{seen.run_id}/-"
    (one,) = alarm.incidents()
    assert (one["state"], one["count"], one["news"]) == ("open", 1, None)
    assert {one["state"] for one in alarm.alerts()} == {"sent"}
    assert outcomes(alarm) == [("slack", "sent"), ("email", "sent"), ("webhook", "sent")]
    by_mail = next(one for one in alarm.attempts() if one["channel"] == "email")
    assert [by_mail["provider_id"]] == list(resend.sent)
    assert rows(engine, "SELECT 1 FROM dead_letters") == []


def test_what_is_over_is_told_where_it_was_told(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack
) -> None:
    alarm = make_alarm(of_slack(slack))
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver()
    alarm.over("run_failed")
    alarm.after_a_pause()
    alarm.tell()
    alarm.deliver()
    first, second = slack.words()
    assert "ERROR run failed" in first
    assert "OVER run failed" in second
    assert "next:" not in second
    (one,) = alarm.incidents()
    assert (one["state"], one["news"]) == ("resolved", None)


def test_severities_decide_which_channel_is_told(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend), FACET_ALERT_SLACK_SEVERITY="error")
    alarm.see(failed(engine, severity="info"))
    assert alarm.tell() == 0  # nobody wants to hear of it; the list has it
    alarm.see(failed(engine, "nivoda-labgrown", severity="error"))
    assert alarm.tell() == 2
    assert [len(one["content"]["entries"]) for one in alarm.alerts()] == [1, 1]


def test_what_became_worse_is_told_again(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack
) -> None:
    alarm = make_alarm(of_slack(slack))
    seen = failed(engine, severity="warning")
    alarm.see(seen)
    alarm.tell()
    alarm.deliver()
    alarm.see(seen._replace(severity="critical"))
    alarm.after_a_pause()
    alarm.tell()
    alarm.deliver()
    first, second = slack.words()
    assert "WARNING run failed" in first
    assert "CRITICAL run failed" in second


def test_a_provider_that_is_busy_is_given_the_time_it_asks_for(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend))
    slack.next_answers = [Answer(429, "rate_limited", {"Retry-After": "90"})]
    busy = '{"statusCode": 429, "name": "rate_limit_exceeded", "message": "Too many requests"}'
    json = {"Content-Type": "application/json"}
    resend.next_answers = [Answer(429, busy, json | {"retry-after": "70"}), Answer(503, busy, json)]
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver()
    waits = rows(
        engine,
        "SELECT extract(epoch FROM not_before - now())::float8 AS s FROM work_items"
        " WHERE kind = 'alert' ORDER BY item_id",
    )
    assert waits[0]["s"] > 80
    assert 60 < waits[1]["s"] < 80
    alarm.deliver_all()
    assert (len(slack.taken), len(resend.sent)) == (1, 1)
    assert sorted(outcomes(alarm)) == [
        ("email", "again"),
        ("email", "again"),
        ("email", "sent"),
        ("slack", "again"),
        ("slack", "sent"),
    ]


@pytest.mark.parametrize(
    "answer",
    [Answer(404, "no_service"), Answer(403, "invalid_token"), Answer(200, "<html>log in</html>")],
)
def test_a_refusal_is_final_and_the_next_channel_stands_in(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend, answer: Answer
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend), FACET_ALERT_EMAIL_SEVERITY="critical")
    slack.next_answers = [answer]
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver_all()
    assert len(slack.requests) == 1
    (mail,) = resend.words()
    assert "run failed: nivoda-natural" in mail
    first, second = alarm.alerts()
    assert (first["channel"], first["state"]) == ("slack", "failed")
    assert (second["channel"], second["state"]) == ("email", "sent")
    assert second["fallback_of"] == first["alert_id"]
    (letter,) = rows(engine, "SELECT kind, reason FROM dead_letters")
    assert (letter["kind"], letter["reason"]) == ("alert", "permanent")


def test_a_channel_that_never_answers_well_is_stood_in_for_after_its_attempts(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend), FACET_ALERT_EMAIL_SEVERITY="critical")
    slack.next_answers = [Answer(500, "server_error")] * 20
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver_all()
    assert len(slack.requests) == 6
    assert len(resend.sent) == 1


def test_a_channel_that_was_told_already_is_not_told_again_in_place_of_another(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend))
    slack.next_answers = [Answer(410, "channel_is_archived")]
    alarm.see(
        failed(engine, severity="error"), failed(engine, "nivoda-labgrown", severity="warning")
    )
    alarm.tell()
    alarm.deliver_all()
    first, second = resend.words()
    assert "nivoda-natural" in first
    assert "nivoda-labgrown" not in first
    assert "nivoda-labgrown" in second  # Slack alone would have told it
    assert "nivoda-natural" not in second


def test_where_every_channel_fails_it_is_written_down_and_shown(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend))
    slack.next_answers = [Answer(404, "no_service")] * 9
    resend.next_answers = [Answer(403, "{}", {"Content-Type": "application/json"})] * 9
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver_all()
    assert {one["state"] for one in alarm.alerts()} == {"failed"}
    alarm.look()
    failing = [one for one in alarm.incidents() if one["kind"] == "channel_failed"]
    assert sorted(one["subject"] for one in failing) == ["email", "slack"]
    assert all("alert test --channel" in one["next_command"] for one in failing)
    assert "no_service" in next(one["text"] for one in failing if one["subject"] == "slack")


def test_a_channel_is_not_told_of_its_own_failure_and_is_well_after_a_message(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend))
    slack.next_answers = [Answer(404, "no_service")]
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver_all()
    alarm.after_a_pause()
    alarm.look()
    alarm.deliver_all()
    assert any("channel failed: slack" in words for words in resend.words())
    assert len(slack.requests) == 1
    alarm.after_a_pause()
    alarm.see(failed(engine, "nivoda-labgrown"))
    alarm.tell()
    alarm.deliver_all()
    alarm.look_later()
    states = {one["kind"]: one["state"] for one in alarm.incidents()}
    assert states["channel_failed"] == "resolved"


def test_killed_between_the_answer_and_our_commit_the_same_mail_is_not_sent_twice(
    engine: Engine, make_alarm: MakeAlarm, resend: Resend
) -> None:
    alarm = make_alarm(of_resend(resend))
    alarm.see(failed(engine))
    alarm.tell()
    crasher = Crasher(engine)
    with crasher.installed():
        step = 0
        while not resend.sent:  # until the first place where the mail is out
            step += 1
            with crasher.at(step), pytest.raises(Killed):
                alarm.deliver()
            if not resend.sent:
                give_back(engine)
    give_back(engine)
    before = alarm.attempts()[-1]
    assert before["outcome"] == "unknown"
    assert rows(engine, "SELECT 1 FROM alerts WHERE state = 'sent'") == []
    alarm.deliver_all()
    first, second = resend.requests[-2:]
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body
    assert len(resend.sent) == 1
    assert alarm.attempts()[-1]["outcome"] == "sent"
    assert alarm.attempts()[-1]["provider_id"] == next(iter(resend.sent))


def give_back(engine: Engine) -> None:
    """What the reaper does with the work of the dead, and its attempts with it."""
    from scheduler import steward  # noqa: PLC0415

    for item in rows(engine, "SELECT item_id FROM work_items WHERE state = 'held'"):
        lapse(engine, item["item_id"])
    steward.reap(engine)


def test_a_webhook_is_signed_as_receivers_verify_it(
    engine: Engine, make_alarm: MakeAlarm, receiver: Receiver
) -> None:
    alarm = make_alarm(of_receiver(receiver))
    receiver.next_answers = [Answer(503, "later")]
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver_all()
    first, second = receiver.requests
    assert Webhook(WEBHOOK_SECRET).verify(second.body, second.headers)["severity"] == "error"
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    with pytest.raises(WebhookVerificationError):
        Webhook(WEBHOOK_SECRET).verify(second.body.replace("error", "info"), second.headers)


def test_a_storm_is_one_message_and_then_a_pause(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack
) -> None:
    alarm = make_alarm(of_slack(slack))
    alarm.see(
        *(
            Sighting("workers_silent", "critical", "x", "facet doctor", subject=f"{n}")
            for n in range(60)
        )
    )
    assert alarm.tell() == 1
    alarm.see(failed(engine))
    assert alarm.tell() == 0
    alarm.after_a_pause()
    assert alarm.tell() == 1
    alarm.deliver_all()
    first, second = slack.words()
    assert "60 incidents" in first
    assert "and 40 more" in first
    assert "run failed" in second


def test_an_hour_has_so_many_messages_and_no_more_but_critical_ones(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack
) -> None:
    alarm = make_alarm(of_slack(slack), FACET_ALERT_HOURLY_MAX="2", FACET_ALERT_PAUSE_S="0")
    feeds = [failed(engine, feed) for feed in ("nivoda-natural", "nivoda-labgrown", "idex-natural")]
    told = []
    for one in feeds:
        alarm.see(one)
        told.append(alarm.tell())
    assert told == [1, 1, 0]
    alarm.see(failed(engine, "idex-labgrown", severity="critical"))
    assert alarm.tell() == 1
    rows_held = [one["feed"] for one in alarm.incidents() if one["news"]]
    assert rows_held == ["idex-natural"]


def test_no_secret_is_in_what_a_failing_channel_leaves_behind(
    engine: Engine,
    make_alarm: MakeAlarm,
    slack: Slack,
    resend: Resend,
    receiver: Receiver,
    capfd: pytest.CaptureFixture[str],
) -> None:
    alarm = make_alarm(of_slack(slack), of_resend(resend), of_receiver(receiver))
    known = {  # what each provider was told, and repeats
        slack: slack.webhook,
        resend: f"Bearer {RESEND_KEY}",
        receiver: f"{receiver.webhook} {WEBHOOK_SECRET}",
    }
    for provider, secret in known.items():
        provider.next_answers = [Answer(500, f"{secret} failed"), Answer(401, f"no {secret}")] * 3
    alarm.see(failed(engine))
    alarm.tell()
    alarm.deliver_all()
    alarm.look()
    away = make_alarm(
        of_slack(slack) | {"FACET_ALERT_SLACK_URL": "http://127.0.0.1:9/services/hush-hush-4711"}
    )
    away.see(failed(engine, "nivoda-labgrown"))
    away.after_a_pause()
    away.tell()
    away.deliver_all()
    tables = rows(engine, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    left = [
        str(row)
        for table in tables
        for row in rows(engine, f"SELECT t::text AS row FROM {table['tablename']} AS t")
    ]
    assert len([one for one in alarm.alerts() if one["state"] == "failed"]) >= 3
    printed = capfd.readouterr()
    everything = "\n".join([*left, printed.out, printed.err])
    assert "item_buried" in everything
    assert re.search("hush-hush", everything) is None
    assert WEBHOOK_SECRET not in everything


def test_a_message_for_a_channel_that_is_not_set_up_any_more_goes_to_another(
    engine: Engine, make_alarm: MakeAlarm, slack: Slack, resend: Resend
) -> None:
    before = make_alarm(of_slack(slack))
    before.see(failed(engine))
    before.tell()
    after = make_alarm(of_resend(resend))
    after.deliver_all()
    assert len(resend.sent) == 1
    assert slack.requests == []


def test_a_mail_says_the_same_in_html(
    engine: Engine, make_alarm: MakeAlarm, resend: Resend
) -> None:
    alarm = make_alarm(
        of_resend(resend), FACET_ALERT_BASE_URL="https://shop.example/facet?run={run}&i={incident}"
    )
    seen = failed(engine)
    alarm.see(seen)
    alarm.tell()
    alarm.deliver_all()
    (mail,) = resend.sent.values()
    assert mail["to"] == ["ana@shop.example", "leo@shop.example"]
    assert "&lt;refused&gt; &amp; &quot;left&quot;" in mail["html"]
    assert f'href="https://shop.example/facet?run={seen.run_id}&amp;i=1"' in mail["html"]
    assert f"https://shop.example/facet?run={seen.run_id}&i=1" in mail["text"]


def test_channels_open_as_the_settings_say(make_alarm: MakeAlarm, slack: Slack) -> None:
    alarm = make_alarm(of_slack(slack))
    assert open_channel(alarm.given, "slack").name == "slack"
