"""OpenTelemetry behind `shared/tracing.py`; imported only where traces are on."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from shared import telemetry
from shared.errors import FacetError
from shared.tracing import Kind, Value, work_span_id
from sql import statements

# A collector that is away must not hold up a command's end for long.
EXPORT_TIMEOUT_S = 3.0

KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "producer": SpanKind.PRODUCER,
}

_wanted: ContextVar[tuple[int | None, int] | None] = ContextVar("wanted_ids", default=None)


class _Ids(IdGenerator):
    """Random ids, but those that were asked for: (trace or None, span)."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        wanted = _wanted.get()
        return (wanted and wanted[0]) or self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        wanted = _wanted.get()
        return wanted[1] if wanted else self._random.generate_span_id()


class Span:
    """One of OpenTelemetry's spans under our names."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **values: Value) -> None:
        """Say more about it."""
        for name, value in _attributes(values).items():
            self._span.set_attribute(name, value)

    def failed(self, why: str) -> None:
        """It went wrong, though no error came out of it."""
        self._span.set_status(Status(StatusCode.ERROR, why))


class Traces:
    """The traces of one process."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """`exporter`: for tests, sent to at once; None: as the environment says."""
        self._provider = TracerProvider(resource=_resource(), id_generator=_Ids())
        if exporter is not None:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        elif os.environ.get("OTEL_TRACES_EXPORTER") == "console":
            self._provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        else:
            self._provider.add_span_processor(BatchSpanProcessor(_sender()))
        self._tracer = self._provider.get_tracer("facet")

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: Kind,
        values: Mapping[str, Value],
        parent: Context | None = None,
        links: Iterable[Link] = (),
        span_id: int | None = None,
    ) -> Iterator[Span]:
        """A span, the present one of this thread while it lasts."""
        token = _wanted.set(None if span_id is None else (None, span_id))
        try:
            made = self._tracer.start_span(
                name,
                context=parent,
                kind=KINDS[kind],
                attributes=_attributes(values),
                links=list(links),
            )
        finally:
            _wanted.reset(token)
        with trace.use_span(
            made, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield Span(made)
            except BaseException as error:
                made.set_status(Status(StatusCode.ERROR, _sentence(error)))
                raise

    @contextmanager
    def work(
        self,
        name: str,
        item_id: int,
        epoch: int,
        traceparent: str,
        values: Mapping[str, Value],
    ) -> Iterator[Span]:
        """The span of a claim; its id follows from the row."""
        parent = _context(traceparent)
        whole = f"{parent.trace_id:032x}"
        links = [Link(_claim(parent, item_id, epoch - 1), {"facet.why": "the attempt before"})]
        with self.span(
            name,
            kind="consumer",
            values={"item_id": item_id, "epoch": epoch, **values},
            parent=trace.set_span_in_context(NonRecordingSpan(parent), Context()),
            links=links if epoch > 1 else (),
            span_id=int(work_span_id(whole, item_id, epoch), 16),
        ) as span:
            yield span

    def note(self, values: Mapping[str, Value]) -> None:
        """On the present span; nothing where there is none."""
        Span(trace.get_current_span()).note(**values)

    def link(self, items: Iterable[tuple[int, int]]) -> None:
        """Link the present span to the last claims of work items of its trace."""
        present = trace.get_current_span()
        for item_id, epoch in items:
            present.add_link(_claim(present.get_span_context(), item_id, epoch))

    def root(self) -> str:
        """A new trace, sampled or not, of which no span is shown yet."""
        ids = RandomIdGenerator()
        number = ids.generate_trace_id()
        sampled = self._provider.sampler.should_sample(None, number, "run start").decision
        flags = "00" if sampled is Decision.DROP else "01"
        return f"00-{number:032x}-{ids.generate_span_id():016x}-{flags}"

    def began(self, traceparent: str, name: str, values: Mapping[str, Value]) -> None:
        """The root span itself."""
        given = _context(traceparent)
        if not given.trace_flags.sampled:
            return
        token = _wanted.set((given.trace_id, given.span_id))
        try:
            self._tracer.start_span(name, context=Context(), attributes=_attributes(values)).end()
        finally:
            _wanted.reset(token)

    def present(self) -> str | None:
        """The present span as a traceparent; None where there is none."""
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return None
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"

    def statement(self, name: str) -> trace.Span | None:
        """A span for a database statement; None outside other spans."""
        if not trace.get_current_span().is_recording():
            return None
        return self._tracer.start_span(
            f"db {name}",
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.operation.name": name},
        )

    def flush(self) -> None:
        """Send what waits to be sent, for a few seconds at most."""
        self._provider.force_flush(round(1000 * EXPORT_TIMEOUT_S))


def watch(engine: Engine) -> None:
    """Spans for the statements of an engine, by the names they have in sql/queries."""
    from shared.tracing import _traces  # noqa: PLC0415  the facade imports us

    names = {body: name for name, body in statements().items()}

    def begin(
        connection: Connection,
        _cursor: Any,
        statement: str,
        _parameters: Any,
        context: Any,
        _many: bool,
    ) -> None:
        compiled = getattr(context, "compiled", None)
        asked = getattr(getattr(compiled, "statement", None), "text", None)
        name = names.get(asked or "") or statement.split(None, 1)[0].upper()
        connection.info["facet_span"] = _traces().statement(name)

    def end(connection: Connection, *_rest: Any) -> None:
        span = connection.info.pop("facet_span", None)
        if span is not None:
            span.end()

    def failed(context: ExceptionContext) -> None:
        if context.connection is None:
            return
        span = context.connection.info.pop("facet_span", None)
        if span is not None:
            kind = type(context.original_exception).__name__
            span.set_status(Status(StatusCode.ERROR, kind))
            span.end()

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", failed)


def _sender() -> OTLPSpanExporter:
    named = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
    if any(os.environ.get(name) for name in named):
        return OTLPSpanExporter()
    return OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)


def _resource() -> Resource:
    given = {"service.namespace": "facet", "facet.role": telemetry.role()}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        given["service.name"] = f"facet-{telemetry.role()}"
    return Resource.create(given)


def _context(traceparent: str) -> SpanContext:
    """Where a span comes from; a traceparent that cannot be read begins a trace of its own."""
    parts = traceparent.split("-")
    try:
        _version, whole, span, flags = parts
        found = SpanContext(
            int(whole, 16), int(span, 16), True, trace.TraceFlags(int(flags, 16) & 1)
        )
    except ValueError:
        found = trace.INVALID_SPAN_CONTEXT
    if found.is_valid:
        return found
    ids = RandomIdGenerator()
    flag = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return SpanContext(ids.generate_trace_id(), ids.generate_span_id(), True, flag)


def _claim(of: SpanContext, item_id: int, epoch: int) -> SpanContext:
    span = int(work_span_id(f"{of.trace_id:032x}", item_id, epoch), 16)
    return SpanContext(of.trace_id, span, True, of.trace_flags)


def _attributes(values: Mapping[str, Value]) -> dict[str, str | int | float | bool]:
    """Ours under `facet.`; those that OpenTelemetry has a name for under that."""
    known = {"status": "http.response.status_code", "method": "http.request.method"}
    known |= {"host": "server.address"}
    return {
        known.get(name, f"facet.{name}"): value
        for name, value in values.items()
        if value is not None
    }


def _sentence(error: BaseException) -> str:
    """Our own errors are written to be read; of any other only its kind is told."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, FacetError) else kind
