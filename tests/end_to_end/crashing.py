"""Ends a stage at any step of its work with the database, as kill -9 would."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


class Killed(BaseException):
    """What nothing catches: the process is gone."""


class Crasher:
    """Counts the steps of an engine: before a statement, before a commit, and after one.

    After a commit is where its answer is lost: what was written is there, and nobody knows.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._left: int | None = None
        self.seen: set[str] = set()  # what a process was about to do, or had done
        self.struck: set[str] = set()  # and what of it was its last

    @contextmanager
    def installed(self) -> Iterator["Crasher"]:
        dialect: Any = self._engine.dialect
        commit: Callable[[Any], None] = dialect.do_commit

        def crashing_commit(connection: Any) -> None:
            self._step("before commit")
            commit(connection)
            self._step("after commit")

        def statement(_connection: object, _cursor: object, text: str, *_: object) -> None:
            self._step(text)

        dialect.do_commit = crashing_commit
        event.listen(self._engine, "before_cursor_execute", statement)
        try:
            yield self
        finally:
            event.remove(self._engine, "before_cursor_execute", statement)
            del dialect.do_commit

    @contextmanager
    def at(self, step: int) -> Iterator[None]:
        """Kill at that step, counted from 1, should it come to it."""
        self._left = step
        try:
            yield
        finally:
            self._left = None

    def _step(self, what: str) -> None:
        if self._left is None:
            return
        self.seen.add(what)
        self._left -= 1
        if self._left == 0:
            self.struck.add(what)
            raise Killed
