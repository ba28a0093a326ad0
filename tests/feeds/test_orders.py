"""What an operator orders for an account is obeyed by every process from its next call on."""

from datetime import timedelta

import pytest
import redis
from sqlalchemy import Engine, text

from scheduler.chores import Spread
from shared import orders
from shared.breaker import Breaker
from shared.db import transaction
from shared.errors import BrokerUnavailable, SupplierBusy, SupplierUnavailable
from shared.limits import Limiter
from shared.orders import Orders
from tests.builders import rows
from tests.feeds.simulated_clock import clock
from tests.feeds.test_limits import acquire, make_limiter, slots_us


def limit(engine: Engine, account: str, rate_per_s: float | None, **wanted: int) -> Orders:
    parts = {"burst": None, "in_flight_max": None} | wanted
    with transaction(engine) as tx:
        return orders.set_limit(
            tx, account, rate_per_s=rate_per_s, **parts, actor="ana", reason="asked to go easy"
        )


def stop(engine: Engine, account: str, for_s: float | None = None) -> Orders:
    with transaction(engine) as tx:
        return orders.stop(tx, account, for_s=for_s, actor="ana", reason="migration")[1]


def test_another_limit_is_obeyed_by_limiters_that_are_there_already(
    engine: Engine, client: "redis.Redis", account: str
) -> None:
    two = [make_limiter(client, account, rate_per_s=100) for _ in range(2)]
    for limiter in two:
        acquire(limiter)
    orders.spread(client, [limit(engine, account, 5)])
    for limiter in two * 4:
        acquire(limiter)
    slots = slots_us(client, account)[2:]
    assert all(late - early >= 1e6 for early, late in zip(slots, slots[5:], strict=False))
    assert slots[-1] - slots[0] >= 1e6 * (8 - 1) / 5 * 0.8
    assert two[0].standing().nominal_per_s == 5
    orders.spread(client, [limit(engine, account, None)])
    assert two[0].standing().nominal_per_s == 100


def test_no_window_holds_more_than_the_new_limit_while_a_hundred_callers_wait(
    engine: Engine, client: "redis.Redis", account: str
) -> None:
    """On a clock of its own: a minute at 20 a second, then the order of 4."""
    sent: list[float] = []
    with clock(client, account) as made:

        def caller() -> None:
            limiter = Limiter(client, account, rate_per_s=20, wait_s_max=1_000, sleep=made.sleep)
            for _ in range(40):
                call = limiter.reserve()
                limiter.wait(call)
                limiter.sent(call)
                limiter.release(call, "answered")
                sent.append(made.now)
                if len(sent) == 100:
                    orders.spread(client, [limit(engine, account, 4)])

        made.run([caller] * 5)
    sent.sort()
    after = sent[100 + 5 :]  # what had its slot when the order came still goes
    assert len(after) > 80
    assert all(late - early >= 1 for early, late in zip(after, after[4:], strict=False))


def test_calls_in_flight_and_burst_can_be_ordered_too(
    engine: Engine, client: "redis.Redis", account: str
) -> None:
    limiter = make_limiter(client, account, in_flight_max=5, wait_s_max=0.1)
    orders.spread(client, [limit(engine, account, None, in_flight_max=1, burst=3)])
    standing = limiter.standing()
    assert (standing.in_flight_max, standing.burst) == (1, 3)
    limiter.reserve()
    with pytest.raises(SupplierBusy):
        limiter.reserve()


def test_what_was_sent_in_the_last_minute_is_counted(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account)
    for _ in range(7):
        acquire(limiter)
    standing = limiter.standing()
    assert (standing.in_last_minute, standing.total, standing.in_flight) == (7, 7, 7)


@pytest.mark.parametrize("for_s", [None, 600.0])
def test_a_stop_lets_no_call_through_in_any_process_until_it_is_taken_back(
    engine: Engine, client: "redis.Redis", account: str, for_s: float | None
) -> None:
    breakers = [Breaker(client, account) for _ in range(2)]
    assert breakers[0].call(lambda: "up") == "up"
    orders.spread(client, [stop(engine, account, for_s)])
    for breaker in breakers:
        with pytest.raises(SupplierBusy, match="stopped by hand: migration") as caught:
            breaker.call(lambda: pytest.fail("called"))
        assert caught.value.untried
        assert caught.value.retry_after_s == 10
    with transaction(engine) as tx:
        was, order = orders.go_on(tx, account, breaker="closed", actor="ana", reason="back")
    assert was.stopped_reason == "migration"
    orders.spread(client, [order])
    assert [breaker.call(lambda: "up") for breaker in breakers] == ["up", "up"]


def test_a_stop_for_a_while_ends_by_itself(
    engine: Engine, client: "redis.Redis", account: str
) -> None:
    order = stop(engine, account, 600)
    assert order.stopped_until is not None
    past = order._replace(stopped_until=order.stopped_until - timedelta(seconds=700))
    orders.spread(client, [past])
    assert Breaker(client, account).stopped() is None
    assert Breaker(client, account).call(lambda: "up") == "up"


def test_a_breaker_that_opened_itself_is_closed_by_hand(
    client: "redis.Redis", account: str
) -> None:
    breaker = Breaker(client, account, failures_max=2)

    def fail() -> None:
        raise SupplierUnavailable("no")

    for _ in range(2):
        with pytest.raises(SupplierUnavailable):
            breaker.call(fail)
    assert breaker.close().name == "open"
    assert breaker.state().name == "closed"
    with pytest.raises(SupplierUnavailable):  # one failure alone does not open it again
        breaker.call(fail)
    assert breaker.call(lambda: "up") == "up"


def test_the_steward_tells_a_redis_that_forgot(
    engine: Engine, client: "redis.Redis", account: str
) -> None:
    limit(engine, account, 5)
    stop(engine, account)
    Spread(engine, lambda: client)()
    assert make_limiter(client, account).standing().nominal_per_s == 5
    client.delete(orders.redis_key(account))
    assert make_limiter(client, account).standing().nominal_per_s == 100
    Spread(engine, lambda: client)()
    assert make_limiter(client, account).standing().nominal_per_s == 5
    assert Breaker(client, account).stopped() is not None


def test_a_redis_that_is_away_keeps_the_steward_from_nothing(
    engine: Engine, nobody: "redis.Redis", account: str
) -> None:
    order = limit(engine, account, 5)
    assert Spread(engine, lambda: nobody)() == 0
    with pytest.raises(BrokerUnavailable):
        orders.spread(nobody, [order])


def test_each_order_is_audited_with_what_was_before(engine: Engine, account: str) -> None:
    limit(engine, account, 5)
    limit(engine, account, 3)
    stop(engine, account)
    with transaction(engine) as tx:
        orders.go_on(tx, account, breaker="open", actor="ana", reason="back")
    events = rows(engine, "SELECT action, subject, before, after FROM audit_events")
    assert [one["action"] for one in events] == [
        *["limit.set"] * 2,
        "breaker.open",
        "breaker.close",
    ]
    assert {one["subject"] for one in events} == {account}
    assert (events[1]["before"]["rate_per_s"], events[1]["after"]["rate_per_s"]) == (5, 3)
    assert events[3]["before"]["breaker"] == "open"


def test_the_database_takes_no_limit_that_is_none(engine: Engine, account: str) -> None:
    limit(engine, account, 5)
    with pytest.raises(Exception, match="sound_limit"), transaction(engine) as tx:
        tx.execute(text("UPDATE account_orders SET rate_per_s = 0"))
