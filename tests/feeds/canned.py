"""A supplier made of canned answers."""

from collections.abc import Iterator
from typing import NamedTuple

import httpx


class Canned(NamedTuple):
    """An answer to be given, unread."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012  never changed

    def response(self) -> httpx.Response:
        return httpx.Response(self.status, headers=self.headers, stream=Whole(self.body))


class Whole(httpx.SyncByteStream):
    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self.body


class Script:
    """A supplier that gives these answers in turn, the last one for ever."""

    def __init__(self, *answers: Canned | httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer.response() if isinstance(answer, Canned) else answer
