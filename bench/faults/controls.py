"""What plain Celery tasks lose in the same harness: same supplier, broker, database and kills."""

import base64
import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import NamedTuple

from celery import Celery

from bench.faults.world import LIMIT_PER_S, ROOT, SETTINGS, Fleet, World, made
from cli.output import table

PAGES_A_KILL = 60  # more than a worker fetches in one life
PAGES = 200  # different ones; then from the start again
PAGE = 5
QUIET_S = 9.0  # without progress: above the visibility timeout, the restore and its throttle
DRAIN_S_MAX = 240.0
WORKERS = 4


class Control(NamedTuple):
    """What became of the tasks of one kind of settings."""

    settings: str
    kills: int
    published: int
    done: int
    queued: int  # still
    stranded: int  # taken by a worker that died, until the visibility timeout (an hour by default)
    lost: int  # gone for good
    extra: int  # executions beyond the first


def measure(kills: int, seed: int) -> list[Control]:
    """Both kinds of settings, killed alike."""
    found = []
    for name in ("default", "careful"):
        # The pipeline's own processes stand by idle; their limit is for the plain tasks alone.
        with made(seed=seed, stones=PAGES * PAGE, settings={}) as world:
            world.fleet.stop()
            found.append(_control(world, name, kills, Random(f"{seed}:{name}")))
    return found


def _control(world: World, name: str, kills: int, rng: Random) -> Control:
    broker = str(world.servers.broker_url)
    env = {
        **SETTINGS,
        "FACET_DATABASE_URL": str(world.servers.database_url),
        "FACET_BROKER_URL": broker,
        "FACET_REDIS_URL": world.redis_url,
        "FACET_NIVODA_URL": world.supplier.url,
        "FACET_NIVODA_REQUESTS_PER_S": str(LIMIT_PER_S),
        "PLAIN_CELERY": name,
    }
    world.execute("CREATE TABLE plain_pages (number int, offset_ int, offers int)")
    published = kills * PAGES_A_KILL
    app = Celery("plain", broker=broker)
    with world.broker() as client:
        client.flushall()
    for number in range(published):
        app.send_task("plain.land", (number, number % PAGES * PAGE), ignore_result=True)
    app.close()
    fleet = Fleet(ROOT, world.home / "processes", env)
    try:
        for number in range(kills):
            before = _done(world)
            words = _words()
            fleet.add(f"plain-{number}", words)
            deadline = time.monotonic() + 60
            while _done(world) == before and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(rng.uniform(0.05, 0.5))
            with suppress(ProcessLookupError):
                os.killpg(fleet.members[f"plain-{number}"].pid, signal.SIGKILL)
        fleet.add("plain-last", _words())
        _drain(world)
    finally:
        fleet.stop()
    executed = [int(row["number"]) for row in world.rows("SELECT number FROM plain_pages")]
    done = set(executed)
    with world.broker() as client:
        queued = {_number(one) for one in client.lrange("celery", 0, -1)} - done
        taken = {_number(json.dumps(json.loads(one)[0])) for one in client.hvals("unacked")}
    stranded = taken - done - queued
    return Control(
        settings=name,
        kills=kills,
        published=published,
        done=len(done),
        queued=len(queued),
        stranded=len(stranded),
        lost=published - len(done | queued | stranded),
        extra=len(executed) - len(done),
    )


def _number(message: bytes | str) -> int:
    """Which task a message in the broker is for."""
    arguments = json.loads(base64.b64decode(json.loads(message)["body"]))
    return int(arguments[0][0])


def _words() -> list[str]:
    return [
        *("celery", "--app", "bench.faults.plain", "worker", "--concurrency", str(WORKERS)),
        *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
    ]


def _done(world: World) -> int:
    return int(world.rows("SELECT count(*) AS n FROM plain_pages")[0]["n"])


def _drain(world: World) -> None:
    """Until nothing is queued and a living worker gets nothing more done."""
    deadline = time.monotonic() + DRAIN_S_MAX
    seen, since = -1, time.monotonic()
    with world.broker() as client:
        while time.monotonic() < deadline and time.monotonic() - since < QUIET_S:
            now = _done(world)
            if now != seen or client.llen("celery"):
                seen, since = now, time.monotonic()
            time.sleep(0.2)


def show(found: Sequence[Control]) -> None:
    """A row each."""
    heads = [name.replace("_", " ") for name in Control._fields]
    table(heads, found, right=heads[1:])
