"""An offer that a fold breaks on costs only itself."""

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from consolidator import fold as module
from consolidator import isolate
from consolidator.in_time import TookTooLong, in_time
from consolidator.isolate import NotOfSingleOffers, Search
from shared import feeds
from shared.feeds.base import Feed, Mapped
from tests.builders import FEED, item_now, rows
from tests.consolidator.landing import activate, end, fold, folded, land, rejected, stone, stones
from tests.consolidator.test_fold import offer


def feed_that(changes: Callable[[pl.DataFrame], pl.DataFrame]) -> Feed:
    """A feed whose mapping has a fault of its own: what it makes of the stones."""
    honest = feeds.feed(FEED)

    def mapped(payloads: Sequence[bytes]) -> Mapped:
        found = honest.map_offers(payloads)
        return Mapped(changes(found.stones), found.rejected)

    return replace(honest, map_offers=mapped)


def of(offer_id: str) -> pl.Expr:
    return pl.col("offer_id") == offer_id


def with_a_nul(stones: pl.DataFrame) -> pl.DataFrame:
    return stones.with_columns(girdle=pl.when(of("C")).then(pl.lit("a\x00b")).otherwise("girdle"))


def with_a_weight_beyond_the_column(stones: pl.DataFrame) -> pl.DataFrame:
    huge = pl.lit("123456789.125").cast(pl.Decimal(20, 3))
    weight = pl.col("carat").cast(pl.Decimal(20, 3))
    return stones.with_columns(carat=pl.when(of("C")).then(huge).otherwise(weight))


def of_no_known_kind(stones: pl.DataFrame) -> pl.DataFrame:
    """What only a constraint of the table notices."""
    return stones.with_columns(kind=pl.when(of("C")).then(pl.lit("glass")).otherwise("kind"))


def that_raises(stones: pl.DataFrame) -> pl.DataFrame:
    if "C" in stones["offer_id"]:
        raise ZeroDivisionError("the sum of nothing")
    return stones


def that_takes_forever(stones: pl.DataFrame) -> pl.DataFrame:
    while "C" in stones["offer_id"]:
        pass
    return stones


def that_panics(stones: pl.DataFrame) -> pl.DataFrame:
    if "C" in stones["offer_id"]:
        raise pl.exceptions.PanicException("index out of bounds")
    return stones


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        (with_a_nul, "unstorable", "0x00"),
        (with_a_weight_beyond_the_column, "unstorable", "numeric field overflow"),
        (of_no_known_kind, "unstorable", "known_kind"),
        (that_raises, "failed", "ZeroDivisionError: the sum of nothing"),
        (that_panics, "failed", "PanicException: index out of bounds"),
        (that_takes_forever, "too_slow", "more than"),
    ],
)
def test_only_the_offer_that_breaks_a_fold_is_rejected(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    changes: Callable[[pl.DataFrame], pl.DataFrame],
    reason: str,
    says: str,
) -> None:
    monkeypatch.setattr(module, "CHUNK_OFFERS", 3)
    monkeypatch.setattr(module, "CHUNK_CPU_S_MAX", 0.3)
    monkeypatch.setattr(module, "TRY_CPU_S_MAX", 0.3)
    monkeypatch.setattr(module.price_chunk, "__kwdefaults__", {"cpu_s_max": 0.3})
    activate(engine)
    folded(engine, [offer("C", price=9_000)])
    held = land(engine, [offer(name) for name in "ABCDEFG"])
    done = fold(engine, held, feed_that(changes))
    assert (done.offers, done.inserted, done.rejected, done.price_changes) == (6, 6, 1, 6)
    assert item_now(engine, held.item_id)["state"] == "done"
    (kept,) = rows(engine, "SELECT * FROM rejected_offers")
    assert (kept["offer_id"], kept["position"], kept["reason"]) == ("C", 2, reason)
    assert says in kept["detail"]
    assert kept["payload"]["id"] == "C"
    withdrawn = {row["offer_id"]: row["off_sale_reason"] for row in stones(engine)}
    assert withdrawn == dict.fromkeys("ABDEFG") | {"C": "rejected"}


def test_a_text_too_long_for_an_index_is_found_with_the_real_mapping(engine: Engine) -> None:
    activate(engine)
    draw = random.Random(5)
    endless = "".join(draw.choices(string.ascii_letters + string.digits, k=20_000))
    held = land(engine, [offer("A"), offer("B", certNumber=endless), offer("C")])
    assert fold(engine, held).inserted == 2
    assert rejected(engine) == [("B", "unstorable")]
    (kept,) = rows(engine, "SELECT detail FROM rejected_offers")
    assert "index row" in kept["detail"]


def test_several_culprits_are_each_found(engine: Engine) -> None:
    activate(engine)

    def broken(stones: pl.DataFrame) -> pl.DataFrame:
        for name in "BFG":
            if name in stones["offer_id"]:
                raise ValueError(name)
        return stones

    done = fold(engine, land(engine, [offer(name) for name in "ABCDEFG"]), feed_that(broken))
    assert (done.offers, done.rejected) == (4, 3)
    assert rejected(engine) == [("B", "failed"), ("F", "failed"), ("G", "failed")]


def test_a_fault_of_all_offers_is_a_bug_and_rejects_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolate, "CULPRITS_MAX", 2)
    activate(engine)

    def broken(stones: pl.DataFrame) -> pl.DataFrame:
        raise ValueError("no column 'price'")

    held = land(engine, [offer(name) for name in "ABCDEFG"])
    with pytest.raises(ValueError, match="no column"):
        fold(engine, held, feed_that(broken))
    assert (stones(engine), rejected(engine)) == ([], [])
    assert item_now(engine, held.item_id)["state"] == "held"


def test_an_offer_that_breaks_a_fold_once_comes_back_with_the_next_sound_version(
    engine: Engine,
) -> None:
    activate(engine)
    folded(engine, [offer("C")])
    held = land(engine, [offer("C", price=12_000)])
    fold(engine, held, feed_that(that_raises))
    assert stone(engine)["off_sale_reason"] == "rejected"
    end(engine, held.run_id)
    folded(engine, [offer("C", price=12_000)])
    assert (stone(engine)["on_sale"], stone(engine)["price_cents"]) == (True, 24_000)


def test_processor_time_is_bounded_and_the_bound_is_lifted_again() -> None:
    with pytest.raises(TookTooLong, match=r"0\.05 s"), in_time(0.05):
        while True:
            pass
    with in_time(0.05):
        pass
    end = sum(n for n in range(2_000_000))  # longer than the bound that is over
    assert end > 0


@settings(deadline=None, max_examples=200)
@given(st.sets(st.integers(0, 300), max_size=20), st.integers(1, 301))
def test_the_search_finds_the_culprits_and_nobody_else(guilty: set[int], offers: int) -> None:
    tries = 0

    def attempt(positions: Sequence[int]) -> BaseException | None:
        nonlocal tries
        tries += 1
        return ValueError("x") if guilty & set(positions) else None

    search = Search()
    search.among(range(offers), attempt)
    present = {one for one in guilty if one < offers}
    assert {one.position for one in search.found} == present
    assert tries <= 1 + 2 * len(present) * offers.bit_length()


def test_the_search_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "SEARCH_S_MAX", -1.0)
    with pytest.raises(NotOfSingleOffers):
        Search().among(range(10), lambda _: ValueError())


def test_what_is_no_matter_of_an_offer_is_told_apart() -> None:
    from psycopg import errors  # noqa: PLC0415  many names, used once

    from shared.errors import ClaimLost, DatabaseUnavailable, NotNow  # noqa: PLC0415  the same

    found: dict[Any, bool] = {
        ValueError(): True,
        TookTooLong(): True,
        RecursionError(): True,
        errors.NumericValueOutOfRange(): True,
        errors.CheckViolation(): True,
        errors.ProgramLimitExceeded(): True,
        MemoryError(): False,
        ClaimLost(): False,
        NotNow(): False,
        DatabaseUnavailable(): False,
        errors.DeadlockDetected(): False,
        errors.DiskFull(): False,
        errors.UndefinedColumn(): False,
    }
    for error, expected in found.items():
        assert isolate.may_be_of_an_offer(error) is expected, error
