"""Write plain values as the text of a ruleset file, exactly; and stones as frames."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from shared.stone import STONE_SCHEMA

FRAME_SCHEMA = {**STONE_SCHEMA, "feed": pl.String, "present_price_cents": pl.Int64}


def as_yaml(value: Any) -> str:
    """On one line; texts in quotes, numbers as they are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {as_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_yaml(one) for one in value) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value)


def frame(stones: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Stones by column; what one leaves out is null."""
    rows = [{name: stone.get(name) for name in FRAME_SCHEMA} for stone in stones]
    return pl.DataFrame(rows, schema=FRAME_SCHEMA, orient="row")


def make_stone(**wanted: Any) -> dict[str, Any]:
    """A stone that any rule could take."""
    plain: dict[str, Any] = {
        "feed": "nivoda-natural",
        "offer_id": "DIAMOND/1",
        "kind": "natural",
        "shape": "ROUND",
        "carat": Decimal("1.010"),
        "color": "G",
        "clarity": "VS1",
        "lab": "GIA",
        "cost_cents": 100_000,
        "cost_currency": "USD",
    }
    return plain | wanted


def ruleset_text(*rules: str, **top: str) -> str:
    """A ruleset file of the rules' own lines, such as "price: {percent: 40}", named r1, r2 …"""
    keys = {"name": "test", "currency": "USD"} | top
    lines = [f"{key}: {value}" for key, value in keys.items()]
    lines.append("rules:")
    for number, rule in enumerate(rules, 1):
        lines.append(f"  - name: r{number}")
        lines += [f"    {line}" for line in rule.splitlines()]
    return "\n".join(lines) + "\n"
