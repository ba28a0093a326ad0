"""What `facet run verify` prints: the account of a run, partition by partition."""

from typing import Any

from sqlalchemy import Engine

from cli.output import (
    BAD_USAGE,
    COULD_NOT,
    DONE,
    NOT_COMPLETE,
    data,
    emit,
    fail,
    say,
    table,
    text,
)
from consolidator import accounts
from consolidator.accounts import Account, RunAccount
from shared import runs
from shared.db import transaction
from shared.errors import NotNow

FIGURES = (
    *("counted", "landed", "again", "folded", "rejected", "dead", "drifted", "unexplained"),
)  # fmt: skip


def show(engine: Engine, run: str, *, json: bool) -> int:
    """Print the account of a run; returns the exit code. Raises NotNow where there is no such run.

    Ends the command with 2 where its detail is gone: 1 would say that something is unexplained.
    """
    with transaction(engine) as tx:
        run_id = runs.find(tx, run)
        try:
            account = accounts.of_run(tx, run_id)
        except NotNow as error:
            fail(error, code=BAD_USAGE)
    if json:
        emit(as_json(account))
    else:
        draw(account)
    if account.unexplained:
        return COULD_NOT
    return NOT_COMPLETE if account.unfinished else DONE


def as_json(account: RunAccount) -> dict[str, Any]:
    """Everything, with what is computed of it."""
    parts = [part._asdict() | {"unexplained": part.unexplained} for part in account.parts]
    more = {"drift": account.drift, "unexplained": account.unexplained}
    return account._asdict() | {"parts": parts} | more | {"unfinished": account.unfinished}


def draw(account: RunAccount) -> None:
    """A table in 80 columns, then what it means in sentences."""
    columns = ("part", *FIGURES)
    rows: list[tuple[Any, ...]] = [
        (_name(part), *(getattr(part, name) for name in FIGURES)) for part in account.parts
    ]
    rows.append(("all", *(account.total(name) for name in FIGURES)))
    table(columns, rows, right=columns)
    for line in sentences(account):
        data.print(line, markup=False, soft_wrap=True)
    verdict = f"{account.unexplained:,} unexplained" if account.unexplained else "all is explained"
    say(f"run {str(account.run_id)[:8]} of {account.feed}: {account.state}; {verdict}")
    if account.unfinished:
        say(f"  next: `facet dead-letter list --run {str(account.run_id)[:8]}`")


def sentences(account: RunAccount) -> list[str]:
    """The supplier's counts, and whatever is not as on any day."""
    drift = "–" if account.drift is None else f"{account.drift:+,}"
    plan, close = text(account.counted), text(account.closing)
    shared = account.total("read") - account.offers
    found = [
        f"the supplier counted {plan} at the plan, {close} at the close: drift {drift}",
        f"{account.offers:,} different offers were read"
        + (f", {shared:,} of them in more than one partition" if shared else ""),
    ]
    if account.reason:
        found.append(f"{account.state}: {account.reason}")
    if account.note:
        found.append(account.note)
    if account.missing:
        found.append(f"{account.missing:,} are missing against both counts of the whole feed")
    found += [_shrunk(part) for part in account.parts if part.closing is not None]
    for name, words in (
        ("waiting", "wait to be read or folded"),
        ("overtaken", "were dropped, since a later run had read or missed them"),
        ("lost", "were read and are neither a stone nor a rejected offer"),
    ):
        if account.total(name):
            found.append(f"{account.total(name):,} {words}")
    if any(part.parent_id or part.sweep for part in account.parts):
        found.append("c: cut out of one that outgrew its plan; s: sweep of what changed meanwhile")
    if not account.kept:
        found.append("its raw offers are kept no more: landed and folded are what was counted then")
    return found


def _shrunk(part: Account) -> str:
    counts = f"{part.counted:,} at the plan, {text(part.closing)} at its end, {part.read:,} read"
    return f"partition {part.number} shrank: {counts}"


def _name(part: Account) -> str:
    return f"{part.number}{'s' if part.sweep else 'c' if part.parent_id else ''}"
