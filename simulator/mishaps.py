"""Faults of HTTP and of the connection: what comes in place of an answer, or breaks it.

In place of an answer comes one at most: reset, hang, waf, throttle, server-error, in this order.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from simulator.board import Hit, Hits
from simulator.switches import (
    RETRY_AFTER,
    Hang,
    Rated,
    Reset,
    ServerError,
    Slow,
    Throttle,
    Truncated,
    Waf,
)

WINDOW_S = 1.0  # of every rate
ABSURD_S = 10**12
CONNECTION = "simulator.connection"  # in the scope: the transport of the request

_HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


class Broken(Response):
    """An answer that the connection does not survive.

    halfway  the head and half of the body are sent before
    reset    the client sees a reset, else a closed connection
    """

    def __init__(self, content: bytes = b"", *, halfway: bool = False, reset: bool = True) -> None:
        super().__init__(content, media_type="application/json")
        self.halfway = halfway
        self.reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.halfway:
            head = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **head})
            half = self.body[: len(self.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
        transport = (scope.get("extensions") or {}).get(CONNECTION)
        if transport is None:
            raise ConnectionResetError("the connection was reset")
        connection = transport.get_extra_info("socket")
        if self.reset and connection is not None:
            # To linger for no time means a reset in place of a farewell.
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
        await receive()  # until the server has noticed


async def instead(hits: Hits, request: Request, stopping: asyncio.Event) -> Response | None:
    """What comes in place of an answer; None: the answer comes.

    Waits as long as `hang` says, or until the server is `stopping`.
    """
    reset = hits.get(Reset)
    if reset is not None and not reset.switch.halfway:
        hits.show(Reset)
        return Broken()
    if hang := hits.get(Hang):
        hits.show(Hang)
        await _gone(request, hang.switch.seconds, stopping)
        return Broken(reset=False)
    waf = hits.get(Waf)
    if waf is not None and _caught(hits, waf.switch):
        hits.show(Waf)
        return _html(HTTPStatus.FORBIDDEN)
    throttle = hits.get(Throttle)
    if throttle is not None and _too_many(hits, throttle.switch):
        hits.show(Throttle)
        return _throttled(throttle)
    if error := hits.get(ServerError):
        hits.show(ServerError)
        status = error.switch.status
        return _html(status) if error.switch.html else _errors(status)
    return None


def broken(hits: Hits, answer: Response) -> Response:
    """The answer, whole or not."""
    reset = hits.get(Reset)
    if reset is not None and reset.switch.halfway:
        hits.show(Reset)
        return Broken(bytes(answer.body), halfway=True)
    if truncated := hits.get(Truncated):
        hits.show(Truncated)
        kept = bytes(answer.body)[: int(len(answer.body) * truncated.switch.share)]
        return Response(kept, answer.status_code, media_type=answer.media_type)
    return answer


async def wait(hits: Hits, stopping: asyncio.Event) -> None:
    """As long as `slow` says, or until the server is `stopping`."""
    if slow := hits.get(Slow):
        hits.show(Slow)
        await _first(slow.switch.ms / 1000, stopping.wait())


async def _gone(request: Request, seconds: float, stopping: asyncio.Event) -> None:
    """Until the client has left or the server stops, at most so long."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    await _first(seconds, left(), stopping.wait())


async def _first(seconds: float, *events: Coroutine[Any, Any, object]) -> None:
    """Until one of the events has come, at most so long."""
    tasks = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _too_many(hits: Hits, switch: Rated) -> bool:
    return switch.per_s is None or len(hits.within(WINDOW_S)) > switch.per_s


def _caught(hits: Hits, switch: Waf) -> bool:
    """Two crawls at once, or too many requests; without either condition everybody."""
    crawls = {one.crawl for one in hits.within(switch.crawl_s)} - {None}
    if switch.crawls and hits.kind == "page" and len(crawls) > 1:
        return True
    if switch.crawls and switch.per_s is None:
        return False
    return _too_many(hits, switch)


def _throttled(hit: Hit[Throttle]) -> Response:
    form = hit.switch.retry_after
    chosen = hit.rng.choice(RETRY_AFTER) if form == "mixed" else form
    seconds = timedelta(seconds=hit.switch.seconds)
    now = datetime.now(UTC)
    values = {
        "zero": "0",
        "negative": "-30",
        "seconds": str(hit.switch.seconds),
        "date": format_datetime(now + seconds, usegmt=True),
        "past": format_datetime(now - timedelta(hours=1), usegmt=True),
        "absurd": str(ABSURD_S),
        "garbage": "soon",
    }
    answer = _errors(HTTPStatus.TOO_MANY_REQUESTS)
    if chosen in values:
        answer.headers["Retry-After"] = values[chosen]
    return answer


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _html(status: int) -> Response:
    return Response(_HTML.format(f"{status} {_phrase(status)}"), status, media_type="text/html")


def _errors(status: int) -> Response:
    content = json.dumps({"errors": [{"message": _phrase(status)}]})
    return Response(content, status, media_type="application/json")
