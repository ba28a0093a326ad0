"""The settings of alerts: where they go, when they are quiet, from when something is wrong."""

import base64
import binascii
from typing import Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, SecretStr, field_validator

from shared.alerts import quiet
from shared.alerts.quiet import QuietHours

Severity = Literal["info", "warning", "error", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
ChannelName = Literal["slack", "email", "webhook"]
CHANNELS: tuple[ChannelName, ...] = get_args(ChannelName)

SECRET_BYTES_MIN = 24  # as the Standard Webhooks specification has it


class AlertSettings(BaseModel):
    """A part of `shared.settings.Settings`."""

    alert_channels: str = Field(
        default="slack,email,webhook",
        description="channels in the order in which one stands in for another; one not set up is "
        "left out",
    )
    alert_slack_url: SecretStr | None = Field(
        default=None, description="secret URL of a Slack incoming webhook"
    )
    alert_slack_severity: Severity = Field(
        default="warning",
        description="the least that goes to Slack: info, warning, error, critical",
    )
    alert_resend_api_key: SecretStr | None = Field(
        default=None, description="key of Resend, which sends the mail"
    )
    alert_resend_url: str = Field(
        default="https://api.resend.com", description="where Resend is asked"
    )
    alert_email_from: str | None = Field(
        default=None, description="sender, of a domain verified at Resend: Facet <facet@HOST>"
    )
    alert_email_to: str | None = Field(default=None, description="recipients, by commas")
    alert_email_severity: Severity = Field(default="error", description="the least that is mailed")
    alert_webhook_url: SecretStr | None = Field(
        default=None, description="where a signed JSON document is posted"
    )
    alert_webhook_secret: SecretStr | None = Field(
        default=None, description="its key: whsec_ and at least 24 bytes as base64"
    )
    alert_webhook_severity: Severity = Field(default="info", description="the least that is posted")
    alert_base_url: str | None = Field(
        default=None, description="of a page about Facet; messages link to it"
    )
    alert_timeout_s: float = Field(
        default=10, ge=1, le=60, description="patience with a channel, in whole seconds"
    )
    alert_quiet_hours: str | None = Field(
        default=None,
        description="such as 22:00-07:00: only critical is sent, the rest in one message after",
    )
    alert_time_zone: str = Field(default="UTC", description="of the quiet hours and of messages")
    alert_pause_s: float = Field(
        default=30, ge=0, description="between two messages; what happens meanwhile is one message"
    )
    alert_hourly_max: int = Field(
        default=20, ge=1, description="messages an hour; only critical goes beyond"
    )
    alert_heartbeat_url: SecretStr | None = Field(
        default=None, description="asked every minute while a steward looks; a dead man's switch"
    )

    watch_pause_s: float = Field(
        default=5, gt=0, le=300, description="between two looks for what is wrong"
    )
    watch_resolve_after_s: float = Field(
        default=30, ge=0, description="not seen for so long, an incident is over"
    )
    watch_silent_s: float = Field(
        default=120, gt=0, description="due work that nobody claims, or no steward, for so long"
    )
    watch_lapses: int = Field(
        default=10, ge=1, description="leases running out within ten minutes that are too many"
    )
    watch_unfolded: int = Field(
        default=200, ge=1, description="partitions of a feed read and not folded that are too many"
    )
    watch_price_changed_share: float = Field(
        default=0.5, ge=0, le=1, description="of a run's stones with another price, too many above"
    )
    watch_price_jump: float = Field(
        default=0.5, gt=0, description="share of the old price that makes a change a jump"
    )
    watch_price_jump_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="of a run's or a reprice's stones whose price jumped, too many above",
    )
    watch_connections_share: float = Field(
        default=0.8, gt=0, le=1, description="of the database's connections in use, too many from"
    )
    watch_disk_free_share: float = Field(
        default=0.1, ge=0, lt=1, description="of a disk, free, too little below"
    )
    watch_disks: str | None = Field(
        default=None,
        description="folders whose disks to watch, by commas; default: temporary files', and where "
        "`facet up` keeps its data",
    )
    watch_database_gb: float | None = Field(
        default=None, gt=0, description="size of the database that is too much above"
    )

    @field_validator("alert_channels")
    @classmethod
    def _known_channels(cls, named: str) -> str:
        unknown = set(_words(named)) - set(CHANNELS)
        if unknown:
            raise ValueError(
                f"no channel is called {sorted(unknown)[0]}; {', '.join(CHANNELS)} are"
            )
        return named

    @field_validator("alert_slack_url", "alert_webhook_url", "alert_heartbeat_url")
    @classmethod
    def _address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _check_address(url.get_secret_value())
        return url

    @field_validator("alert_resend_url", "alert_base_url")
    @classmethod
    def _open_address(cls, url: str | None) -> str | None:
        if url is not None:
            _check_address(url)
            if "@" in urlsplit(url).netloc:
                raise ValueError("a name or password stands before the @")
        return url

    @field_validator("alert_webhook_secret")
    @classmethod
    def _signing_key(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None:
            return None
        try:
            key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if len(key) < SECRET_BYTES_MIN:
            raise ValueError("whsec_ and at least 24 bytes as base64 are expected")
        return secret

    @field_validator("alert_time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"no time zone is called {name}") from None
        return name

    @field_validator("alert_quiet_hours")
    @classmethod
    def _readable_hours(cls, span: str | None) -> str | None:
        if span is not None:
            quiet.read(span, ZoneInfo("UTC"))
        return span

    def channel_order(self) -> tuple[str, ...]:
        """The channels that are wanted, whether set up or not, each once."""
        return tuple(dict.fromkeys(_words(self.alert_channels)))

    def zone(self) -> ZoneInfo:
        """The time zone that people read."""
        return ZoneInfo(self.alert_time_zone)

    def quiet_hours(self) -> QuietHours | None:
        """When only what is critical is sent; None: never."""
        span = self.alert_quiet_hours
        return None if span is None else quiet.read(span, self.zone())

    def disks(self) -> tuple[str, ...]:
        """Folders whose disks are watched."""
        return tuple(_words(self.watch_disks or ""))

    def mail_to(self) -> tuple[str, ...]:
        """Who gets the mail."""
        return tuple(_words(self.alert_email_to or ""))


def _words(listed: str) -> list[str]:
    return [word.strip() for word in listed.split(",") if word.strip()]


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or not url.isprintable()
        or " " in url
    ):
        raise ValueError("an address that begins with https:// or http:// is expected")
