"""E-mail through Resend and its own library.

Resend takes our key: the same message again within 24 hours is answered like the first, and not
sent again.
"""

import threading
from collections.abc import Sequence
from html import escape

import resend
from resend.exceptions import NoContentError, ResendError

from shared.alerts.channels.base import Answer, Look, Outgoing, blot, check_status
from shared.alerts.content import Content, Entry, linked
from shared.errors import ChannelRefused, ChannelUnavailable

# Its library keeps key, address and client in module variables.
_one_at_a_time = threading.Lock()

# 429 says either "slower" or "no more today"; the second is not over when the attempts are.
QUOTAS = ("daily_quota_exceeded", "monthly_quota_exceeded")
BUSY_WITH_IT = "concurrent_idempotent_requests"  # our earlier attempt is still under way


class Mail:
    """Mail to some addresses."""

    name = "email"

    def __init__(
        self,
        *,
        api_key: str,
        api_url: str,
        sender: str,
        recipients: Sequence[str],
        look: Look,
        timeout_s: float,
    ) -> None:
        self._api_key = api_key
        self._api_url = api_url.rstrip("/")
        self._sender = sender
        self._recipients = list(recipients)
        self._look = look
        self._timeout_s = timeout_s

    def send(self, message: Outgoing) -> Answer:
        """Hand it to Resend. Raises ChannelUnavailable, ChannelRefused."""
        content = message.content
        params: resend.Emails.SendParams = {
            "from": self._sender,
            "to": self._recipients,
            "subject": content.title(),
            "text": content.plain(self._look.zone, self._look.link),
            "html": html(content, self._look),
        }
        options: resend.Emails.SendOptions = {"idempotency_key": f"facet-alert-{message.key}"}
        try:
            with _one_at_a_time:
                resend.api_key = self._api_key
                resend.api_url = self._api_url
                resend.default_http_client = resend.RequestsClient(timeout=round(self._timeout_s))
                sent = resend.Emails.send(params, options)
        except ResendError as error:
            raise self._known(error) from None
        except (NoContentError, ValueError) as error:
            raise ChannelUnavailable(
                f"Resend's answer cannot be read: {self._blot(error)}"
            ) from None
        if not sent.get("id"):
            raise ChannelUnavailable("Resend named no id for the mail")
        return Answer(str(sent["id"]), f"taken as {sent['id']}")

    def _known(self, error: ResendError) -> ChannelUnavailable | ChannelRefused:
        """One of our errors for one of the library's."""
        said = self._blot(f"{error.error_type}: {error.message}")
        hint = "check FACET_ALERT_RESEND_API_KEY and FACET_ALERT_EMAIL_FROM"
        if error.error_type in QUOTAS:
            return ChannelRefused(f"Resend answered {error.code}: {said}", hint="raise the quota")
        if error.error_type == BUSY_WITH_IT:
            return ChannelUnavailable(f"Resend answered {error.code}: {said}")
        headers = {name.lower(): value for name, value in error.headers.items()}
        try:
            check_status(int(error.code), said, headers.get("retry-after"), hint=hint)
        except (ChannelUnavailable, ChannelRefused) as ours:
            return ours
        return ChannelUnavailable(f"Resend answered {error.code}: {said}")

    def _blot(self, words: object) -> str:
        return blot(str(words), (self._api_key,))


def html(content: Content, look: Look) -> str:
    """The message as HTML that every mail program shows."""
    if content.kind == "test":
        return f"<p>{escape(content.plain(look.zone, look.link))}</p>"
    parts = [_entry(one, look) for one in content.shown()]
    if content.left_out():
        parts.append(f"<p>{escape(str(content.left_out()))}</p>")
    return "\n".join(parts)


def _entry(entry: Entry, look: Look) -> str:
    name = escape(entry.heading())
    if look.link is not None:
        name = f'<a href="{escape(linked(look.link, entry))}">{name}</a>'
    lines = [f"<p><b>{name}</b><br>{escape(entry.text)}"]
    lines.append(f"<br><small>{escape(entry.when(look.zone))}</small>")
    if not entry.over:
        lines.append(f"<br>next: <code>{escape(entry.next_command)}</code>")
    return "".join(lines) + "</p>"
