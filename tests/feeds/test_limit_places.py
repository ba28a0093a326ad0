"""Places for calls in flight: never more than there are, none lost with its holder, in turn."""

import threading
import time

import pytest
import redis

from shared.errors import SupplierBusy
from shared.limits import Limiter
from tests.feeds.test_limits import acquire


def make_limiter(client: "redis.Redis", key: str, **wanted: object) -> Limiter:
    defaults: dict[str, object] = {"rate_per_s": None, "in_flight_max": 1, "wait_s_max": 20}
    return Limiter(client, key, **defaults | wanted)  # type: ignore[arg-type]


def until_in_line(client: "redis.Redis", account: str, waiting: int) -> None:
    deadline = time.monotonic() + 20
    while client.zcard(f"facet:limit:{{{account}}}:line") != waiting:
        assert time.monotonic() < deadline, f"never {waiting} in line"
        time.sleep(0.005)


def test_no_more_calls_are_in_flight_than_there_are_places(
    client: "redis.Redis", account: str
) -> None:
    counting, now, most = threading.Lock(), 0, 0

    def call_often() -> None:
        nonlocal now, most
        limiter = make_limiter(client, account, in_flight_max=3)
        for _ in range(5):
            with limiter.turn():
                with counting:
                    now += 1
                    most = max(most, now)
                time.sleep(0.005)
                with counting:
                    now -= 1

    threads = [threading.Thread(target=call_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3
    assert make_limiter(client, account).used()[:3] == (40, 40, 0)


def test_a_place_whose_holder_died_is_free_again(client: "redis.Redis", account: str) -> None:
    make_limiter(client, account).reserve(place_s=0.3)
    waited_s = acquire(make_limiter(client, account))
    assert 0.1 < waited_s < 10


def test_who_waits_longest_goes_first(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account)
    went: list[int] = []

    def wait(number: int) -> None:
        with make_limiter(client, account).turn():
            went.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(6)]
    with limiter.turn():
        for waiting, thread in enumerate(threads, start=1):
            thread.start()
            until_in_line(client, account, waiting)
    for thread in threads:
        thread.join()
    assert went == list(range(6))


def test_who_died_in_line_holds_up_nobody_for_long(client: "redis.Redis", account: str) -> None:
    line, waiting = (f"facet:limit:{{{account}}}:{part}" for part in ("line", "waiting"))
    client.zadd(line, {"dead": 0})
    client.zadd(waiting, {"dead": time.time() * 1e6 + 300_000})
    waited_s = acquire(make_limiter(client, account))
    assert 0.1 < waited_s < 10
    assert client.exists(line, waiting) == 0


def test_who_waited_too_long_leaves_the_line(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account, wait_s_max=0.2)
    with limiter.turn():
        with pytest.raises(SupplierBusy, match="1 at once"):
            acquire(limiter)
        until_in_line(client, account, 0)
    assert limiter.used().total == 1


def test_a_call_that_fails_gives_its_place_back(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account)
    with pytest.raises(ValueError, match="ours"), limiter.turn():
        raise ValueError("ours")
    assert limiter.used().in_flight == 0
