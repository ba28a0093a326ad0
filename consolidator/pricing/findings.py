"""What lint says: fixed words, each explained in docs/pricing.md. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from consolidator.pricing.ruleset import Ruleset


class Kind(StrEnum):
    """Fixed words, kept for good."""

    NO_DEFAULT = "no_default"  # there are stones that no rule takes
    GAP = "gap"  # one kind of these
    IMPOSSIBLE = "impossible"  # a rule whose conditions contradict each other
    UNREACHABLE = "unreachable"  # a rule whose stones all match earlier ones
    OVERLAP = "overlap"  # two brackets that share stones, neither within the other
    BOUNDARY = "boundary"  # 499.99 / 500.00
    DEARER_CHEAPER = "dearer_cheaper"  # a stone of higher cost gets a lower price
    ALWAYS_REFUSED = "always_refused"  # a price rule whose every price a guard refuses
    SPELLING = "spelling"  # a word that no stone has
    TOO_COMPLEX = "too_complex"  # not all could be checked


@dataclass(frozen=True)
class Finding:
    kind: Kind
    message: str  # what, and what to do
    rule: str | None  # None: the ruleset as a whole
    line: int  # in its file, from 1


def about(ruleset: Ruleset, rule: int, kind: Kind, said: str) -> Finding:
    """A finding about a rule, counted from 0."""
    return Finding(kind, said, ruleset.rules[rule].name, ruleset.line_of(rule))
