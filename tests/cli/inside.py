"""The command run in this process: quicker than a process of its own, with all but its imports."""

import json
import sys
from typing import Any, NamedTuple

import pytest

from cli import acts, main, output, system


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        """Each line of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


class Facet:
    """Calls `facet` with settings that name real servers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: str) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["facet", *words])
        self._monkeypatch.setattr(output._Style, "plain", False)
        self._monkeypatch.setattr(acts._Asking, "never", False)
        # Loggers keep the first configuration they see, and other tests look at logs.
        self._monkeypatch.setattr(main.telemetry, "configure", lambda **_: None)
        self._capsys.readouterr()
        try:
            main.main()
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        said = self._capsys.readouterr()
        return Done(code, said.out, said.err)

    def ok(self, *words: str) -> Done:
        """The same, where it must do what it was asked to."""
        done = self(*words)
        assert done.code == 0, done.err
        return done


def forget_settings() -> None:
    """What a process reads once, is read again."""
    if system.unchecked_engine.cache_info().currsize:
        system.unchecked_engine().dispose()
    system.settings.cache_clear()
    system.unchecked_engine.cache_clear()
