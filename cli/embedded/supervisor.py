"""Run Facet: the embedded servers and the pipeline's processes beside them.

In the foreground (`facet demo`):

    with Supervisor(home) as supervisor:
        supervisor.start_process("worker", argv, env)
        while working:
            supervisor.tick()          # starts again what has died
    # everything is stopped here, in reverse order

In the background (`facet up`) a command does the same, with `supervisor.run()` in the middle, and
is itself started with `detached.spawn_detached`. Use it from the main thread only: its children
are told to stop when the thread that started them ends.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import structlog

from cli.embedded.backoff import Backoff
from cli.embedded.child import Child
from cli.embedded.detached import READY_FD, say_ready
from cli.embedded.leftovers import LAUNCH_MARK
from cli.embedded.memory import Peak, PeakMemory
from cli.embedded.servers import Servers
from cli.embedded.session import Session, open_session
from shared.errors import NotNow

log = structlog.get_logger()

TICK_S = 0.2
STOP_TIMEOUT_S = 40.0  # above Celery's soft shutdown of 25 s
STOP_S_MIN = 1.0  # for those of the second wave, where the first took all of the time


@dataclass
class Kept:
    """A process, and what it takes to start it again."""

    argv: Sequence[str | Path]
    env: Mapping[str, str]
    stop_last: bool
    child: Child
    backoff: Backoff = field(default_factory=Backoff)


class Supervisor:
    """One launch of Facet in a home. A context manager."""

    servers: Servers

    def __init__(
        self, home: Path, *, database: bool = True, broker: bool = True, tcp: bool = False
    ) -> None:
        """Start nothing yet; `database`, `broker`, `tcp` as in `start_servers`."""
        self.home = home
        self._embedded = {"database": database, "broker": broker, "tcp": tcp}
        self._kept: dict[str, Kept] = {}
        self._memory = PeakMemory()
        self._told_to_stop = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Take the lock and start the servers. Raises as `start_servers` does.

        SIGTERM and SIGHUP now end us by SystemExit, so that everything is stopped first.
        """
        with ExitStack() as stack:
            for number in (signal.SIGTERM, signal.SIGHUP):
                stack.callback(signal.signal, number, signal.signal(number, exit_on_signal))
            self.session: Session = stack.enter_context(open_session(self.home))
            self.servers = Servers(self.session, **self._embedded)
            stack.callback(self.servers.stop)
            self.servers.start()
            self._servers_backoff = Backoff()
            self._memory.start()
            stack.callback(self._memory.stop)
            self._memory.watch("supervisor", os.getpid())
            self._watch_servers()
            stack.callback(self._stop_processes)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start_process(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        *,
        stop_last: bool = False,
    ) -> Child:
        """Start a process that is kept running; its output goes to FACET_HOME/logs/NAME.log.

        env         variables on top of our own environment
        stop_last   stop it only when the others have ended: for what they depend on
        """
        child = self._start(name, argv, env or {})
        self._kept[name] = Kept(argv, env or {}, stop_last, child)
        return child

    def _start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str]) -> Child:
        whole = {**os.environ, **env, LAUNCH_MARK: self.session.runtime.launch}
        whole.pop(READY_FD, None)
        child = Child(name, argv, env=whole, log=self.session.home.log(name))
        self.session.record_process(name, child.id)
        self._memory.watch(name, child.id.pid)
        return child

    def ready(self) -> None:
        """Record that all is up; `spawn_detached` returns in the process that waits for us."""
        self.session.record(ready=True)
        say_ready()

    def tick(self) -> None:
        """Start again what has died, after a wait that doubles with each crash in a row.

        Cheap where nothing died; call it a few times a second. Waits for a server to answer.
        """
        down = {name: self.servers.children[name] for name in self.servers.down()}
        if down and self._may_restart(self._servers_backoff, down):
            try:
                self.servers.revive()
                log.info("servers_restarted", processes=sorted(down))
            except NotNow as error:
                # What did not start is down again, which the next tick sees.
                log.error("servers_not_restarted", processes=sorted(down), error=str(error))
            self._watch_servers()
        for name, kept in self._kept.items():
            dead = kept.child.exit_code() is not None
            if dead and self._may_restart(kept.backoff, {name: kept.child}):
                kept.child = self._start(name, kept.argv, kept.env)
                log.info("process_restarted", process=name, crashes=kept.backoff.crashes)

    def _may_restart(self, backoff: Backoff, dead: Mapping[str, Child]) -> bool:
        """Whether the wait is over; the crash is noted and logged at the first call after it."""
        if backoff.restart_at is None:
            delay_s = backoff.crashed(time.monotonic())
            for name, child in dead.items():
                log.error(
                    "process_ended",
                    process=name,
                    exit_code=child.exit_code(),
                    crashes=backoff.crashes,
                    delay_s=delay_s,
                    tail=child.tail(),
                )
        if not backoff.is_due(time.monotonic()):
            return False
        backoff.restarted()
        return True

    def _watch_servers(self) -> None:
        for name, child in self.servers.children.items():
            self._memory.watch(name, child.id.pid)

    def run(self) -> None:
        """Say that we are ready, keep everything running until SIGTERM or SIGINT, and return.

        Memory is not watched from here on: nobody is left to ask for it.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self._stack.callback(signal.signal, number, signal.signal(number, self._note_stop))
        self._memory.stop()
        self.ready()
        log.info("supervisor_ready", home=str(self.home), processes=sorted(self._kept))
        while not self._told_to_stop:
            self.tick()
            time.sleep(TICK_S)
        log.info("supervisor_stopping", home=str(self.home))

    def _note_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._told_to_stop = True

    def memory(self) -> dict[str, Peak]:
        """Peak memory by process name so far, the servers and ourselves (`supervisor`) included."""
        return self._memory.look()

    def stop(self) -> None:
        """Stop the processes, then the servers, and let go of the lock. Harmless twice."""
        self._stack.close()

    def _stop_processes(self) -> None:
        """Ask in reverse order of starting; those of `stop_last` when the others have ended."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for last in (False, True):
            wave = [kept.child for kept in self._kept.values() if kept.stop_last is last][::-1]
            for child in wave:
                child.ask_to_stop()
            for child in wave:
                if not child.wait_stopped(max(deadline - time.monotonic(), STOP_S_MIN)):
                    log.warning("process_killed", process=child.name, timeout_s=STOP_TIMEOUT_S)


def exit_on_signal(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
