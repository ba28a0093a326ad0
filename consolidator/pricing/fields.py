"""What a condition may ask about: every column of a stone, its feed, and its cost in the chain.

Conditions compare whole numbers, words and truth values only: money is in cents, carats,
millimetres and percents are in thousandths.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

import polars as pl

from consolidator.pricing import amounts
from consolidator.pricing.reader import Value, cut
from shared.stone import DECIMAL, STONE_SCHEMA

Key = int | str | bool  # what a condition holds a value against

PRESENT_PRICE = "present_price_cents"  # beside a stone's columns: what it costs in the shop now
WHOLE_MAX = 2**63 - 1  # what a column of whole numbers holds


class Sort(Enum):
    """What kind of value a field has."""

    TEXT = "text"
    TRUTH = "true or false"
    WHOLE = "a whole number"
    DECIMAL = "a number of at most three places"
    MONEY = "an amount of at most two places"

    @property
    def places(self) -> int | None:
        """Digits behind the point of a number; None: no number, so it has no ranges."""
        return {Sort.WHOLE: 0, Sort.DECIMAL: 3, Sort.MONEY: 2}.get(self)


@dataclass(frozen=True)
class Field:
    name: str
    sort: Sort
    always: bool = False  # never missing
    chained: bool = False  # an amount of the chain, not a column of the stone
    words: tuple[str, ...] = ()  # all there are; (): any
    capitals: bool = False  # its words are in capitals

    def key(self, value: Value) -> Key:
        """A value of the ruleset as conditions compare it. Raises ValueError, saying what to do."""
        if self.sort is Sort.TEXT:
            if not isinstance(value, str):
                raise ValueError(f"{self.name} is text; put {_said(value)} in quotes")
            if self.words and value not in self.words:
                raise ValueError(
                    f"{self.name} is one of {', '.join(self.words)}, not {cut(value)!r}"
                )
            return value
        if self.sort is Sort.TRUTH:
            if not isinstance(value, bool):
                raise ValueError(f"{self.name} is true or false, not {_said(value)}")
            return value
        return scaled(value, self.name, self.sort)

    def text(self, key: Key | None) -> str:
        """What `key` made, or null, as people read it."""
        if key is None:
            return "missing"
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, str):
            return key
        if self.sort is Sort.MONEY:
            return amounts.text(key)
        return amounts.plain(Decimal(key).scaleb(-(self.sort.places or 0)))


def scaled(value: Value, name: str, sort: Sort) -> int:
    """A number in units of its last place. Raises ValueError where it has more places."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{name} is {sort.value}, not {_said(value)}")
    number = Decimal(value).scaleb(sort.places or 0)
    whole = int(number)
    if whole != number:
        raise ValueError(f"{name} is {sort.value}, not {_said(value)}")
    if abs(whole) > WHOLE_MAX:
        raise ValueError(f"{name} is too large a number: {_said(value)}")
    return whole


def _said(value: Value) -> str:
    """A value as it stood in the file, cut short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return cut(str(value))


_ALWAYS = ("offer_id", "kind", "shape", "carat", "cost_cents", "cost_currency")
_WORDS = {"kind": ("natural", "labgrown")}
_AS_SUPPLIED = (  # no words in capitals: names, numbers and addresses
    "offer_id", "supplier_stone_id", "kind", "certificate_number", "certificate_url",
    "supplier_id", "supplier_name", "image_url", "video_url",
)  # fmt: skip
_SORTS: tuple[tuple[object, Sort], ...] = (
    (pl.String, Sort.TEXT),
    (pl.Boolean, Sort.TRUTH),
    (pl.Int64, Sort.WHOLE),
    (DECIMAL, Sort.DECIMAL),
)


def _column(name: str, dtype: pl.DataType | type[pl.DataType]) -> Field:
    sort = next(sort for known, sort in _SORTS if dtype == known)
    return Field(
        name,
        sort,
        always=name in _ALWAYS,
        words=_WORDS.get(name, ()),
        capitals=sort is Sort.TEXT and name not in _AS_SUPPLIED,
    )


COST: Final = Field("cost", Sort.MONEY, always=True, chained=True)
TAXED_COST: Final = Field("taxed_cost", Sort.MONEY, always=True, chained=True)

FIELDS: Mapping[str, Field] = {
    "feed": Field("feed", Sort.TEXT, always=True),
    COST.name: COST,  # in the shop's currency
    TAXED_COST.name: TAXED_COST,  # the same with tax or duty
} | {name: _column(name, dtype) for name, dtype in STONE_SCHEMA.items()}
