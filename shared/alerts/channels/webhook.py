"""A JSON document to an address of your own, signed as the Standard Webhooks specification says.

`webhook-id` is the same at every attempt: a receiver that remembers it takes each message once.
docs/alerts.md shows how to verify the signature.
"""

from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic_core import to_json
from standardwebhooks.webhooks import Webhook as Signer

from shared.alerts.channels.base import Answer, Look, Outgoing, blot, check_status
from shared.alerts.content import Content, linked
from shared.errors import ChannelUnavailable


class Webhook:
    """An address that takes signed documents. The address may hold a token, and is never shown."""

    name = "webhook"

    def __init__(self, url: str, secret: str, look: Look, *, timeout_s: float) -> None:
        self._url = url
        self._secret = secret
        self._look = look
        self._timeout_s = timeout_s

    def send(self, message: Outgoing) -> Answer:
        """Post it. Raises ChannelUnavailable, ChannelRefused."""
        body = to_json(document(message, self._look)).decode()
        now = datetime.now(UTC)
        name = f"msg_{message.key.hex}"
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facet",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Signer(self._secret).sign(name, now, body),
        }
        try:
            answer = httpx.post(self._url, content=body, headers=headers, timeout=self._timeout_s)
        except httpx.HTTPError as error:
            words = blot(f"{type(error).__name__} {error}", self._secrets())
            raise ChannelUnavailable(f"the webhook cannot be reached: {words}") from None
        said = blot(answer.text, self._secrets())
        check_status(
            answer.status_code,
            said,
            answer.headers.get("Retry-After"),
            hint="check FACET_ALERT_WEBHOOK_URL and FACET_ALERT_WEBHOOK_SECRET",
        )
        return Answer(answer.headers.get("x-request-id"), f"{answer.status_code} {said}".strip())

    def _secrets(self) -> tuple[str, ...]:
        url = httpx.URL(self._url)
        parts = (self._url, self._secret, self._secret.removeprefix("whsec_"), url.query.decode())
        return (*parts, url.raw_path.decode() if len(url.path) > 1 else "")


def document(message: Outgoing, look: Look) -> dict[str, Any]:
    """What is posted; docs/alerts.md has its fields."""
    content: Content = message.content
    return {
        "type": f"facet.alert.{content.kind}",
        "key": str(message.key),
        "severity": content.severity(),
        "title": content.title(),
        "incidents": [
            one.model_dump(mode="json")
            | {"key": one.key()}
            | ({} if look.link is None else {"link": linked(look.link, one)})
            for one in content.entries
        ],
    }
