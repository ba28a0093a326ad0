"""A world to break: servers, database, supplier and the pipeline's processes, all our own.

The processes stay alive from round to round. Whatever dies is started again at once, as the
container platform or `facet up` would after its pause.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import httpx
import redis
from sqlalchemy import Engine, make_url, text

from bench.faults.folder import Folder
from bench.faults.proxy import Proxy
from bench.faults.writelog import WRITE_LOG
from cli import system
from cli.embedded.servers import Servers, start_servers
from cli.embedded.session import erase
from consolidator import rulesets
from shared import db, runs
from shared.db import transaction
from simulator.stock import Stock

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "ruleset.yaml"

FEEDS = ("nivoda-natural", "nivoda-labgrown")
FILE_FEED = "idex-natural"  # everything at once
LEASE_S = 2.0
AGAIN_S = 1.0
LIMIT_PER_S = 100
WAIT_S_MAX = 180.0  # for what takes a second or two on an idle machine
POLL_S = 0.02
NURSERY_S_MAX = 60.0
DEATHS_MAX = 12  # of one process in a round; no scene kills one so often
SHOWN = 1_500  # characters of each log, where a round went wrong

# The pipeline's settings; short times, so that a fault costs seconds.
SETTINGS = {
    "FACET_LEASE_S": str(LEASE_S),
    "FACET_ANNOUNCE_AGAIN_S": str(AGAIN_S),
    "FACET_STEWARD_POLL_S": "0.1",
    "FACET_PARTITION_OFFERS_MAX": "60",
    "FACET_NIVODA_REQUESTS_PER_S": str(LIMIT_PER_S),
    "FACET_NIVODA_BURST": "20",
    "FACET_NIVODA_IN_FLIGHT_MAX": "4",
    "FACET_NIVODA_TIMEOUT_S": "4",
    "FACET_NIVODA_BREAKER_COOLDOWN_S": "1",
    "FACET_NIVODA_USERNAME": "facet",
    "FACET_NIVODA_PASSWORD": "facet",
    "FACET_IDEX_API_KEY": "facet",
    "FACET_IDEX_API_SECRET": "facet",
}


class TookTooLong(Exception):
    """Something that must come did not."""


class Request(NamedTuple):
    """A line of the supplier's log."""

    came_ms: float
    kind: str
    what: str  # the page or count asked for, as text


class Simulated:
    """The supplier as a process, and the same stock on our side."""

    def __init__(self, folder: Path, *, size: int, seed: int, base: str) -> None:
        self.log = folder / "requests.jsonl"
        self._read_to = 0
        words = [
            *(sys.executable, "-m", "simulator", "--natural", str(size), "--labgrown", str(size)),
            *("--seed", str(seed), "--log", str(self.log), "--base-time", base),
        ]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
        if self.process.stdout is None:
            raise TookTooLong("the supplier says nothing")
        ready = json.loads(self.process.stdout.readline())
        self.url = str(ready["endpoint"])
        self._control = f"{ready['url']}/control"
        self.files_url = f"{ready['url']}/onsite/api"
        with suppress(PermissionError, AttributeError):  # it stands for another machine
            os.sched_setscheduler(self.process.pid, os.SCHED_RR, os.sched_param(1))
        self.stock = Stock.at(size, size, seed, 0)
        self.stones = size

    def advance(self, ticks: int) -> None:
        if not ticks:
            return
        httpx.post(f"{self._control}/advance", json={"ticks": ticks}).raise_for_status()
        for _ in range(ticks):
            self.stock.advance()

    def switch(self, faults: Mapping[str, Any]) -> None:
        httpx.post(f"{self._control}/faults", json=dict(faults)).raise_for_status()

    def clear(self) -> None:
        httpx.delete(f"{self._control}/faults").raise_for_status()

    def shown(self) -> dict[str, int]:
        """How many requests each fault has had an effect on."""
        answer = httpx.get(f"{self._control}/state").raise_for_status().json()
        return {str(name): int(times) for name, times in answer["faults"].items()}

    def requests(self) -> list[Request]:
        """What was asked since this was last called."""
        with self.log.open("rb") as log:
            log.seek(self._read_to)
            lines = log.read()
        whole = lines.rfind(b"\n") + 1
        self._read_to += whole
        found = []
        for line in lines[:whole].splitlines():
            one = json.loads(line)
            asked = [one["query"], one["offset"], one["limit"]]
            found.append(Request(one["mono_ms"], one["kind"], json.dumps(asked, sort_keys=True)))
        return sorted(found)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Member(NamedTuple):
    """A process of the pipeline."""

    name: str
    pid: int
    started: float


class Fleet:
    """The pipeline's processes, forked from a nursery; whoever dies is started again."""

    def __init__(self, tree: Path, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = {**env, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "bench.faults.nursery"],
            env={**os.environ, **self._env},
            cwd=tree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        self.members: dict[str, Member] = {}
        self._words: dict[str, list[str]] = {}
        self._skew_s: dict[str, float] = {}
        self._deaths: dict[str, int] = {}  # in this round

    def add(self, name: str, words: list[str], *, skew_s: float = 0.0) -> None:
        """Start a process; `words` as `python -m` takes them, `skew_s`: how wrong its clock is."""
        self._words[name] = words
        self._skew_s[name] = skew_s
        self._start(name)

    def new_round(self) -> None:
        """Forget who died before."""
        self._deaths.clear()

    def tick(self) -> None:
        """Start again who has died. Raises TookTooLong for who cannot live."""
        for name, member in list(self.members.items()):
            if alive(member.pid):
                continue
            self._deaths[name] = self._deaths.get(name, 0) + 1
            if self._deaths[name] > DEATHS_MAX:
                raise TookTooLong(f"{name} ends whenever it is started")
            self._start(name)

    def signal(self, name: str, number: int) -> Member:
        """Send a signal to a process; to its children too where it is SIGKILL."""
        member = self.members[name]
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(member.pid, number)
            else:
                os.kill(member.pid, number)
        return member

    def remove(self, name: str) -> None:
        """End a process for good."""
        self.signal(name, signal.SIGKILL)
        del self.members[name], self._words[name]

    def stop(self) -> None:
        """End all, at once."""
        for member in self.members.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(member.pid, signal.SIGCONT)
                os.killpg(member.pid, signal.SIGKILL)
        if self._nursery.stdin is not None:
            self._nursery.stdin.close()
        try:
            self._nursery.wait(NURSERY_S_MAX)
        except subprocess.TimeoutExpired:
            self._nursery.kill()
            self._nursery.wait()
        if self._nursery.stdout is not None:
            self._nursery.stdout.close()

    def _start(self, name: str) -> None:
        log = self._folder / f"{name}.log"
        wanted = {
            "words": self._words[name],
            "env": self._env,
            "log": str(log),
            "skew_s": self._skew_s[name],
        }
        if self._nursery.stdin is None:
            raise TookTooLong("the nursery cannot be told anything")
        self._nursery.stdin.write(json.dumps(wanted) + "\n")
        self._nursery.stdin.flush()
        self.members[name] = Member(name, int(self._answer()), time.monotonic())

    def _answer(self) -> str:
        if self._nursery.stdout is None or not (line := self._nursery.stdout.readline()):
            raise TookTooLong("the nursery has ended")
        return line.strip()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class World:
    """Everything of one campaign; made by `made`."""

    def __init__(
        self, home: Path, servers: Servers, proxy: Proxy, engine: Engine, supplier: Simulated
    ) -> None:
        self.home = home
        self.servers = servers
        self.proxy = proxy
        self.engine = engine
        self.supplier = supplier
        self.points = Folder(home / "points")
        self.redis_url = str(servers.redis_url)
        self.fleet: Fleet  # set by `start`
        self.rulesets: dict[int, Path] = {}

    def start(self, tree: Path, overrides: Mapping[str, str]) -> None:
        """Start the pipeline's processes, from the source in `tree`."""
        url = make_url(str(self.servers.database_url))
        url = url.set(host="127.0.0.1", port=self.proxy.port, query={})
        env = {
            **SETTINGS,
            "FACET_DATABASE_URL": url.render_as_string(hide_password=False),
            "FACET_BROKER_URL": str(self.servers.broker_url),
            "FACET_REDIS_URL": self.redis_url,
            "FACET_NIVODA_URL": self.supplier.url,
            "FACET_IDEX_URL": self.supplier.files_url,
            **self.points.environment(),
            **overrides,
        }
        logs = self.home / "processes"
        logs.mkdir()
        self.fleet = Fleet(tree, logs, env)
        for role in system.ROLES:
            size = system.CONCURRENCY.get(role, 1)
            words = system.process(role, size)[2:]
            self.fleet.add(role, words)

    def tick(self) -> None:
        """Start again what has died, servers included."""
        if self.servers.down():
            self.servers.revive()
        self.fleet.tick()

    def until(self, what: str, ask: Callable[[], T | None], limit_s: float = WAIT_S_MAX) -> T:
        """Keep everything running until `ask` answers something. Raises TookTooLong."""
        deadline = time.monotonic() + limit_s
        while True:
            self.tick()
            found = ask()
            if found:
                return found
            if time.monotonic() > deadline:
                raise TookTooLong(f"not in {limit_s:g} s: {what}")
            time.sleep(POLL_S)

    def wait(self, seconds: float) -> None:
        """Let so much time go by, everything kept running."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(POLL_S, left))

    def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """What a statement answers, over a connection that no fault is for."""
        with transaction(self.engine) as tx:
            return [dict(row) for row in tx.execute(text(statement), values).mappings()]

    def execute(self, statement: str, **values: object) -> None:
        with transaction(self.engine) as tx:
            tx.execute(text(statement), values)

    def open_run(self, feed: str, kind: runs.RunKind = "full") -> UUID:
        with transaction(self.engine) as tx:
            return runs.start(tx, feed, kind).run_id

    def run(self, run_id: UUID) -> dict[str, Any]:
        (found,) = self.rows("SELECT * FROM runs WHERE run_id = :id", id=run_id)
        return found

    def activate(self, path: Path) -> int:
        """Make a ruleset file the one that prices; opens a reprice where there are stones."""
        with transaction(self.engine) as tx:
            source = path.read_text(encoding="utf-8")
            ruleset_id = rulesets.add(tx, source, source=path.name, author="campaign")
            rulesets.activate(tx, ruleset_id, actor="campaign", reason="a round")
        self.rulesets[ruleset_id] = path
        return ruleset_id

    def idle(self) -> bool:
        """Whether nothing is left to do."""
        left = "SELECT FROM work_items WHERE finished_at IS NULL"
        # One whose replayed work has closed is reconciled anew a moment later.
        runs_left = "SELECT FROM runs WHERE finished_at IS NULL OR replayed_at IS NOT NULL"
        reprices = "SELECT FROM reprices WHERE finished_at IS NULL"
        return not self.rows(f"{left} UNION ALL {runs_left} UNION ALL {reprices} LIMIT 1")

    def broker(self) -> "redis.Redis":
        return redis.Redis.from_url(self.redis_url, socket_timeout=5)

    def empty_broker_files(self) -> None:
        """Remove what the broker keeps; it is down."""
        shutil.rmtree(self.servers.session.servers / "valkey" / "appendonlydir")

    def logs(self) -> str:
        """The end of every process's log, for whoever must find out why."""
        parts = []
        for path in sorted((self.home / "processes").glob("*.log")):
            tail = path.read_text(encoding="utf-8", errors="replace")[-SHOWN:]
            parts.append(f"== {path.name}\n{tail}")
        return "\n".join(parts)


@contextmanager
def made(
    *,
    seed: int,
    stones: int,
    tree: Path = ROOT,
    settings: Mapping[str, str] | None = None,
    keep: Path | None = None,
) -> Iterator[World]:
    """A world whose processes run; gone at the end.

    stones  of each kind at the supplier
    tree    the source that the pipeline runs from: this one, or a copy with a planted bug
    keep    where its logs go at the end; None: nowhere
    """
    home = Path(tempfile.mkdtemp(prefix="facet-faults-"))
    with ExitStack() as stack:
        stack.callback(erase, home / "home")
        stack.callback(lambda: shutil.rmtree(home, ignore_errors=True))
        servers = stack.enter_context(start_servers(home / "home"))
        url = make_url(str(servers.database_url))
        socket = Path(str(url.query["host"])) / f".s.PGSQL.{url.query['port']}"
        engine = db.connect(str(servers.database_url), pool_size=4)
        stack.callback(engine.dispose)
        db.migrate(engine)
        with transaction(engine) as tx:
            tx.exec_driver_sql(WRITE_LOG)
            now = tx.execute(text("SELECT now() AS now")).scalar_one()
        supplier = Simulated(home, size=stones, seed=seed, base=now.isoformat())
        stack.callback(supplier.stop)
        (home / "points").mkdir()
        holder: list[World] = []
        proxy = stack.enter_context(
            Proxy(socket, asked=lambda: bool(holder) and holder[0].points.take_cut())
        )
        world = World(home, servers, proxy, engine, supplier)
        holder.append(world)
        world.activate(EXAMPLE)
        world.start(tree, settings or {})
        stack.callback(world.fleet.stop)
        if keep is not None:
            stack.callback(lambda: shutil.copytree(home / "processes", keep, dirs_exist_ok=True))
        yield world
