"""What we log as an error reaches Sentry, with its ids and without a secret."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from shared import telemetry
from shared.errors import BadSettings
from shared.settings import load

LOGS = """
import structlog
from structlog.contextvars import bound_contextvars
from shared import telemetry
from shared.settings import settings
telemetry.be("worker")
telemetry.configure(reporting=settings())
log = structlog.get_logger()
with bound_contextvars(item_id=7, kind="fetch"):
    log.warning("item_given_back", error="not sent")
    log.error("item_buried", error="refused by http://ana:hush-hush@host/x with key-in-a-header")
    try:
        password = "hush-hush"
        raise ValueError(f"bad answer {password}")
    except ValueError:
        log.exception("item_failed")
"""


class Sentry(BaseHTTPRequestHandler):
    """Takes envelopes as Sentry does."""

    got: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        type(self).got.append(gzip.decompress(body) if packed else body)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sentry() -> Iterator[tuple[str, list[bytes]]]:
    got: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), type("Own", (Sentry,), {"got": got}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://public@127.0.0.1:{server.server_port}/1", got
    server.shutdown()
    server.server_close()


def events(envelopes: list[bytes]) -> list[dict[str, Any]]:
    lines = [line for one in envelopes for line in one.splitlines() if line.startswith(b"{")]
    found = [json.loads(line) for line in lines]
    return [one for one in found if "event_id" in one and "tags" in one]


@pytest.mark.timeout(200)
def test_errors_arrive_with_their_ids_and_without_secrets(
    sentry: tuple[str, list[bytes]],
) -> None:
    address, got = sentry
    settings = {
        "FACET_SENTRY_DSN": address,
        "FACET_DATABASE_URL": "postgresql+psycopg://facet:hush-hush@host/facet",
        "FACET_NIVODA_PASSWORD": "key-in-a-header",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOGS],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    found = events(got)
    assert len(found) == 2  # a warning was handled: nobody need hear of it
    buried, failed = found
    assert buried["message"] == "item_buried"
    assert {"item_id": "7", "kind": "fetch", "role": "worker"}.items() <= buried["tags"].items()
    assert failed["exception"]["values"][0]["type"] == "ValueError"
    whole = b"".join(got)
    assert b"hush-hush" not in whole
    assert b"key-in-a-header" not in whole
    assert b"ana:***@host" in whole


def test_a_dsn_that_is_none_is_a_wrong_setting() -> None:
    given = load({"FACET_SENTRY_DSN": "not a dsn"})
    with pytest.raises(BadSettings, match="FACET_SENTRY_DSN"):
        telemetry.configure(reporting=given)


def test_the_secrets_of_the_settings_are_all_that_must_not_be_told() -> None:
    given = load(
        {
            "FACET_DATABASE_URL": "postgresql+psycopg://facet:one@host/facet",
            "FACET_DATABASE_URL_WORKER": "postgresql+psycopg://w:two@host/facet",
            "FACET_IDEX_API_SECRET": "three",
        }
    )
    assert {"one", "two", "three"} <= given.secrets()
