"""Slack, Resend and a receiver of webhooks, as HTTP servers on a local port.

Each answers as the real one does, as far as its documentation says; `next_answers` makes it fail.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

P = TypeVar("P", bound="Provider")

SLACK_PATH = "/services/T00000000/B00000000/hush-hush-4711"
RESEND_KEY = "re_hush-hush-4711"
WEBHOOK_PATH = "/hooks/hush-hush-4711"


class Answer(NamedTuple):
    """One answer: status, body, headers."""

    status: int
    body: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012  never changed


class Got(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


class Provider:
    """A provider's server. `requests`: everything that came; `taken`: what it took."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Got] = []
        self.taken: list[Got] = []
        self.next_answers: list[Answer] = []  # in place of its own
        self._lock = threading.Lock()

    def answer(self, got: Got) -> Answer:
        """What it says; safe to call from any thread."""
        with self._lock:
            self.requests.append(got)
            if self.next_answers:
                return self.next_answers.pop(0)
            return self.say(got)

    def say(self, got: Got) -> Answer:
        raise NotImplementedError


class Slack(Provider):
    """An incoming webhook."""

    @property
    def webhook(self) -> str:
        return self.url + SLACK_PATH

    def say(self, got: Got) -> Answer:
        if got.path != SLACK_PATH:
            return Answer(404, "no_service")
        try:
            said = got.json()
        except ValueError:
            return Answer(400, "invalid_payload")
        if not said.get("text") and not said.get("blocks"):
            return Answer(400, "no_text")
        if not all(self._is_sound(block) for block in said.get("blocks", [])):
            return Answer(400, "invalid_blocks")
        if len(said.get("blocks", [])) > 50:
            return Answer(400, "invalid_blocks")
        self.taken.append(got)
        return Answer(200, "ok", {"x-slack-req-id": uuid4().hex})

    @staticmethod
    def _is_sound(block: dict[str, Any]) -> bool:
        match block["type"]:
            case "header":
                text = block["text"]
                return text["type"] == "plain_text" and 1 <= len(text["text"]) <= 150
            case "section":
                text = block["text"]
                return text["type"] == "mrkdwn" and 1 <= len(text["text"]) <= 3_000
            case "context":
                return 1 <= len(block["elements"]) <= 10
        return False

    def words(self) -> list[str]:
        """All that was taken, each as one text."""
        return [_flat(got.json()) for got in self.taken]


class Resend(Provider):
    """Resend's `POST /emails`. `sent`: the mails that went out, by their id."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: dict[str, dict[str, Any]] = {}
        self._by_key: dict[str, tuple[str, str]] = {}

    def say(self, got: Got) -> Answer:
        headers = {name.lower(): value for name, value in got.headers.items()}
        if not headers.get("user-agent"):
            return self._problem(403, "application_error", "User-Agent is missing")
        if headers.get("authorization") != f"Bearer {RESEND_KEY}":
            return self._problem(403, "invalid_api_key", "API key is invalid")
        if got.path != "/emails":
            return self._problem(404, "not_found", "The requested endpoint does not exist")
        return self._send(got, headers)

    def _send(self, got: Got, headers: dict[str, str]) -> Answer:
        mail = got.json()
        for field in ("from", "to", "subject"):
            if not mail.get(field):
                return self._problem(422, "missing_required_field", f"Missing `{field}` field")
        key = headers.get("idempotency-key", uuid4().hex)
        if key in self._by_key:
            mail_id, body = self._by_key[key]
            if body != got.body:
                return self._problem(409, "invalid_idempotent_request", "Same key, other payload")
            return self._json(200, {"id": mail_id})
        mail_id = str(uuid4())
        self._by_key[key] = (mail_id, got.body)
        self.sent[mail_id] = mail
        self.taken.append(got)
        return self._json(200, {"id": mail_id})

    def _problem(self, status: int, name: str, message: str) -> Answer:
        return self._json(status, {"statusCode": status, "name": name, "message": message})

    @staticmethod
    def _json(status: int, body: dict[str, Any]) -> Answer:
        return Answer(status, json.dumps(body), {"Content-Type": "application/json"})

    def words(self) -> list[str]:
        """Subject and text of every mail that went out."""
        return [f"{mail['subject']}\n{mail['text']}" for mail in self.sent.values()]


class Receiver(Provider):
    """An address of somebody's own."""

    @property
    def webhook(self) -> str:
        return self.url + WEBHOOK_PATH

    def say(self, got: Got) -> Answer:
        self.taken.append(got)
        return Answer(204)


@contextmanager
def serving(kind: type[P]) -> Iterator[P]:
    """A provider that answers until the end."""
    provider: list[P] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            said = provider[0].answer(Got(self.path, dict(self.headers), body))
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body.encode())))
            self.end_headers()
            self.wfile.write(said.body.encode())

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.append(kind(f"http://127.0.0.1:{server.server_port}"))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield provider[0]
        finally:
            server.shutdown()
            thread.join()


def _flat(value: Any) -> str:
    """Every text in a document, one a line."""
    if isinstance(value, dict):
        return "\n".join(_flat(one) for name, one in value.items() if name != "type")
    if isinstance(value, list):
        return "\n".join(_flat(one) for one in value)
    return str(value)
