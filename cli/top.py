"""`facet top`: the whole screen, drawn again and again."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from cli import health, system
from cli.embedded.home import home_dir
from cli.following import bars, progress
from cli.health import Section, gather
from cli.output import BAD_USAGE, data, drawn, fail, span
from shared.db import transaction
from shared.errors import Transient
from sql import query

EVERY_S = 1.0
PARTITIONS_SHOWN = 50


def top(
    every: Annotated[
        float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")
    ] = EVERY_S,
) -> None:
    """The whole screen: runs, partitions, work, limits, processes, dead letters. q ends it.

    \b
    Examples:
      facet top
      facet top --every 5

    It needs a terminal; elsewhere `facet status --watch --json` says the same.
    """
    if not (data.is_terminal and sys.stdin.isatty()):
        fail("this needs a terminal", hint="`facet status --watch`", code=BAD_USAGE)
    engine = system.engine()
    look = Look(engine)
    screen = Live(look.draw(), console=data, screen=True, auto_refresh=False)
    with keys() as pressed, screen as live:
        while not pressed(every):
            live.update(look.draw(), refresh=True)


class Look:
    """Draws what is there; where the database is away, what was there before, and says so."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._found: dict[str, Any] | None = None
        self._runs: list[dict[str, Any]] = []
        self._partitions: list[dict[str, Any]] = []
        self._seen_at = time.monotonic()

    def draw(self) -> Layout:
        """The whole screen, in the terminal's size."""
        problem = ""
        try:
            self._look()
        except Transient as error:
            problem = f"{error}; as it was {span(time.monotonic() - self._seen_at)} ago"
        if self._found is None:
            return Layout(Panel(Text(problem, style="bold red"), title="facet"))
        return picture(self._found, self._runs, self._partitions, problem, lines=data.height)

    def _look(self) -> None:
        found = gather(self._engine)
        with transaction(self._engine) as tx:
            open_runs = tx.execute(query("open_runs")).scalars().all()
            values = {"limit": PARTITIONS_SHOWN}
            parts = tx.execute(query("partition_states"), values).mappings().all()
        self._runs = [progress(self._engine, run_id) for run_id in open_runs]
        self._partitions = [dict(row) for row in parts]
        self._found = found
        self._seen_at = time.monotonic()


def picture(
    found: dict[str, Any],
    runs: list[dict[str, Any]],
    partitions: list[dict[str, Any]],
    problem: str,
    *,
    lines: int,
) -> Layout:
    """A screen of so many lines: feeds and runs above, the rest in two columns below."""
    remarks = health.remarks(found)
    feeds = next((one for one in health.sections(found) if one.title == "feeds"), None)
    upper: list[Table | Text] = [bars(runs)] if runs else []
    upper += [_table(feeds)] if feeds else []
    above = max(3, min(lines // 2, 3 + len(runs) + (len(feeds.rows) + 1 if feeds else 0)))
    told = min(len(remarks), 4)
    whole = Layout()
    whole.split_column(
        Layout(Text(f"facet  {home_dir()}  {time.strftime('%H:%M:%S')}", style="bold"), size=1),
        Layout(Panel(Group(*upper) if upper else Text("no run yet"), title="runs"), size=above),
        Layout(name="middle"),
        Layout(Group(*(_remark(one) for one in remarks[:told])), size=max(told, 1)),
        Layout(Text(problem or "q ends it", style="bold red" if problem else "dim"), size=1),
    )
    whole["middle"].split_row(Layout(name="left"), Layout(name="right"))
    whole["left"].split_column(
        Layout(Panel(_table(health.backlog(found)), title="work"), ratio=3),
        Layout(Panel(_table(health.team(found)), title="processes"), ratio=3),
    )
    whole["right"].split_column(
        Layout(Panel(_table(_fetching(partitions)), title="partitions"), ratio=3),
        Layout(Panel(_limits(found), title="limits and dead letters"), ratio=3),
    )
    return whole


def _fetching(partitions: list[dict[str, Any]]) -> Section:
    rows = [
        (
            f"{p['feed']} {p['number']}",
            f"{p['landed']:,}/{p['planned_offers']:,}",
            p["attempts"],
            span(p["lease_s"]) if p["state"] == "held" else "dead",
        )
        for p in partitions
    ]
    columns = ("partition", "landed", "try", "lease")
    return Section("partitions", columns, rows, columns[1:])


def _limits(found: dict[str, Any]) -> Group:
    rows = [
        (
            a["account"],
            f"{a['in_last_second']}/{a['rate_per_s']:g}"
            if a["rate_per_s"]
            else a["in_last_second"],
            a["in_flight"],
            a["state"],
        )
        for a in found["accounts"]
    ]
    limits = Section(
        "", ("account", "a second", "under way", "breaker"), rows, ("a second", "under way")
    )
    dead = health.dead_letters(found)
    short = Section("", ("dead", "kind", ""), [row[:3] for row in dead.rows], ("",))
    parts = [_table(one) for one in (limits, short) if one.rows]
    return Group(*parts) if parts else Group(Text("no requests yet, no dead letters", style="dim"))


def _table(section: Section) -> Table | Text:
    if not section.rows:
        return Text("nothing", style="dim")
    return drawn(section.columns, section.rows, right=section.right)


def _remark(line: str) -> Text:
    return Text(line, style="yellow", no_wrap=True, overflow="ellipsis")


@contextmanager
def keys() -> Iterator[Any]:
    """Yields a function that waits for so many seconds and says whether q or Ctrl-C was pressed."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(wait_s: float) -> bool:
        try:
            ready, _, _ = select.select([descriptor], [], [], wait_s)
        except KeyboardInterrupt:
            return True
        return bool(ready) and os.read(descriptor, 1) in {b"q", b"Q", b"\x03", b"\x04", b""}

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
