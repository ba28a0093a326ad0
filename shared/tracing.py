"""Traces: one a run, from its start through every piece of work, in whichever process it is done.

What carries it is a W3C `traceparent` in the run's row, in every work item and in every message. It
is written whether anybody traces or not, so that tracing can be switched on at any time and a log
line can always be told to belong to its run.

Off unless the environment says where spans go, in OpenTelemetry's own words (docs/telemetry.md).
Then nothing of OpenTelemetry is imported, and a span is one object that does nothing.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol, Self

from shared.errors import BadSettings

if TYPE_CHECKING:
    from types import ModuleType

    from sqlalchemy import Engine

    from shared.feeds.base import Slice
    from shared.otel import Traces

Kind = Literal["internal", "client", "consumer", "producer"]
Value = str | int | float | bool | None

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTERS = ("otlp", "console")


class Span(Protocol):
    """What a `with` over a span yields."""

    def note(self, **values: Value) -> None:
        """Say more about it. Ids, counts, ranges, states; never a payload or a secret."""

    def failed(self, why: str) -> None:
        """It went wrong, though no error came out of it."""


class _Nothing:
    """The span of a process that does not trace."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def note(self, **values: Value) -> None:
        pass

    def failed(self, why: str) -> None:
        pass


NOTHING = _Nothing()


@cache
def on() -> bool:
    """Whether the environment says where spans go."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter:
        return exporter in EXPORTERS
    return any(os.environ.get(name) for name in ENDPOINTS)


def span(name: str, *, kind: Kind = "internal", **values: Value) -> AbstractContextManager[Span]:
    """A part of what this thread is at. An error that passes through it marks it as failed."""
    return _traces().span(name, kind=kind, values=values) if on() else NOTHING


def work(
    name: str, item_id: int, epoch: int, traceparent: str | None, **values: Value
) -> AbstractContextManager[Span]:
    """The span of one claim, under the one that queued the item, linked to the claim before."""
    if not on():
        return NOTHING
    return _traces().work(name, item_id, epoch, traceparent or root(), values)


def supplier(
    what: str, part: "Slice", offset: int = 0, limit: int = 0
) -> AbstractContextManager[Span]:
    """A count or a page asked of a supplier, with its range; the requests are below it."""
    if not on():
        return NOTHING
    price = part.price
    return span(
        f"supplier {what}",
        offset=offset,
        limit=limit,
        price_low=None if price is None else price.low,
        price_high=None if price is None else price.high,
        incremental=part.updated_from is not None,
    )


def note(**values: Value) -> None:
    """Say more about the present span, if there is one."""
    if on():
        _traces().note(values)


def link(items: Iterable[tuple[int, int]]) -> None:
    """Name what the present span follows from: work items, each with its last claim's epoch."""
    if on():
        _traces().link(items)


def root() -> str:
    """The beginning of a new trace, as a `traceparent`; `began` shows it once it is sure."""
    if on():
        return _traces().root()
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def began(traceparent: str, name: str, **values: Value) -> None:
    """Show the root span of a trace: something began at this instant."""
    if on():
        _traces().began(traceparent, name, values)


def carried(traceparent: str | None) -> str | None:
    """What to hand on to queued work: the present span, or where none is, what was handed to us."""
    return (_traces().present() if on() else None) or traceparent


def trace_id(traceparent: str | None) -> str | None:
    """The trace that a `traceparent` belongs to, as backends show it; None where it has none."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None


def work_span_id(trace: str, item_id: int, epoch: int) -> str:
    """The id of a claim's span: of the row alone, so that who comes after can name it."""
    return hashlib.sha256(f"{trace}/{item_id}/{epoch}".encode()).hexdigest()[:16]


def watch(engine: "Engine") -> None:
    """Make a span of every statement of an engine, inside other spans only."""
    if on():
        _otel().watch(engine)


def flush() -> None:
    """Send what is not sent yet; for a process that ends without its exit handlers."""
    if on():
        _traces().flush()


def _traces() -> "Traces":
    return _of(os.getpid())


@cache
def _of(_pid: int) -> "Traces":
    """One a process: a forked child has a sender of its own."""
    made: Traces = _otel().Traces()
    return made


def _otel() -> "ModuleType":
    """Imported only where it is wanted. Raises BadSettings where it is not installed."""
    try:
        from shared import otel  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise BadSettings(
            f"OTEL_… asks for traces, and {error.name} is not installed",
            hint="`pip install 'facet[telemetry]'`",
        ) from error
    return otel
