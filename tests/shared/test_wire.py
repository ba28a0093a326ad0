"""What comes through the broker that is no wake-up: kept with its bytes, and nobody is harmed.

A real Celery worker, with this process's threads in place of its children, reads a real Valkey.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker
from kombu.exceptions import DecodeError
from kombu.message import Message
from sqlalchemy import Engine, text

from cli.embedded.servers import Servers
from shared import ledger, queue, wire
from shared.db import transaction
from shared.errors import DatabaseUnavailable
from shared.ledger import Claim
from tests.builders import due_item, item_now, open_run, rows
from tests.end_to_end.conftest import settings

LIMIT_S = 60.0


@pytest.fixture
def app(engine: Engine, servers: Servers) -> Iterator[Celery]:
    """An application over a logical database of its own, whose fetches only say that they came."""
    assert servers.redis_url is not None
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushdb()
    made = queue.make_app(settings(broker_url=servers.broker_url))
    seen: list[Claim] = []

    @queue.handles(made, "fetch", lambda: engine)
    def fetch(held: Claim) -> None:
        seen.append(held)
        with transaction(engine) as tx:
            ledger.finish(tx, held)

    made.seen = seen
    yield made
    made.close()


@pytest.fixture
def broker(servers: Servers) -> Iterator["redis.Redis"]:
    assert servers.redis_url is not None
    with redis.Redis.from_url(servers.redis_url) as client:
        yield client


@pytest.fixture
def worker(app: Celery) -> Iterator[object]:
    app.conf.task_queues = [one for one in app.conf.task_queues if one.name == "fetch"]
    with start_worker(app, pool="threads", concurrency=1, perform_ping_check=False) as running:
        yield running


def envelope(
    body: bytes = b"", *, task: str | None = "facet.fetch", headers: Any = None, **changed: Any
) -> dict[str, Any]:
    """A message as kombu lays it into the list of a queue."""
    tag = str(uuid4())
    named = {"id": tag, "lang": "py", "argsrepr": "", "kwargsrepr": ""}
    named |= {} if task is None else {"task": task}
    said = {
        "body": b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": named | (headers or {}),
        "properties": {
            "correlation_id": tag,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "fetch"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    }
    return said | changed


def body(args: Any = (), kwargs: Any = None, embed: Any = None) -> bytes:
    return json.dumps([args, {} if kwargs is None else kwargs, embed or {}]).encode()


SOUND = {"item": 1, "epoch": 0}


class Thrown(NamedTuple):
    """What lies in the queue, and what must be kept and said of it."""

    raw: bytes
    kept: bytes
    said: str
    reason: str = "bad_message"


def thrown(content: bytes, said: str, reason: str = "bad_message", **more: Any) -> Thrown:
    return Thrown(json.dumps(envelope(content, **more)).encode(), content, said, reason)


WITHOUT_BODY = envelope() | {"body": "abc"}
STRAYS = {
    "bytes that are no JSON": Thrown(b"\xff\x00 garbage", b"\xff\x00 garbage", "no JSON"),
    "JSON that is a number": Thrown(b"5", b"5", "not a message but a int"),
    "JSON that claims to be a thing": Thrown(
        *[b'{"__type__": "mine", "__value__": 1}'] * 2, "no JSON"
    ),
    "a message without properties": Thrown(*[b'{"body": ""}'] * 2, "without a delivery tag"),
    "a body that is not base64": Thrown(*[json.dumps(WITHOUT_BODY).encode()] * 2, "not base64"),
    "a body that is no JSON": thrown(b"{", "cannot be decoded"),
    "a body that is a number": thrown(b"7", "not the arguments"),
    "another serializer": thrown(
        b"x", "application/x-pickle", **{"content-type": "application/x-pickle"}
    ),
    "a compressed body": thrown(b"zip", "cannot be decoded", headers={"compression": "gzip"}),
    "named arguments that are not ours": thrown(body(kwargs={"mail": "all"}), "item: Field"),
    "arguments by place": thrown(body(args=[1, 0]), "named arguments only"),
    "an item beyond all numbers": thrown(body(kwargs={"item": 2**70, "epoch": 0}), "item: Input"),
    "an ETA": thrown(body(kwargs=SOUND | {"epoch": 1}), "eta", headers={"eta": "soon"}),
    "a message of another age": thrown(b'{"task": 5}', "name no task", task=None),
    "a task nobody knows": thrown(
        body(kwargs=SOUND), "'facet.mail'", reason="unknown_task", task="facet.mail"
    ),
    "rows in place of an id": thrown(body(kwargs=SOUND | {"rows": "x" * 5_000}), "oversized: 5,"),
}


def until(ask: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := ask()):
        assert time.monotonic() < deadline
        Event().wait(0.02)
    return found


def test_strays_of_every_sort_become_dead_letters_and_the_worker_works_on(
    engine: Engine, app: Celery, broker: "redis.Redis", worker: object
) -> None:
    for stray in STRAYS.values():
        broker.lpush("fetch", stray.raw)
    item_id = due_item(engine)
    queue.send(app, "fetch", [queue.Wakeup(item=item_id, epoch=0)])
    until(lambda: item_now(engine, item_id)["state"] == "done")
    letters = until(lambda: all_of(engine, len(STRAYS)))
    for name, stray in STRAYS.items():
        like = [one for one in letters if bytes(one["message"]) == stray.kept]
        told = [(one["reason"], one["kind"], one["attempts"], one["error"]) for one in like]
        (error,) = [error for *rest, error in told if rest == [stray.reason, "fetch", 1]]
        assert stray.said in error, name
    (unknown,) = [one for one in letters if one["reason"] == "unknown_task"]
    assert unknown["payload"]["task"] == "facet.mail"
    until(lambda: not broker.llen("fetch") and not broker.hlen("unacked"))
    assert [held.item_id for held in app.seen] == [item_id]


def all_of(engine: Engine, number: int) -> list[dict[str, Any]] | None:
    letters = rows(engine, "SELECT * FROM dead_letters ORDER BY dead_letter_id")
    return letters if len(letters) >= number else None


def test_messages_that_have_nothing_to_claim_harm_nobody(
    engine: Engine, app: Celery, worker: object
) -> None:
    """Of a row that is gone, of a cancelled run, of epochs before and after the row's."""
    run_id = open_run(engine)
    cancelled, old, ahead = (due_item(engine, run_id=run_id) for _ in range(3))
    last = due_item(engine, run_id=run_id)
    with transaction(engine) as tx:
        change = text("UPDATE work_items SET state = 'cancelled', finished_at = now()"
                      " WHERE item_id = :i")  # fmt: skip
        tx.execute(change, {"i": cancelled})
        tx.execute(text("UPDATE work_items SET epoch = 4 WHERE item_id = :i"), {"i": old})
    wakeups = [(999_999, 0), (cancelled, 0), (old, 3), (ahead, 5), (last, 0)]
    queue.send(app, "fetch", [queue.Wakeup(item=item, epoch=epoch) for item, epoch in wakeups])
    until(lambda: item_now(engine, last)["state"] == "done")
    assert [held.item_id for held in app.seen] == [last]
    assert [item_now(engine, item)["epoch"] for item in (cancelled, old, ahead)] == [0, 4, 0]
    assert rows(engine, "SELECT 1 FROM dead_letters") == []


def test_a_stray_that_cannot_be_kept_stays_in_the_broker_until_it_can(
    engine: Engine, app: Celery, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[wire.Stray] = []

    def away(stray: wire.Stray) -> None:
        tried.append(stray)
        if len(tried) <= 3:
            raise DatabaseUnavailable("down")
        queue.keep_stray(stray, engine=lambda: engine)

    monkeypatch.setattr(wire, "NOT_KEPT_PAUSE_S", 0.0)
    monkeypatch.setattr(wire, "_keep", away)
    names = ("bytes that are no JSON", "JSON that is a number", "a task nobody knows")
    app.conf.task_queues = [one for one in app.conf.task_queues if one.name == "fetch"]
    with start_worker(app, pool="threads", concurrency=1, perform_ping_check=False):
        for name in names:
            broker.lpush("fetch", STRAYS[name].raw)
        letters = until(lambda: all_of(engine, 3))
        until(lambda: not broker.llen("fetch") and not broker.hlen("unacked"))
    assert len(letters) == 3
    assert {letter["attempts"] for letter in letters} == {1}


def test_a_message_with_a_decoding_error_of_its_own_is_kept(engine: Engine, app: Celery) -> None:
    found = wire.look(Message(body=b"\xff", content_type="text/plain", headers={}), known={})
    assert found is not None
    assert found.error == "its content is text/plain, not application/json"
    with pytest.raises(DecodeError):
        Message(body=b"{", content_type="application/json", accept=["application/json"]).decode()
