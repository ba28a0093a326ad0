"""What the catalogue must be after a run, computed from the supplier's stock and a ruleset file.

Slow and obvious: stone by stone, exact numbers, no code of the pipeline. The supplier's side is
read from the simulator's stock itself, not over the network.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import yaml

from tests.oracle.reading import COLUMNS, Refused, Stone, read
from tests.pricing import reference

# What is compared of a stone, to the cent.
COMPARED = (*COLUMNS, "price_cents", "price_currency", "rule", "ruleset_id")

PRICE = ("price_cents", "price_currency")

AVAILABLE = "AVAILABLE"  # only such stones are asked for

Rules = Mapping[str, Any]  # what a ruleset file says, as plain values


class Kept(NamedTuple):
    """A stone of the catalogue."""

    stone: Stone  # of COMPARED
    off_sale: str | None  # None: on sale; else why not


Catalogue = Mapping[str, Kept]  # one feed, by offer id
NOTHING: Catalogue = MappingProxyType({})


class Offered(NamedTuple):
    """What a feed holds: every offer is in one of the two."""

    stones: Mapping[str, Stone]  # by offer id; of COMPARED
    rejected: Mapping[str, str]  # offer id → the word of the reason

    def only(self, offer_ids: frozenset[str] | set[str]) -> "Offered":
        """The part of it that these are."""
        stones = {one: stone for one, stone in self.stones.items() if one in offer_ids}
        return Offered(stones, {one: why for one, why in self.rejected.items() if one in offer_ids})

    def ids(self) -> set[str]:
        return {*self.stones, *self.rejected}


class PriceChange(NamedTuple):
    old_price_cents: int | None  # None: the first price
    new_price_cents: int
    old_cost_cents: int | None
    new_cost_cents: int
    price_currency: str
    rule: str
    ruleset_id: int


class Outcome(NamedTuple):
    """What one run of one feed must have led to. Every other row must be left as it was."""

    catalogue: Catalogue
    rejected: Mapping[str, str]
    price_changes: Mapping[str, PriceChange]
    inserted: frozenset[str]
    changed: frozenset[str]  # written anew, those that came back on sale included
    withdrawn: frozenset[str]  # taken off sale since their offer was rejected
    delisted: frozenset[str]

    @property
    def touched(self) -> frozenset[str]:
        """Every row of `diamonds` that the run must have written."""
        return self.inserted | self.changed | self.withdrawn | self.delisted


def load(path: Path) -> Rules:
    """A ruleset file; a number in quotes is not told apart from a plain one."""
    source = path.read_text(encoding="utf-8")
    found: Rules = _plain(yaml.load(source, Loader=yaml.BaseLoader))  # noqa: S506  makes text only
    return found


class Stocked(Protocol):
    """Whatever knows the items of a supplier; the simulator's stock does."""

    def items(self, labgrown: bool) -> Iterable[Mapping[str, Any]]:
        """The complete item of every stone of a kind."""


def offered(
    stock: Stocked,
    kind: str,
    rules: Rules,
    ruleset_id: int,
    *,
    feed: str,
    known: Catalogue = NOTHING,
) -> Offered:
    """What a feed holds when the supplier's stock stands still, at our prices.

    kind    natural or labgrown
    known   where the present prices are, for the guards of a rise and a fall
    """
    there = (
        (item["id"], item)
        for item in stock.items(kind == "labgrown")
        if item["diamond"]["availability"] == AVAILABLE
    )
    reading = partial(read, kind=kind)
    return at_our_prices(there, reading, rules, ruleset_id, feed=feed, known=known)


def at_our_prices(
    there: Iterable[tuple[str, Any]],
    reading: Callable[[Any], Stone],
    rules: Rules,
    ruleset_id: int,
    *,
    feed: str,
    known: Catalogue = NOTHING,
) -> Offered:
    """What these offers are, priced.

    there    offer ids with what the supplier says; of two with one id the later counts
    reading  what the supplier says → the stone; raises Refused
    """
    stones: dict[str, Stone] = {}
    rejected: dict[str, str] = {}
    for offer_id, said in there:
        try:
            stone = reading(said)
        except Refused as refusal:
            rejected[offer_id] = str(refusal)
            continue
        present = _present_price(known.get(offer_id), rules["currency"])
        priced = reference.price(rules, stone | {"feed": feed, "present_price_cents": present})
        if priced.refusal is not None:
            rejected[offer_id] = priced.refusal
            continue
        stones[offer_id] = stone | {
            "price_cents": priced.price,
            "price_currency": rules["currency"],
            "rule": priced.rule,
            "ruleset_id": ruleset_id,
        }
    return Offered(stones, rejected)


def after_run(before: Catalogue, now: Offered, *, delists: bool = True) -> Outcome:
    """What a run over a feed that holds `now` must make of the catalogue `before`.

    delists  False for a run that is not complete, or not full
    """
    catalogue = dict(before)
    changes: dict[str, PriceChange] = {}
    inserted, changed, withdrawn, delisted = (set[str]() for _ in range(4))
    for offer_id, stone in now.stones.items():
        known = before.get(offer_id)
        if known == Kept(stone, None):
            continue
        (inserted if known is None else changed).add(offer_id)
        catalogue[offer_id] = Kept(stone, None)
        if known is None or any(known.stone[name] != stone[name] for name in PRICE):
            changes[offer_id] = _price_change(known, stone)
    for offer_id, known in before.items():
        if known.off_sale is not None or offer_id in now.stones:
            continue
        if offer_id in now.rejected:
            withdrawn.add(offer_id)
            catalogue[offer_id] = Kept(known.stone, "rejected")
        elif delists:
            delisted.add(offer_id)
            catalogue[offer_id] = Kept(known.stone, "delisted")
    return Outcome(
        catalogue,
        now.rejected,
        changes,
        frozenset(inserted),
        frozenset(changed),
        frozenset(withdrawn),
        frozenset(delisted),
    )


def _price_change(known: Kept | None, stone: Stone) -> PriceChange:
    return PriceChange(
        old_price_cents=None if known is None else known.stone["price_cents"],
        new_price_cents=stone["price_cents"],
        old_cost_cents=None if known is None else known.stone["cost_cents"],
        new_cost_cents=stone["cost_cents"],
        price_currency=stone["price_currency"],
        rule=stone["rule"],
        ruleset_id=stone["ruleset_id"],
    )


def _present_price(known: Kept | None, currency: str) -> int | None:
    """None for a stone that was delisted, and in another currency, which cannot be compared."""
    if known is None or known.off_sale == "delisted" or known.stone["price_currency"] != currency:
        return None
    found: int = known.stone["price_cents"]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if value in ("true", "false"):
        return value == "true"
    if value in ("null", "~", ""):
        return None
    if re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)", value):
        return Decimal(value) if "." in value else int(value)
    return value
