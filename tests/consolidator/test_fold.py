"""One partition's raw offers into stones, price changes and rejected offers."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from consolidator import fold as module
from shared import feeds
from shared.db import transaction
from shared.errors import ClaimLost, NotNow
from shared.feeds.base import Mapped
from sql import query
from tests.builders import FEED, claim, item_now, open_run, rows
from tests.consolidator.landing import (
    NO_PEARS,
    TWICE_THE_COST,
    activate,
    end,
    fold,
    folded,
    land,
    price_changes,
    rejected,
    stone,
    stones,
)
from tests.feeds.offers import payload


def offer(name: str = "A", **wanted: Any) -> bytes:
    """An offer that is the same whenever it is made with the same words."""
    same = {"id": name, "stone_id": name, "certNumber": name, "pdfUrl": None, "video": None}
    return payload(**same | {"price": 10_000} | wanted)


def marks(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """What a write of a row would move."""
    return {
        row["offer_id"]: (row["row_version"], row["changed_at"], row["read_at"])
        for row in stones(engine)
    }


def test_offers_become_stones_priced_by_the_active_ruleset(engine: Engine) -> None:
    ruleset_id = activate(engine)
    held = land(engine, [offer("A"), offer("B", price=123, color="F")])
    done = fold(engine, held)
    assert done == (2, 2, 0, 0, 0, 2)
    found = {row["offer_id"]: row for row in stones(engine)}
    assert (found["A"]["cost_cents"], found["A"]["price_cents"]) == (10_000, 20_000)
    assert (found["B"]["price_cents"], found["B"]["color"]) == (246, "F")
    for row in found.values():
        assert (row["rule"], row["ruleset_id"], row["run_id"]) == ("twice", ruleset_id, held.run_id)
        assert row["on_sale"]
    assert item_now(engine, held.item_id)["state"] == "done"
    (part,) = rows(engine, "SELECT * FROM partitions")
    assert tuple(part[name] for name in done._fields) == done
    assert part["folded_at"] is not None


def test_a_price_change_says_what_changed_and_why(engine: Engine) -> None:
    ruleset_id = activate(engine)
    folded(engine, [offer()])
    run_id = folded(engine, [offer(price=11_000)])
    first, second = rows(engine, "SELECT * FROM price_changes ORDER BY changed_at")
    assert (first["old_price_cents"], first["old_cost_cents"]) == (None, None)
    assert (first["new_price_cents"], first["new_cost_cents"]) == (20_000, 10_000)
    assert second == {
        "stone_id": stone(engine)["stone_id"],
        "changed_at": stone(engine)["changed_at"],
        "old_price_cents": 20_000,
        "old_price_currency": "USD",
        "new_price_cents": 22_000,
        "price_currency": "USD",
        "old_cost_cents": 10_000,
        "new_cost_cents": 11_000,
        "cost_currency": "USD",
        "ruleset_id": ruleset_id,
        "rule": "twice",
        "rate_id": None,
        "cause": "feed",
        "run_id": run_id,
        "reprice_id": None,
        "actor": "consolidator",
    }


def test_what_is_the_same_is_not_written_again(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer("A"), offer("B"), offer("C")])
    before = marks(engine)
    held = land(engine, [offer("A"), offer("B", price=12_000), offer("C")])
    assert fold(engine, held) == (3, 0, 1, 2, 0, 1)
    after = marks(engine)
    assert (after["A"], after["C"]) == (before["A"], before["C"])
    assert after["B"] != before["B"]


def test_a_change_that_leaves_the_price_alone_is_written_without_a_price_change(
    engine: Engine,
) -> None:
    activate(engine)
    folded(engine, [offer(color="E")])
    assert fold(engine, land(engine, [offer(color="F")])) == (1, 0, 1, 0, 0, 0)
    assert stone(engine)["color"] == "F"
    assert price_changes(engine) == [(None, 20_000)]


def test_another_ruleset_or_mapping_is_written_on_every_stone(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    thrice = activate(engine, NO_PEARS)
    assert fold(engine, land_and_end(engine)) == (1, 0, 1, 0, 0, 1)
    assert (stone(engine)["price_cents"], stone(engine)["ruleset_id"]) == (30_000, thrice)
    newer = replace(feeds.feed(FEED), mapping_version=99)
    assert fold(engine, land_and_end(engine), newer) == (1, 0, 1, 0, 0, 0)
    assert stone(engine)["mapping_version"] == 99


def land_and_end(engine: Engine) -> Any:
    """The same offer again, in a run that is over so that another can follow."""
    held = land(engine, [offer()])
    end(engine, held.run_id)
    return held


@pytest.mark.parametrize(
    ("read_s", "latest"),
    [((0, 5), "F"), ((5, 0), "E"), ((0, 0), "F")],
    ids=["later below", "later above", "of one page"],
)
def test_of_an_offer_that_came_twice_the_latest_counts(
    engine: Engine, read_s: Sequence[float], latest: str
) -> None:
    activate(engine)
    payloads = [offer(color="E", price=100), offer(color="F", price=200)]
    assert fold(engine, land(engine, payloads, read_s=read_s)) == (1, 1, 0, 0, 0, 1)
    assert stone(engine)["color"] == latest
    assert price_changes(engine) == [(None, 200 if latest == "E" else 400)]


@pytest.mark.parametrize("chunk", [1, 2, 3, 9])
def test_an_offer_that_came_often_is_in_one_chunk_and_has_one_price_change(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    activate(engine)
    monkeypatch.setattr(module, "CHUNK_OFFERS", chunk)
    twice = [offer(f"O{n}", price=100) for n in range(3)]
    often = [offer("O1", price=100 * n) for n in range(2, 6)]
    nameless = [b'{"id":null,"null_item":true,"message":"bad enum"}'] * 3
    payloads = [*often[:2], *nameless, *twice, *often[2:]]
    done = fold(engine, land(engine, payloads, read_s=range(len(payloads))))
    assert done == (3, 3, 0, 0, 3, 3)
    assert {row["offer_id"]: row["price_cents"] for row in stones(engine)} == {
        "O0": 200, "O1": 1_000, "O2": 200,
    }  # fmt: skip
    assert rejected(engine) == [(None, "null_item")] * 3


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 6, 7])
def test_nothing_is_lost_at_the_border_of_a_chunk(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    activate(engine, NO_PEARS)
    monkeypatch.setattr(module, "CHUNK_OFFERS", 3)
    refused = {2, 3}  # the last of a chunk and the first of the next
    payloads = [
        offer(f"O{n}", price=100 + n, shape="PEAR" if n in refused else "ROUND")
        for n in range(number)
    ]
    done = fold(engine, land(engine, payloads))
    lost = [f"O{n}" for n in range(number) if n in refused]
    assert [row["offer_id"] for row in stones(engine)] == [
        f"O{n}" for n in range(number) if n not in refused
    ]
    assert [row["price_cents"] for row in stones(engine)] == [
        3 * (100 + n) for n in range(number) if n not in refused
    ]
    assert rejected(engine) == [(name, "refused_by_rule") for name in lost]
    assert done == (number - len(lost), number - len(lost), 0, 0, len(lost), number - len(lost))


@pytest.mark.parametrize(
    ("raw", "offer_id", "reason", "detail"),
    [
        (b'{"id":null,"null_item":true,"message":"bad enum"}', None, "null_item", "bad enum"),
        (b'["not", "an offer"]', None, "broken", ""),
        (offer(id=None), None, "no_id", "id: missing"),
        (offer(length="long"), "A", "unreadable", "length: long"),
        (offer(labgrown=True), "A", "wrong_kind", "labgrown: true"),
        (offer(shape=None), "A", "no_shape", "shape: missing"),
        (offer(carats=0), "A", "no_carat", "carats: 0"),
        (offer(price=0), "A", "no_price", "price: 0"),
        (offer(shape="PEAR"), "A", "refused_by_rule", "we sell no pears"),
    ],
)
def test_a_rejected_offer_is_kept_with_its_payload_reason_and_detail(
    engine: Engine, raw: bytes, offer_id: str | None, reason: str, detail: str
) -> None:
    activate(engine, NO_PEARS)
    held = land(engine, [raw, offer("B")])
    assert fold(engine, held) == (1, 1, 0, 0, 1, 1)
    (kept,) = rows(engine, "SELECT *, payload::text AS said FROM rejected_offers")
    assert (kept["offer_id"], kept["reason"]) == (offer_id, reason)
    assert detail in kept["detail"]
    assert kept["said"] == raw.decode()
    assert (kept["run_id"], kept["feed"], kept["position"]) == (held.run_id, FEED, 0)
    assert [row["offer_id"] for row in stones(engine)] == ["B"]


def test_a_stone_whose_offer_is_refused_goes_off_sale_with_its_last_price_and_comes_back(
    engine: Engine,
) -> None:
    activate(engine, NO_PEARS)
    folded(engine, [offer()])
    folded(engine, [offer(shape="PEAR")])
    gone = stone(engine)
    assert (gone["on_sale"], gone["off_sale_reason"]) == (False, "rejected")
    assert (gone["price_cents"], gone["shape"]) == (30_000, "ROUND")
    before = marks(engine)
    folded(engine, [offer(shape="PEAR")])
    assert marks(engine) == before
    folded(engine, [offer()])
    back = stone(engine)
    assert (back["on_sale"], back["off_sale_reason"], back["off_sale_at"]) == (True, None, None)
    assert price_changes(engine) == [(None, 30_000)]


@pytest.mark.parametrize(("read_s", "on_sale"), [((0, 5), False), ((5, 0), True)])
def test_of_a_sound_and_a_refused_version_the_later_decides(
    engine: Engine, read_s: Sequence[float], on_sale: bool
) -> None:
    activate(engine, NO_PEARS)
    folded(engine, [offer()])
    sound_then_refused = [offer(price=11_000), offer(shape="PEAR")]
    fold(engine, land(engine, sound_then_refused, read_s=read_s))
    assert stone(engine)["on_sale"] == on_sale
    assert rejected(engine) == [("A", "refused_by_rule")]


@pytest.mark.parametrize(("read_s", "on_sale"), [((0, 5), False), ((5, 0), True)])
def test_also_where_the_sound_one_changes_nothing_and_a_later_chunk_refuses_another(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, read_s: Sequence[float], on_sale: bool
) -> None:
    activate(engine, NO_PEARS)
    monkeypatch.setattr(module, "CHUNK_OFFERS", 1)
    folded(engine, [offer()])
    payloads = [offer(), offer(shape="PEAR"), offer("B", shape="PEAR")]
    fold(engine, land(engine, payloads, read_s=[*read_s, 0]))
    assert stone(engine)["on_sale"] == on_sale
    assert rejected(engine) == [("A", "refused_by_rule"), ("B", "refused_by_rule")]


def test_a_price_that_jumps_is_refused_until_it_is_back_or_the_stone_was_delisted(
    engine: Engine,
) -> None:
    activate(engine, TWICE_THE_COST + "guards: {rise_max: 50, fall_max: 50}\n")
    folded(engine, [offer(price=10_000)])
    for price in (15_001, 100_000, 4_999):
        folded(engine, [offer(price=price)])
        gone = stone(engine)
        assert (gone["off_sale_reason"], gone["price_cents"]) == ("rejected", 20_000)
    folded(engine, [offer(price=15_000)])
    assert stone(engine)["on_sale"]
    assert {reason for _, reason in rejected(engine)} == {"jump"}
    with transaction(engine) as tx:
        delist = "on_sale = false, off_sale_reason = 'delisted', off_sale_at = now()"
        tx.execute(text(f"UPDATE diamonds SET {delist}"))
    folded(engine, [offer(price=100)])
    assert stone(engine)["on_sale"]
    assert price_changes(engine) == [(None, 20_000), (20_000, 30_000), (30_000, 200)]


def test_a_price_in_another_currency_is_no_jump(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    euros = "currency: EUR\nrates: {USD: {rate: 0.1, as_of: 2026-01-02, source: made up}}\n"
    guards = "guards: {rise_max: 1, fall_max: 1}\n"
    activate(engine, TWICE_THE_COST.replace("currency: USD\n", euros + guards))
    folded(engine, [offer()])
    assert (stone(engine)["price_cents"], stone(engine)["price_currency"]) == (2_000, "EUR")


def test_without_an_active_ruleset_nothing_is_folded(engine: Engine) -> None:
    held = land(engine, [offer()])
    with pytest.raises(NotNow, match="no ruleset is active"):
        fold(engine, held)
    assert stones(engine) == []
    assert item_now(engine, held.item_id)["state"] == "held"


def test_a_fold_that_breaks_leaves_nothing_and_can_be_done_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(engine, NO_PEARS)
    monkeypatch.setattr(module, "CHUNK_OFFERS", 4)
    honest = feeds.feed(FEED)
    chunks: list[int] = []

    def breaks_at_the_second(payloads: Sequence[bytes]) -> Mapped:
        chunks.append(len(payloads))
        if len(chunks) == 2:
            raise MemoryError
        return honest.map_offers(payloads)

    payloads = [offer(f"O{n}", shape="ROUND" if n % 2 else "PEAR") for n in range(6)]
    held = land(engine, payloads)
    with pytest.raises(MemoryError):
        fold(engine, held, replace(honest, map_offers=breaks_at_the_second))
    assert chunks == [3, 3]
    assert (stones(engine), rejected(engine), price_changes(engine)) == ([], [], [])
    assert item_now(engine, held.item_id)["state"] == "held"
    assert fold(engine, held) == (3, 3, 0, 0, 3, 3)


def test_a_fold_done_again_rejects_anew_and_writes_nothing_else(engine: Engine) -> None:
    activate(engine, NO_PEARS)
    held = land(engine, [offer("A"), offer("B", shape="PEAR")])
    fold(engine, held)
    before = marks(engine)
    with pytest.raises(ClaimLost):
        fold(engine, held)
    hold_again = """
        UPDATE work_items
           SET state = 'held', finished_at = NULL, owner = gen_random_uuid(), lease_until = now()
         WHERE kind = 'fold'"""
    with transaction(engine) as tx:
        tx.execute(text(hold_again))
    assert fold(engine, held) == (1, 0, 0, 1, 1, 0)
    assert marks(engine) == before
    assert rejected(engine) == [("B", "refused_by_rule")]


def test_an_older_version_never_overwrites_a_newer_one(engine: Engine) -> None:
    activate(engine)
    run_id = open_run(engine)
    late = land(engine, [offer(price=100)], run_id=run_id, read_s=[-10])
    newer = land(engine, [offer(price=300)], run_id=run_id, read_s=[0])
    fold(engine, newer)
    before = marks(engine)
    assert fold(engine, late) == (1, 0, 0, 1, 0, 0)
    assert marks(engine) == before
    assert price_changes(engine) == [(None, 600)]


def test_an_older_version_that_is_refused_takes_no_newer_one_off_sale(engine: Engine) -> None:
    activate(engine, NO_PEARS)
    run_id = open_run(engine)
    late = land(engine, [offer(shape="PEAR")], run_id=run_id, read_s=[-10])
    fold(engine, land(engine, [offer()], run_id=run_id))
    fold(engine, late)
    assert stone(engine)["on_sale"]


@pytest.mark.parametrize("raw", [offer(price=99), offer(shape="PEAR")], ids=["priced", "refused"])
@pytest.mark.parametrize("state", ["complete", "partial", "open"])
def test_a_fold_after_a_later_run_has_read_the_offer_changes_nothing(
    engine: Engine, raw: bytes, state: str
) -> None:
    activate(engine, NO_PEARS)
    folded(engine, [offer()], read_s=[-30])
    old = land(engine, [raw], read_s=[-20])
    end(engine, old.run_id, "partial")
    later = land(engine, [offer()], read_s=[-10])  # as at first: it leaves no stamp on the stone
    fold(engine, later)
    if state != "open":
        end(engine, later.run_id, state)
    before = marks(engine)
    fold(engine, old)
    assert marks(engine) == before
    assert stone(engine)["on_sale"]


@pytest.mark.parametrize("state", ["complete", "partial"])
def test_a_fold_after_a_later_run_that_did_not_see_the_offer_counts_unless_that_was_complete(
    engine: Engine, state: str
) -> None:
    activate(engine)
    old = land(engine, [offer("A")])
    end(engine, old.run_id, "partial")
    later = folded(engine, [offer("B")])
    with transaction(engine) as tx:
        values = {"state": state, "reason": None if state == "complete" else "x", "id": later}
        change = "UPDATE runs SET state = :state, reason = :reason WHERE run_id = :id"
        tx.execute(text(change), values)
    fold(engine, old)
    assert [row["offer_id"] for row in stones(engine)] == (
        ["B"] if state == "complete" else ["A", "B"]
    )


def test_folds_that_share_offers_wait_for_each_other_and_agree(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(engine)
    monkeypatch.setattr(module, "CHUNK_OFFERS", 50)
    run_id = open_run(engine)
    shared = [offer(f"S{n:03}", price=100 + n) for n in range(300)]
    held = [land(engine, order, run_id=run_id) for order in (shared, shared[::-1])]
    start = threading.Barrier(2)

    def attempt(number: int) -> None:
        start.wait()
        fold(engine, held[number])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(attempt, range(2)))
    assert len(stones(engine)) == 300
    assert len(price_changes(engine)) == 300


def test_a_stone_that_was_missed_is_seen_again(engine: Engine) -> None:
    activate(engine)
    folded(engine, [offer()])
    with transaction(engine) as tx:
        tx.execute(text("UPDATE diamonds SET missed_runs = 1"))
    folded(engine, [offer()])
    assert stone(engine)["missed_runs"] == 0
    assert price_changes(engine) == [(None, 20_000)]


def test_words_that_would_break_a_csv_file_survive(engine: Engine) -> None:
    activate(engine)
    girdle = 'THIN, "FACETED"\n\\. ; \\N'
    fold(engine, land(engine, [offer(girdle=girdle, image='https://media.example/é,ü?a="b"')]))
    assert stone(engine)["girdle"] == girdle
    assert stone(engine)["image_url"] == 'https://media.example/é,ü?a="b"'


def test_a_partition_whose_raw_offers_are_gone_keeps_its_rejected_ones(engine: Engine) -> None:
    activate(engine, NO_PEARS)
    held = land(engine, [offer("A"), offer("B", shape="PEAR")])
    fold(engine, held)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET state = 'due', finished_at = NULL"))
        tx.execute(text("DELETE FROM raw_offers"))
    again = claim(engine, held.item_id, "fold")
    assert again is not None
    with pytest.raises(NotNow, match="are gone"):
        fold(engine, again)
    assert rejected(engine) == [("B", "refused_by_rule")]
    assert len(stones(engine)) == 1


def test_the_first_fold_of_an_empty_catalogue_looks_offers_up_by_their_key(engine: Engine) -> None:
    """Reading all stones for each of them took seconds, and more with every offer."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as apart:
        apart.exec_driver_sql("VACUUM (ANALYZE) diamonds")  # it is empty, and known to be
    values = {"feed": FEED, "partition_id": 1, "run_id": uuid4(), "mapping_version": 1}
    with transaction(engine) as tx:
        module.make_ready(tx)
        statement = text(f"EXPLAIN {query('upsert_stones')}")
        plan = "\n".join(line for (line,) in tx.execute(statement, values))
    assert "Index Scan using diamonds_pkey on diamonds" in plan
    assert "Seq Scan on diamonds" not in plan
