"""One trace a run, over all that is done for it; and nothing at all where nobody asked for it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from sqlalchemy import Engine

from shared import otel, queue, runs, tracing
from shared.db import transaction
from shared.errors import SupplierRefused, SupplierUnavailable
from shared.ledger import Claim
from tests.builders import due_item, item_now, rows

EVERYTHING = """
import sys
import cli.main, consolidator.tasks, scheduler.steward, scheduler.tasks, worker.tasks
from shared import tracing
with tracing.span("a"), tracing.work("fetch", 1, 1, None) as span:
    span.note(offers=1)
    tracing.note(offers=1)
    tracing.link([(1, 1)])
tracing.began(tracing.root(), "run start")
tracing.flush()
heavy = ("shared.otel", "opentelemetry.exporter", "opentelemetry.sdk.trace", "sentry_sdk",
         "prometheus_client", "google.protobuf")
print(sorted(name for name in sys.modules if name in heavy))
"""


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Traces are on; their spans are kept here."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    tracing.on.cache_clear()
    kept = InMemorySpanExporter()
    traces = otel.Traces(kept)
    monkeypatch.setattr(tracing, "_of", lambda _pid: traces)
    return kept


def named(kept: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in kept.get_finished_spans() if span.name == name]


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def deliver(engine: Engine, item_id: int, work: Any, kind: Any = "fetch") -> str:
    epoch = item_now(engine, item_id)["epoch"]
    return queue.deliver({"item": item_id, "epoch": epoch}, kind, work, engine=engine)


def failing(error: Exception) -> Any:
    def work(held: Claim) -> None:
        raise error

    return work


@pytest.mark.timeout(200)
def test_where_nobody_traces_nothing_of_it_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
    ],
)
def test_the_standard_variables_decide(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wanted: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tracing.on.cache_clear()
    assert tracing.on() is wanted


def test_a_run_carries_its_trace_also_where_nobody_traces(engine: Engine) -> None:
    with transaction(engine) as tx:
        run_id = runs.start(tx, "nivoda-natural").run_id
    (run,) = rows(engine, "SELECT traceparent FROM runs WHERE run_id = :id", id=run_id)
    (item,) = rows(engine, "SELECT traceparent FROM work_items WHERE run_id = :id", id=run_id)
    assert run == item
    assert len(tracing.trace_id(run["traceparent"]) or "") == 32


def test_the_root_span_is_the_one_that_the_run_carries(
    engine: Engine, spans: InMemorySpanExporter
) -> None:
    with transaction(engine) as tx:
        run_id = runs.start(tx, "nivoda-natural").run_id
    (run,) = rows(engine, "SELECT traceparent FROM runs WHERE run_id = :id", id=run_id)
    (root,) = named(spans, "run start")
    assert run["traceparent"] == f"00-{trace_of(root)}-{root.context.span_id:016x}-01"
    assert root.parent is None
    assert root.attributes == {
        "facet.run_id": str(run_id),
        "facet.feed": "nivoda-natural",
        "facet.run_kind": "full",
    }


def test_a_refused_start_shows_no_trace(engine: Engine, spans: InMemorySpanExporter) -> None:
    for _ in range(2):
        try:
            with transaction(engine) as tx:
                runs.start(tx, "nivoda-natural")
        except runs.NotNow:
            pass
    assert len(named(spans, "run start")) == 1


def test_what_is_queued_comes_under_the_work_that_queued_it(
    engine: Engine, spans: InMemorySpanExporter
) -> None:
    seen: list[Claim] = []
    deliver(engine, due_item(engine), seen.append)
    (span,) = named(spans, "fetch")
    handed_on = seen[0].traceparent or ""
    assert handed_on.split("-")[1:3] == [trace_of(span), f"{span.context.span_id:016x}"]


def test_an_attempt_names_the_one_before_and_how_it_ended(
    engine: Engine, spans: InMemorySpanExporter
) -> None:
    item_id = due_item(engine)
    with transaction(engine) as tx:
        tx.exec_driver_sql("UPDATE work_items SET traceparent = (SELECT traceparent FROM runs)")
    deliver(engine, item_id, failing(SupplierUnavailable("down")))
    with transaction(engine) as tx:
        tx.exec_driver_sql("UPDATE work_items SET not_before = now()")
    deliver(engine, item_id, failing(SupplierRefused("no")))
    first, second = named(spans, "fetch")
    assert first.links == ()
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert first.attributes is not None
    assert second.attributes is not None
    assert (first.attributes["facet.outcome"], second.attributes["facet.outcome"]) == (
        "due",
        "dead",
    )
    assert (first.status.status_code, second.status.status_code) == (
        StatusCode.UNSET,
        StatusCode.ERROR,
    )


def test_a_bug_marks_its_span_without_its_words(
    engine: Engine, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(KeyError):
        deliver(engine, due_item(engine), failing(KeyError("hush-hush")))
    (span,) = named(spans, "fetch")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "KeyError")
    assert "hush-hush" not in span.to_json()


def test_statements_have_their_names_and_nothing_of_their_values(
    engine: Engine, spans: InMemorySpanExporter
) -> None:
    otel.watch(engine)
    item_id = due_item(engine)

    def work(held: Claim) -> None:
        with transaction(engine) as tx:
            runs.cancel(tx, held.run_id, reason="hush-hush", actor="ana")

    deliver(engine, item_id, work)
    (span,) = named(spans, "fetch")
    (cancel,) = named(spans, "db cancel_run")
    assert cancel.parent is not None
    assert cancel.parent.span_id == span.context.span_id
    assert all("hush-hush" not in one.to_json() for one in spans.get_finished_spans())
    assert named(spans, "db claim_item") == []  # outside of any work: not worth a span


def test_who_is_not_sampled_sends_nothing_and_says_so_to_all_that_follow(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    traces = otel.Traces(spans)
    monkeypatch.setattr(tracing, "_of", lambda _pid: traces)
    item_id = due_item(engine, run_id=None)
    with transaction(engine) as tx:
        tx.exec_driver_sql("UPDATE work_items SET traceparent = (SELECT traceparent FROM runs)")
    seen: list[Claim] = []
    deliver(engine, item_id, seen.append)
    assert (seen[0].traceparent or "").endswith("-00")
    assert spans.get_finished_spans() == ()


def test_the_log_lines_of_a_piece_of_work_name_all_that_it_belongs_to(
    engine: Engine,
) -> None:
    bound: list[dict[str, Any]] = []
    item_id = due_item(engine)

    def work(held: Claim) -> None:
        bound.append(structlog.contextvars.get_contextvars())

    with transaction(engine) as tx:
        tx.exec_driver_sql("UPDATE work_items SET traceparent = (SELECT traceparent FROM runs)")
    deliver(engine, item_id, work)
    names = {"kind", "item_id", "run_id", "feed", "partition_id", "epoch", "attempt", "trace_id"}
    assert bound[0].keys() == names
    assert None not in bound[0].values()


class Collector(BaseHTTPRequestHandler):
    """Takes spans as a collector does."""

    got: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    got: list[ExportTraceServiceRequest] = []
    server = HTTPServer(("127.0.0.1", 0), type("Own", (Collector,), {"got": got}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


COMMAND = """
from shared import telemetry, tracing
telemetry.be("worker")
with tracing.span("a", offers=3):
    pass
"""


@pytest.mark.timeout(200)
def test_spans_reach_a_collector_that_a_variable_names(
    collector: tuple[str, list[ExportTraceServiceRequest]],
) -> None:
    address, got = collector
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": address},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    (resource,) = [one for request in got for one in request.resource_spans]
    told = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (told["service.name"], told["facet.role"]) == ("facet-worker", "worker")
    assert [s.name for scope in resource.scope_spans for s in scope.spans] == ["a"]
