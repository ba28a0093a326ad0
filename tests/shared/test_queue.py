"""What becomes of a message: the shell around every piece of work."""

from typing import Any

import pytest
from pydantic_core import to_json
from sqlalchemy import Engine, text

from shared import queue
from shared.db import transaction
from shared.errors import ClaimLost, Stopped, SupplierRefused, SupplierUnavailable
from shared.ledger import Claim
from shared.queue import Wakeup
from tests.builders import due_item, item_now, lapse, rows


def deliver(engine: Engine, message: dict[str, Any], work: Any) -> str:
    return queue.deliver(message, "fetch", work, engine=engine)


def nothing(held: Claim) -> None:
    """Work that does nothing."""


def failing(error: Exception) -> Any:
    def work(held: Claim) -> None:
        raise error

    return work


def test_a_message_is_a_claim_and_the_work(engine: Engine) -> None:
    item_id = due_item(engine)
    seen: list[Claim] = []
    assert deliver(engine, {"item": item_id, "epoch": 0}, seen.append) == "done"
    assert (seen[0].item_id, seen[0].epoch) == (item_id, 1)


def test_the_same_message_again_does_nothing(engine: Engine) -> None:
    message = {"item": due_item(engine), "epoch": 0}
    seen: list[Claim] = []
    assert deliver(engine, message, seen.append) == "done"
    assert deliver(engine, message, seen.append) == "skipped"
    assert len(seen) == 1


def test_a_message_for_a_row_that_is_not_there_does_nothing(engine: Engine) -> None:
    assert deliver(engine, {"item": 999_999, "epoch": 0}, nothing) == "skipped"


@pytest.mark.parametrize(
    ("error", "outcome", "state"),
    [
        (SupplierUnavailable("down"), "due", "due"),
        (Stopped("asked to stop"), "due", "due"),
        (SupplierRefused("wrong password"), "dead", "dead"),
        (ClaimLost("another holder"), "lost", "held"),
    ],
)
def test_an_error_decides_what_becomes_of_the_item(
    engine: Engine, error: Exception, outcome: str, state: str
) -> None:
    item_id = due_item(engine)
    assert deliver(engine, {"item": item_id, "epoch": 0}, failing(error)) == outcome
    assert item_now(engine, item_id)["state"] == state


def test_a_bug_is_buried_with_its_traceback_and_surfaces(engine: Engine) -> None:
    item_id = due_item(engine)
    with pytest.raises(ZeroDivisionError):
        deliver(engine, {"item": item_id, "epoch": 0}, failing(ZeroDivisionError("one over none")))
    (letter,) = rows(engine, "SELECT reason, error, traceback FROM dead_letters")
    assert (letter["reason"], letter["error"]) == ("bug", "one over none")
    assert "ZeroDivisionError" in letter["traceback"]
    assert item_now(engine, item_id)["state"] == "dead"


def test_work_that_lost_its_claim_while_it_failed_leaves_no_dead_letter(engine: Engine) -> None:
    item_id = due_item(engine)

    def work(held: Claim) -> None:
        lapse(engine, item_id)
        with transaction(engine) as tx:
            tx.execute(
                text("UPDATE work_items SET epoch = epoch + 1 WHERE item_id = :i"), {"i": item_id}
            )
        raise SupplierRefused("too late to matter")

    deliver(engine, {"item": item_id, "epoch": 0}, work)
    assert rows(engine, "SELECT 1 FROM dead_letters") == []


@pytest.mark.parametrize(
    "message",
    [{}, {"item": 0, "epoch": 0}, {"item": 1, "epoch": "x"}, {"item": 1, "epoch": 0, "rows": [1]}],
)
def test_a_message_that_cannot_be_read_is_kept_with_its_bytes(
    engine: Engine, message: dict[str, Any]
) -> None:
    assert deliver(engine, message, nothing) == "unreadable"
    (letter,) = rows(engine, "SELECT reason, message FROM dead_letters")
    assert (letter["reason"], bytes(letter["message"])) == ("bad_message", to_json(message))


def test_messages_of_the_first_release_can_be_read() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = f'{{"item": 812, "epoch": 3, "traceparent": "{trace}"}}'
    assert Wakeup.model_validate_json(sent) == Wakeup(item=812, epoch=3, traceparent=trace)
    assert Wakeup.model_validate_json('{"item": 812, "epoch": 0}').traceparent is None


def test_a_message_stays_under_300_bytes() -> None:
    largest = Wakeup(item=2**63 - 1, epoch=2**31 - 1, traceparent="0" * 64)
    assert len(largest.model_dump_json()) < 300
