"""What is done to a world in a round: kills at failpoints, and the nemeses.

Each scene opens a run or two, strikes, and has the end judged. All that is drawn comes from the
stage's own random numbers, so that a round's seed gives the same round again, up to the machine's
own timing.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import psutil
from kombu.connection import Connection

from bench.faults.proxy import Cut
from bench.faults.stage import Scene, Stage, ignoring_away
from bench.faults.world import LEASE_S, TookTooLong, alive
from cli import system
from shared import dead_letters, edge, ledger
from shared.db import transaction
from shared.errors import NotNow
from shared.failpoints import NAMES, Action

# How often a run comes to a point, at least; a kill is drawn among these. Others: once.
TIMES: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("supplier.before_call", "supplier.after_call"), 25),
        **dict.fromkeys(("announce.before_send", "announce.after_send"), 5),
        **dict.fromkeys(("announce.before_commit", "announce.after_commit"), 30),
        **dict.fromkeys(("claim.before_commit", "claim.after_commit"), 10),
        **dict.fromkeys(("ack.before", "ack.after"), 10),
        **dict.fromkeys(("page.before_commit", "page.after_commit"), 8),
        **dict.fromkeys(("partition_end.before_commit", "partition_end.after_commit"), 4),
        **dict.fromkeys(("fold.before_commit", "fold.after_commit"), 4),
    }
)
# What only a run of a feed of files comes to, and what only a run that fails does.
OF_FILES = frozenset({"expect_file", "begin_file", "file_page", "file_end"})
ALONE = OF_FILES | {"bury"}
STOPPED_AT = (
    *("claim.after_commit", "supplier.before_call", "supplier.after_call", "page.before_commit"),
    *("page.after_commit", "partition_end.before_commit", "partition_end.after_commit"),
    *("fold.before_commit", "fold.after_commit", "plan.before_commit", "plan.after_commit"),
    *("sweep.before_commit", "reconciling.after_commit", "reconcile.before_commit"),
    *("announce.after_send", "reap.before_commit", "close_runs.before_commit"),
)
CELERY: tuple[system.Role, ...] = ("scheduler", "worker", "consolidator")
STOP_S_MAX = 60.0
QUIET_TICKS = 40  # of the supplier's time: enough for every kind of change
SKEW_S = 600.0
UNSETTLED = """
    SELECT dead_letter_id FROM dead_letters
     WHERE settled_at IS NULL AND item_id IS NOT NULL ORDER BY dead_letter_id"""

# Faults of the supplier that a run gets over; each shows a limited number of times.
SUPPLIER_FAULTS: tuple[dict[str, Any], ...] = (
    {"server-error": {"kinds": ["page"], "times": 4}},
    {"server-error": {"kinds": ["count"], "times": 4, "html": False}},
    {"reset": {"kinds": ["page"], "times": 3}},
    {"reset": {"kinds": ["page"], "times": 3, "halfway": True}},
    {"truncated": {"kinds": ["page"], "times": 3}},
    {"throttle": {"times": 3, "retry_after": "zero"}},
    {"throttle": {"times": 3, "retry_after": "negative"}},
    {"throttle": {"times": 3, "retry_after": "absent"}},
    {"throttle": {"times": 3, "retry_after": "past"}},
    {"token-expiry": {"kinds": ["page"], "times": 2}},
    {"short-page": {"times": 4}},
    {"slow": {"kinds": ["page"], "times": 3, "ms": 1500}},
    {"hang": {"kinds": ["page"], "times": 2, "seconds": 30}},
)


def quiet(stage: Stage, _: str) -> None:
    """Nothing is done to it, and much has moved: what must go right without any fault."""
    for _number in range(2):
        stage.open(feeds=2, ticks=QUIET_TICKS)
        stage.finish()


def at_point(stage: Stage, point: str) -> None:
    """SIGKILL at a failpoint."""
    killed_at(stage, [point])


def at_chain(stage: Stage, chain: str) -> None:
    """SIGKILL at a failpoint, then at another, or the same, that is reached later, and so on."""
    killed_at(stage, chain.split("+"))


def killed_at(stage: Stage, points: list[str], action: Action = "kill") -> None:
    """Strike at these in turn, over as many runs as it takes to reach them."""
    left = list(points)
    again = 0
    opened = False
    while left:
        if not opened:
            prepare(stage, left[:2])
            opened = True
        point = left[0]
        times = 1 if again else stage.rng.randint(1, TIMES.get(point, 1))
        stage.world.points.arm(point, action, times)
        if point.startswith("bad_message."):
            bad_messages(stage)  # nobody else sends any
        strike = stage.await_strike(point)
        if strike is not None:
            stage.fault(action)
            stage.watch(strike.at)
            left.pop(0)
            again = 0
            continue
        stage.world.points.disarm()
        stage.finish()  # the run is over: in the next one the rest is reached
        stage.world.supplier.clear()
        opened = False
        again += 1
        if again > 2:
            stage.missed.append(point)
            left.pop(0)
    stage.world.supplier.clear()
    if opened:
        stage.finish()
    else:
        stage.open()
        stage.finish()


def prepare(stage: Stage, points: list[str]) -> None:
    """Open a run that reaches the first of these points, and the second where one run can do both.

    What comes to a point of the second kind only by itself is left for the next run.
    """
    first, *later = (point.split(".")[0] for point in points)
    bases = {first, *(base for base in later if base not in ALONE and first not in ALONE)}
    supplier = stage.world.supplier
    if first in OF_FILES:
        stage.open_file()
        return
    if "bury" in bases:
        supplier.switch({"schema-drift": {"removed": ["DiamondItem.price"]}})
        stage.may_fail = True
    if "give_back" in bases:
        # The tries of one call, the first that reads a page: more would use up what kills may need.
        supplier.switch({"server-error": {"kinds": ["page"], "times": edge.ATTEMPTS_MAX}})
    if "heartbeat" in bases:
        supplier.switch({"slow": {"kinds": ["page"], "times": 3, "ms": 1500}})
    if bases & {"reprice"}:
        stage.open(feeds=2)
        stage.activate()
    else:
        stage.open()
    if "cut" in bases:
        count_too_few(stage)


def count_too_few(stage: Stage) -> None:
    """Have the run planned by counts that are far too low, so that its partitions outgrow it."""
    run_id = stage.run_id
    strike = stage.struck("check.after_commit", "stop")  # whom such counts would tell
    stage.world.supplier.switch({"count-drift": {"share": 0.99, "how": "less"}})
    if strike is not None:
        os.kill(strike.pid, signal.SIGCONT)
    stage.world.until("the plan is made", lambda: stage.world.run(run_id)["state"] != "planning")
    stage.world.supplier.clear()


def kills(stage: Stage, _: str) -> None:
    """SIGKILL of any processes at any time."""
    stage.open()
    for _number in range(3):
        if not stage.pause(0.02, 0.9):
            break
        name = stage.rng.choice(system.ROLES)
        stage.watch(time.monotonic())
        stage.world.fleet.signal(name, signal.SIGKILL)
        stage.fault("kill")
    stage.finish()


def child(stage: Stage, _: str) -> None:
    """SIGKILL of the child of a Celery worker alone, as the kernel does when memory is short."""
    stage.open()
    for _number in range(2):
        if not stage.pause(0.02, 0.9):
            break
        name = stage.rng.choice(("scheduler", "consolidator"))
        with suppress(psutil.NoSuchProcess):
            for one in psutil.Process(stage.world.fleet.members[name].pid).children():
                stage.watch(time.monotonic())
                one.kill()
                stage.fault("child")
    stage.finish()


def zombie(stage: Stage, _: str) -> None:
    """SIGSTOP at a failpoint for longer than the lease, while another goes on; then SIGCONT."""
    world = stage.world
    point = stage.rng.choice(STOPPED_AT)
    for role in CELERY:
        size = system.CONCURRENCY.get(role, 1)
        world.fleet.add(f"{role}-2", system.process(role, size)[2:])
    world.fleet.add("steward-2", system.process("steward", 1)[2:])
    stage.open()
    strike = stage.struck(point, "stop", stage.rng.randint(1, TIMES.get(point, 1)))
    if strike is None:
        stage.missed.append(point)
    else:
        stage.fault("zombie")
        stage.watch(strike.at)
        # Long enough for another to take over, sometimes to the end of all that is left.
        until = time.monotonic() + LEASE_S + stage.rng.uniform(0.5, 3.0)
        while time.monotonic() < until and not stage.idle():
            world.wait(0.02)
        os.kill(strike.pid, signal.SIGCONT)
        world.wait(0.3)  # it wakes up, and must change nothing
    stage.finish()
    for name in [*(f"{role}-2" for role in CELERY), "steward-2"]:
        world.fleet.remove(name)


def term(stage: Stage, _: str) -> None:
    """SIGTERM to any process, which is to stop by itself."""
    stage.open()
    if stage.pause(0.02, 0.9):
        told(stage, stage.rng.choice(system.ROLES))
    stage.finish()


def rolling(stage: Stage, _: str) -> None:
    """SIGTERM to one process after the other, as a new release does."""
    stage.open()
    for name in stage.rng.sample(system.ROLES, len(system.ROLES)):
        told(stage, name)
    stage.finish()


def told(stage: Stage, name: str) -> None:
    member = stage.world.fleet.signal(name, signal.SIGTERM)
    stage.fault("term")
    stage.world.until(f"{name} stops when it is told to", lambda: not alive(member.pid), STOP_S_MAX)


def broker_killed(stage: Stage, _: str) -> None:
    """SIGKILL of the broker; it comes back with what its file has."""
    stage.open()
    if stage.pause(0.02, 0.9):
        strike_broker(stage, "broker-kill")
    stage.finish()


def broker_emptied(stage: Stage, _: str) -> None:
    """The broker dies, and comes back with nothing."""
    stage.open()
    if stage.pause(0.02, 0.9):
        strike_broker(stage, "broker-empty", then=stage.world.empty_broker_files)
    stage.finish()


def strike_broker(stage: Stage, name: str, then: Callable[[], None] = lambda: None) -> None:
    stage.watch(time.monotonic(), waiting=True)
    stage.world.servers.children["valkey"].kill()
    then()
    stage.fault(name)
    stage.world.tick()


def flushed(stage: Stage, _: str) -> None:
    """FLUSHALL: messages, what Celery holds as unacknowledged, limiter and breaker are gone."""
    stage.open()
    for _number in range(2):
        if stage.pause(0.02, 0.9):
            stage.watch(time.monotonic(), waiting=True)
            with stage.world.broker() as client:
                client.flushall()
            stage.fault("flush")
    stage.finish()


def messages(stage: Stage, _: str) -> None:
    """Messages dropped, doubled, brought out of order; old ones come again."""
    stage.open()
    for _number in range(3):
        if stage.pause(0.02, 0.7):
            meddle(stage)
    stage.finish()


def meddle(stage: Stage) -> None:
    """Hold the readers up until messages lie in the broker, and do something to them."""
    world, rng = stage.world, stage.rng
    for name in CELERY:
        world.fleet.signal(name, signal.SIGSTOP)
    with ignoring_away():
        world.wait(rng.uniform(0.15, 0.5))
    with world.broker() as client:
        for kind in ledger.KINDS:
            lying = list(client.lrange(kind, 0, -1))
            kept = [one for one in lying if rng.random() < 0.6]
            stage.fault("drop", len(lying) - len(kept))
            doubled = [one for one in kept if rng.random() < 0.5]
            stage.fault("double", len(doubled))
            new = kept + doubled
            rng.shuffle(new)
            stage.fault("reorder", len(new) > 1)
            client.delete(kind)
            if new:
                client.rpush(kind, *new)
    for name in CELERY:
        world.fleet.signal(name, signal.SIGCONT)
    old = world.rows(
        "SELECT kind, item_id, epoch FROM work_items WHERE run_id = :run", run=stage.run_id
    )
    for row in rng.sample(old, min(4, len(old))):
        send(stage, row["kind"], {"item": row["item_id"], "epoch": max(0, row["epoch"] - 1)})
        send(stage, row["kind"], {"item": row["item_id"], "epoch": row["epoch"]})
        stage.fault("old message", 2)


def bad_messages(stage: Stage) -> None:
    """What no release ever sent."""
    marks = (stage.rng.getrandbits(60) for _ in range(3))  # the same bytes are the same letter
    for number, mark in enumerate(marks):
        broken = ({"item": 0}, {"item": "x"}, {"more": "y" * 5_000})[number]
        send(stage, stage.rng.choice(ledger.ANNOUNCED), {**broken, "epoch": 1, "mark": mark})
        stage.fault("bad message")
    send(stage, "fold", {"item": 10**9, "epoch": 3})  # of a row that is gone


def send(stage: Stage, kind: str, message: Mapping[str, object]) -> None:
    """A message as Celery writes it, whatever is in it."""
    broker = str(stage.world.servers.broker_url)
    with Connection(broker) as connection:  # type: ignore[no-untyped-call]
        connection.SimpleQueue(kind).put(
            [[], dict(message), {}],
            headers={
                "task": f"facet.{kind}",
                "id": f"{stage.rng.getrandbits(64):x}",
                "lang": "py",
                "argsrepr": "",
                "kwargsrepr": "",
            },
            serializer="json",
        )


def unreadable(stage: Stage, _: str) -> None:
    """Messages that cannot be read, and of rows that do not exist, amid a run."""
    before = bad_letters(stage)
    stage.open()
    stage.pause(0.1, 0.6)
    bad_messages(stage)
    stage.world.until("they are kept", lambda: bad_letters(stage) >= before + 3)
    stage.finish()


def bad_letters(stage: Stage) -> int:
    counted = "SELECT count(*) AS n FROM dead_letters WHERE reason = 'bad_message'"
    return int(stage.world.rows(counted)[0]["n"])


def database_crashed(stage: Stage, _: str) -> None:
    """PostgreSQL stops at once, without a word, and comes back."""
    stage.open()
    if stage.pause(0.02, 0.9):
        stage.watch(time.monotonic(), waiting=True)
        server = stage.world.servers.children["postgres"]
        server.stop_signal = stage.rng.choice((signal.SIGQUIT, signal.SIGKILL))
        server.ask_to_stop()
        server.wait_stopped(20)
        stage.fault("database crash")
    stage.finish()


def commit_lost(stage: Stage, _: str) -> None:
    """The connection is cut between COMMIT and its answer, or before the COMMIT is there."""
    proxy = stage.world.proxy
    stage.open()
    for _number in range(4):
        if not stage.pause(0.02, 0.5):
            break
        what: Cut = stage.rng.choice(("answer", "answer", "request"))
        stage.watch(time.monotonic())
        proxy.cut_next(what)
        with suppress(TookTooLong):
            stage.world.until("a COMMIT comes", lambda: not proxy.waiting(), 5.0)
        stage.fault(f"commit's {what} cut")
    proxy.disarm()
    stage.finish()


def commit_lost_at(stage: Stage, point: str) -> None:
    """The same, aimed: a COMMIT that is done and whose answer its holder never gets."""
    killed_at(stage, [point], "cut")


def connections_lost(stage: Stage, _: str) -> None:
    """Every connection to the database breaks, twice."""
    stage.open()
    for _number in range(2):
        if stage.pause(0.02, 0.9):
            stage.watch(time.monotonic())
            stage.world.proxy.drop_all()
            stage.fault("connections cut")
    stage.finish()


def supplier_ill(stage: Stage, _: str) -> None:
    """The supplier's own faults, two at once, with a kill on top."""
    for chosen in stage.rng.sample(SUPPLIER_FAULTS, 2):
        stage.world.supplier.switch(chosen)
    before = sum(stage.world.supplier.shown().values())
    stage.open()
    if stage.pause(0.1, 0.9):
        stage.watch(time.monotonic())
        stage.world.fleet.signal("worker", signal.SIGKILL)
        stage.fault("kill")
    stage.world.until("the end of all work", stage.idle)
    stage.fault("supplier", sum(stage.world.supplier.shown().values()) - before)
    stage.world.supplier.clear()
    stage.finish()


def moving(stage: Stage, _: str) -> None:
    """The feed moves while it is read, and processes die; then it stands still for a last run."""
    world, rng = stage.world, stage.rng
    stage.open(feeds=2)
    ruleset_id = stage.judge.active()
    feeds = [str(world.run(run_id)["feed"]) for run_id in stage.opened()]
    moments = {feed: [stage.judge.offered(feed, ruleset_id)] for feed in feeds}
    for number in range(4):
        if not stage.pause(0.05, 0.6):
            break
        world.supplier.advance(2)
        stage.fault("move")
        for feed in feeds:
            moments[feed].append(stage.judge.offered(feed, ruleset_id))
        if number in (1, 3):
            stage.watch(time.monotonic())
            world.fleet.signal(rng.choice(system.ROLES), signal.SIGKILL)
            stage.fault("kill")
    stage.moved(moments)
    for feed in feeds:
        stage.open_feed(feed, ticks=0)
        stage.finish()


def activated(stage: Stage, _: str) -> None:
    """A ruleset is activated in mid-run, while the consolidator dies."""
    stage.open(feeds=2)
    stage.pause(0.1, 1.2)
    stage.activate()
    if stage.pause(0.02, 0.4):
        stage.watch(time.monotonic())
        stage.world.fleet.signal("consolidator", signal.SIGKILL)
        stage.fault("kill")
    stage.finish()


def partial(stage: Stage, _: str) -> None:
    """The supplier refuses some pages for good: the run ends partial; the next one is complete."""
    feed = refused_run(stage)
    if feed is None:
        return
    stage.ended_partial()
    stage.open_feed(feed, ticks=0)
    stage.finish()


def replayed(stage: Stage, _: str) -> None:
    """A partial run's dead letters are replayed, each by two at once: the run becomes complete."""
    if refused_run(stage) is None:
        return
    stage.world.until("the end of the run", stage.idle)
    replay_all(stage)
    stage.finish()


def replayed_late(stage: Stage, _: str) -> None:
    """The same after a newer run has seen everything: nothing older comes back."""
    feed = refused_run(stage)
    if feed is None:
        return
    stage.ended_partial(settle=False)
    stage.open_feed(feed, ticks=stage.rng.randint(10, 20))
    stage.finish(letters=False)
    replay_all(stage)
    stage.unchanged(feed)


def replay_all(stage: Stage) -> None:
    """Replay every dead letter twice at once; one of the two must be told that it came late."""
    world = stage.world
    letters = [int(row["dead_letter_id"]) for row in world.rows(UNSETTLED)]
    start = threading.Barrier(2)

    def replay(letter: int) -> bool:
        start.wait()
        try:
            with transaction(world.engine) as tx:
                dead_letters.replay(tx, letter, actor="campaign", because="a round")
        except NotNow:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        for letter in letters:
            times = sum(threads.map(replay, (letter, letter)))
            stage.fault("replay", 2)
            if times != 1:
                stage.note(
                    "duplicated" if times else "lost", f"a letter was replayed {times} times"
                )


def refused_run(stage: Stage) -> str | None:
    """A run some of whose work the supplier refuses for good; its feed, or None where the run was
    too quick for that."""
    world = stage.world
    stage.open(ticks=stage.rng.randint(4, 10))
    run_id = stage.run_id
    feed = str(world.run(run_id)["feed"])
    world.until("the plan is made", lambda: world.run(run_id)["state"] != "planning")
    world.supplier.switch({"schema-drift": {"removed": ["DiamondItem.price"]}})
    dead = "SELECT FROM work_items WHERE run_id = :run AND state = 'dead'"

    def refused() -> bool:
        return bool(world.rows(dead, run=run_id)) or stage.idle()

    world.until("a dead letter", refused)
    world.supplier.clear()
    stage.fault("refusal", len(world.rows(dead, run=run_id)))
    if stage.faults["refusal"]:
        return feed
    stage.missed.append("refusal")
    stage.finish()
    return None


def clock(stage: Stage, _: str) -> None:
    """Processes whose clocks are ten minutes wrong, each in its own direction; one dies."""
    world = stage.world
    for role in system.ROLES:
        world.fleet.remove(role)
        words = system.process(role, system.CONCURRENCY.get(role, 1))[2:]
        world.fleet.add(role, words, skew_s=stage.rng.choice((-SKEW_S, SKEW_S)))
        stage.fault("skewed clock")
    stage.open()
    if stage.pause(0.2, 1.2):
        stage.watch(time.monotonic())
        world.fleet.signal("worker", signal.SIGKILL)
        stage.fault("kill")
    stage.finish()
    for role in system.ROLES:
        world.fleet.remove(role)
        world.fleet.add(role, system.process(role, system.CONCURRENCY.get(role, 1))[2:])


POINTS = tuple(NAMES)
BIG = tuple(point for point in POINTS if point.startswith("cut."))  # need a feed of many pages
AIMED = tuple(point for point in POINTS if point.endswith(".before_commit") and point not in BIG)

NEMESES: Mapping[str, Scene] = MappingProxyType(
    {
        "kill": kills,
        "child": child,
        "zombie": zombie,
        "term": term,
        "rolling": rolling,
        "broker-kill": broker_killed,
        "broker-empty": broker_emptied,
        "flush": flushed,
        "messages": messages,
        "bad-messages": unreadable,
        "database-crash": database_crashed,
        "commit-cut": commit_lost,
        "connections-cut": connections_lost,
        "supplier": supplier_ill,
        "moving": moving,
        "partial": partial,
        "replay": replayed,
        "replay-late": replayed_late,
        "activate": activated,
        "clock": clock,
    }
)
SCENES: Mapping[str, Scene] = MappingProxyType(
    {"quiet": quiet, "point": at_point, "chain": at_chain, "cut": commit_lost_at, **NEMESES}
)
