"""Log lines: one event a line, a constant in the past tense, what varies as fields.

`info` is progress, `warning` was handled, `error` wants a person. Everything goes to stderr.
"""

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from shared.errors import BadSettings

if TYPE_CHECKING:
    from shared.settings import Settings

CHATTY = ("httpx", "httpcore")  # they log every address, whatever the root's level

_role = ["cli"]


def be(role: str) -> None:
    """Say which process this is, before anything is built in it."""
    _role[0] = role


def role() -> str:
    """Which process this is: `cli` where none was named."""
    return _role[0]


def configure(
    *, json: bool = True, level: int = logging.INFO, reporting: "Settings | None" = None
) -> None:
    """Set up structlog, and the libraries' own logging from `warning` up in the same shape.

    reporting   whose `sentry_dsn`, where there is one, is sent what we log as an error
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if reporting is not None and reporting.sentry_dsn is not None:
        try:
            from shared import sentry  # noqa: PLC0415  only where it is wanted
        except ModuleNotFoundError as error:
            raise BadSettings(
                f"FACET_SENTRY_DSN is set, and {error.name} is not installed",
                hint="`pip install 'facet[telemetry]'`",
            ) from error
        shared.append(sentry.start(reporting.sentry_dsn.get_secret_value(), reporting.secrets()))
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    tail: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, renderer]
    if not json:
        tail = [renderer]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
