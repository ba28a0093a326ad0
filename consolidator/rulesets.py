"""Rulesets in the database: immutable, one active.

draft → active → retired; an active one that is replaced retires, and may be activated again. Each
function takes the open transaction first.
"""

from typing import NamedTuple

from sqlalchemy import Connection

from consolidator.pricing.engine import Engine as PriceEngine
from consolidator.pricing.engine import compile_ruleset
from consolidator.pricing.ruleset import load_ruleset
from shared.errors import NotNow
from shared.runs import audit
from sql import query


class Active(NamedTuple):
    """What a fold prices with; the engine is compiled once a process and ruleset."""

    ruleset_id: int
    name: str
    engine: PriceEngine


def active(tx: Connection) -> Active:
    """The ruleset that prices now. Raises NotNow where none is active."""
    row = tx.execute(query("active_ruleset")).one_or_none()
    if row is None:
        raise NotNow("no ruleset is active", hint="`facet ruleset activate FILE --reason TEXT`")
    ruleset = load_ruleset(row.source, f"ruleset {row.ruleset_id}")
    return Active(row.ruleset_id, row.name, compile_ruleset(ruleset))


def load(tx: Connection, ruleset_id: int) -> Active:
    """Any ruleset by its id, such as the one that a stone was priced by. Raises NotNow."""
    row = tx.execute(query("ruleset_by_id"), {"ruleset_id": ruleset_id}).one_or_none()
    if row is None:
        raise NotNow(f"there is no ruleset {ruleset_id}", hint="`facet ruleset list`")
    ruleset = load_ruleset(row.source, f"ruleset {row.ruleset_id}")
    return Active(row.ruleset_id, row.name, compile_ruleset(ruleset))


def add(tx: Connection, text: str, *, source: str, author: str) -> int:
    """Check a ruleset file and keep it as a draft; the same content again is the same ruleset.

    text    the file's content; `source` names it in errors. Raises BadRuleset.
    """
    ruleset = load_ruleset(text, source)
    values = {"name": ruleset.name, "checksum": ruleset.checksum, "source": text, "author": author}
    row = tx.execute(query("add_ruleset"), values).one_or_none()
    if row is None:
        found = tx.execute(query("ruleset_by_checksum"), {"checksum": ruleset.checksum})
        row = found.one()
    return int(row.ruleset_id)


def activate(tx: Connection, ruleset_id: int, *, actor: str, reason: str) -> bool:
    """Make it the one that prices from the next fold on; False where it was already.

    Stones priced before keep their price until they are folded again. Several at once wait for each
    other. Raises NotNow.
    """
    tx.execute(query("lock_activation"))
    before = tx.execute(query("active_ruleset")).one_or_none()
    if before is not None and before.ruleset_id == ruleset_id:
        return False
    audit(
        tx,
        actor=actor,
        action="ruleset.activate",
        subject=str(ruleset_id),
        reason=reason,
        before=None if before is None else {"active": before.ruleset_id},
        after={"active": ruleset_id},
    )
    tx.execute(query("retire_active_ruleset"), {"ruleset_id": ruleset_id})
    if tx.execute(query("activate_ruleset"), {"ruleset_id": ruleset_id}).first() is None:
        raise NotNow(f"there is no ruleset {ruleset_id}", hint="`facet ruleset list`")
    return True
