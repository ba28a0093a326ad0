"""What comes back for a request, and what is noted of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from simulator.switches import Kind

UNAUTHENTICATED = "UNAUTHENTICATED"
FORBIDDEN = "FORBIDDEN"
NOT_FOUND = "NOT_FOUND"
BAD_INPUT = "BAD_USER_INPUT"


class Answer(NamedTuple):
    status: int  # of HTTP
    body: bytes  # JSON
    note: "Note"


@dataclass
class Note:
    """What the request log says of a request."""

    kind: Kind = "other"
    account: str | None = None
    query: Mapping[str, Any] | None = None  # the filters, of a page or a count
    offset: int | None = None
    limit: int | None = None
    items: int | None = None
    count: int | None = None
    error: str | None = None


class RefusedError(Exception):
    """An `errors` entry in place of a field."""

    def __init__(
        self, message: str, code: str | None, path: tuple[str, ...], *, status: int = 200
    ) -> None:
        """code  None: the entry has no extensions"""
        super().__init__(message)
        self.status = status  # of HTTP
        self.entry: dict[str, Any] = {"message": message, "path": list(path)}
        if code is not None:
            self.entry["extensions"] = {"code": code}


def to_json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
