"""What an operator ordered for an account at a supplier: another limit, or no calls at all.

The row is the truth and audited. Limiters and breakers read a copy in Redis with each call, so all
processes obey from the next call on, without a restart; whoever orders writes the copy at once,
and the steward again each second, also into a Redis that lost its data. Until it has, the settings
hold.
"""

from datetime import datetime
from typing import Any, NamedTuple

import redis
from sqlalchemy import Connection

from shared.errors import BrokerUnavailable
from shared.runs import audit
from sql import query

FAR_OFF_S = 1e12  # in Redis, the end of a stop that has none


class Orders(NamedTuple):
    """What is ordered for one account; None: as the settings say."""

    account: str
    rate_per_s: float | None
    burst: int | None
    in_flight_max: int | None
    stopped_at: datetime | None
    stopped_until: datetime | None  # None, where it is stopped: until somebody says so
    stopped_reason: str | None
    set_by: str
    set_at: datetime


def redis_key(account: str) -> str:
    """Where the copy is; braces keep it on the node of the account's limit and breaker."""
    return f"facet:limit:{{{account}}}:orders"


def load(tx: Connection) -> list[Orders]:
    """All there are."""
    return [Orders(*row) for row in tx.execute(query("list_orders"))]


def spread(client: "redis.Redis", orders: list[Orders]) -> None:
    """Copy them to Redis, each whole. Raises BrokerUnavailable."""
    try:
        for one in orders:
            key = redis_key(one.account)
            fields = _fields(one)
            with client.pipeline(transaction=True) as together:
                together.delete(key)
                if fields:
                    together.hset(key, mapping=fields)
                together.execute()
    except redis.RedisError as error:
        raise BrokerUnavailable(f"orders cannot be told to Redis: {error}") from error


def _fields(one: Orders) -> dict[Any, Any]:
    wanted: dict[str, float | str | None] = {
        "rate": one.rate_per_s,
        "burst": one.burst,
        "places": one.in_flight_max,
    }
    if one.stopped_reason is not None:
        until = one.stopped_until
        wanted["stopped_until"] = FAR_OFF_S if until is None else until.timestamp()
        wanted["stopped_reason"] = one.stopped_reason
    return {name: value for name, value in wanted.items() if value is not None}


def set_limit(
    tx: Connection,
    account: str,
    *,
    rate_per_s: float | None,
    burst: int | None,
    in_flight_max: int | None,
    actor: str,
    reason: str,
) -> Orders:
    """Order a limit in place of the settings'; None: the settings' again. Audited."""
    values = {"rate_per_s": rate_per_s, "burst": burst, "in_flight_max": in_flight_max}
    before = _known(tx, account, actor)
    audit(
        tx,
        actor=actor,
        action="limit.set",
        subject=account,
        reason=reason,
        before={name: getattr(before, name) for name in values},
        after=values,
    )
    row = tx.execute(query("order_limit"), values | {"account": account, "actor": actor}).one()
    return Orders(*row)


def stop(
    tx: Connection, account: str, *, for_s: float | None, actor: str, reason: str
) -> tuple[Orders, Orders]:
    """Order that no call is made, for so long or until somebody says so; returns what was ordered
    before and now. Audited."""
    before = _known(tx, account, actor)
    audit(
        tx,
        actor=actor,
        action="breaker.open",
        subject=account,
        reason=reason,
        before=_stop(before),
        after={"stopped": True, "for_s": for_s},
    )
    values = {"account": account, "for_s": for_s, "reason": reason, "actor": actor}
    return before, Orders(*tx.execute(query("order_stop"), values).one())


def go_on(
    tx: Connection, account: str, *, breaker: str, actor: str, reason: str
) -> tuple[Orders, Orders]:
    """Take a stop back; returns what was ordered before and now. Audited.

    breaker  how the breaker itself stood, for the audit
    """
    before = _known(tx, account, actor)
    audit(
        tx,
        actor=actor,
        action="breaker.close",
        subject=account,
        reason=reason,
        before=_stop(before) | {"breaker": breaker},
        after={"stopped": False, "breaker": "closed"},
    )
    row = tx.execute(query("order_go_on"), {"account": account, "actor": actor}).one()
    return before, Orders(*row)


def _known(tx: Connection, account: str, actor: str) -> Orders:
    return Orders(*tx.execute(query("know_account"), {"account": account, "actor": actor}).one())


def _stop(orders: Orders) -> dict[str, object]:
    return {
        "stopped": orders.stopped_reason is not None,
        "reason": orders.stopped_reason,
        "until": orders.stopped_until,
    }
