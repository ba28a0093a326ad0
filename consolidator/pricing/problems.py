"""Say what is wrong with a ruleset: file, line, rule, and what to do.

Pure. A problem's path leads from the top of the file to the value: ("rules", 3, "price").
"""

from difflib import get_close_matches
from typing import Any, LiteralString

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from consolidator.pricing.reader import Path, cut

SAID_MAX = 10  # problems in one message

KEYS = (
    "name", "description", "currency", "rates", "rate", "as_of", "source", "tax", "percent",
    "bases", "rounding", "to", "ending", "mode", "guards", "margin_min", "floor", "ceiling",
    "rise_max", "fall_max", "rules", "when", "price", "refuse", "sell_below_cost", "factor",
    "base", "modifier", "add",
)  # fmt: skip

_AS_SAID: LiteralString = "{said}"


class Problem:
    """Raised inside pydantic's validation, with a path of its own below where it is raised."""

    @staticmethod
    def at(path: Path, said: str) -> PydanticCustomError:
        return PydanticCustomError("problem", _AS_SAID, {"said": said, "path": path})


def explain_errors(
    error: ValidationError, content: dict[str, Any], source: str, lines: dict[Path, int]
) -> str:
    """Up to ten problems, one a line, in the order of the file."""
    problems = error.errors()
    if len(problems) > 1:  # rules that are wrong are not counted, and then there seem to be too few
        problems = [one for one in problems if one["type"] != "too_short"] or problems
    found = sorted({_said(one, content, source, lines) for one in problems})
    said = [text for _, text in found[:SAID_MAX]]
    if len(found) > SAID_MAX:
        said.append(f"… and {len(found) - SAID_MAX} more")
    return "\n".join(said)


def _said(
    problem: ErrorDetails, content: dict[str, Any], source: str, lines: dict[Path, int]
) -> tuple[int, str]:
    where = (step for step in problem["loc"] if step != "[key]")
    path: Path = (*where, *problem.get("ctx", {}).get("path", ()))
    known = path
    while known and known not in lines:
        known = known[:-1]
    line = lines.get(known, 1)
    rule = _rule(path, content)
    keys = ".".join(cut(str(step)) for step in path[2 if rule else 0 :])
    about = f"{keys}: " if keys else ""
    return line, f"{source}, line {line}{rule}: {about}{_what(problem, path)}"


def _rule(path: Path, content: dict[str, Any]) -> str:
    """ ", rule 'natural to 500'" for a path into the rules; by number where it has no name."""
    if len(path) < 2 or path[0] != "rules" or not isinstance(path[1], int):
        return ""
    rule = content["rules"][path[1]]
    name = rule.get("name") if isinstance(rule, dict) else None
    return f", rule {cut(name)!r}" if isinstance(name, str) else f", rule {path[1] + 1}"


def _what(problem: ErrorDetails, path: Path) -> str:
    kind, name = problem["type"], str(path[-1]) if path else "it"
    if kind == "missing":
        return f"missing; state `{name}`"
    if kind == "extra_forbidden":
        near = get_close_matches(name, KEYS, n=1)
        return f"unknown key; did you mean `{near[0]}`?" if near else "unknown key; leave it out"
    if kind == "too_long" and name == "rules":
        most, given = problem["ctx"]["max_length"], problem["ctx"]["actual_length"]
        return f"{given:,} rules; at most {most:,} in a ruleset, so join rules or split the ruleset"
    if kind == "string_too_long":
        return f"longer than {problem['ctx']['max_length']:,} characters"
    return _SAID.get(kind) or problem["msg"].removeprefix("Value error, ").removeprefix("Input ")


_MAPPING, _LIST = "should be a mapping of keys and values", "should be a list"
_SAID = {
    "bool_type": "should be `true` or `false`",
    "dict_type": _MAPPING,
    "list_type": _LIST,
    "mapping_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "model_type": _MAPPING,
    "string_pattern_mismatch": "should be text without spaces at its ends",
    "string_type": "should be text; put it in quotes",
    "too_short": "should have at least one entry",
    "tuple_type": _LIST,
}
