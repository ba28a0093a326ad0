"""What every command prints with: data on stdout, words on stderr, one error shape.

Exit codes, the same in every command; README.md has them for people:

    0 done · 1 could not, or a run failed, or two things differ · 2 bad usage or settings, or a run
    was cancelled · 3 a run ended, but not complete, or a feed is degraded, or a doctor
    wants attention · 4 a supplier refused
    the login · 5 the feed has an open run · 6 the feed is paused · 124 `--timeout` is over ·
    130 Ctrl-C
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table

from shared.errors import (
    BadSettings,
    FacetError,
    FeedPaused,
    LoginRefused,
    RunIsOpen,
    UnknownFeed,
)

DONE, COULD_NOT, BAD_USAGE, NOT_COMPLETE = 0, 1, 2, 3
SAME, DIFFERENT, CANCELLED = DONE, COULD_NOT, BAD_USAGE
LOGIN_REFUSED, RUN_OPEN, PAUSED, TIME_OVER, INTERRUPTED = 4, 5, 6, 124, 130

EXIT_CODES = """\b
Exit codes:
  0    done; a run is complete; two things are the same
  1    could not; a run failed; two things differ
  2    bad usage or settings; a run was cancelled
  3    a run ended, but not complete; a feed is degraded
  4    a supplier refused the login
  5    not started: the feed has an open run
  6    not started: the feed is paused
  124  --timeout is over; what was waited for goes on
  130  Ctrl-C; what was watched goes on
"""

WIDE = 10_000  # columns: nothing is folded or cut for whoever reads from a pipe

words = Console(stderr=True, highlight=False, soft_wrap=True)
data = Console(highlight=False)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]


class _Style:
    """How tables are printed; set once, before the command."""

    plain = False


def be_plain() -> None:
    """From now on tables are lines of fields with a tab between them, for other programs."""
    _Style.plain = True


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
    """A table on stdout. `right`: the columns of figures.

    On a terminal it fits the width; in a pipe nothing is folded; `--plain` has the bare values.
    """
    if _Style.plain:
        lines = (columns, *([_bare(value) for value in row] for row in rows))
        sys.stdout.write("".join("\t".join(line) + "\n" for line in lines))
        return
    made = drawn(columns, rows, right=right)
    if data.is_terminal:
        data.print(made)
        return
    pipe = Console(width=WIDE, highlight=False)
    with pipe.capture() as caught:
        pipe.print(made)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in caught.get().splitlines()))


def drawn(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Sequence[str] = (),
    title: str | None = None,
) -> Table:
    """The same, for whoever draws several in one picture."""
    made = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold", title=title)
    made.title_justify, made.title_style = "left", "bold cyan"
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(text(value) for value in row))
    return made


def _bare(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return " ".join(str(value).split())


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


def pieces(count: int) -> str:
    """So much work, in words."""
    return f"{count:,} piece{'' if count == 1 else 's'} of work"


def ago(moment: datetime | None) -> str:
    """How long since, in the largest unit that fits."""
    if moment is None:
        return "–"
    return f"{span((datetime.now(UTC) - moment).total_seconds())} ago"


def span(seconds: float | None) -> str:
    """A time in the largest unit that fits; a dash for nothing."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def money(cents: int | None, currency: str | None) -> str:
    """Cents as an amount with its currency."""
    if cents is None:
        return "–"
    return f"{cents // 100:,}.{cents % 100:02d} {currency}"


def exit_code(error: FacetError) -> int:
    """What a command ends with that ends in this error."""
    if isinstance(error, BadSettings | UnknownFeed):
        return BAD_USAGE
    codes: dict[type[FacetError], int] = {
        LoginRefused: LOGIN_REFUSED,
        RunIsOpen: RUN_OPEN,
        FeedPaused: PAUSED,
    }
    return codes.get(type(error), COULD_NOT)


def fail(error: FacetError | str, *, hint: str = "", code: int | None = None) -> NoReturn:
    """One sentence, the command that helps, and out."""
    say(f"facet: {error}")
    advice = hint or (error.hint if isinstance(error, FacetError) else "")
    if advice:
        say(f"  next: {advice}")
    if code is None:
        code = exit_code(error) if isinstance(error, FacetError) else COULD_NOT
    raise SystemExit(code)
