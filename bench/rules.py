"""The same pricing rules twice: as a ruleset file and as a CASE expression of SQL.

Brackets of the cost, natural and lab-grown apart, a markup in percent, whole cents: what a CASE can
say, so that the yardstick does the same work to the cent.
"""

from itertools import pairwise
from typing import NamedTuple

LOWEST_CENTS = 5_000
HIGHEST_CENTS = 3_000_000


class Bracket(NamedTuple):
    kind: str
    low_cents: int  # inclusive
    high_cents: int | None  # exclusive; None: no upper end
    percent: int


def brackets(rules: int, *, dearer: int = 0) -> list[Bracket]:
    """An even number of brackets, half of them for each kind, narrower where stones are cheaper.

    dearer    percentage points on every markup
    """
    half = rules // 2
    ratio = (HIGHEST_CENTS / LOWEST_CENTS) ** (1 / half)
    bounds = [0, *(round(LOWEST_CENTS * ratio**n) for n in range(1, half)), None]
    return [
        Bracket(kind, low or 0, high, base + dearer - 30 * n // half)
        for kind, base in (("natural", 60), ("labgrown", 150))
        for n, (low, high) in enumerate(pairwise(bounds))
    ]


def as_file(found: list[Bracket]) -> str:
    """The text of a ruleset file."""
    lines = ["name: bench", "currency: USD", "rules:"]
    for number, one in enumerate(found):
        ends = f"from: {one.low_cents / 100:.2f}"
        if one.high_cents is not None:
            ends += f", to: {one.high_cents / 100:.2f}"
        lines += [
            f"  - name: bracket {number}",
            f"    when: {{kind: {one.kind}, cost: {{{ends}}}}}",
            f"    price: {{percent: {one.percent}}}",
        ]
    return "\n".join(lines) + "\n"


def as_case(found: list[Bracket], stone: str) -> tuple[str, str]:
    """SQL expressions of a stone's price in cents and of its rule; `stone` is its table's alias."""
    prices, names = [], []
    for number, one in enumerate(found):
        met = f"{stone}.kind = '{one.kind}' AND {stone}.cost_cents >= {one.low_cents}"
        if one.high_cents is not None:
            met += f" AND {stone}.cost_cents < {one.high_cents}"
        prices.append(f"WHEN {met} THEN ({stone}.cost_cents * {100 + one.percent} + 50) / 100")
        names.append(f"WHEN {met} THEN 'bracket {number}'")
    return f"CASE {' '.join(prices)} END", f"CASE {' '.join(names)} END"
