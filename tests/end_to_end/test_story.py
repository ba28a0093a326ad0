"""An operator's first bad day: a fault, an alert, the command it names, the run's story."""

import fcntl
import getpass
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from cli.simulated import ENDPOINT
from tests.alerts import providers
from tests.alerts.conftest import of_resend, of_slack
from tests.alerts.providers import Resend, Slack
from tests.cli.test_conventions import facet
from tests.cli.test_day import did, running_in
from tests.shared.test_tracing import Collector

FEED = "nivoda-natural"
STOCK = {"natural": 400, "labgrown": 20, "seed": 7}
DEEP = {"deep-offset": {"how": "refused", "above": 300}}  # one partition of 382 offers breaks off
LIMIT_S = 300.0  # for what takes a minute at most, most of it the cron's, on an idle machine
POLL_S = 0.2

T = TypeVar("T")


class Traced(NamedTuple):
    """A span as the collector got it, and the role of the process that sent it."""

    role: str
    span: Span

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()


class Collected:
    """Everything that a collector got; each request is looked through once."""

    def __init__(self, url: str, got: list[ExportTraceServiceRequest]) -> None:
        self.url = url
        self._got = got
        self._seen = 0
        self._spans: list[Traced] = []

    def spans(self, name: str | None = None, trace_id: str | None = None) -> list[Traced]:
        new = self._got[self._seen :]
        self._seen += len(new)
        for resource in (one for request in new for one in request.resource_spans):
            told = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self._spans += [Traced(told["facet.role"], span) for span in scope.spans]
        return [
            one
            for one in self._spans
            if name in {None, one.span.name} and trace_id in {None, one.trace_id}
        ]


@contextmanager
def collecting() -> Iterator[Collected]:
    """A collector of traces that listens until the end."""
    got: list[ExportTraceServiceRequest] = []
    handler = type("Own", (Collector,), {"got": got})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield Collected(f"http://127.0.0.1:{server.server_port}", got)
        finally:
            server.shutdown()
            thread.join()


def until(what: str, home: Path, ask: Callable[[], T | None]) -> T:
    """What `ask` answers as soon as it answers something."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := ask()):
        if time.monotonic() > deadline:
            logs = "\n".join(
                f"== {path.name}\n{path.read_text()[-2_000:]}"
                for path in sorted((home / "logs").glob("*.log"))
            )
            raise AssertionError(f"not in {LIMIT_S:g} s: {what}\n{logs}")
        time.sleep(POLL_S)
    return found


def next_command(words: str) -> str:
    """The command that a message, or another command, says to go on with."""
    found = re.search(r"^\s*next: `?(facet [^`\n]+)", words, re.MULTILINE)
    assert found is not None, words
    return found[1].strip()


def on_a_terminal(*words: str, **environment: str) -> list[str]:
    """The lines that a command writes on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FACET_", "COLUMNS"))}
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words],
        env=kept | environment | {"TERM": "xterm"},
        stdout=theirs,
        stderr=subprocess.PIPE,
    ):
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 65_536):
                said += chunk
        except OSError:  # how Linux says that nobody writes any more
            pass
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).splitlines()


def assert_in_order(story: list[dict[str, Any]], *wanted: tuple[str, str]) -> None:
    """Each event, by its word and some of its text, after the one before."""
    left = iter(story)
    for event, words in wanted:
        assert any(one["event"] == event and words in one["text"] for one in left), (event, words)


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.timeout(1_200)  # of processes, on a machine that may be busy
def test_a_fault_an_alert_its_command_and_the_whole_story(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "simulated.json").write_text(json.dumps(STOCK))
    with (
        providers.serving(Slack) as slack,
        providers.serving(Resend) as resend,
        collecting() as traces,
    ):
        given = of_slack(slack) | of_resend(resend) | {
            "FACET_HOME": str(home),
            "FACET_NIVODA_REQUESTS_PER_S": "0",
            "FACET_WATCH_PAUSE_S": "0.5",
            "FACET_WATCH_RESOLVE_AFTER_S": "1",
            "FACET_WATCH_DISK_FREE_SHARE": "0",
            "FACET_ALERT_PAUSE_S": "0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
            "OTEL_BSP_SCHEDULE_DELAY": "300",
        }  # fmt: skip
        try:
            did(facet("up", "--simulator", "--workers", "1", **given))
            tell_the_story(home, given, slack, resend, traces)
        finally:
            did(facet("down", FACET_HOME=str(home)))
    assert running_in(home) == []


def tell_the_story(
    home: Path, given: dict[str, str], slack: Slack, resend: Resend, traces: Collected
) -> None:
    """All of it, as the operator goes through it."""
    simulator = json.loads((home / "simulated.json").read_text())["url"].removesuffix(ENDPOINT)
    faults = f"{simulator}/control/faults"
    httpx.post(faults, json=DEEP).raise_for_status()
    schedule = ("schedule", "set", FEED)
    did(facet(*schedule, "* * * * *", "--because", "to see it start", **given))

    # It starts by itself. One such run is enough.
    (root, *_) = until("a run started by schedule", home, lambda: traces.spans("run start"))
    did(facet(*schedule, "0 3 * * *", "--because", "each night", **given))
    values = {one.key: one.value.string_value for one in root.span.attributes}
    run_id = values["facet.run_id"]
    short = run_id[:8]

    # The fault becomes an alert, in Slack and by mail.
    def about(words: list[str], *parts: str) -> str | None:
        return next((one for one in words if short in one and all(p in one for p in parts)), None)

    until("Slack hears of the run", home, lambda: about(slack.words(), "run partial"))
    said = until("Slack hears of its letter", home, lambda: about(slack.words(), "dead letters"))
    mail = until("so does the mail", home, lambda: about(resend.words(), "dead letters"))
    command = next_command(said)
    assert command == next_command(mail)
    assert short in command
    assert "`facet alert list`" in facet("status", **given).stderr

    # The command of the alert, as it is written there, and what each says to go on with.
    looked = facet(*shlex.split(command)[1:], **given)
    assert short in did(looked)
    shown = facet(*shlex.split(next_command(looked.stderr))[1:], **given)
    assert "offset is from 0 to 300" in did(shown)
    httpx.delete(faults).raise_for_status()
    because = "the supplier serves deep pages again"
    again = [
        because if word == "TEXT" else word for word in shlex.split(next_command(shown.stderr))
    ]
    assert again[1:3] == ["dead-letter", "replay"]
    did(facet(*again[1:], **given))

    # The run is complete, the incidents are over, and that is told too.
    until("Slack hears that it is over", home, lambda: about(slack.words(), "over: *run partial"))
    until("so does the mail", home, lambda: about(resend.words(), "OVER dead letters"))
    incidents = did(facet("alert", "list", "--all", "--json", **given)).splitlines()
    ours = [one for one in map(json.loads, incidents) if one["run_id"] == run_id]
    assert {one["kind"]: one["state"] for one in ours} == {
        "dead_letters": "resolved",
        "run_partial": "resolved",
    }
    did(facet("run", "verify", short, **given))

    # All of it can be read in one place.
    found = json.loads(did(facet("run", "show", short, "--json", **given)))
    assert (found["run_id"], found["state"], found["dead"]) == (run_id, "complete", 0)
    assert found["offers"] == found["counted"] == 382
    story = found["story"]
    assert [one["at"] for one in story] == sorted(one["at"] for one in story)
    assert_in_order(
        story,
        ("started", "by its schedule, for the slot of "),
        ("planned", "1 partition, 382 offers"),
        ("gave_up", "fetch of part 1 gave up at offset "),
        ("partial", "fetch gave up: "),
        ("told", "slack: run partial opened"),
        ("dead-letter.replay", because),
        ("fetched", "1 partition read whole: 382 offers"),
        ("folded", "1 partition folded"),
        ("complete", "382 offers, "),
        ("incident_resolved", "run partial: over"),
        ("told", "slack: run partial resolved"),
    )
    assert_in_order(
        story,
        ("incident_opened", "dead letters (error)"),
        ("told", "email: dead letters opened"),
        ("dead-letter.replay", because),
        ("told", "email: dead letters resolved"),
    )
    by = {one["by"] for one in story}
    assert by == {None, getpass.getuser()}
    screen = on_a_terminal("run", "show", short, **given)
    assert max(map(len, screen)) <= 80
    text = " ".join(" ".join(screen).split())
    assert because in text
    assert "incident" in text

    # And it is one trace, of all the processes that had a part in it.
    trace_id = found["trace_id"]
    path = {"run start", "plan", "fetch", "fold", "sweep", "reconcile", "alert"}

    def traced() -> list[Traced]:
        spans = traces.spans(trace_id=trace_id)
        return spans if path <= {one.span.name for one in spans} else []

    spans = until("the whole trace", home, traced)
    by_id = {one.span.span_id: one for one in spans}

    def parents(one: Traced) -> list[str]:
        names = []
        while one.span.parent_span_id:
            one = by_id[one.span.parent_span_id]
            names.append(one.span.name)
        return names

    roles = {name: {one.role for one in spans if one.span.name == name} for name in path}
    assert roles == {
        "run start": {"steward"},
        "plan": {"scheduler"},
        "fetch": {"worker"},
        "fold": {"consolidator"},
        "sweep": {"scheduler"},
        "reconcile": {"consolidator"},
        "alert": {"steward"},
    }
    (fold,) = [one for one in spans if one.span.name == "fold"]
    assert parents(fold) == ["fetch", "plan", "run start"]
    first, second = sorted(
        (one for one in spans if one.span.name == "fetch"),
        key=lambda one: one.span.start_time_unix_nano,
    )
    assert (first.span.status.code, second.span.status.code) == (
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_UNSET,
    )
    assert [link.span_id for link in second.span.links] == [first.span.span_id]
