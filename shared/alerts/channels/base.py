"""What every channel has in common: its errors, and that none of its secrets gets out."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.alerts.content import Content
from shared.edge import retry_after_s
from shared.errors import ChannelRefused, ChannelUnavailable

ANSWER_CHARS_MAX = 500
BLOT = "[secret]"


class Outgoing(NamedTuple):
    """A message on its way. `key` is the same at every attempt to send it."""

    key: UUID
    content: Content


class Answer(NamedTuple):
    """What the provider said to a message it took."""

    provider_id: str | None
    text: str


class Channel(Protocol):
    """A way to reach a person, or a program that does."""

    name: str

    def send(self, message: Outgoing) -> Answer:
        """Send it once. Raises ChannelUnavailable, ChannelRefused; no secret is in their text."""
        ...


class Look(NamedTuple):
    """How messages look: in which time zone, with which link."""

    zone: ZoneInfo
    link: str | None


def blot(text: str, secrets: Iterable[str]) -> str:
    """A provider's words, shortened, on one line and without what is secret."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, BLOT) if secret else text
    words = " ".join(text.split())
    return words if len(words) <= ANSWER_CHARS_MAX else words[: ANSWER_CHARS_MAX - 1] + "…"


def check_status(status: int, said: str, retry_after: str | None, *, hint: str) -> None:
    """Raise for an answer that is not a success.

    said           the provider's words, already blotted
    retry_after    its header of that name, if any
    """
    if 200 <= status < 300:
        return
    sentence = f"answered {status}: {said}" if said else f"answered {status}"
    if status in {408, 425, 429} or status >= 500:
        wait_s = retry_after_s(retry_after, datetime.now(UTC))
        raise ChannelUnavailable(sentence, retry_after_s=wait_s)
    raise ChannelRefused(sentence, hint=hint)
