"""What we log as an error, sent to Sentry; imported only where a DSN is set.

Nothing is collected besides: no local variables, no requests, no breadcrumbs. What goes out is gone
through once more for every secret of the settings and for passwords in URLs.
"""

import re
import sys
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

import sentry_sdk
import structlog
from sentry_sdk.integrations.atexit import AtexitIntegration

from shared import telemetry
from shared.errors import BadSettings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

REPORTED = ("error", "critical")
BLOT = "***"
SECRET_CHARS_MIN = 4  # a shorter one would blot out half the words

_LOGIN = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")


def start(dsn: str, secrets: Collection[str]) -> structlog.typing.Processor:
    """Connect to nothing yet; returns what every log line is to pass. Raises BadSettings."""
    hidden = sorted((s for s in secrets if len(s) >= SECRET_CHARS_MIN), key=len, reverse=True)
    try:
        sentry_sdk.init(
            dsn=dsn,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[AtexitIntegration(callback=lambda _pending, _timeout: None)],
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            before_send=partial(_scrubbed, hidden),
        )
    except sentry_sdk.utils.BadDsn as error:
        raise BadSettings("FACET_SENTRY_DSN is no DSN", hint="copy it from Sentry") from error
    sentry_sdk.set_tag("role", telemetry.role())
    return _report


def _report(_logger: Any, _method: str, line: structlog.typing.EventDict) -> Any:
    """Send an error, with the ids bound to it as tags; pass every line on as it is."""
    if line.get("level") in REPORTED:
        with sentry_sdk.new_scope() as scope:
            for name, value in line.items():
                if name not in {"event", "level", "timestamp", "exc_info"}:
                    scope.set_tag(name, str(value))
            scope.fingerprint = [telemetry.role(), str(line.get("event")), str(line.get("kind"))]
            error = sys.exc_info()[1] if line.get("exc_info") else None
            if error is not None:
                scope.set_tag("event", str(line.get("event")))
                scope.capture_exception(error)
            else:
                scope.capture_message(str(line.get("event")), level="error")
    return line


def _scrubbed(hidden: Collection[str], event: "Event", _hint: "Hint") -> "Event":
    scrubbed: Event = _without(hidden, event)
    return scrubbed


def _without(hidden: Collection[str], value: Any) -> Any:
    if isinstance(value, str):
        for secret in hidden:
            value = value.replace(secret, BLOT)
        return _LOGIN.sub(rf"\1:{BLOT}@", value)
    if isinstance(value, dict):
        return {name: _without(hidden, one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without(hidden, one) for one in value]
    return value
