"""Faults inside an answer: tokens that die, items that break, and which stones were hit."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.auth import Death
from simulator.board import Hits
from simulator.fields import Batch
from simulator.search import Part
from simulator.shown import BITS
from simulator.switches import WORDINGS, NullItem, TokenExpiry

Entry = dict[str, Any]

# A stored value that the schema does not know, and a field that it breaks.
_ITEM = (("diamond", "certificate", "polish"), 'Enum "DiamondQuality" cannot represent value: "XX"')
_FIELD = (
    ("diamond", "certificate", "clarity"),
    'Enum "DiamondClarity" cannot represent value: "VS"',
)


def death(hits: Hits) -> Death | None:
    """How the token of this request dies; None: it lives."""
    hit = hits.get(TokenExpiry)
    if hit is None:
        return None
    hits.show(TokenExpiry)
    wording, status = hit.switch.wording, hit.switch.status
    return Death(
        hit.rng.choice(WORDINGS) if wording == "mixed" else wording,
        hit.rng.choice((200, 401)) if status == "mixed" else status,
        hit.switch.code,
    )


def touch(hits: Hits, parts: list[Part]) -> None:
    """Count the switches of stones that have hit one of these."""
    bits = 0
    for part in parts:
        if "touched" in part.shelf.columns:
            bits |= int(np.bitwise_or.reduce(part.shelf.columns["touched"][part.rows]))
    for switch, bit in BITS.items():
        if bits & bit:
            hits.show(switch)


def nulled(
    hits: Hits, items: list[Any], parts: list[Part], places: Sequence[Sequence[str | int]]
) -> tuple[list[Any], list[Entry]]:
    """The items, null where they break; and the entries of `errors` for them.

    places  the path of each item
    """
    switch = hits.stones(NullItem)
    if not isinstance(switch, NullItem):
        return items, []
    broken = [hit for part in parts for hit in Batch(part.shelf, part.rows).touched(NullItem)]
    below, message = _FIELD if switch.nullable else _ITEM
    errors: list[Entry] = []
    found: list[Any] = []
    for item, hit, place in zip(items, broken, places, strict=True):
        if hit:
            errors.append({"message": message, "path": [*place, *below]})
        found.append(item if not hit else _without_clarity(item) if switch.nullable else None)
    return found, errors


def _without_clarity(item: dict[str, Any]) -> dict[str, Any]:
    certificate = (item.get("diamond") or {}).get("certificate")
    if isinstance(certificate, dict) and "clarity" in certificate:
        certificate["clarity"] = None
    return item
