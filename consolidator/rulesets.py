"""Rulesets in the database: immutable, one active.

draft → active → retired; an active one that is replaced retires, and may be activated again. Each
function takes the open transaction first.
"""

import re
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Row

from consolidator import rates, reprices
from consolidator.active import Active, Variant
from consolidator.pricing.engine import compile_ruleset
from consolidator.pricing.ruleset import DatedRate, Ruleset, load_ruleset
from consolidator.rates import KeptRate
from shared.errors import BadRuleset, NotNow
from shared.runs import audit
from sql import query

CHECKSUM_DIGITS_MIN = 6  # of a checksum's beginning that names a ruleset


def active(tx: Connection) -> Active:
    """What prices now, and until the transaction ends: an activation waits for that, and so does
    a change of rates. Raises NotNow where no ruleset is active."""
    tx.execute(query("hold_pricing"))
    row = tx.execute(query("active_ruleset")).one_or_none()
    if row is None:
        raise NotNow("no ruleset is active", hint="`facet ruleset activate FILE --reason TEXT`")
    return _priced_by(tx, row)


def load(
    tx: Connection, ruleset_id: int, rates_for_now: Mapping[str, DatedRate] | None = None
) -> Active:
    """Any ruleset by its id, with the present rates. Raises NotNow.

    rates_for_now    by currency: instead of the present ones, for a preview
    """
    row = _row(tx, ruleset_id)
    ruleset = load_ruleset(row.source, f"ruleset {ruleset_id}")
    tried = {currency: KeptRate(0, dated) for currency, dated in (rates_for_now or {}).items()}
    kept = {**rates.present(tx, ruleset.currency), **tried}
    return _pricing(tx, ruleset_id, ruleset, row.variant_id, kept)


def load_file(tx: Connection, text: str, source: str) -> Active:
    """A ruleset that is not imported, with the present rates; its id is 0. Raises BadRuleset."""
    ruleset = load_ruleset(text, source)
    return _pricing(tx, 0, ruleset, variant_of(tx, ruleset, source))


def load_as_of(tx: Connection, ruleset_id: int, rate_id: int | None) -> Active:
    """The ruleset that a stone was priced by, with the rate that it was priced with.

    rate_id    of the stone; None: a rate of the ruleset's file, if any. Raises NotNow.
    """
    return _priced_by(tx, _row(tx, ruleset_id), rates.of_id(tx, rate_id))


def add(tx: Connection, text: str, *, source: str, author: str) -> int:
    """Check a ruleset file and keep it as a draft; the same content again is the same ruleset.

    text    the file's content; `source` names it in errors. Raises BadRuleset.
    """
    ruleset = load_ruleset(text, source)
    values = {"name": ruleset.name, "checksum": ruleset.checksum, "source": text, "author": author}
    variant = {"variant_id": variant_of(tx, ruleset, source)}
    row = tx.execute(query("add_ruleset"), values | variant).one_or_none()
    if row is None:
        found = tx.execute(query("ruleset_by_checksum"), {"checksum": ruleset.checksum})
        row = found.one()
    return int(row.ruleset_id)


def variant_of(tx: Connection, ruleset: Ruleset, source: str) -> int | None:
    """The id of the ruleset that its experiment names; None without one. Raises BadRuleset."""
    if ruleset.experiment is None:
        return None
    try:
        variant_id = find(tx, ruleset.experiment.variant)
    except NotNow as error:
        hint = "`facet ruleset import FILE` the variant first"
        raise BadRuleset(f"{source}: experiment: {error}", hint=hint) from error
    variant = load(tx, variant_id).engine.ruleset
    if variant.currency != ruleset.currency:
        raise BadRuleset(f"{source}: experiment: the variant prices in {variant.currency}")
    if variant.experiment is not None:
        raise BadRuleset(f"{source}: experiment: the variant has an experiment of its own")
    return variant_id


def find(tx: Connection, wanted: str) -> int:
    """The ruleset of that id, or whose checksum begins so. Raises NotNow for none and several."""
    number = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else None
    found: Sequence[int] = ()
    if re.fullmatch(f"[0-9a-f]{{{CHECKSUM_DIGITS_MIN},64}}|[0-9]{{1,9}}", wanted):
        prefix = wanted if len(wanted) >= CHECKSUM_DIGITS_MIN else None
        values = {"ruleset_id": number, "prefix": prefix}
        found = tx.execute(query("find_rulesets"), values).scalars().all()
    exact = [one for one in found if one == number] or found
    if len(exact) != 1:
        said = "several rulesets are" if exact else "there is no ruleset"
        raise NotNow(f"{said} {wanted!r}", hint="`facet ruleset list`")
    return int(exact[0])


def activate(
    tx: Connection, ruleset_id: int, *, actor: str, reason: str, action: str = "ruleset.activate"
) -> bool:
    """Make it the one that prices from the next fold on, and reprice all stones by it; False where
    it was active already.

    Waits for the folds that are at work under the one before. Several at once wait for each other.
    Raises NotNow.
    """
    tx.execute(query("lock_pricing"))
    before = tx.execute(query("active_ruleset")).one_or_none()
    if before is not None and before.ruleset_id == ruleset_id:
        return False
    audit(
        tx,
        actor=actor,
        action=action,
        subject=str(ruleset_id),
        reason=reason,
        before=None if before is None else {"active": before.ruleset_id},
        after={"active": ruleset_id},
    )
    tx.execute(query("retire_active_ruleset"), {"ruleset_id": ruleset_id})
    if tx.execute(query("activate_ruleset"), {"ruleset_id": ruleset_id}).first() is None:
        raise NotNow(f"there is no ruleset {ruleset_id}", hint="`facet ruleset list`")
    reprices.open_reprice(tx, "activation", ruleset_id, actor=actor, reason=reason)
    return True


def rollback(tx: Connection, *, actor: str, reason: str) -> int:
    """Activate the ruleset that was active before the present one; returns its id.

    A second rollback takes back the first. Raises NotNow where there was none.
    """
    tx.execute(query("lock_pricing"))
    row = tx.execute(query("ruleset_before")).one_or_none()
    if row is None:
        raise NotNow("no ruleset was active before this one", hint="`facet ruleset list`")
    ruleset_id = int(row.ruleset_id)
    activate(tx, ruleset_id, actor=actor, reason=reason, action="ruleset.rollback")
    return ruleset_id


def _row(tx: Connection, ruleset_id: int) -> Row[tuple[object, ...]]:
    row = tx.execute(query("ruleset_by_id"), {"ruleset_id": ruleset_id}).one_or_none()
    if row is None:
        raise NotNow(f"there is no ruleset {ruleset_id}", hint="`facet ruleset list`")
    return row


def _priced_by(
    tx: Connection, row: Row[tuple[object, ...]], kept: rates.Kept | None = None
) -> Active:
    ruleset = load_ruleset(row.source, f"ruleset {row.ruleset_id}")
    return _pricing(tx, row.ruleset_id, ruleset, row.variant_id, kept)


def _pricing(
    tx: Connection,
    ruleset_id: int,
    ruleset: Ruleset,
    variant_id: int | None,
    kept: rates.Kept | None = None,
) -> Active:
    """A ruleset with its engine. `kept`: the rates; None: the present ones."""
    if kept is None:
        kept = rates.present(tx, ruleset.currency)
    dated = {currency: one.dated for currency, one in kept.items()}
    variant = None
    if ruleset.experiment is not None and variant_id is not None:
        other = load_ruleset(_row(tx, variant_id).source, f"ruleset {variant_id}")
        tested = ruleset.experiment
        variant = Variant(tested.name, tested.share, variant_id, compile_ruleset(other, dated))
    return Active(
        ruleset_id,
        ruleset.name,
        compile_ruleset(ruleset, dated),
        {currency: one.rate_id for currency, one in kept.items()},
        variant,
    )
