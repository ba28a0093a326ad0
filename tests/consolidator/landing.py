"""Partitions whose offers have landed, as a fold finds them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, text

from consolidator import rulesets
from consolidator.fold import Folded, fold_partition
from shared import feeds, ledger
from shared.db import transaction
from shared.feeds.base import Feed
from shared.ledger import Claim
from tests.builders import FEED, claim, insert_partition, open_run, rows

TWICE_THE_COST = """
name: twice the cost
currency: USD
rules:
  - name: twice
    price: {factor: 2}
"""

NO_PEARS = """
name: no pears
currency: USD
rules:
  - name: pears
    when: {shape: PEAR}
    refuse: we sell no pears
  - name: thrice
    price: {factor: 3}
"""

ADD_RAW_OFFER = """
    INSERT INTO raw_offers (landed_on, partition_id, position, offer_id, read_at, payload)
    SELECT landed_on, :partition_id, :position, :offer_id, now() + :after, :payload
      FROM runs WHERE run_id = :run_id"""


def activate(engine: Engine, source: str = TWICE_THE_COST) -> int:
    """Make a ruleset the one that prices; returns its id."""
    with transaction(engine) as tx:
        ruleset_id = rulesets.add(tx, source, source="test.yaml", author="ana")
        rulesets.activate(tx, ruleset_id, actor="ana", reason="a test")
    return ruleset_id


def end(engine: Engine, run_id: UUID, state: str = "complete") -> None:
    """End a run, so that the next of its feed may open."""
    reason = None if state == "complete" else "a test"
    values = {"run": run_id, "state": state, "reason": reason}
    with transaction(engine) as tx:
        tx.execute(text("""
            UPDATE runs SET state = :state, reason = :reason, finished_at = now()
             WHERE run_id = :run"""), values)  # fmt: skip


def land(
    engine: Engine,
    payloads: Sequence[bytes],
    *,
    run_id: UUID | None = None,
    read_s: Sequence[float] = (),
) -> Claim:
    """A fetched partition that holds these offers, and the claim of its fold.

    run_id   None: a run of its own
    read_s   when each of them was asked for, in seconds from now; 0 for all
    """
    run_id = run_id or open_run(engine)
    with transaction(engine) as tx:
        partition_id = insert_partition(tx, run_id)
        for position, payload in enumerate(payloads):
            values = {"partition_id": partition_id, "position": position, "run_id": run_id}
            after = timedelta(seconds=read_s[position] if read_s else 0)
            offer_id = offer_id_of(payload)
            extra = {"after": after, "offer_id": offer_id, "payload": payload.decode()}
            tx.execute(text(ADD_RAW_OFFER), values | extra)
        fetched(tx, partition_id, landed=len(payloads))
        item_id = ledger.add(tx, "fold", run_id, partition_id=partition_id)
    held = claim(engine, item_id, "fold")
    assert held is not None
    return held


def offer_id_of(payload: bytes) -> str | None:
    said = from_json(payload)
    return said.get("id") if isinstance(said, dict) else None


def fetched(tx: Connection, partition_id: int, *, landed: int) -> None:
    statement = (
        "UPDATE partitions SET fetched_at = now(), landed = :landed WHERE partition_id = :id"
    )
    tx.execute(text(statement), {"landed": landed, "id": partition_id})


def fold(engine: Engine, held: Claim, feed: Feed | None = None) -> Folded:
    return fold_partition(held, engine=engine, feed=feed or feeds.feed(held.feed))


def folded(engine: Engine, payloads: Sequence[bytes], **wanted: Any) -> UUID:
    """A complete run of one partition that held these; returns it."""
    held = land(engine, payloads, **wanted)
    fold(engine, held)
    end(engine, held.run_id)
    return held.run_id


def stones(engine: Engine, feed: str = FEED) -> list[dict[str, Any]]:
    """All stones by offer id, each with the version of its row."""
    statement = (
        "SELECT *, xmin::text AS row_version FROM diamonds WHERE feed = :f ORDER BY offer_id"
    )
    return rows(engine, statement, f=feed)


def stone(engine: Engine) -> dict[str, Any]:
    """The only one."""
    (found,) = stones(engine)
    return found


def price_changes(engine: Engine) -> list[tuple[int | None, int]]:
    """All of them in order: old price, new price."""
    statement = "SELECT old_price_cents, new_price_cents FROM price_changes ORDER BY changed_at"
    return [(row["old_price_cents"], row["new_price_cents"]) for row in rows(engine, statement)]


def rejected(engine: Engine) -> list[tuple[str | None, str]]:
    """All of them: offer id and reason."""
    statement = "SELECT offer_id, reason FROM rejected_offers ORDER BY partition_id, position"
    return [(row["offer_id"], row["reason"]) for row in rows(engine, statement)]
