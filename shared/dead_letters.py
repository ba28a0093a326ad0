"""Dead letters: what gave up, with everything needed to understand it and to try it again.

Every act by hand is written down in the audit before it is made, and in its transaction. Each
function takes the open transaction first.
"""

from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row

from shared import ledger, runs
from shared.errors import NotNow
from sql import query

REASONS = ("permanent", "attempts", "worker_lost", "bug", "bad_message", "unknown_task")

How = Literal["replayed", "discarded"]


class Wanted(NamedTuple):
    """Which dead letters; None: no matter."""

    reason: str | None = None
    kind: str | None = None
    feed: str | None = None
    run_id: UUID | None = None
    since_s: float | None = None  # given up in the last so many seconds


def matching(
    tx: Connection, wanted: Wanted, *, limit: int, after: int = 0, settled: bool = False
) -> list[dict[str, Any]]:
    """Those that fit, the oldest first.

    after     only with an id above it
    settled   those that somebody replayed or discarded as well
    """
    values = wanted._asdict() | {"limit": limit, "after": after, "settled": settled}
    return [dict(row) for row in tx.execute(query("list_dead_letters"), values).mappings()]


def count(tx: Connection, wanted: Wanted) -> int:
    """How many unsettled ones fit."""
    values = wanted._asdict() | {"after": 0, "settled": False}
    return int(tx.execute(query("count_matching_letters"), values).scalar_one())


def show(tx: Connection, dead_letter_id: int) -> dict[str, Any]:
    """Everything about one, and what people did with it. Raises NotNow where there is none."""
    values = {"dead_letter_id": dead_letter_id}
    row = tx.execute(query("dead_letter"), values).mappings().one_or_none()
    if row is None:
        raise _none_such(dead_letter_id)
    audit = tx.execute(query("audit_of_letter"), {"subject": str(dead_letter_id)}).mappings()
    return dict(row) | {"audit": [dict(event) for event in audit]}


def replay(tx: Connection, dead_letter_id: int, *, actor: str, because: str) -> int:
    """Make the work behind a dead letter due again, with all its attempts; returns its item.

    It goes on from what was committed. Its run, if that has ended, is reconciled anew once this
    work has closed; a reprice that failed is open until then. Of two who replay it at once the
    second is told that it was replayed. Raises NotNow, with the reason, where it cannot be
    replayed.
    """
    letter = _held(tx, dead_letter_id)
    if letter.settled_how == "replayed":
        raise NotNow(f"dead letter {dead_letter_id} was replayed already", hint=_look(letter))
    _refuse_hopeless(letter)
    runs.audit(
        tx,
        actor=actor,
        action="dead-letter.replay",
        subject=str(dead_letter_id),
        reason=because,
        before={
            "item": letter.item_id,
            "state": letter.item_state,
            "attempts": letter.attempts,
            **_ending(letter),
        },
        after={"item": letter.item_id, "state": "due", "attempts": 0},
    )
    if not ledger.revive(tx, letter.item_id):
        raise NotNow(f"its {letter.kind} is {letter.item_state}, not dead", hint=_look(letter))
    if letter.run_id is not None and not runs.replayed(tx, letter.run_id):
        raise NotNow(
            f"run {letter.run_id} takes no more work",
            hint=f"`facet run show {str(letter.run_id)[:8]}`",
        )
    if letter.kind == "reprice":
        _reopen_reprice(tx, letter.item_id)
    _settle(tx, dead_letter_id, "replayed")
    return int(letter.item_id)


def discard(tx: Connection, dead_letter_id: int, *, actor: str, because: str) -> None:
    """Take a dead letter off the list. What it names stays undone, and its run stays as it is.

    Raises NotNow where it is settled already.
    """
    letter = _held(tx, dead_letter_id)
    if letter.settled_how is not None:
        raise NotNow(
            f"dead letter {dead_letter_id} was {letter.settled_how} already", hint=_look(letter)
        )
    runs.audit(
        tx,
        actor=actor,
        action="dead-letter.discard",
        subject=str(dead_letter_id),
        reason=because,
        before={"settled": None},
        after={"settled": "discarded"},
    )
    _settle(tx, dead_letter_id, "discarded")


def letter_of(tx: Connection, item_id: int) -> int | None:
    """The latest dead letter of a piece of work; None: it never gave up."""
    found = tx.execute(query("letter_of_item"), {"item_id": item_id}).scalar_one_or_none()
    return None if found is None else int(found)


def _held(tx: Connection, dead_letter_id: int) -> Row[Any]:
    values = {"dead_letter_id": dead_letter_id}
    letter = tx.execute(query("letter_to_settle"), values).one_or_none()
    if letter is None:
        raise _none_such(dead_letter_id)
    return letter


def _refuse_hopeless(letter: Row[Any]) -> None:
    if letter.item_id is None:
        raise NotNow(
            f"dead letter {letter.dead_letter_id} is a message, and a message is only a wake-up: "
            "the ledger announces its work by itself",
            hint=f"`facet dead-letter discard {letter.dead_letter_id} --because TEXT`",
        )
    run = "" if letter.run_id is None else str(letter.run_id)[:8]
    anew = f"`facet run start {letter.feed}`"
    if letter.run_state == "cancelled":
        raise NotNow(f"run {run} was cancelled: {letter.run_reason}", hint=anew)
    if letter.run_state == "complete":
        raise NotNow(f"run {run} is complete", hint=f"`facet run verify {run}`")
    if letter.run_finished and not letter.run_planned:
        raise NotNow(f"run {run} failed before it had a plan: {letter.run_reason}", hint=anew)
    if not letter.kept:
        raise NotNow(f"the raw offers of run {run} are kept no more", hint=anew)


def _reopen_reprice(tx: Connection, item_id: int) -> None:
    found = tx.execute(query("reopen_reprice"), {"item_id": item_id}).one()
    if not found.takes_work:
        raise NotNow(
            f"reprice {found.reprice_id} is {found.state}, and a later one prices its stones",
            hint="`facet ruleset status`",
        )


def _ending(letter: Row[Any]) -> dict[str, Any]:
    """How its run had ended: once that is reconciled anew, nothing else tells."""
    if not letter.run_finished:
        return {}
    return {name: getattr(letter, name) for name in ("run_state", "run_reason", "run_finished_at")}


def _settle(tx: Connection, dead_letter_id: int, how: How) -> None:
    values = {"dead_letter_id": dead_letter_id, "how": how}
    if tx.execute(query("settle_letter"), values).first() is None:
        raise RuntimeError(f"dead letter {dead_letter_id} was settled while it was held")


def _none_such(dead_letter_id: int) -> NotNow:
    return NotNow(f"there is no dead letter {dead_letter_id}", hint="`facet dead-letter list`")


def _look(letter: Row[Any]) -> str:
    return f"`facet dead-letter show {letter.dead_letter_id}`"
