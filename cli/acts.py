"""What commands that change something by hand have in common: why, how many, how fast, really?

`--because` says why, in every one of them, and is kept in the audit before the act. `--reason`
means the same wherever a command has no filter of that name.
"""

import re
import sys
from typing import Annotated

import typer

from cli.output import BAD_USAGE, fail

SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}

Because = Annotated[str, typer.Option("--because", "--reason", help="Why; kept in the audit.")]
BecauseOrNone = Annotated[
    str | None,
    typer.Option("--because", help="Why; kept in the audit. Needed, except with --dry-run."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]


def seconds(text: str) -> float:
    """Of `90s`, `15min`, `2h` or `3d`; anything else is bad usage."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)", text.strip())
    if found is None:
        fail(f"{text!r} is no span of time", hint="such as 90s, 15min, 2h or 3d", code=BAD_USAGE)
    return float(found[1]) * SECONDS[found[2]]


def per_second(text: str) -> float:
    """Of `50/s`, `50` or `10/min`; anything else is bad usage."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|min|h))?", text.strip())
    if found is None or not float(found[1]):
        fail(f"{text!r} is no rate", hint="such as 50/s or 10/min", code=BAD_USAGE)
    return float(found[1]) / SECONDS[found[2] or "s"]


def why(because: str | None, *, dry_run: bool) -> str:
    """The reason given; missing it is bad usage, unless nothing is done."""
    if because is None and not dry_run:
        fail("an act by hand needs its reason", hint="add --because TEXT", code=BAD_USAGE)
    return because or ""


class _Asking:
    """Whether anybody may be asked; set once, before the command."""

    never = False


def ask_nobody() -> None:
    """From now on what would ask fails instead, and says with what it need not."""
    _Asking.never = True


def ask(question: str, *, yes: bool) -> None:
    """Go on only if the person agrees; where nobody can be asked, `--yes` must have been given."""
    if yes:
        return
    if _Asking.never or not sys.stdin.isatty():
        fail(f"{question}: nobody can be asked here", hint="add --yes", code=BAD_USAGE)
    if not typer.confirm(f"{question}?", err=True):
        fail("nothing was done", hint="--dry-run shows what would be", code=BAD_USAGE)
