"""Whoever is late, and by how much: no second of the supplier's holds more than the rate."""

from typing import NamedTuple
from uuid import uuid4

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.supplier import worst_window
from shared.limits import WAY_S, Limiter
from tests.feeds.simulated_clock import clock


class Sending(NamedTuple):
    """What becomes of a call, in seconds."""

    late: float = 0.0  # between its slot and the last byte: asleep, stopped, connecting
    way: float = 0.0  # to the supplier
    silent: float = 0.0  # between the last byte and saying so
    answer: float = 0.3
    dies: bool = False  # before it sends
    says: bool = True  # that it has sent; else only its end tells


def came(
    client: "redis.Redis", callers: list[list[Sending]], rate: float, places: int | None
) -> list[float]:
    """When the requests of such callers reach the supplier, ascending, in seconds."""
    account, found = f"test-{uuid4()}", []
    with clock(client, account) as passing:

        def call_all(sendings: list[Sending]) -> None:
            limiter = Limiter(
                client,
                account,
                rate_per_s=rate,
                in_flight_max=places,
                wait_s_max=3_600,
                sleep=passing.sleep,
            )
            for sending in sendings:
                call = limiter.reserve()
                if sending.dies:
                    continue
                limiter.wait(call)
                passing.sleep(sending.late)
                found.append(passing.now + sending.way)
                passing.sleep(sending.silent)
                if sending.says:
                    limiter.sent(call)
                passing.sleep(sending.answer)
                limiter.release(call, "answered")

        passing.run([lambda sendings=sendings: call_all(sendings) for sendings in callers])
    return sorted(found)


lateness = st.one_of(st.just(0.0), st.floats(0, 0.1), st.floats(0, 4))
sending = st.builds(
    Sending,
    late=lateness,
    way=st.floats(0, WAY_S),
    silent=lateness,
    answer=st.one_of(st.floats(0.02, 0.5), st.floats(0.02, 3)),
    dies=st.sampled_from([False] * 20 + [True]),
    says=st.sampled_from([True] * 5 + [False]),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    callers=st.lists(st.lists(sending, min_size=1, max_size=5), min_size=1, max_size=7),
    rate=st.sampled_from([2.5, 4.0, 10.0]),
    places=st.sampled_from([None, 2, 6]),
)
def test_no_second_holds_more_than_the_rate_whoever_is_late(
    client: "redis.Redis", callers: list[list[Sending]], rate: float, places: int | None
) -> None:
    arrived = came(client, callers, rate, places)
    assert len(arrived) == sum(not one.dies for sendings in callers for one in sendings)
    if arrived:
        assert worst_window([1000 * at for at in arrived]) <= -(-rate // 1)


def test_little_of_the_rate_is_lost_though_some_are_late(client: "redis.Redis") -> None:
    """Twenty callers, 3 ms late each and now and then 100 ms, of whom the rate keeps eight busy."""
    number, rate = 30, 25
    callers = [
        [
            Sending(late=0.1 if (n + m) % 25 == 0 else 0.003, way=WAY_S * ((7 * n + m) % 5) / 4)
            for m in range(number)
        ]
        for n in range(20)
    ]
    arrived = came(client, callers, rate, 20)
    assert worst_window([1000 * at for at in arrived]) == rate
    assert arrived[-1] - arrived[0] <= 1.035 * len(arrived) / rate
