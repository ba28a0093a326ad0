"""The catalogue as it stands, and its comparison with what the oracle says it must be."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Engine

from tests.builders import rows
from tests.oracle.oracle import COMPARED, Catalogue, Kept, Outcome, PriceChange

NULL = None  # the offer id of an item that came as null
SHOWN_MAX = 5  # differences in a message


class Mark(NamedTuple):
    """What a write of a row moves, and nothing else does."""

    xmin: str
    changed_at: datetime


def catalogue(engine: Engine, feed: str) -> Catalogue:
    """Every stone of a feed, on sale or not."""
    return {row["offer_id"]: kept(row) for row in stones(engine, feed)}


def kept(row: Mapping[str, Any]) -> Kept:
    assert row["on_sale"] == (row["off_sale_reason"] is None)
    return Kept({name: row[name] for name in COMPARED}, row["off_sale_reason"])


def marks(engine: Engine, feed: str) -> dict[str, Mark]:
    """By offer id; equal to one taken before where the row was not written meanwhile."""
    return {
        row["offer_id"]: Mark(row["row_version"], row["changed_at"]) for row in stones(engine, feed)
    }


def stones(engine: Engine, feed: str) -> list[dict[str, Any]]:
    statement = "SELECT *, xmin::text AS row_version FROM diamonds WHERE feed = :feed"
    return rows(engine, statement, feed=feed)


def rejected(engine: Engine, run_id: UUID) -> dict[str | None, str]:
    """What a run rejected: offer id → reason."""
    statement = "SELECT offer_id, reason FROM rejected_offers WHERE run_id = :run"
    return {row["offer_id"]: row["reason"] for row in rows(engine, statement, run=run_id)}


def price_changes(engine: Engine, run_id: UUID) -> dict[str, list[PriceChange]]:
    """What a run changed, by offer id."""
    statement = """
        SELECT d.offer_id, c.*
          FROM price_changes AS c
          JOIN diamonds AS d USING (stone_id)
         WHERE c.run_id = :run"""
    found: dict[str, list[PriceChange]] = {}
    for row in rows(engine, statement, run=run_id):
        change = PriceChange(*(row[name] for name in PriceChange._fields))
        found.setdefault(row["offer_id"], []).append(change)
    return found


def assert_exact(
    engine: Engine, run: Mapping[str, Any], wanted: Outcome, *, nulls: int = 0
) -> None:
    """A run led to what the oracle says: every column of every stone, every price change.

    run     its row of `runs`, the last that touched its feed
    nulls   items that came as null: rejected offers that have no id
    """
    feed, run_id = run["feed"], run["run_id"]
    assert differences(catalogue(engine, feed), wanted.catalogue) == []
    assert rejected(engine, run_id) == {**wanted.rejected, **({NULL: "null_item"} if nulls else {})}
    made = price_changes(engine, run_id)
    assert made == {offer_id: [change] for offer_id, change in wanted.price_changes.items()}
    assert (run["price_changes"], run["rejected"]) == (len(made), len(wanted.rejected) + nulls)
    walk_price_changes(engine, feed)


def walk_price_changes(engine: Engine, feed: str) -> None:
    """Walking a stone's price changes in order gives its present price, from the first on."""
    statement = """
        SELECT d.offer_id, d.price_cents, d.cost_cents AS present_cost, c.*
          FROM diamonds AS d
          LEFT JOIN price_changes AS c USING (stone_id)
         WHERE d.feed = :feed
         ORDER BY d.offer_id, c.changed_at"""
    walks: dict[str, list[dict[str, Any]]] = {}
    for row in rows(engine, statement, feed=feed):
        walks.setdefault(row["offer_id"], []).append(row)
    for offer_id, walk in walks.items():
        first, last = walk[0], walk[-1]
        assert first["old_price_cents"] is None, offer_id
        assert first["new_price_cents"] is not None, offer_id
        assert last["new_price_cents"] == last["price_cents"], offer_id
        for before, after in pairwise(walk):
            assert after["old_price_cents"] == before["new_price_cents"], offer_id
            prices = [(after["old_price_cents"], after["old_price_currency"])]
            prices.append((after["new_price_cents"], after["price_currency"]))
            assert prices[0] != prices[1], offer_id
            assert after["changed_at"] > before["changed_at"], offer_id
        for row in walk:
            assert row["cause"] == "feed", offer_id
            assert row["run_id"], offer_id


def assert_untouched(
    before: Mapping[str, Mark], after: Mapping[str, Mark], touched: Iterable[str]
) -> None:
    """Of the rows that there were, exactly those of `touched` were written."""
    written = {offer_id for offer_id, mark in before.items() if after[offer_id] != mark}
    assert sorted(written) == sorted(set(touched) & set(before))


def differences(found: Catalogue, wanted: Catalogue) -> list[str]:
    """Where two catalogues differ, a sentence each; the first few, and how many there are more."""
    lines = [f"{offer_id} is missing" for offer_id in sorted(wanted.keys() - found.keys())]
    lines += [f"{offer_id} must not be there" for offer_id in sorted(found.keys() - wanted.keys())]
    for offer_id in sorted(found.keys() & wanted.keys()):
        is_there, must_be = found[offer_id], wanted[offer_id]
        if is_there.off_sale != must_be.off_sale:
            lines.append(f"{offer_id} off sale: {is_there.off_sale}, must be {must_be.off_sale}")
        lines += [
            f"{offer_id} {name}: {is_there.stone[name]!r}, must be {must_be.stone[name]!r}"
            for name in COMPARED
            if is_there.stone[name] != must_be.stone[name]
        ]
    more = len(lines) - SHOWN_MAX
    return lines[:SHOWN_MAX] + ([f"and {more} more"] if more > 0 else [])
