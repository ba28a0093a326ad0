"""What a check of a supplier's contract found. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Drift = Literal["removed", "renamed", "retyped", "added", "unit", "answer"]
Harm = Literal["none", "some", "breaks"]
Verdict = Literal["compatible", "degraded", "incompatible"]

SHOWN_MAX = 3  # findings in one sentence


class Finding(NamedTuple):
    """One thing that is not as the adapter relies on it."""

    what: str  # the field, such as DiamondItem.price, or the request
    drift: Drift
    harm: Harm  # some: a run goes on with less; breaks: no run may start
    says: str  # what it is now and what that would break


class Health(NamedTuple):
    """All that a check found; nothing is a supplier as we know it."""

    findings: Sequence[Finding]

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings."""
        harms = {finding.harm for finding in self.findings}
        if "breaks" in harms:
            return "incompatible"
        return "degraded" if "some" in harms else "compatible"

    def worst(self) -> str:
        """The findings behind the verdict in one sentence; the first few, and how many more."""
        harm = "breaks" if self.verdict == "incompatible" else "some"
        found = [f"{one.what}: {one.says}" for one in self.findings if one.harm == harm]
        more = len(found) - SHOWN_MAX
        return "; ".join(found[:SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")
