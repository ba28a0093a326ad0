"""A supplier with every soft fault at once: the runs take longer and end complete and exact.

Soft is what asking again, waiting or careful reading overcomes. Not soft are those that no client
can see through, or that change what is true while we read:

- `cents`, `schema-drift`: the contract is another one; the check stops the run.
- `churn` by ticks: the stock itself moves, so that no one moment is right (test_moving.py).
- `deep-offset` and `big-limit` refused: the supplier's terms are tighter than those we know.
"""

from typing import Any

import pytest
from sqlalchemy import Engine

from shared import edge
from simulator import switches
from tests.builders import rows
from tests.end_to_end.catalogue import assert_exact
from tests.end_to_end.conftest import MakeShop, StartSupplier
from tests.end_to_end.faulty import finish, looks, shown_by
from tests.end_to_end.shop import LABGROWN, NATURAL
from tests.oracle.oracle import NOTHING, after_run

SHARE = {"probability": 0.02}
SOFT: dict[str, dict[str, Any]] = {
    "short-page": {},
    "endless": {},
    "count-drift": {},
    "churn": {"how": "removed", "n": 2},
    "inverted-strays": {},
    "token-expiry": {},
    "waf": {"kinds": ["page"]},
    "throttle": {"retry_after": "seconds", "seconds": 1},
    "slow": {"ms": 200},
    "hang": {},
    "reset": {},
    "truncated": {},
    "server-error": {},
    "deep-offset": {},
    "big-limit": {"above": 20},
    "null-item": {},
    "null-labgrown": {},
    "dirty-values": {},
    "twins": {},
    "dead-media": {},
}
NOT_SOFT = {"cents", "schema-drift"}
NEVER_MET = {"inverted-strays", "deep-offset"}  # what they answer is never asked

OF_STONES = {"null-item", "null-labgrown", "dirty-values", "twins", "dead-media"}

SIZE = 1_000
TICKS = 6


def test_every_switch_is_soft_or_is_said_not_to_be() -> None:
    assert SOFT.keys() | NOT_SOFT == {switch.name for switch in switches.ALL}


@pytest.mark.parametrize("feed", [NATURAL, LABGROWN])
def test_runs_under_all_soft_faults_end_complete_and_exact(
    feed: str,
    engine: Engine,
    moving: StartSupplier,
    make_shop: MakeShop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edge, "FIREWALL_WAIT_S", 0.5)  # while it is planned, it is waited for
    shop = make_shop(moving(SIZE, 11), partition_offers_max=150, count_timeout_s=2)
    shop.pipeline.edge.timeout_s = 2.0
    faults = {name: SHARE | options for name, options in SOFT.items()}
    known = NOTHING
    for time in (0, TICKS):
        run = finish(shop, faults, feed=feed)
        assert (run["state"], run["reason"]) == ("complete", None)
        now, nulls = looks(shop, faults, feed=feed, time=time, known=known)
        assert nulls > 0
        wanted = after_run(known, now)
        # One that came as null has no identity: where pages shift, it may be counted again.
        assert nulls <= run["rejected"] - len(wanted.rejected) <= 1.5 * nulls
        assert_exact(engine, run, wanted, nulls=run["rejected"] - len(wanted.rejected))
        known = wanted.catalogue
        shop.supplier.advance(TICKS)
    assert rows(engine, "SELECT 1 FROM dead_letters") == []
    met = shown_by(shop.supplier).keys()
    assert met & NEVER_MET == set()
    assert len(met - OF_STONES) >= 6  # of twelve; each shows in two requests of a hundred
    assert OF_STONES - met == ({"null-labgrown"} if feed == NATURAL else set())
