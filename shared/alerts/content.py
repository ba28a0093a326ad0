"""What a message says, and how it says it in words. Pure.

The content is kept with the alert: every attempt, on every channel, says the same.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from shared.alerts.kinds import IncidentKind
from shared.alerts.settings import SEVERITIES, Severity

SHOWN_MAX = 20  # incidents spelled out for people; a mail or a screen holds no more
OVER = ("resolved", "passed")


class Entry(BaseModel, frozen=True):
    """One incident as it stood when it was told."""

    incident_id: int
    kind: IncidentKind
    news: Literal["opened", "worse", "resolved", "passed"]
    severity: Severity
    text: str
    next_command: str
    feed: str | None = None
    run_id: UUID | None = None
    subject: str | None = None
    count: int = 1
    first_at: datetime
    last_at: datetime
    resolved_at: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.news in OVER

    def key(self) -> str:
        """What the incident is one of at a time: kind, feed, run, subject."""
        parts = (self.kind, self.feed, self.run_id, self.subject)
        return "/".join("-" if part is None else str(part) for part in parts)

    def name(self) -> str:
        """What it is of, for people: `run failed: nivoda-natural, run 9a271c73`."""
        run = None if self.run_id is None else f"run {str(self.run_id)[:8]}"
        of = ", ".join(part for part in (self.feed, self.subject, run) if part)
        what = self.kind.replace("_", " ")
        return f"{what}: {of}" if of else what

    def heading(self) -> str:
        """Its name behind its severity, or behind the word that it is over."""
        return f"{'OVER' if self.over else self.severity.upper()} {self.name()}"

    def when(self, zone: ZoneInfo) -> str:
        """Since when, how often, and for how long where it is over."""
        begun = self.first_at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")
        times = f", {self.count:,} times" if self.count > 1 else ""
        if self.resolved_at is None:
            return f"since {begun}{times}"
        return f"from {begun}{times}, over after {_lasted(self.resolved_at - self.first_at)}"


class Content(BaseModel, frozen=True):
    """A message: one incident or several, or a test."""

    kind: Literal["news", "digest", "test"]
    entries: tuple[Entry, ...] = ()

    def severity(self) -> Severity:
        """The gravest of its incidents; a test is `info`."""
        return gravest([one.severity for one in self.entries])

    def title(self) -> str:
        """One line that tells what it is about."""
        if self.kind == "test":
            return "Facet: a test of this channel"
        if len(self.entries) == 1:
            return f"Facet: {self.entries[0].heading()}"
        open_ones = [one for one in self.entries if not one.over]
        over = len(self.entries) - len(open_ones)
        parts = []
        if open_ones:
            worst = gravest([one.severity for one in open_ones])
            parts.append(f"{worst.upper()} {_incidents(len(open_ones))}")
        if over:
            parts.append(f"{over:,} over" if open_ones else f"OVER {_incidents(over)}")
        held = ", held back in the quiet hours" if self.kind == "digest" else ""
        return f"Facet: {', '.join(parts)}{held}"

    def shown(self) -> tuple[Entry, ...]:
        """Those that are spelled out: the open ones first."""
        return tuple(sorted(self.entries, key=lambda one: one.over))[:SHOWN_MAX]

    def left_out(self) -> str | None:
        """The sentence about those that are not."""
        more = len(self.entries) - SHOWN_MAX
        return f"and {more:,} more: `facet alert list --all`" if more > 0 else None

    def plain(self, zone: ZoneInfo, link: str | None) -> str:
        """The whole message as plain text."""
        if self.kind == "test":
            return "Facet can reach you here. Nothing is wrong, and there is nothing to do."
        parts = []
        for one in self.shown():
            lines = [one.heading(), one.text, one.when(zone)]
            if not one.over:
                lines.append(f"next: {one.next_command}")
            if link is not None:
                lines.append(linked(link, one))
            parts.append("\n".join(lines))
        if self.left_out():
            parts.append(str(self.left_out()))
        return "\n\n".join(parts)


def linked(link: str, entry: Entry) -> str:
    """The link of an incident: {incident}, {feed} and {run} of the given address filled in."""
    run = "" if entry.run_id is None else str(entry.run_id)
    filled = link.replace("{incident}", str(entry.incident_id)).replace("{run}", run)
    return filled.replace("{feed}", entry.feed or "")


def gravest(severities: Sequence[Severity]) -> Severity:
    """The gravest of them; `info` where there is none."""
    return max(severities, key=SEVERITIES.index, default="info")


def reaches(severity: Severity, least: Severity) -> bool:
    """Whether it is as grave as that or graver."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def _incidents(number: int) -> str:
    return "1 incident" if number == 1 else f"{number:,} incidents"


def _lasted(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    if minutes < 1:
        return f"{span.total_seconds():.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
