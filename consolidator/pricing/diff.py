"""What differs between two rulesets, in words. Pure.

Rules are matched by their names. A rule that only changed its place is said to have moved, since
the first that is met has the stone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from consolidator.pricing import amounts, wording
from consolidator.pricing.rule import Guards, Rule
from consolidator.pricing.ruleset import Ruleset

What = Literal["added", "removed", "changed", "moved"]
Said = Mapping[str, str]  # what a thing says, by key; what it does not say is left out

_PERCENT = ("margin_min", "rise_max", "fall_max")


@dataclass(frozen=True)
class Difference:
    """One thing that the second ruleset says otherwise than the first."""

    what: What
    where: str  # a key of the ruleset, or `rule NAME: key`
    before: str | None  # None: the first says nothing of it
    after: str | None


def differences(first: Ruleset, second: Ruleset) -> list[Difference]:
    """The keys of the whole first, then the rules in the order of the second, removed ones last.

    Empty for two of one content, however it was written.
    """
    found = list(_keys("", _head(first), _head(second)))
    old, new = ({rule.name: rule for rule in one.rules} for one in (first, second))
    kept = [name for name in old if name in new]
    moved = _moved(kept, [name for name in new if name in old])
    places = [{name: place for place, name in enumerate(one, 1)} for one in (old, new)]
    for name, rule in new.items():
        after = _rule(rule, second)
        if name not in old:
            found.append(Difference("added", f"rule {name}", None, _whole(after)))
            continue
        if name in moved:
            before, now = (f"place {one[name]}" for one in places)
            found.append(Difference("moved", f"rule {name}", before, now))
        found += _keys(f"rule {name}: ", _rule(old[name], first), after)
    for name, rule in old.items():
        if name not in new:
            before = _whole(_rule(rule, first))
            found.append(Difference("removed", f"rule {name}", before, None))
    return found


def _keys(prefix: str, before: Said, after: Said) -> Iterator[Difference]:
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old != new:
            what: What = "added" if old is None else "removed" if new is None else "changed"
            yield Difference(what, f"{prefix}{key}", old, new)


def _moved(before: list[str], after: list[str]) -> set[str]:
    """The fewest of the rules common to both whose moving explains the new order."""
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    stayed = {name for block in blocks for name in before[block.a : block.a + block.size]}
    return set(before) - stayed


def _head(ruleset: Ruleset) -> dict[str, str]:
    """What holds for all of a ruleset's rules."""
    said = {"name": ruleset.name, "currency": ruleset.currency}
    if ruleset.description:
        said["description"] = ruleset.description
    for currency, dated in ruleset.rates.items():
        said[f"rate {currency}"] = f"{amounts.plain(dated.rate)} ({dated.source}, {dated.as_of})"
    said["tax"] = wording.tax(ruleset)
    said |= {f"base {name}": amounts.percent(markup) for name, markup in ruleset.bases.items()}
    said["rounding"] = wording.rounding(ruleset.rounding)
    if ruleset.experiment is not None:
        tested = ruleset.experiment
        share = amounts.percent(tested.share)
        said["experiment"] = f"{tested.name}: {share} by {tested.variant[:12]}"
    return said | _guards(ruleset.guards)


def _rule(rule: Rule, ruleset: Ruleset) -> dict[str, str]:
    said = {"when": wording.condition(rule), "price": wording.effect(rule, ruleset)}
    if rule.sell_below_cost:
        said["sell_below_cost"] = "yes"
    if rule.rounding is not None:
        said["rounding"] = wording.rounding(rule.rounding)
    return said if rule.guards is None else said | _guards(rule.guards)


def _guards(guards: Guards) -> dict[str, str]:
    said = {}
    for name in Guards.model_fields:
        if name in guards.model_fields_set:
            value = getattr(guards, name)
            text = amounts.percent if name in _PERCENT else amounts.text
            said[name] = "lifted" if value is None else text(value)
    return said


def _whole(said: Said) -> str:
    first = f"{said['when']}: {said['price']}"
    return "; ".join([first, *(f"{k} {v}" for k, v in said.items() if k not in ("when", "price"))])
