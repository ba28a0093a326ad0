import threading
from collections.abc import Callable
from typing import NoReturn

import pytest
import redis
from structlog.testing import capture_logs

from shared.breaker import PROBE_WAIT_S, Breaker
from shared.errors import BrokerUnavailable, SupplierBusy, SupplierRefused, SupplierUnavailable


def fail_with(error: BaseException) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


def fail() -> NoReturn:
    raise SupplierUnavailable("down")


def trip(breaker: Breaker) -> None:
    for _ in range(breaker.failures_max):
        with pytest.raises(SupplierUnavailable):
            breaker.call(fail_with(SupplierUnavailable("down")))


def let_cool(client: "redis.Redis", account: str) -> None:
    """Move the opening a minute into the past."""
    client.hset(f"facet:breaker:{{{account}}}", "opened_at", "1000.0")


def test_failures_in_one_process_stop_the_next(client: "redis.Redis", account: str) -> None:
    one, other = (Breaker(client, account, failures_max=4) for _ in range(2))
    for breaker in (one, other, one, other):
        breaker.check()
        with pytest.raises(SupplierUnavailable, match="down"):
            breaker.call(fail_with(SupplierUnavailable("down")))

    for breaker in (one, other):
        with pytest.raises(SupplierBusy, match=account) as refused:
            breaker.check()
        assert refused.value.retry_after_s == pytest.approx(30, abs=5)
        with pytest.raises(SupplierBusy, match=account):
            breaker.call(lambda: pytest.fail("called while open"))


def test_a_success_in_between_starts_the_count_again(client: "redis.Redis", account: str) -> None:
    breaker = Breaker(client, account, failures_max=2)
    for _ in range(5):
        with pytest.raises(SupplierUnavailable):
            breaker.call(fail_with(SupplierUnavailable("down")))
        assert breaker.call(lambda: "up") == "up"
    breaker.check()


@pytest.mark.parametrize(
    "error", [SupplierRefused("no"), SupplierBusy("later"), ValueError("bug"), SystemExit(0)]
)
def test_only_an_unavailable_supplier_counts(
    client: "redis.Redis", account: str, error: BaseException
) -> None:
    breaker = Breaker(client, account, failures_max=1)
    with pytest.raises(type(error)):
        breaker.call(fail_with(error))
    breaker.check()


def test_after_the_cooldown_a_success_closes_it(client: "redis.Redis", account: str) -> None:
    breaker = Breaker(client, account)
    trip(breaker)
    let_cool(client, account)
    breaker.check()
    assert breaker.call(lambda: "up") == "up"
    assert Breaker(client, account).call(lambda: "still up") == "still up"


def test_after_the_cooldown_one_failure_opens_it_again(client: "redis.Redis", account: str) -> None:
    breaker = Breaker(client, account)
    trip(breaker)
    let_cool(client, account)
    with pytest.raises(SupplierUnavailable):
        breaker.call(fail_with(SupplierUnavailable("still down")))
    with pytest.raises(SupplierBusy):
        breaker.check()


def test_one_call_at_a_time_tries_whether_it_is_over(client: "redis.Redis", account: str) -> None:
    one, other = (Breaker(client, account) for _ in range(2))
    trip(one)
    let_cool(client, account)

    def while_it_is_tried() -> str:
        for ask in (other.check, lambda: other.call(lambda: pytest.fail("a second probe"))):
            with pytest.raises(SupplierBusy) as refused:
                ask()
            assert refused.value.retry_after_s == PROBE_WAIT_S
        return "up"

    assert one.call(while_it_is_tried) == "up"
    assert other.call(lambda: "up") == "up"


def test_who_died_while_trying_is_followed_by_another(client: "redis.Redis", account: str) -> None:
    breaker = Breaker(client, account)
    trip(breaker)
    let_cool(client, account)
    client.set(f"facet:breaker:{{{account}}}:probe", "dead", px=1)
    while breaker.state().probed:
        pass
    assert breaker.call(lambda: "up") == "up"


def test_openings_are_counted_once_for_all(client: "redis.Redis", account: str) -> None:
    breaker = Breaker(client, account, failures_max=2)
    assert breaker.state() == ("closed", 0, False, 0)
    with pytest.raises(SupplierUnavailable):
        breaker.call(lambda: (trip(Breaker(client, account, failures_max=2)), fail())[1])
    assert breaker.state().name == "open"
    assert (
        breaker.state().openings == 1
    )  # the call that was under way fails late, and opens nothing
    let_cool(client, account)
    with pytest.raises(SupplierUnavailable):
        breaker.call(fail)
    assert breaker.state().openings == 2


def test_opening_and_closing_are_logged(client: "redis.Redis", account: str) -> None:
    breaker = Breaker(client, account)
    with capture_logs() as lines:
        trip(breaker)
        let_cool(client, account)
        breaker.call(lambda: None)
    assert [(line["log_level"], line["after"]) for line in lines] == [
        ("error", "open"),
        ("info", "half-open"),
        ("info", "closed"),
    ]
    assert {line["breaker"] for line in lines} == {account}


def test_threads_of_one_process_call_at_the_same_time(client: "redis.Redis", account: str) -> None:
    breaker = Breaker(client, account)
    both_inside = threading.Barrier(2, timeout=20)
    threads = [
        threading.Thread(target=breaker.call, args=(both_inside.wait,), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both_inside.broken


def test_a_breaker_that_nobody_can_read_lets_nothing_through(
    nobody: "redis.Redis", account: str
) -> None:
    breaker = Breaker(nobody, account)
    with pytest.raises(BrokerUnavailable, match=account):
        breaker.check()
    with pytest.raises(BrokerUnavailable, match=account):
        breaker.call(lambda: pytest.fail("called"))
