"""Slack's incoming webhooks, through slack_sdk. The URL is the secret.

An incoming webhook takes no key of ours: a message whose answer was lost comes twice.
"""

import logging
from http.client import HTTPException
from typing import Any

from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient

from shared.alerts.channels.base import Answer, Look, Outgoing, blot, check_status
from shared.alerts.content import Content, Entry, linked
from shared.errors import ChannelRefused, ChannelUnavailable

HEADER_CHARS_MAX = 150  # Slack's own bounds; above them it answers invalid_blocks
SECTION_CHARS_MAX = 3_000
SIGNS = {"critical": ":rotating_light:", "error": ":red_circle:", "warning": ":warning:"}
OVER_SIGN = ":white_check_mark:"

# slack_sdk logs the address of a failed request; it stays silent, and what fails is raised.
_silent = logging.getLogger("facet.alerts.slack")
_silent.setLevel(logging.CRITICAL + 1)
_silent.propagate = False


class Slack:
    """A Slack channel behind an incoming webhook."""

    name = "slack"

    def __init__(self, url: str, look: Look, *, timeout_s: float) -> None:
        self._url = url
        self._look = look
        self._timeout_s = timeout_s

    def send(self, message: Outgoing) -> Answer:
        """Post it. Raises ChannelUnavailable, ChannelRefused."""
        client = WebhookClient(
            self._url,
            timeout=round(self._timeout_s),
            logger=_silent,
            retry_handlers=[],  # the ledger tries again
        )
        try:
            answer = client.send(
                text=message.content.title(), blocks=blocks(message.content, self._look)
            )
        except (OSError, HTTPException, SlackClientError, ValueError) as error:
            raise ChannelUnavailable(f"Slack cannot be reached: {self._blot(error)}") from None
        said = self._blot(answer.body)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        check_status(
            answer.status_code, said, headers.get("retry-after"), hint="check FACET_ALERT_SLACK_URL"
        )
        if answer.body.strip() != "ok":
            raise ChannelRefused(
                f"answered {answer.status_code}, but not ok: {said}",
                hint="check FACET_ALERT_SLACK_URL",
            )
        return Answer(headers.get("x-slack-req-id"), said)

    def _blot(self, words: object) -> str:
        path = "/services/" + self._url.partition("/services/")[2]
        hidden = (self._url, path) if len(path) > len("/services/") else (self._url,)
        return blot(str(words), hidden)


def blocks(content: Content, look: Look) -> list[dict[str, Any]]:
    """The message as Block Kit: a header, and for each incident what, since when, what next."""
    header = {"type": "plain_text", "text": _cut(content.title(), HEADER_CHARS_MAX)}
    made: list[dict[str, Any]] = [{"type": "header", "text": header}]
    if content.kind == "test":
        return [*made, _section(content.plain(look.zone, look.link))]
    for entry in content.shown():
        made += [_section(_words(entry, look)), _context(entry.when(look.zone))]
    if content.left_out():
        made.append(_section(_escaped(str(content.left_out()))))
    return made


def _words(entry: Entry, look: Look) -> str:
    sign = OVER_SIGN if entry.over else SIGNS.get(entry.severity, ":information_source:")
    name = f"*{_escaped(entry.name())}*"
    if look.link is not None:
        name = f"<{linked(look.link, entry)}|{name}>"
    lines = [f"{sign} {'over: ' if entry.over else ''}{name}", _escaped(entry.text)]
    room = SECTION_CHARS_MAX - 200  # the name and the command are never cut
    lines[1] = _cut(lines[1], room)
    if not entry.over:
        lines.append(f"next: `{_escaped(entry.next_command)}`")
    return "\n".join(lines)


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, SECTION_CHARS_MAX)}}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(text)}]}


def _escaped(text: str) -> str:
    """The three characters that Slack reads as its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
