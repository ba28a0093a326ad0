"""The limit over many processes, as the supplier's own request log has it."""

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
import redis

from bench import supplier as simulated
from shared.edge import Edge
from shared.feeds import feed
from shared.feeds.base import Slice, SupplierSettings
from tests.feeds.test_simulated_nivoda import at

RATE = 30
CALLS = 128
IN_FLIGHT_MAX = 6


def ask(redis_url: str, supplier: SupplierSettings, calls: int) -> int:
    """Ask for so many pages, some of them at once; returns the requests sent."""
    with redis.Redis.from_url(redis_url) as client, ThreadPoolExecutor(3) as threads:
        edge = Edge.for_account(supplier, client)
        source = feed("nivoda-natural").open(supplier, edge)
        list(threads.map(lambda n: source.page(Slice(), n, 5), range(calls)))
        sent = edge.requests()
        edge.close()
        return sent


@pytest.mark.parametrize("processes", [1, 4, 16])
def test_many_processes_stay_within_one_limit(
    tmp_path: Path, redis_url: str, supplier: SupplierSettings, processes: int
) -> None:
    with simulated.running(tmp_path, natural=900, latency_ms=100) as there:
        limited = at(
            supplier, there.url, requests_per_s=RATE, in_flight_max=IN_FLIGHT_MAX, wait_s_max=60
        )
        spawned = multiprocessing.get_context("forkserver")
        spawned.set_forkserver_preload([__name__])  # imports once for all of them
        with ProcessPoolExecutor(processes, mp_context=spawned) as pool:
            asking = [
                pool.submit(ask, redis_url, limited, CALLS // processes) for _ in range(processes)
            ]
            sent = sum(one.result() for one in asking)
    lines = [json.loads(line) for line in there.log.read_text(encoding="utf-8").splitlines()]
    came_ms = sorted(line["mono_ms"] for line in lines)
    assert len(came_ms) == sent
    assert simulated.worst_window(came_ms) <= RATE
    ends = sorted(line["mono_ms"] + line["duration_ms"] for line in lines)
    in_flight = [n + 1 - sum(end <= came for end in ends) for n, came in enumerate(came_ms)]
    assert max(in_flight) <= IN_FLIGHT_MAX
    with redis.Redis.from_url(redis_url) as client:
        used = Edge.for_account(limited, client).limiter.used()
    assert (used.total, used.in_flight) == (sent, 0)


def test_a_request_counts_as_sent_while_its_answer_is_waited_for(
    tmp_path: Path, redis_url: str, client: "redis.Redis", supplier: SupplierSettings
) -> None:
    keys = [f"facet:limit:{{{supplier.account}}}:{part}" for part in ("sent", "unsent", "calls")]
    with simulated.running(tmp_path, natural=100, latency_ms=1_000) as there:
        asking = Thread(target=ask, args=(redis_url, at(supplier, there.url), 1))
        asking.start()
        deadline = time.monotonic() + 30
        while [client.zcard(key) for key in keys] != [1, 0, 1]:
            assert time.monotonic() < deadline, "never sent and in flight"
            time.sleep(0.005)
        asking.join()
