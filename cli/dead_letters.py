"""`facet dead-letter …`: what gave up; look at it, try it again, or put it aside."""

import getpass
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, Engine

from cli import system
from cli.acts import BecauseOrNone, DryRun, Yes, ask, per_second, seconds, why
from cli.output import BAD_USAGE, COULD_NOT, DONE, Json, ago, data, emit, fail, say, table, text
from shared import dead_letters, runs
from shared.db import transaction
from shared.dead_letters import Wanted
from shared.errors import CommitInDoubt, NotNow

app = typer.Typer(no_args_is_help=True, help="What gave up: look at it, replay it, or discard it.")

ERROR_SHOWN = 74  # characters of an error in a list
MESSAGE_SHOWN = 1_000  # of a message

Letter = Annotated[int, typer.Argument(help="A dead letter's id.")]
Letters = Annotated[
    list[int] | None, typer.Argument(help="Ids of dead letters; or none, and a filter.")
]
Reason = Annotated[
    str | None,
    typer.Option(help=f"Only letters with this reason: {', '.join(dead_letters.REASONS)}."),
]
OfKind = Annotated[
    str | None, typer.Option("--kind", help="Only this kind of work, such as fetch.")
]
Feed = Annotated[str | None, typer.Option(help="Only letters of this feed.")]
Run = Annotated[str | None, typer.Option(help="Only letters of this run, by its id or beginning.")]
Since = Annotated[str | None, typer.Option(help="Only those given up in the last 2h, 15min, 3d.")]
Every = Annotated[bool, typer.Option("--all", help="Every letter that is not settled.")]
Rate = Annotated[str, typer.Option(help="No faster than so, as 50/s or 10/min.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many, the oldest first.")]


@app.command("list")
def list_letters(
    reason: Reason = None,
    kind: OfKind = None,
    feed: Feed = None,
    run: Run = None,
    since: Since = None,
    settled: Annotated[
        bool, typer.Option("--settled", help="Also those that were replayed or discarded.")
    ] = False,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Dead letters, the oldest first: what gave up, why, how often it was tried.

    \b
    Examples:
      facet dead-letter list
      facet dead-letter list --reason attempts --since 2h
      facet dead-letter list --run 9a27 --settled --json
    """
    with transaction(system.engine()) as tx:
        wanted = _wanted(tx, reason, kind, feed, run, since)
        found = dead_letters.matching(tx, wanted, limit=limit, settled=settled)
        in_all = dead_letters.count(tx, wanted)
    if json:
        for letter in found:
            emit(letter)
        return
    draw(found)
    reasons = Counter(letter["reason"] for letter in found)
    shown = ", ".join(f"{n:,} {name}" for name, n in reasons.most_common())
    say(f"{in_all:,} unsettled" + (f"; shown: {shown}" if shown else ""))
    if found:
        say(f"  next: `facet dead-letter show {found[0]['dead_letter_id']}`")


@app.command()
def show(letter: Letter, json: Json = False) -> None:
    """One dead letter: the work, the error with its traceback, and what was done about it.

    \b
    Examples:
      facet dead-letter show 17
      facet dead-letter show 17 --json | jq -r .traceback
    """
    with transaction(system.engine()) as tx:
        found = dead_letters.show(tx, letter)
    message, lines = found.pop("message"), found.pop("traceback")
    audit, payload = found.pop("audit"), found.pop("payload") or {}
    trace = (found["traceparent"] or "").split("-")
    found["trace_id"] = trace[1] if len(trace) > 1 else None
    if json:
        came = None if message is None else bytes(message).decode("utf-8", "backslashreplace")
        more = {"payload": payload, "message": came, "traceback": lines, "audit": audit}
        emit(found | more)
        return
    told = {
        k.replace("_", " "): v for k, v in found.items() if v is not None and k != "traceparent"
    }
    table(("", ""), list(told.items()))
    for name, value in payload.items():
        data.print(f"{name.replace('_', ' ')}: {value}", markup=False)
    if message is not None:
        kept = bytes(message)
        data.print(f"message, {len(kept):,} bytes kept: {kept[:MESSAGE_SHOWN]!r}", markup=False)
    if lines:
        data.print(lines.rstrip(), markup=False, soft_wrap=True)
    for event in audit:
        say(f"{text(event['at'])} {event['actor']}: {event['action']}: {event['reason']}")
    if found["settled_at"] is None:
        verb = "discard" if found["item_id"] is None else "replay"
        say(f"  next: `facet dead-letter {verb} {letter} --because TEXT`")


@app.command()
def replay(
    letters: Letters = None,
    reason: Reason = None,
    kind: OfKind = None,
    feed: Feed = None,
    run: Run = None,
    since: Since = None,
    every: Every = False,
    because: BecauseOrNone = None,
    limit: Limit = 500,
    rate: Annotated[
        str, typer.Option(help="At most so many a second, as 50/s or 10/min.")
    ] = "50/s",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Try again what gave up, from where it stopped; a partial run is completed by it.

    \b
    Examples:
      facet dead-letter replay 17 18 --because "the password is set again"
      facet dead-letter replay --reason attempts --since 2h --dry-run
      facet dead-letter replay --run 9a27 --because "they are back" --rate 10/s --yes

    A filter is counted and asked about first; --yes answers, and is needed where nobody can be
    asked. Exit 0 where all were replayed, 1 where some could not be, each with its reason.
    """
    engine = system.engine()
    chosen = _chosen(
        engine, letters, (reason, kind, feed, run, since), every=every, limit=limit, work=True
    )
    act = Act("replay", "replayed", dead_letters.replay)
    _go(engine, act, chosen, because, rate, dry_run=dry_run, yes=yes, json=json)


@app.command()
def discard(
    letters: Letters = None,
    reason: Reason = None,
    kind: OfKind = None,
    feed: Feed = None,
    run: Run = None,
    since: Since = None,
    every: Every = False,
    because: BecauseOrNone = None,
    limit: Limit = 500,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take dead letters off the list. Their work stays undone, and their run as it is.

    \b
    Examples:
      facet dead-letter discard 17 --because "the run was repeated"
      facet dead-letter discard --reason bad_message --since 1d --dry-run

    They stay on record, as settled. Exit 0 where all were discarded, 1 where some could not be.
    """
    engine = system.engine()
    chosen = _chosen(engine, letters, (reason, kind, feed, run, since), every=every, limit=limit)
    act = Act("discard", "discarded", dead_letters.discard)
    _go(engine, act, chosen, because, "1000/s", dry_run=dry_run, yes=yes, json=json)


class Act:
    """What is done with each letter."""

    def __init__(self, verb: str, done: str, function: Callable[..., Any]) -> None:
        self.verb = verb
        self.done = done
        self.function = function

    def on(self, engine: Engine, letter: int, because: str) -> None:
        """Once, and in a transaction of its own; a commit in doubt is looked up, then done anew.

        Raises NotNow.
        """
        who = getpass.getuser()
        try:
            with transaction(engine) as tx:
                self.function(tx, letter, actor=who, because=because)
        except CommitInDoubt:
            with transaction(engine) as tx:
                if dead_letters.show(tx, letter)["settled_how"] != self.done:
                    self.function(tx, letter, actor=who, because=because)


class Chosen:
    """The letters to act on: named one by one, or by a filter, of which `in_all` fit."""

    def __init__(self, ids: Sequence[int], *, by: str = "", in_all: int = 0) -> None:
        self.ids = ids
        self.by = by
        self.in_all = in_all


def _chosen(
    engine: Engine,
    letters: list[int] | None,
    filters: tuple[str | None, str | None, str | None, str | None, str | None],
    *,
    every: bool,
    limit: int,
    work: bool = False,
) -> Chosen:
    """What is named. `work`: messages that a filter finds are left out, nothing is behind them."""
    _known(filters[0])
    given = any(one is not None for one in filters) or every
    if bool(letters) == given:
        problem = "ids or a filter, not both" if given else "which dead letters?"
        fail(problem, hint="name ids, a filter such as --reason, or --all", code=BAD_USAGE)
    if letters:
        return Chosen(list(dict.fromkeys(letters)))
    with transaction(engine) as tx:
        wanted = _wanted(tx, *filters)
        in_all = dead_letters.count(tx, wanted)
        found = dead_letters.matching(tx, wanted, limit=limit)
    told = [f"{name}={value}" for name, value in wanted._asdict().items() if value is not None]
    fit = [letter for letter in found if not work or letter["item_id"] is not None]
    if len(fit) < len(found):
        say(f"{len(found) - len(fit):,} messages are left out: there is nothing to replay")
        in_all -= len(found) - len(fit)
    ids = [int(letter["dead_letter_id"]) for letter in fit]
    return Chosen(ids, by=" ".join(told) or "all", in_all=in_all)


def _known(reason: str | None) -> None:
    """Bad usage for a reason that no letter has: whoever means their own says it otherwise."""
    if reason is not None and reason not in dead_letters.REASONS:
        fail(
            f"no dead letter has the reason {reason!r}; why you act is said with --because",
            hint=f"one of {', '.join(dead_letters.REASONS)}",
            code=BAD_USAGE,
        )


def _wanted(
    tx: Connection,
    reason: str | None,
    kind: str | None,
    feed: str | None,
    run: str | None,
    since: str | None,
) -> Wanted:
    _known(reason)
    run_id = None if run is None else runs.find(tx, run)
    return Wanted(reason, kind, feed, run_id, None if since is None else seconds(since))


def _go(
    engine: Engine,
    act: Act,
    chosen: Chosen,
    because: str | None,
    rate: str,
    *,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Act on the letters, paced; exits with the code."""
    reason, pause_s = why(because, dry_run=dry_run), 1 / per_second(rate)
    count = f"{len(chosen.ids):,} dead letter{'' if len(chosen.ids) == 1 else 's'}"
    if len(chosen.ids) < chosen.in_all:
        count += f" of {chosen.in_all:,}, the oldest"
    if dry_run:
        _show_plan(engine, chosen, json=json)
        say(f"would {act.verb} {count}")
        return
    if chosen.by and chosen.ids:
        ask(f"{act.verb} {count}", yes=yes)
        _note_bulk(engine, act, chosen, reason, rate)
    left = _do_all(engine, act, chosen.ids, reason, pause_s, json=json)
    done = len(chosen.ids) - left
    say(f"{act.done} {done:,} of {count}" + (f"; {left:,} could not be" if left else ""))
    rest = chosen.in_all - len(chosen.ids)
    if rest > 0:
        say(f"  next: {rest:,} more fit; run it again for the next {len(chosen.ids):,}")
    elif act.verb == "replay" and done:
        say("  next: `facet status`; a partial run is reconciled anew once its work has closed")
    raise SystemExit(COULD_NOT if left else DONE)


def _show_plan(engine: Engine, chosen: Chosen, *, json: bool) -> None:
    with transaction(engine) as tx:
        found = [dead_letters.show(tx, letter) for letter in chosen.ids]
    if not json:
        draw(found)
        return
    for letter in found:
        emit({name: letter[name] for name in ("dead_letter_id", "kind", "reason", "run_id")})


def _note_bulk(engine: Engine, act: Act, chosen: Chosen, because: str, rate: str) -> None:
    """What is about to be done to how many, before the first."""
    with transaction(engine) as tx:
        runs.audit(
            tx,
            actor=getpass.getuser(),
            action=f"dead-letters.{act.verb}",
            subject=chosen.by,
            reason=because,
            before={"fit": chosen.in_all},
            after={"chosen": len(chosen.ids), "rate": rate},
        )


def _do_all(
    engine: Engine, act: Act, ids: Sequence[int], because: str, pause_s: float, *, json: bool
) -> int:
    """Returns how many could not be. Ctrl-C stops between two."""
    left, at = 0, time.monotonic()
    for number, letter in enumerate(ids):
        try:
            time.sleep(max(0.0, at + number * pause_s - time.monotonic()))
            act.on(engine, letter, because)
            problem = None
        except NotNow as error:
            left, problem = left + 1, error
            say(f"{letter}: {error}")
            if len(ids) == 1 and error.hint:
                say(f"  next: {error.hint}")
        except KeyboardInterrupt:
            fail(
                f"stopped: {act.done} {number - left:,}, {len(ids) - number:,} left as they were",
                hint="run it again to go on",
                code=130,
            )
        if json:
            outcome = act.done if problem is None else "refused"
            emit({"dead_letter_id": letter, "outcome": outcome, "why": problem and str(problem)})
    return left


def draw(found: Sequence[dict[str, Any]]) -> None:
    """Dead letters as people read them, two lines each in 80 columns."""
    if not found:
        return
    line = "{:>7} {:<9} {:<12} {:<16} {:<8} {:>5} {:>5}  {}"
    data.print(
        line.format("id", "kind", "reason", "feed", "run", "part", "tries", "last"), style="bold"
    )
    for letter in found:
        run = str(letter["run_id"])[:8] if letter["run_id"] else None
        cells = [letter["dead_letter_id"], letter["kind"], letter["reason"], letter["feed"], run]
        cells += [letter["partition"], letter["attempts"]]
        said = line.format(
            *("–" if cell is None else cell for cell in cells), ago(letter["last_at"])
        )
        data.print(said, markup=False)
        error = " ".join(letter["error"].split())
        short = error if len(error) <= ERROR_SHOWN else error[: ERROR_SHOWN - 1] + "…"
        settled = f"{letter['settled_how']}: " if letter["settled_how"] else ""
        data.print(f"     {settled}{short}"[:79], markup=False)
