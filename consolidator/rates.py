"""Exchange rates in the database: each is kept for good, the latest of a pair is the present one.

They go before the rates of a ruleset's file. Each function takes the open transaction first.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy import Connection, Row

from consolidator import reprices
from consolidator.pricing.ruleset import DatedRate
from shared.errors import BadMessage, NotNow
from shared.runs import audit
from sql import query


class KeptRate(NamedTuple):
    rate_id: int
    dated: DatedRate


Kept = Mapping[str, KeptRate]  # by currency


def present(tx: Connection, shop_currency: str) -> Kept:
    """The present rates into a shop's currency."""
    values = {"shop_currency": shop_currency}
    rows = tx.execute(query("present_rates"), values)
    return {row.currency: _kept(row) for row in rows}


def of_id(tx: Connection, rate_id: int | None) -> Kept:
    """The one rate that a stone was priced with; empty for None."""
    rows = tx.execute(query("rate_by_id"), {"rate_id": rate_id})
    return {row.currency: _kept(row) for row in rows}


def set_rate(
    tx: Connection,
    currency: str,
    rate: Decimal,
    *,
    shop_currency: str,
    as_of: date,
    source: str,
    actor: str,
    reason: str,
) -> int | None:
    """Keep a rate as the present one and reprice the stones; None where it is that already.

    rate    what one unit of `currency` is worth in `shop_currency`

    Waits for the folds that are at work under the one before. Raises BadMessage for a rate that
    the arithmetic cannot hold, NotNow where no ruleset is active.
    """
    dated = checked(currency, rate, shop_currency=shop_currency, as_of=as_of, source=source)
    tx.execute(query("lock_pricing"))
    active = tx.execute(query("active_ruleset")).one_or_none()
    if active is None:
        raise NotNow("no ruleset is active", hint="`facet ruleset activate FILE --reason TEXT`")
    before = present(tx, shop_currency).get(currency)
    if before is not None and before.dated == dated:
        return None
    audit(
        tx,
        actor=actor,
        action="rate.set",
        subject=f"{currency}/{shop_currency}",
        reason=reason,
        before=None if before is None else before.dated.model_dump(mode="json"),
        after=dated.model_dump(mode="json"),
    )
    values = dated.model_dump() | {"currency": currency, "shop_currency": shop_currency}
    rate_id = int(tx.execute(query("add_rate"), values | {"set_by": actor}).scalar_one())
    reprices.open_reprice(tx, "rate", active.ruleset_id, actor=actor, reason=reason)
    return rate_id


def checked(
    currency: str, rate: Decimal, *, shop_currency: str, as_of: date, source: str
) -> DatedRate:
    """A rate that the engine can use. Raises BadMessage."""
    hint = "`facet rate set EUR 1.1527 --source ECB --reason TEXT`"
    if not (len(currency) == 3 and currency.isalpha() and currency.isupper()):
        raise BadMessage(f"{currency!r} is no currency: three capital letters", hint=hint)
    if currency == shop_currency:
        raise BadMessage("the shop's own currency needs no rate", hint=hint)
    try:
        return DatedRate(rate=rate, as_of=as_of.isoformat(), source=source)
    except ValidationError as error:
        said = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise BadMessage(said, hint=hint) from error


def _kept(row: Row[tuple[object, ...]]) -> KeptRate:
    dated = DatedRate(rate=row.rate, as_of=row.as_of.isoformat(), source=row.source)
    return KeptRate(row.rate_id, dated)
