"""When a rule applies: tests of one field each, nested by all, any and not.

A test is met or not; a test of a missing field is not met, whatever it asks, apart from
`{is: missing}`. So `not` of a test is met by a stone that lacks the field.

The file's forms, all of them mappings:

    {kind: natural, carat: {from: 0.5, to: 1}}      every entry must be met
    {all: [...]}, {any: [...]}, {not: ...}          beside fields, or nested
    {color: D}, {color: [D, E]}, {lab: {is: missing}}, {lab: {is: present}}
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from consolidator.pricing.fields import FIELDS, Field, Key
from consolidator.pricing.reader import Path, Value, cut

DEPTH_MAX = 12
WORDS_MAX = 1_000
TESTS_MAX = 200  # in one rule


@dataclass(frozen=True)
class OneOf:
    """The field has one of these values; one alone is "equal"."""

    field: str
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class InRange:
    """The field is at least `low` and below `high`; None: no such end. Never both."""

    field: str
    low: int | None
    high: int | None


@dataclass(frozen=True)
class Is:
    """The field is missing, or it is present."""

    field: str
    missing: bool


@dataclass(frozen=True)
class All:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Not:
    part: "Condition"


Test = OneOf | InRange | Is
Condition = Test | All | AnyOf | Not


class BadCondition(ValueError):
    """What is wrong, and where below the condition's start."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def parse(value: Value) -> Condition:
    """The condition that a rule's `when` states. Raises BadCondition."""
    budget = [TESTS_MAX]
    return _condition(value, (), budget)


def describe(condition: Condition) -> str:
    """A condition as people read it: "carat from 0.5 to below 1"."""
    if isinstance(condition, All | AnyOf):
        joint = " and " if isinstance(condition, All) else " or "
        return "(" + joint.join(describe(part) for part in condition.parts) + ")"
    if isinstance(condition, Not):
        return f"not {describe(condition.part)}"
    field = FIELDS[condition.field]
    if isinstance(condition, Is):
        return f"{field.name} is {'missing' if condition.missing else 'present'}"
    if isinstance(condition, OneOf):
        words = ", ".join(field.text(key) for key in condition.keys)
        return f"{field.name} {'is' if len(condition.keys) == 1 else 'in'} {words}"
    ends = []
    if condition.low is not None:
        ends.append(f"from {field.text(condition.low)}")
    if condition.high is not None:
        ends.append(f"below {field.text(condition.high)}")
    return f"{field.name} {' to '.join(ends)}"


def canonical(condition: Condition | None) -> list[object] | None:
    """A condition as JSON can say it; two that were written differently may be one here."""
    if condition is None:
        return None
    if isinstance(condition, All | AnyOf):
        word = "all" if isinstance(condition, All) else "any"
        return [word, *(canonical(part) for part in condition.parts)]
    if isinstance(condition, Not):
        return ["not", canonical(condition.part)]
    if isinstance(condition, OneOf):
        return ["one_of", condition.field, *sorted(condition.keys, key=str)]
    if isinstance(condition, InRange):
        return ["range", condition.field, condition.low, condition.high]
    return ["missing" if condition.missing else "present", condition.field]


def _condition(value: Value, path: Path, budget: list[int]) -> Condition:
    if not isinstance(value, dict):
        _refuse(path, "a condition is a mapping, such as {kind: natural}")
    if not value:
        _refuse(path, "an empty condition; leave `when` out of a rule for every stone")
    if sum(step in ("all", "any", "not") for step in path) > DEPTH_MAX:
        _refuse(path, f"conditions nested deeper than {DEPTH_MAX} levels")
    parts = tuple(_entry(name, inner, (*path, name), budget) for name, inner in value.items())
    return parts[0] if len(parts) == 1 else All(parts)


def _entry(name: str, value: Value, path: Path, budget: list[int]) -> Condition:
    if name == "not":
        return Not(_condition(value, path, budget))
    if name in ("all", "any"):
        if not isinstance(value, list) or not value:
            _refuse(path, f"`{name}` takes a list of at least one condition")
        parts = tuple(_condition(part, (*path, n), budget) for n, part in enumerate(value))
        if len(parts) == 1:
            return parts[0]
        return All(parts) if name == "all" else AnyOf(parts)
    budget[0] -= 1
    if budget[0] < 0:
        _refuse(path, f"more than {TESTS_MAX} tests in one rule; split it")
    field = FIELDS.get(name)
    if field is None:
        near = get_close_matches(name, [*FIELDS, "all", "any", "not"], n=1)
        advice = f"; did you mean {near[0]}?" if near else "; docs/pricing.md lists the fields"
        _refuse(path, f"there is no field {cut(name)!r}{advice}")
    try:
        return _test(field, value)
    except ValueError as error:
        raise BadCondition(path, str(error)) from error


def _test(field: Field, value: Value) -> Test:
    if isinstance(value, list):
        if not value or len(value) > WORDS_MAX:
            raise ValueError(f"a list of 1 to {WORDS_MAX:,} values, not {len(value):,}")
        keys = tuple(field.key(inner) for inner in value)
        if len(set(keys)) < len(keys):
            raise ValueError("a value stands twice in the list")
        return OneOf(field.name, keys)
    if not isinstance(value, dict):
        return OneOf(field.name, (field.key(value),))
    if set(value) == {"is"}:
        if value["is"] not in ("missing", "present"):
            raise ValueError("`is` takes missing or present")
        if field.always:
            raise ValueError(f"{field.name} is never missing; leave this test out")
        return Is(field.name, missing=value["is"] == "missing")
    if value and set(value) <= {"from", "to"}:
        return _range(field, value)
    raise ValueError("a test is a value, a list, {from: …, to: …}, {is: missing} or {is: present}")


def _range(field: Field, value: dict[str, Value]) -> InRange:
    if field.sort.places is None:
        raise ValueError(f"{field.name} is {field.sort.value} and has no ranges; list the values")
    ends = {name: field.key(end) for name, end in value.items()}
    low, high = ends.get("from"), ends.get("to")
    if isinstance(low, int) and isinstance(high, int) and low >= high:
        raise ValueError(
            f"nothing is from {field.text(low)} to below {field.text(high)}; `to` is exclusive"
        )
    return InRange(
        field.name,
        low if isinstance(low, int) else None,
        high if isinstance(high, int) else None,
    )


def _refuse(path: Path, message: str) -> NoReturn:
    raise BadCondition(path, message)
