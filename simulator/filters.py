"""Read a DiamondQuery: what to compare, and with what.

A query becomes a range on price per carat, which the index finds by bisection, and tests, each a
function from columns to a mask. Lists are OR within a field, fields are AND; null and an empty list
are absent.

Left without effect, since the stock has no such data or their meaning is unknown: `cv`, the integer
scales (`blue`, `gray`, `other`, `luster`, `noBGM`, `brown`, `green`), `sub`, `sul`, `suk`,
`filter_ids`, `mine_to_market`, `post_growth`, the inclusion fields, `rjc`, `hearts_arrows`,
`sustainability_rated_diamond`, `custom_query`, and what turns prices into other prices
(`search_on_markup_price`, `search_on_preferred_currency`, `add_taxes_on_search`,
`preferred_currency`): the only prices are dollars without a markup.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulator import make, masks, words
from simulator.conditions import TESTS, normal
from simulator.masks import Test


class UnreadableFilterError(Exception):
    """A filter that the schema allows and the supplier cannot read."""


@dataclass(frozen=True)
class Asked:
    """A query, read."""

    labgrown: bool
    numbers: tuple[str, ...] | None  # certificate numbers: when given, nothing else counts
    per_carat: tuple[int, int] | None  # whole dollars, both ends included
    tests: tuple[Test, ...]


def read(query: Mapping[str, Any], base: datetime) -> Asked:
    """Read a coerced DiamondQuery.

    base  the moment that `updated` columns count from

    Raises UnreadableFilterError for a date that is none.
    """
    given = {name: _without_nulls(value) for name, value in query.items()}
    given = {name: value for name, value in given.items() if value not in (None, [])}
    found = [TESTS[name](value) for name, value in given.items() if name in TESTS]
    found += [_media(given), _eye_clean(given), _symbols(given), _updated(given, base)]
    per_carat = given.get("dollar_per_carat")
    return Asked(
        labgrown=given.get("labgrown", False),  # absent means natural only
        numbers=tuple(given["certificate_numbers"]) if "certificate_numbers" in given else None,
        per_carat=None if per_carat is None else (per_carat["from"], per_carat["to"]),
        tests=tuple(test for test in found if test is not None),
    )


def _without_nulls(value: Any) -> Any:
    return [one for one in value if one is not None] if isinstance(value, list) else value


def _media(given: Mapping[str, Any]) -> Test | None:
    """Image and 360 asked together mean either."""
    bits = make.IMAGE * bool(given.get("has_image")) | make.V360 * bool(given.get("has_v360"))
    return masks.medium(bits) if bits else None


def _eye_clean(given: Mapping[str, Any]) -> Test | None:
    """`sue` lets the stones in of which it is not known."""
    if "eyeClean" not in given:
        return None
    meanings = {"Yes": ("Yes", "100%"), "No": ("No",), "Borderline": ("Borderline", "90%")}
    vocabulary = words.EYE_CLEAN.words
    codes = [
        vocabulary.index(text) for asked in given["eyeClean"] for text in meanings.get(asked, ())
    ]
    if given.get("sue"):
        codes.append(vocabulary.index(None))
    return masks.member("eye_clean", codes, len(vocabulary))


def _symbols(given: Mapping[str, Any]) -> Test | None:
    """The stone has one of the symbols, or with `key_to_symbols_contains: false` none of them."""
    wanted = given.get("key_to_symbols")
    if wanted is None:
        return None
    vocabulary = words.SYMBOLS.words
    codes = [
        code
        for code, text in enumerate(vocabulary)
        if text and any(normal(word) in normal(text).split(", ") for word in wanted)
    ]
    test = masks.member("symbols", codes, len(vocabulary))
    return test if given.get("key_to_symbols_contains", True) else masks.negated(test)


def _updated(given: Mapping[str, Any], base: datetime) -> Test | None:
    """Both ends included; either may be missing."""
    span = given.get("updated") or {}
    low = _since(span.get("from"), base, -(2**31))
    high = _since(span.get("to"), base, 2**31 - 1)
    return masks.between("updated", math.ceil(low), math.floor(high)) if span else None


def _since(text: str | None, base: datetime, default: float) -> float:
    """Seconds from `base` to an ISO 8601 moment; without a zone it is UTC."""
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UnreadableFilterError(f"updated: {text!r} is not a date in ISO 8601") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - base.timestamp()
