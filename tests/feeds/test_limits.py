import socket
import threading
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import limits
from shared.errors import BrokerUnavailable, SupplierBusy
from shared.limits import PACE, WAY_S, Limiter


def make_limiter(client: "redis.Redis", key: str, **wanted: object) -> Limiter:
    """One that reserves like any other, and only sleeps where it is told to."""
    defaults: dict[str, object] = {"rate_per_s": 100, "wait_s_max": 60, "sleep": lambda _: None}
    return Limiter(client, key, **defaults | wanted)  # type: ignore[arg-type]


def acquire(limiter: Limiter) -> float:
    """Wait for a turn, send and keep the place; returns the seconds waited."""
    call = limiter.reserve()
    waited_s = limiter.wait(call)
    limiter.sent(call)
    return waited_s


def slots_us(client: "redis.Redis", key: str) -> list[float]:
    found = client.zrange(f"facet:limit:{{{key}}}:sent", 0, -1, withscores=True)
    return [slot for _, slot in found]  # type: ignore[misc,union-attr]


def test_no_window_holds_more_than_the_rate_whoever_asks(
    client: "redis.Redis", account: str
) -> None:
    def take_slots() -> None:
        limiter = make_limiter(client, account, rate_per_s=20)
        for _ in range(25):
            acquire(limiter)

    threads = [threading.Thread(target=take_slots) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    slots = slots_us(client, account)
    assert len(slots) == 100
    assert all(
        late - early >= 1e6 * (1 + WAY_S) for early, late in zip(slots, slots[20:], strict=False)
    )
    assert make_limiter(client, account).used().total == 100


def test_the_requests_of_a_second_do_not_come_at_once(client: "redis.Redis", account: str) -> None:
    waits: list[float] = []
    limiter = make_limiter(client, account, rate_per_s=1.2, sleep=waits.append)
    for _ in range(2):
        acquire(limiter)
    assert waits == [pytest.approx(PACE / 1.2, abs=0.5)]


def test_the_first_to_ask_is_the_first_to_go(client: "redis.Redis", account: str) -> None:
    waits: list[float] = []
    limiters = [make_limiter(client, account, rate_per_s=1, sleep=waits.append) for _ in range(10)]
    for limiter in limiters:
        acquire(limiter)
    assert waits == sorted(waits)
    assert len(waits) == 9  # the first did not wait


def test_acquire_comes_back_when_its_slot_does(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account, rate_per_s=2, sleep=time.sleep)
    acquire(limiter)
    waited_s = acquire(limiter)
    assert 0.1 < waited_s < 10


def test_a_burst_goes_at_once_and_no_further(client: "redis.Redis", account: str) -> None:
    waits: list[float] = []
    limiter = make_limiter(client, account, rate_per_s=2.5, burst=2, sleep=waits.append)
    for _ in range(2):
        acquire(limiter)
    assert waits == []
    acquire(limiter)
    acquire(limiter)
    assert waits == [pytest.approx(PACE / 2.5, abs=0.3), pytest.approx(3 / 2.5, abs=0.3)]


def test_a_wait_that_is_too_long_is_refused_and_reserves_nothing(
    client: "redis.Redis", account: str
) -> None:
    limiter = make_limiter(client, account, rate_per_s=0.1, wait_s_max=2)
    acquire(limiter)
    for _ in range(3):
        with pytest.raises(SupplierBusy, match=account) as refused:
            acquire(limiter)
        assert refused.value.retry_after_s == pytest.approx(10, abs=1)
    assert limiter.used().total == 1
    assert len(slots_us(client, account)) == 1


def test_a_slot_slept_through_is_given_up_for_a_new_one(
    client: "redis.Redis", account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEND_S_MAX", 0.05)
    naps: list[float] = []

    def oversleep_once(wait_s: float) -> None:
        naps.append(wait_s)
        time.sleep(wait_s + 0.2 if len(naps) == 1 else wait_s)

    limiter = make_limiter(client, account, rate_per_s=2, wait_s_max=5, sleep=oversleep_once)
    acquire(limiter)
    acquire(limiter)
    assert len(naps) >= 2
    assert limiter.used().total == 2  # two requests, though three slots


def test_without_a_rate_nobody_waits_and_all_is_counted(
    client: "redis.Redis", account: str
) -> None:
    limiter = make_limiter(client, account, rate_per_s=None, wait_s_max=0)
    for _ in range(5):
        acquire(limiter)
    assert limiter.used() == (5, 5, 5, None)


def test_the_last_second_forgets_what_is_older(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account, rate_per_s=None)
    with limiter.turn():
        pass
    key = f"facet:limit:{{{account}}}:sent"
    (member,) = client.zrange(key, 0, -1)
    client.zincrby(key, -1_500_000, member)  # type: ignore[arg-type]
    assert limiter.used() == (1, 0, 0, None)


def test_accounts_do_not_share_a_limit(client: "redis.Redis", account: str) -> None:
    waits: list[float] = []
    for key in (account, account + "-other"):
        acquire(make_limiter(client, key, rate_per_s=0.01, sleep=waits.append))
    assert waits == []


def test_a_server_that_forgot_the_scripts_is_taught_again(
    client: "redis.Redis", account: str
) -> None:
    limiter = make_limiter(client, account)
    acquire(limiter)
    client.script_flush()
    acquire(limiter)
    assert limiter.used().total == 2


def test_without_redis_nothing_is_allowed(nobody: "redis.Redis", account: str) -> None:
    limiter = make_limiter(nobody, account, rate_per_s=None)
    with pytest.raises(BrokerUnavailable, match=account):
        acquire(limiter)
    with pytest.raises(BrokerUnavailable, match=account):
        limiter.used()


def test_a_redis_that_hangs_is_not_waited_for_long(tmp_path: Path, account: str) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf.sock"))
        deaf.listen()
        client = redis.Redis(
            unix_socket_path=str(tmp_path / "deaf.sock"),
            socket_timeout=0.1,
            retry=Retry(NoBackoff(), 0),
        )
        with client, pytest.raises(BrokerUnavailable, match="Timeout"):
            acquire(make_limiter(client, account))


@pytest.mark.parametrize(
    "wanted",
    [{"rate_per_s": 0}, {"rate_per_s": -1}, {"burst": 0}, {"wait_s_max": -1}, {"in_flight_max": 0}],
)
def test_a_limit_that_makes_no_sense_is_a_mistake(
    client: "redis.Redis", account: str, wanted: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="no limit"):
        make_limiter(client, account, **wanted)
