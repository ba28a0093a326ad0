"""The channels, and which of them are set up."""

from shared.alerts.channels.base import Answer, Channel, Look, Outgoing
from shared.alerts.settings import AlertSettings, Severity
from shared.errors import BadSettings

__all__ = ["Answer", "Channel", "Look", "Outgoing", "least", "missing", "open_channel", "set_up"]

# What each needs; one of which nothing is set is not wanted.
NEEDED = {
    "slack": ("alert_slack_url",),
    "email": ("alert_resend_api_key", "alert_email_from", "alert_email_to"),
    "webhook": ("alert_webhook_url", "alert_webhook_secret"),
}


def missing(given: AlertSettings, name: str) -> list[str]:
    """The variables that a channel still needs."""
    return [f"FACET_{one.upper()}" for one in NEEDED[name] if getattr(given, one) is None]


def set_up(given: AlertSettings) -> dict[str, Channel]:
    """The channels that can be used, in their order.

    Raises BadSettings for one that is set up by half: it would be missed when it is needed.
    """
    found = {}
    for name in given.channel_order():
        lacking = missing(given, name)
        if not lacking:
            found[name] = open_channel(given, name)
        elif len(lacking) < len(NEEDED[name]):
            raise BadSettings(
                f"the channel {name} is set up by half: {', '.join(lacking)} not set",
                hint="set them, or unset the others",
            )
    return found


def open_channel(given: AlertSettings, name: str) -> Channel:
    """One channel. Raises BadSettings naming what is missing."""
    # Each brings a client of its own: a steward starts faster without those nobody set up.
    if name not in NEEDED:
        raise BadSettings(f"no channel is called {name}", hint=f"one of {', '.join(NEEDED)}")
    lacking = missing(given, name)
    if lacking:
        raise BadSettings(
            f"the channel {name} is not set up: {', '.join(lacking)} not set",
            hint="docs/alerts.md says how",
        )
    look = Look(given.zone(), given.alert_base_url)
    if name == "slack":
        from shared.alerts.channels.slack import Slack  # noqa: PLC0415

        return Slack(_plain(given.alert_slack_url), look, timeout_s=given.alert_timeout_s)
    if name == "webhook":
        from shared.alerts.channels.webhook import Webhook  # noqa: PLC0415

        return Webhook(
            _plain(given.alert_webhook_url),
            _plain(given.alert_webhook_secret),
            look,
            timeout_s=given.alert_timeout_s,
        )
    from shared.alerts.channels.mail import Mail  # noqa: PLC0415

    return Mail(
        api_key=_plain(given.alert_resend_api_key),
        api_url=given.alert_resend_url,
        sender=_plain(given.alert_email_from),
        recipients=given.mail_to(),
        look=look,
        timeout_s=given.alert_timeout_s,
    )


def least(given: AlertSettings, name: str) -> Severity:
    """The least severity that goes to a channel by itself."""
    severities: dict[str, Severity] = {
        "slack": given.alert_slack_severity,
        "email": given.alert_email_severity,
        "webhook": given.alert_webhook_severity,
    }
    return severities[name]


def _plain(value: object) -> str:
    """A setting that `missing` has found to be there."""
    reveal = getattr(value, "get_secret_value", None)
    return str(reveal() if reveal else value)
