"""The accounts at suppliers that the settings name, for whoever looks at them from outside."""

from typing import NamedTuple

import redis

from shared.breaker import Breaker
from shared.errors import BadSettings
from shared.feeds import known
from shared.feeds.base import SupplierSettings
from shared.limits import Limiter
from shared.settings import Settings


class Account(NamedTuple):
    """One account at a supplier: its limit and its breaker."""

    limiter: Limiter
    breaker: Breaker


def accounts(given: Settings, client: "redis.Redis") -> list[Account]:
    """The accounts that these settings name, each once."""
    found: dict[str, SupplierSettings] = {}
    for feed in known():
        try:
            account = given.supplier(feed)
        except BadSettings:  # nobody asks that supplier here
            continue
        if account.url or account.password.get_secret_value():
            found[account.account] = account
    return [
        Account(
            Limiter(
                client,
                one.account,
                rate_per_s=one.requests_per_s,
                in_flight_max=one.in_flight_max,
                wait_s_max=one.wait_s_max,
            ),
            Breaker(client, one.account),
        )
        for one in found.values()
    ]
