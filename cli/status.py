"""`facet status`: how Facet stands, once or again and again."""

import time
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli import system
from cli.embedded.home import home_dir
from cli.health import gather, remarks, sections
from cli.output import Json, data, drawn, emit, fail, say, table

EVERY_S = 2.0


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option(min=0.2, max=3_600, help="Seconds between two looks of --watch.")
    ] = EVERY_S,
    json: Json = False,
) -> None:
    """What runs, what is due and for how long, the latest run of each feed, what is on sale.

    \b
    Examples:
      facet status
      facet status --watch
      facet status --watch --every 60 --json >> status.log

    `complete`: how old what the last complete run saw is. `oldest`: for how long the oldest piece
    of work could have started.
    """
    engine = system.engine()
    if not watch:
        show(gather(engine), json=json)
        return
    try:
        if json or not data.is_terminal:
            while True:
                show(gather(engine), json=json)
                time.sleep(every)
        with Live(console=data, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(picture(gather(engine), every), refresh=True)
                time.sleep(every)
    except KeyboardInterrupt:
        fail("stopped watching", code=130)


def show(found: dict[str, Any], *, json: bool) -> None:
    """Print it once."""
    if json:
        emit(found)
        return
    names = found["processes"]
    say(f"running in {home_dir()}: {', '.join(names)}" if names else "services by URL")
    for one in sections(found):
        table(one.columns, one.rows, right=one.right)
    for line in remarks(found):
        say(line)


def picture(found: dict[str, Any], every_s: float) -> Group:
    """The same, drawn in place."""
    now = time.strftime("%H:%M:%S")
    return Group(
        Text(f"{now}, every {every_s:g} s; Ctrl-C ends it", style="dim"),
        *(drawn(one.columns, one.rows, right=one.right) for one in sections(found)),
        *(Text(line, style="yellow") for line in remarks(found)),
    )
