"""The runbook has every kind of incident, and every command that an incident or it names exists."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from scheduler import conditions
from shared.alerts.kinds import KINDS, Sighting
from tests.test_pages import commands

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"
ROW: dict[str, Any] = {
    "run_id": uuid4(),
    "feed": "nivoda-natural",
    "kind": "fetch",
    "kinds": "fetch, fold",
    "letters": 3,
    "error": "gone",
    "account": "nivoda",
    "lately": 1,
    "verdict": "incompatible",
    "findings": [{"what": f"Diamond.f{n}", "harm": "breaks"} for n in range(8)],
    "items": 12,
    "partitions": 300,
    "oldest_s": 400.0,
    "offers": 1_000,
    "changed": 700,
    "jumped": 300,
    "jump": 0.5,
    "reprice_id": 4,
    "cause": "activation",
    "reason": "spring",
    "stones": 1_000,
    "silent_s": 600.0,
    "used": 90,
    "most": 100,
    "size_bytes": 10**12,
    "channel": "slack",
    "answer": "answered 404",
}


def sightings() -> list[Sighting]:
    """One of every kind, in every wording."""
    from datetime import UTC, datetime  # noqa: PLC0415

    then = {"silent_from": datetime.now(UTC), "silent_until": datetime.now(UTC)}
    found = []
    for condition in conditions.CONDITIONS:
        variants: list[dict[str, Any]] = [{}]
        if condition.query == "runs_in_trouble":
            reasons = ("fold gave up: x", "the supplier counts 9 offers", "suspiciously empty: 0")
            variants = [{"state": "partial", "reason": one} for one in reasons]
            variants.append({"state": "failed", "reason": "no plan"})
        elif condition.query == "breakers_open":
            variants = [{"state": one} for one in ("open", "half-open", "closed")]
        elif condition.query == "unsettled_dead_letters":
            variants = [{}, {"run_id": None}]
        found += [condition.sighting(SimpleNamespace(**ROW | then | one)) for one in variants]
    found.append(conditions.disk_low("/data", 1, 100))
    found.append(conditions.watch_blind("breakers", "Redis is away"))
    return found


def table() -> dict[str, str]:
    """The runbook's rows by their kind."""
    rows = re.findall(
        r"^\| `([a-z_]+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {kind: rest for kind, rest in rows if len(rest.split(" | ")) == 3 and kind in KINDS}


def exists(command: str) -> bool:
    words = command.split()
    known = commands().keys()
    return any(" ".join(words[:n]) in known for n in (3, 2))


def test_every_kind_can_happen_and_is_in_the_runbook() -> None:
    assert {one.kind for one in sightings()} == set(KINDS)
    assert set(table()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_runbook_says_what_a_kind_means_and_a_command_that_exists(kind: str) -> None:
    severity, means, do = table()[kind].split(" | ")
    assert severity
    assert len(means) > 30
    named = re.findall(r"`(facet [^`]+)`", do)
    assert named
    assert [one for one in named if not exists(one)] == []


def test_every_incident_ends_with_a_command_that_exists_and_that_its_row_names() -> None:
    rows = table()
    for one in sightings():
        assert exists(one.next_command), one
        words = one.next_command.split()
        assert any(" ".join(words[:n]) in rows[one.kind] for n in (3, 2)), one
        assert one.severity in rows[one.kind], one
