"""A connection lost during COMMIT: whether it happened is read, never guessed, never repeated."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from shared import db, ledger, queue
from shared.db import transaction
from shared.errors import CommitInDoubt, DatabaseUnavailable
from shared.ledger import Claim
from tests.builders import due_item, item_now, rows
from tests.proxy import Cut, Wire, wire_to

BOTH: tuple[Cut, ...] = ("unheard", "unanswered")


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    asked = make_url(database_url).query
    with wire_to(Path(str(asked["host"])), int(str(asked["port"]))) as made:
        yield made


@pytest.fixture
def wired(database_url: str, wire: Wire) -> Iterator[Engine]:
    """The test's database, through the wire."""
    url = make_url(database_url)
    url = url.set(host="127.0.0.1", port=wire.port).set(
        query={"sslmode": "disable", "gssencmode": "disable"}
    )
    made = db.connect(url.render_as_string(hide_password=False))
    yield made
    made.dispose()


@pytest.mark.parametrize("cut", BOTH)
def test_a_lost_commit_is_said_to_be_in_doubt(
    engine: Engine, wired: Engine, wire: Wire, cut: Cut
) -> None:
    with pytest.raises(CommitInDoubt, match="lost during a commit"), transaction(wired) as tx:
        tx.execute(text("INSERT INTO feeds (feed) VALUES ('new')"))
        wire.cut = cut
    assert wire.cuts == 1
    there = rows(engine, "SELECT 1 FROM feeds WHERE feed = 'new'")
    assert len(there) == (1 if cut == "unanswered" else 0)


def test_a_connection_lost_before_the_commit_leaves_no_doubt(engine: Engine, wired: Engine) -> None:
    with pytest.raises(DatabaseUnavailable) as caught, transaction(wired) as tx:
        (pid,) = tx.execute(text("SELECT pg_backend_pid()")).one()
        rows(engine, "SELECT pg_terminate_backend(:pid)", pid=pid)
        tx.execute(text("SELECT 1"))
    assert not isinstance(caught.value, CommitInDoubt)


def test_a_commit_that_was_refused_leaves_no_doubt(engine: Engine) -> None:
    """What a serialization failure undid can be done again at once."""
    with transaction(engine) as tx:
        tx.execute(
            text("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'try again' USING ERRCODE = 'serialization_failure'; END $$""")
        )
        tx.execute(
            text("""
            CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON feeds DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse()""")
        )
    with pytest.raises(DatabaseUnavailable) as caught, transaction(engine) as tx:
        tx.execute(text("INSERT INTO feeds (feed) VALUES ('new')"))
    assert not isinstance(caught.value, CommitInDoubt)
    assert rows(engine, "SELECT 1 FROM feeds") == []


@pytest.mark.parametrize(("cut", "outcome"), [("unheard", "skipped"), ("unanswered", "done")])
def test_a_claim_in_doubt_is_looked_up_and_kept_if_it_was_made(
    engine: Engine, wired: Engine, wire: Wire, cut: Cut, outcome: str
) -> None:
    item_id = due_item(engine)
    seen: list[Claim] = []

    def work(held: Claim) -> None:
        seen.append(held)
        with transaction(wired) as tx:
            ledger.finish(tx, held)

    warm(wired)
    wire.cut = cut
    message = {"item": item_id, "epoch": 0}
    assert queue.deliver(message, "fetch", work, engine=wired) == outcome
    now = item_now(engine, item_id)
    if outcome == "done":
        assert (now["state"], now["epoch"], [held.epoch for held in seen]) == ("done", 1, [1])
    else:
        assert (now["state"], now["epoch"], seen) == ("due", 0, [])


def test_anothers_claim_is_not_taken_for_ours(engine: Engine) -> None:
    item_id = due_item(engine)
    with transaction(engine) as tx:
        held = ledger.claim(tx, "fetch", item_id, 0, owner=uuid4(), lease_s=60)
        assert held is not None
        assert ledger.claimed_in_doubt(tx, "fetch", item_id, 0, owner=uuid4()) is None


@pytest.mark.parametrize(("cut", "outcome"), [("unheard", "due"), ("unanswered", "done")])
def test_work_whose_last_commit_is_in_doubt_is_done_only_if_it_was(
    engine: Engine, wired: Engine, wire: Wire, cut: Cut, outcome: str
) -> None:
    item_id = due_item(engine)

    def work(held: Claim) -> None:
        with transaction(wired) as tx:
            ledger.finish(tx, held)
            tx.execute(text("INSERT INTO feeds (feed) VALUES ('written')"))
            wire.cut = cut

    message = {"item": item_id, "epoch": 0}
    assert queue.deliver(message, "fetch", work, engine=wired) == outcome
    assert item_now(engine, item_id)["state"] == outcome
    written = rows(engine, "SELECT 1 FROM feeds WHERE feed = 'written'")
    assert len(written) == (1 if outcome == "done" else 0)


def warm(engine: Engine) -> None:
    """Connect, so that nothing but the next transaction commits."""
    with transaction(engine) as tx:
        tx.execute(text("SELECT 1"))
