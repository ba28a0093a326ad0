"""`python -m bench.fetch`: is the limit kept, is it used up, and how fast do offers land?

Fetching: real worker processes, two partitions each, against a simulated supplier that takes its
time. Everything about the limit is read from the supplier's own log. The ideal time is that of the
requests that a lone reader of the same partitions needs, and one login a process, at the limit.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redis
from sqlalchemy import Engine, text

from bench import landing, report
from bench import supplier as simulated
from bench.supplier import Supplier
from cli import demo, system
from cli.embedded.session import erase
from cli.embedded.supervisor import Supervisor
from cli.output import say, table
from scheduler.plan import plan_run
from shared import db, ledger, queue, runs
from shared.db import transaction
from shared.edge import Edge
from shared.feeds import sliced
from shared.settings import Settings, load
from worker.reading import next_offset

FEED = sliced("nivoda-natural")
PARTITIONS_AT_ONCE = 2  # of one worker, as `facet serve worker` has it
READY_S_MAX = 240.0
RATIO_MAX = 1.05
LANDING_MIN = 0.7


class Row(NamedTuple):
    """What the supplier saw of one number of workers."""

    workers: int
    limit_per_s: float
    partitions: int
    calls_needed: int
    calls_made: int
    calls_allowed: int  # by the limit, in the time that it took
    worst_window: int
    ideal_s: float
    wall_s: float
    ratio: float
    in_flight_most: int

    def good(self) -> bool:
        return self.ratio <= RATIO_MAX and self.worst_window <= self.limit_per_s


def main(argv: Sequence[str] | None = None) -> int:
    wanted = _parser().parse_args(argv)
    made: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="facet-bench-") as folder:
        with simulated.running(
            Path(folder), natural=wanted.offers, latency_ms=wanted.latency_ms
        ) as supplier:
            for workers in wanted.workers:
                made.append(fetch(supplier, workers, limit_per_s=wanted.limit))
                say(f"{workers} workers: {made[-1].wall_s:.1f} s, ideal {made[-1].ideal_s:.1f} s")
        landed = landing.measure(wanted.landing_offers, rounds=wanted.landing_rounds)
    show(made, landed)
    good = all(row.good() for row in made) and landed.ratio >= LANDING_MIN
    figures = {
        "latency_ms": wanted.latency_ms,
        "fetching": [row._asdict() for row in made],
        "landing": landed._asdict(),
    }
    return report.finish(figures, aims_met=good)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.fetch", description=__doc__)
    add = parser.add_argument
    add("--offers", type=int, default=110_000, help="offers of the feed; 47 of them a call")
    add("--limit", type=float, default=25, help="calls a second")
    add("--latency-ms", type=float, default=300, help="the supplier takes so long for each")
    add("--workers", type=int, nargs="+", default=[1, 4, 16], help="a row of the table each")
    add("--landing-offers", type=int, default=20_000)
    add("--landing-rounds", type=int, default=9)
    return parser


def fetch(supplier: Supplier, workers: int, *, limit_per_s: float) -> Row:
    """Plan a run, then let so many workers fetch it, and read off what the supplier saw."""
    home = Path(tempfile.mkdtemp(prefix="facet-bench-"))
    try:
        with Supervisor(home) as supervisor:
            env = demo.servers(supervisor) | supplier.account()
            env["FACET_NIVODA_REQUESTS_PER_S"] = str(limit_per_s)
            env["FACET_FETCH_WORKERS"] = str(PARTITIONS_AT_ONCE * workers)
            settings = load(env)
            engine = db.connect(settings.database_url.get_secret_value())
            db.migrate(engine)
            plan(engine, settings)
            for number in range(workers):
                words = system.facet("serve", "worker", "--concurrency", str(PARTITIONS_AT_ONCE))
                supervisor.start_process(f"worker-{number}", words, env)
            _wait_for(supervisor, settings, workers)
            before = len(simulated.requests(supplier.log))
            supervisor.start_process("steward", system.process("steward", 1), env)
            parts = _finished(supervisor, engine)
            engine.dispose()
    finally:
        erase(home)
    seen = simulated.requests(supplier.log, skip=before)
    return _row(seen, parts, workers, limit_per_s)


def plan(engine: Engine, settings: Settings) -> None:
    """A new run, planned here and now."""
    with transaction(engine) as tx:
        runs.start(tx, FEED.name)
        (due,) = ledger.announce(tx, "plan", again_s=0, announced_max=1)
        held = ledger.claim(
            tx, "plan", due.item_id, due.epoch, owner=queue.owner(), lease_s=settings.lease_s
        )
    if held is None:
        raise RuntimeError("the plan that was just queued cannot be claimed")
    account = settings.supplier(FEED.name)
    with redis.Redis.from_url(settings.redis()) as client:
        source = FEED.open(account, Edge.for_account(account, client))
        plan_run(held, engine=engine, source=source, feed=FEED, settings=settings)
        source.close()


def _wait_for(supervisor: Supervisor, settings: Settings, workers: int) -> None:
    """Until every worker answers."""
    app = queue.make_app(settings)
    deadline = time.monotonic() + READY_S_MAX
    while len(app.control.ping(timeout=2.0, limit=workers)) < workers:
        supervisor.tick()
        if time.monotonic() > deadline:
            raise RuntimeError(f"the workers did not start; see {supervisor.home}/logs")
    app.close()


def _finished(supervisor: Supervisor, engine: Engine) -> list[int]:
    """Wait for the end of the last partition; returns what each has landed."""
    read = text("SELECT landed, fetched_at FROM partitions")
    while True:
        with transaction(engine) as tx:
            found = tx.execute(read).all()
        if found and all(row.fetched_at is not None for row in found):
            return [row.landed for row in found]
        supervisor.tick()
        time.sleep(0.2)


def calls_for(offers: int, page_size: int) -> int:
    """Pages that a lone reader asks for to read so many offers and find their end."""
    calls = offset = read_to = 0
    while True:
        calls += 1
        received = min(page_size, offers - offset)
        if received <= 0:
            return calls
        fresh = offset + received > read_to
        read_to = max(read_to, offset + received)
        offset = next_offset(offset, received, fresh=fresh)


def _row(seen: list[simulated.Request], parts: list[int], workers: int, limit_per_s: float) -> Row:
    page_size = FEED.slicing.page_size
    needed = workers + sum(calls_for(offers, page_size) for offers in parts)
    wall_s = (max(one.ended_ms for one in seen) - seen[0].came_ms) / 1000
    ends = sorted(one.ended_ms for one in seen)
    flying = [
        n + 1 - sum(end <= one.came_ms for end in ends[: n + 1]) for n, one in enumerate(seen)
    ]
    return Row(
        workers=workers,
        limit_per_s=limit_per_s,
        partitions=len(parts),
        calls_needed=needed,
        calls_made=len(seen),
        calls_allowed=int(limit_per_s * wall_s),
        worst_window=simulated.worst_window([one.came_ms for one in seen]),
        ideal_s=round(needed / limit_per_s, 2),
        wall_s=round(wall_s, 2),
        ratio=round(wall_s * limit_per_s / needed, 3),
        in_flight_most=max(flying),
    )


def show(made: list[Row], landed: landing.Landed) -> None:
    """Both tables."""
    for rows in (made, [landed]):
        columns = [name.replace("_", " ") for name in rows[0]._fields]
        table(columns, [_shown(row._asdict()) for row in rows], right=columns)


def _shown(row: dict[str, Any]) -> list[Any]:
    """With a ratio to the thousandth: it is what the aims are about."""
    return [f"{value:.3f}" if name == "ratio" else value for name, value in row.items()]


if __name__ == "__main__":
    raise SystemExit(main())
