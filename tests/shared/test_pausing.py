"""A paused feed: no runs, and no work that asks its supplier."""

import pytest
from sqlalchemy import Engine

from shared import ledger, pausing
from shared.db import transaction
from shared.errors import FeedPaused, NotNow, UnknownFeed
from shared.ledger import Kind
from tests.builders import FEED, claim, due_item, held_item, item_now, open_run, rows


def pause(engine: Engine, feed: str = FEED) -> pausing.Waiting:
    with transaction(engine) as tx:
        return pausing.pause(tx, feed, actor="ana", reason="contract under review")


def resume(engine: Engine) -> int:
    with transaction(engine) as tx:
        return pausing.resume(tx, FEED, actor="ana", reason="signed")


def announced(engine: Engine, kind: Kind) -> int:
    with transaction(engine) as tx:
        return len(ledger.announce(tx, kind, again_s=3_600, announced_max=100))


def test_a_paused_feed_opens_no_run_and_says_what_resumes_it(engine: Engine) -> None:
    pause(engine)
    with pytest.raises(FeedPaused, match="contract under review") as caught:
        open_run(engine)
    assert f"facet feed resume {FEED}" in caught.value.hint
    resume(engine)
    open_run(engine)


@pytest.mark.parametrize(("kind", "goes_on"), [("fetch", False), ("cut", False), ("fold", True)])
def test_what_asks_the_supplier_waits_and_what_was_read_is_folded(
    engine: Engine, kind: Kind, goes_on: bool
) -> None:
    run_id = open_run(engine)
    item_id = due_item(engine, kind, run_id=run_id)
    assert pause(engine).due == (1 if goes_on else 2)  # the plan of the run is one
    assert announced(engine, kind) == (1 if goes_on else 0)
    assert (claim(engine, item_id, kind) is not None) == goes_on


def test_a_message_that_was_under_way_finds_nothing_to_take_and_is_sent_again(
    engine: Engine,
) -> None:
    item_id = due_item(engine)
    assert announced(engine, "fetch") == 1
    pause(engine)
    assert claim(engine, item_id) is None
    assert item_now(engine, item_id)["attempts"] == 0
    assert resume(engine) == 2
    assert announced(engine, "fetch") == 1
    assert claim(engine, item_id) is not None


def test_what_is_held_is_finished(engine: Engine) -> None:
    held = held_item(engine)
    assert pause(engine).held == 1
    with transaction(engine) as tx:
        ledger.heartbeat(tx, held, lease_s=60)
        ledger.finish(tx, held)


def test_the_pause_of_one_feed_is_none_of_another(engine: Engine) -> None:
    item_id = due_item(engine)
    pause(engine, "nivoda-labgrown")
    assert announced(engine, "fetch") == 1
    assert claim(engine, item_id) is not None


def test_pausing_twice_and_resuming_twice_are_refused(engine: Engine) -> None:
    pause(engine)
    with pytest.raises(NotNow, match="paused already"):
        pause(engine)
    resume(engine)
    with pytest.raises(NotNow, match="is not paused"):
        resume(engine)
    with pytest.raises(UnknownFeed):
        pause(engine, "acme")


def test_both_are_audited(engine: Engine) -> None:
    pause(engine)
    resume(engine)
    events = rows(engine, "SELECT actor, action, subject, reason, before FROM audit_events")
    assert [(one["action"], one["reason"]) for one in events] == [
        ("feed.pause", "contract under review"),
        ("feed.resume", "signed"),
    ]
    assert events[1]["before"]["reason"] == "contract under review"
