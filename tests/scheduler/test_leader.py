"""Several stewards, of which one leads; the leader dies, is paused, or goes."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from scheduler import steward
from scheduler.leader import Leadership
from shared import db
from shared.db import transaction
from shared.errors import DatabaseUnavailable
from tests.builders import rows
from tests.conftest import own_database

LEASE_S = 300.0  # nothing here waits for it


@pytest.fixture(scope="module")
def engine(template: str) -> Iterator[Engine]:
    with own_database(template) as made:
        yield made


@pytest.fixture(autouse=True)
def nobody_leads(engine: Engine) -> None:
    with transaction(engine) as tx:
        tx.execute(text("DELETE FROM leaders"))


def lapse(engine: Engine) -> None:
    """Let the leader's lease run out."""
    with transaction(engine) as tx:
        tx.execute(text("UPDATE leaders SET lease_until = now() - interval '1 s'"))


def epoch(engine: Engine) -> int:
    (found,) = rows(engine, "SELECT epoch FROM leaders")
    return int(found["epoch"])


def asked_anew(one: Leadership) -> bool:
    """What it would know after a third of its lease."""
    one._asks_at = 0.0
    return one.leads()


def test_of_many_who_ask_at_once_one_leads(engine: Engine) -> None:
    start = threading.Barrier(4)

    def attempt(_: int) -> bool:
        start.wait()
        return Leadership(engine, lease_s=LEASE_S).leads()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1
    assert epoch(engine) == 1


def test_a_leader_that_fell_silent_is_followed_and_follows_when_it_wakes(engine: Engine) -> None:
    first, second = (Leadership(engine, lease_s=LEASE_S) for _ in range(2))
    assert (first.leads(), second.leads()) == (True, False)
    assert asked_anew(first)
    assert epoch(engine) == 1
    assert not asked_anew(second)
    lapse(engine)
    assert asked_anew(second)
    assert not asked_anew(first)
    assert epoch(engine) == 2


def test_one_that_stops_lets_another_lead_at_once(engine: Engine) -> None:
    first, second = (Leadership(engine, lease_s=LEASE_S) for _ in range(2))
    assert (first.leads(), second.leads()) == (True, False)
    first.resign()
    assert asked_anew(second)
    first.resign()  # not ours any more: changes nothing
    assert asked_anew(second)


def test_it_leads_through_a_pooler_that_gives_each_transaction_another_connection(
    template: str,
) -> None:
    with own_database(template) as made:
        url = made.url.render_as_string(hide_password=False)
        first, second = (Leadership(db.connect(url, pool_size=1), lease_s=LEASE_S) for _ in "ab")
        assert (first.leads(), second.leads()) == (True, False)
        first._engine.dispose()  # its next transaction is on another connection
        assert asked_anew(first)
        assert not asked_anew(second)
        second._engine.dispose()
        first._engine.dispose()


def test_a_database_that_is_away_while_it_resigns_does_not_stop_it(engine: Engine) -> None:
    one = Leadership(engine, lease_s=LEASE_S)
    assert one.leads()
    one._engine = db.connect("postgresql+psycopg://nobody@127.0.0.1:9/none")
    one.resign()
    with pytest.raises(DatabaseUnavailable):
        asked_anew(one)


def test_a_steward_that_follows_does_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[str] = []
    stop = threading.Event()
    monkeypatch.setattr(steward, "one_round", lambda *_, **__: rounds.append("round"))
    assert Leadership(engine, lease_s=LEASE_S).leads()
    waits: list[float] = []

    def wait(pause_s: float) -> None:
        waits.append(pause_s)
        if len(waits) == 3:
            lapse(engine)
        if rounds:
            stop.set()
        stop.wait(pause_s)

    steward.run(
        engine,
        None,  # type: ignore[arg-type]  only a round would send
        poll_s=0.001,
        again_s=30,
        announced_max=64,
        leader_lease_s=0.03,
        stop=stop,
        wait=wait,
    )
    assert rounds == ["round"]
    assert len(waits) > 3
