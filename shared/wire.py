"""What comes through the broker before Celery sees it: anything at all.

Celery drops what it cannot read, and some of it ends the worker: a body that is no list, bytes in a
Redis list that are no message. So every message is looked at first. A wake-up as our own steward
sends it goes on to Celery; anything else is kept, with its bytes, and acknowledged.
"""

import time
from base64 import b64decode
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from celery.worker.consumer import Consumer
from kombu.exceptions import KombuError
from kombu.message import Message
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from kombu.utils.json import dumps, loads
from pydantic import ValidationError

from shared.errors import DatabaseUnavailable
from shared.ledger import MessageReason, printable
from shared.wakeup import Wakeup, problem_of

log = structlog.get_logger(__name__)

MESSAGE_BYTES_MAX = 4_096  # ours have under 500, Celery's own parts included
NOT_KEPT_PAUSE_S = 1.0
SAID_MAX = 500  # characters of a header that are kept
CONTENT_TYPE = "application/json"
# What kombu's reading of JSON may raise: it builds dates and decimals of what claims to be some.
BAD_JSON = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class Stray(NamedTuple):
    """A message that nobody can do anything with."""

    reason: MessageReason
    error: str
    body: bytes
    queue: str | None
    task: str | None
    about: dict[str, str]  # its headers and the like, shortened


Keep = Callable[[Stray], None]  # raises DatabaseUnavailable where it cannot


def _nobody(stray: Stray) -> None:
    raise DatabaseUnavailable(f"no process keeps strays yet: {stray.error}")


_keep: Keep = _nobody


def keep_with(keep: Keep) -> None:
    """Say who keeps strays in this process."""
    global _keep  # noqa: PLW0603  Celery makes the consumer and the channel, so nothing can be passed in
    _keep = keep


def use_checked_redis() -> None:
    """Let kombu read Redis and Valkey through the channel below."""
    for name in ("redis", "rediss"):
        TRANSPORT_ALIASES[name] = f"{__name__}:CheckedTransport"


class _NoJson(Exception):
    """What was popped off a list is no JSON."""

    def __init__(self, queue: bytes, found: bytes, error: str) -> None:
        super().__init__(error)
        self.queue = queue
        self.found = found


class CheckedChannel(kombu_redis.Channel):
    """Keeps what lies in a queue and is no JSON; kombu would raise, and the worker end."""

    def _create_client(self, asynchronous: bool = False) -> Any:
        made = super()._create_client(asynchronous=asynchronous)
        made.parse_response = _checked(made.parse_response)
        return made

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except _NoJson as error:
            queue = error.queue.decode().rsplit(self.sep, 1)[0]
            _keep_popped(self, queue, error.found, f"no JSON: {error}")
            return True


def _checked(parse: Callable[..., Any]) -> Callable[..., Any]:
    """redis-py's `parse_response`, that raises _NoJson in kombu's place."""

    def parse_response(connection: Any, command: str, **options: Any) -> Any:
        answer = parse(connection, command, **options)
        if command == "BRPOP" and answer:
            queue, found = answer
            try:
                loads(found)
            except BAD_JSON as error:
                raise _NoJson(queue, found, str(error)) from error
        return answer

    return parse_response


class CheckedTransport(kombu_redis.Transport):
    """The same for JSON that is no message."""

    Channel = CheckedChannel

    def _deliver(self, message: Any, queue: str) -> None:
        problem = _shape(message)
        if problem is None:
            super()._deliver(message, queue)
            return
        _keep_popped(self.channels[0], queue, dumps(message).encode(), problem)


def _keep_popped(channel: Any, queue: str, found: bytes, problem: str) -> None:
    """Nobody else has it any more: where it cannot be kept now, it goes back to where it was."""
    try:
        _keep(Stray("bad_message", problem, found, queue, None, {}))
    except DatabaseUnavailable as error:
        log.error("message_not_kept", error=str(error))
        time.sleep(NOT_KEPT_PAUSE_S)
        with channel.conn_or_acquire() as client:
            client.lpush(queue, found)


def _shape(message: Any) -> str | None:
    """What of a document is not as kombu needs it; None where all is."""
    if not isinstance(message, dict):
        return f"not a message but a {type(message).__name__}"
    properties = message.get("properties")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_tag"), str):
        return "a message without a delivery tag"
    told = properties.get("delivery_info")
    if not isinstance(told, dict) or not {"exchange", "routing_key"} <= told.keys():
        return "a message that does not say where it was sent"
    if not isinstance(message.get("headers"), dict) or not isinstance(message.get("body"), str):
        return "a message without headers or body"
    if properties.get("body_encoding") == "base64":
        try:
            b64decode(message["body"])
        except ValueError as error:
            return f"its body is not base64: {error}"
    return None


class CheckedConsumer(Consumer):  # type: ignore[misc]
    """Hands on to Celery what is sound, and keeps the rest."""

    def create_task_handler(self, **given: Any) -> Callable[[Message], None]:
        hand_on = super().create_task_handler(**given)

        def on_message(message: Message) -> None:
            stray = look(message, known=self.strategies)
            if stray is None:
                hand_on(message)
            else:
                self._keep(message, stray)

        return on_message

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        self._keep(message, _stray(message, "bad_message", f"cannot be decoded: {exc}"))

    def _keep(self, message: Message, stray: Stray) -> None:
        """Acknowledged once it is kept; till then the broker has it."""
        try:
            _keep(stray)
        except DatabaseUnavailable as error:
            log.error("message_not_kept", error=str(error))
            time.sleep(NOT_KEPT_PAUSE_S)  # nothing else can be done here without a database either
            message.reject_log_error(log, self.connection_errors, requeue=True)
        else:
            message.ack_log_error(log, self.connection_errors)


def look(message: Message, *, known: Any) -> Stray | None:
    """What is wrong with a message; None where it is a wake-up for a task that is `known`."""
    body = _bytes(message.body)
    if len(body) > MESSAGE_BYTES_MAX:
        return _stray(message, "bad_message", f"oversized: {len(body):,} bytes")
    headers = message.headers
    if not isinstance(headers, dict):
        return _stray(message, "bad_message", "its headers are no table")
    if message.content_type != CONTENT_TYPE or "compression" in headers:
        kind = f"{message.content_type}{', compressed' if 'compression' in headers else ''}"
        return _stray(message, "bad_message", f"its content is {kind}, not {CONTENT_TYPE}")
    if not isinstance(headers.get("id"), str) or not isinstance(headers.get("task"), str):
        return _stray(message, "bad_message", "its headers name no task")
    if headers["task"] not in known:
        return _stray(message, "unknown_task", f"nobody here knows the task {headers['task']!r}")
    problem = _problem(message, headers)
    return None if problem is None else _stray(message, "bad_message", problem)


def _problem(message: Message, headers: dict[str, Any]) -> str | None:
    for name in ("eta", "expires"):
        if headers.get(name) is not None:
            return f"{name}: a wake-up has none"
    try:
        said = message.decode()
    except (KombuError, ValueError, LookupError) as error:
        return f"cannot be decoded: {error}"
    if not isinstance(said, list) or len(said) != 3 or not isinstance(said[2], dict):
        return "not the arguments of a task"
    if said[0] != [] or not isinstance(said[1], dict):
        return "a wake-up has named arguments only"
    try:
        Wakeup.model_validate(said[1])
    except ValidationError as error:
        return problem_of(error)
    return None


def _stray(message: Message, reason: MessageReason, error: str) -> Stray:
    headers = message.headers if isinstance(message.headers, dict) else {}
    task = headers.get("task")
    told = message.delivery_info or {}
    about = {"content_type": message.content_type, "content_encoding": message.content_encoding}
    return Stray(
        reason,
        error,
        _bytes(message.body),
        told.get("routing_key"),
        task if isinstance(task, str) else None,
        {name: _short(value) for name, value in {**headers, **about}.items() if value is not None},
    )


def _short(value: object) -> str:
    return printable(str(value))[:SAID_MAX]


def _bytes(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode("utf-8", "surrogateescape")
    return bytes(body or b"")
