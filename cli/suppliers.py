"""Accounts at suppliers, by their name or by a feed's: their limits, breakers and orders."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import redis
import typer

from cli import completing, system
from cli.output import say
from shared import feeds, orders
from shared.breaker import Breaker
from shared.db import transaction
from shared.errors import BrokerUnavailable, UnknownFeed
from shared.feeds.base import SupplierSettings
from shared.limits import Limiter
from shared.orders import Orders

TIMEOUT_S = 5.0

Which = Annotated[
    str,
    typer.Argument(
        help="An account, such as `nivoda`, or one of its feeds.", autocompletion=completing.feeds
    ),
]


class Account(NamedTuple):
    name: str
    feeds: list[str]  # that share its limit and its breaker
    bounds: SupplierSettings


def known() -> list[Account]:
    """Every account that a feed is under."""
    given = system.settings()
    by_name: dict[str, list[str]] = {}
    for feed in feeds.known():
        account = given.account(feed)
        if account is not None:
            by_name.setdefault(account, []).append(feed)
    return [Account(name, under, given.bounds(name)) for name, under in by_name.items()]


def find(name: str) -> Account:
    """The account of that name, or of that feed. Raises UnknownFeed."""
    for one in known():
        if name == one.name or name in one.feeds:
            return one
    feeds.feed(name)
    raise UnknownFeed(f"{name} reads files of your own: it has no limit and no breaker")


@contextmanager
def client() -> Iterator["redis.Redis"]:
    """The Redis of limits and breakers. Raises BadSettings where none is named."""
    made = redis.Redis.from_url(
        system.settings().redis(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )
    try:
        yield made
    finally:
        made.close()


def limiter(client: "redis.Redis", account: Account) -> Limiter:
    """The limit of an account, to look at."""
    bounds = account.bounds
    return Limiter(
        client,
        account.name,
        rate_per_s=bounds.requests_per_s,
        burst=bounds.burst,
        in_flight_max=bounds.in_flight_max,
        wait_s_max=bounds.wait_s_max,
    )


def breaker(client: "redis.Redis", account: Account) -> Breaker:
    """The breaker of an account."""
    bounds = account.bounds
    return Breaker(
        client,
        account.name,
        failures_max=bounds.breaker_failures,
        cooldown_s=bounds.breaker_cooldown_s,
    )


def ordered() -> dict[str, Orders]:
    """What is ordered, by account."""
    with transaction(system.engine()) as tx:
        return {one.account: one for one in orders.load(tx)}


def tell(client: "redis.Redis", order: Orders) -> bool:
    """Carry an order to Redis at once; whether that was done. The steward does it too."""
    try:
        orders.spread(client, [order])
    except BrokerUnavailable as error:
        say(f"written down; {error}; the steward tells it when it is back")
        return False
    return True
