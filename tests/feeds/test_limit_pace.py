"""The rate gives way to a supplier that complains, and grows back; retries have a budget."""

import pytest
import redis
from structlog.testing import capture_logs

from shared.errors import SupplierUnavailable, Throttled
from shared.limits import CUT_EVERY_S, CUT_FLOOR, CUT_TO, RECOVER_S, RETRIES_KEPT, Limiter
from tests.feeds.test_limits import acquire


def make_limiter(client: "redis.Redis", key: str, **wanted: object) -> Limiter:
    defaults: dict[str, object] = {"rate_per_s": 40, "wait_s_max": 60, "sleep": lambda _: None}
    return Limiter(client, key, **defaults | wanted)  # type: ignore[arg-type]


def complain(limiter: Limiter) -> None:
    with pytest.raises(Throttled), limiter.turn():
        raise Throttled("429")


def let_pass(client: "redis.Redis", account: str, seconds: float) -> None:
    """Move the last cut into the past."""
    client.hincrby(f"facet:limit:{{{account}}}:pace", "at", -round(seconds * 1e6))


def rate(limiter: Limiter) -> float:
    now = limiter.used().rate_per_s
    assert now is not None
    return now


def test_a_complaint_to_one_slows_all(client: "redis.Redis", account: str) -> None:
    complain(make_limiter(client, account))
    other = make_limiter(client, account)
    assert rate(other) == pytest.approx(40 * CUT_TO, rel=0.1)

    waits: list[float] = []
    slow = make_limiter(client, account, sleep=waits.append)
    for _ in range(100):
        acquire(slow)
    assert waits[-1] == pytest.approx(100 / (40 * CUT_TO), rel=0.2)


def test_calls_that_complain_together_cut_once(client: "redis.Redis", account: str) -> None:
    limiters = [make_limiter(client, account) for _ in range(3)]
    with capture_logs() as lines:
        for limiter in limiters:
            complain(limiter)
    assert rate(limiters[0]) == pytest.approx(40 * CUT_TO, rel=0.1)
    assert [line["event"] for line in lines] == ["limit_cut"]
    assert lines[0]["nominal_per_s"] == 40


def test_who_still_complains_is_cut_further_but_never_to_nothing(
    client: "redis.Redis", account: str
) -> None:
    limiter = make_limiter(client, account)
    found = []
    for _ in range(8):
        complain(limiter)
        found.append(rate(limiter))
        let_pass(client, account, CUT_EVERY_S)
    assert found[1] < 0.7 * found[0]
    assert found[-1] == pytest.approx(40 * CUT_FLOOR, rel=0.2)


def test_the_rate_grows_back_by_the_minute(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account)
    complain(limiter)
    let_pass(client, account, RECOVER_S / 4)
    assert rate(limiter) == pytest.approx(40 * (CUT_TO + 0.25), rel=0.05)
    acquire(limiter)
    let_pass(client, account, RECOVER_S / 4)
    with capture_logs() as lines:
        acquire(limiter)
        acquire(limiter)
    assert rate(limiter) == 40
    assert [line["event"] for line in lines] == ["limit_recovered"]


def test_without_a_rate_there_is_nothing_to_cut(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account, rate_per_s=None)
    complain(limiter)
    assert limiter.used().rate_per_s is None


def test_other_failures_cut_nothing(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account)
    with pytest.raises(SupplierUnavailable), limiter.turn():
        raise SupplierUnavailable("down")
    assert rate(limiter) == 40


def test_retries_are_earned_by_answers_and_shared(client: "redis.Redis", account: str) -> None:
    one, other = (make_limiter(client, account, rate_per_s=None) for _ in range(2))
    assert sum(one.may_retry() for _ in range(50)) == RETRIES_KEPT
    assert not other.may_retry()
    for _ in range(25):
        with one.turn():
            pass
    assert sum(other.may_retry() for _ in range(50)) == 5


def test_no_more_retries_are_saved_up_than_are_kept(client: "redis.Redis", account: str) -> None:
    limiter = make_limiter(client, account, rate_per_s=None)
    for _ in range(30):
        with limiter.turn():
            pass
    assert sum(limiter.may_retry() for _ in range(50)) == RETRIES_KEPT
