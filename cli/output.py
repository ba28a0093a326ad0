"""What every command prints with: data on stdout, words on stderr, one error shape.

Exit codes: 0 done · 1 could not · 2 bad usage or settings · 3 a run ended, but not complete.
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table

from shared.errors import BadSettings, FacetError, UnknownFeed

DONE, COULD_NOT, BAD_USAGE, NOT_COMPLETE = 0, 1, 2, 3

words = Console(stderr=True, highlight=False, soft_wrap=True)
data = Console(highlight=False)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]


def say(text: str) -> None:
    """A line for people, on stderr."""
    words.print(text, markup=False)


def emit(value: Any) -> None:
    """One JSON document on one line of stdout."""
    sys.stdout.write(to_json(value, fallback=str).decode() + "\n")
    sys.stdout.flush()


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()
) -> None:
    """A table for people, on stdout. `right`: the columns of figures."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name in columns:
        drawn.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(text(value) for value in row))
    data.print(drawn)


def text(value: Any) -> str:
    """A value as people read it: thousands apart, local time, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def ago(moment: datetime | None) -> str:
    """How long since, in the largest unit that fits."""
    if moment is None:
        return "–"
    seconds = max(0, round((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def money(cents: int | None, currency: str | None) -> str:
    """Cents as an amount with its currency."""
    if cents is None:
        return "–"
    return f"{cents // 100:,}.{cents % 100:02d} {currency}"


def exit_code(error: FacetError) -> int:
    """2 where the settings or the words were wrong, else 1."""
    return BAD_USAGE if isinstance(error, BadSettings | UnknownFeed) else COULD_NOT


def fail(error: FacetError | str, *, hint: str = "", code: int | None = None) -> NoReturn:
    """One sentence, the command that helps, and out."""
    say(f"facet: {error}")
    advice = hint or (error.hint if isinstance(error, FacetError) else "")
    if advice:
        say(f"  next: {advice}")
    if code is None:
        code = exit_code(error) if isinstance(error, FacetError) else COULD_NOT
    raise SystemExit(code)
