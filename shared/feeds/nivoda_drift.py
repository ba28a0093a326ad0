"""What a change of Nivoda's schema would break: each field that drifted, with its harm. Pure."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, cast

from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_required_input_field,
    parse,
    validate,
)
from graphql.utilities import validate_input_value

from shared.feeds.base import Slice, Span
from shared.feeds.health import Finding, Harm
from shared.feeds.nivoda_contract import (
    ITEM,
    NEEDED,
    REJECTED,
    gone,
    is_list,
    is_value,
    known,
    page_without,
    walk,
)
from shared.feeds.nivoda_query import COUNT, LABS, LOGIN, ORDER, PAGE, SHAPES, filters

_NO_CUT = "prices too heavy for one partition could not be cut further; a run that must is refused"
_FILTERS: dict[str, tuple[Harm, str]] = {
    "labgrown": ("breaks", "natural and lab-grown stones could not be told apart"),
    "availability": ("breaks", "stones that are sold or on hold could not be left out"),
    "dollar_per_carat": ("breaks", "the feed could not be cut along its price"),
    "updated": ("breaks", "no incremental run, and no full run could look at what changed"),
    "sizes": ("some", _NO_CUT),
    "shapes": ("some", _NO_CUT),
    "certificate_lab": ("some", _NO_CUT),
}
_WHOLE = "what is no whole number would be rejected"


def compare(theirs: GraphQLSchema, columns: Mapping[str, str]) -> list[Finding]:
    """Each field that drifted and what it would break, the worst first.

    columns  path below an item → the column of a stone that is made from it
    """
    findings = [one for text in (LOGIN, COUNT, PAGE) for one in _selected(text, theirs, columns)]
    findings += _filtered(theirs)
    if not any(one.harm == "breaks" for one in findings):
        findings += _refused(theirs)
    findings += _added(theirs, taken={one.says for one in findings if one.drift == "renamed"})
    order: list[Harm] = ["breaks", "some", "none"]
    return sorted(findings, key=lambda one: order.index(one.harm))


def _selected(text: str, theirs: GraphQLSchema, columns: Mapping[str, str]) -> Iterator[Finding]:
    """What became of the fields that a text asks for."""
    ours = walk(text, known())
    for path, field in walk(text, theirs).items():
        was = ours[path].type
        what = f"{field.owner}.{path.rpartition('.')[2]}"
        harm, breaks = _lost(path, columns)
        if field.type is None:
            yield _missing(what, theirs, str(was), harm, breaks)
        elif is_value(was) != is_value(field.type):
            yield Finding(what, "retyped", harm, f"{was} became {field.type}; {breaks}")
        elif is_list(was) != is_list(field.type):  # it can be selected, and is read wrongly
            says = f"{was} became {field.type}; {NEEDED.get(path, REJECTED)}"
            yield Finding(what, "retyped", "breaks", says)
        elif str(was) != str(field.type):
            yield Finding(what, "retyped", *_retyped(was, field.type))


def _lost(path: str, columns: Mapping[str, str]) -> tuple[Harm, str]:
    """What is lost with a field that we ask for."""
    if path in NEEDED:
        return "breaks", NEEDED[path]
    lost = [
        name.replace("_", " ")
        for below, name in columns.items()
        if f"{ITEM}{below}.".startswith(f"{path}.")
    ]
    return ("some", f"{', '.join(lost)}: empty") if lost else ("none", "no stone is made of it")


def _retyped(was: Any, now: Any) -> tuple[Harm, str]:
    """The harm of another type that can be read all the same."""
    names = get_named_type(was).name, get_named_type(now).name
    becomes = f"{was} became {now}"
    if names == ("Int", "Float"):
        return "some", f"{becomes}; {_WHOLE}"
    if names[0] != names[1]:
        return "none", f"{becomes}; it is read as text either way"
    return "none", f"{becomes}; an offer without it is read as before"


def _filtered(theirs: GraphQLSchema) -> Iterator[Finding]:
    """What became of the filters that we send."""
    theirs_query, ours_query = _filter_type(theirs), _filter_type(known())
    if theirs_query is None or ours_query is None:
        return  # the request is refused as a whole, and says so
    part = Slice(
        price=Span(1, 2),
        carat=Span(1, 2),
        shapes=SHAPES,
        labs=LABS,
        updated_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    for name, value in filters(part, labgrown=True).items():
        harm, breaks = _FILTERS[name]
        what, field = f"{theirs_query.name}.{name}", theirs_query.fields.get(name)
        was = ours_query.fields[name].type
        if field is None:
            yield _missing(what, theirs, str(was), harm, breaks)
            continue
        problems = _problems(value, field.type)
        if problems:
            becomes = f"{was} became {field.type}" if str(was) != str(field.type) else problems[0]
            yield Finding(what, "retyped", harm, f"{becomes}; {breaks}")
        elif str(was) != str(field.type):
            yield Finding(
                what, "retyped", "none", f"{was} became {field.type}; what we send still fits"
            )


def _refused(theirs: GraphQLSchema) -> Iterator[Finding]:
    """What else the supplier would say against our requests."""
    for name, text in (("login", LOGIN), ("count", COUNT), ("page", page_without(gone(theirs)))):
        for error in validate(theirs, parse(text)):
            yield Finding(f"the {name} request", "answer", "breaks", f"refused: {error.message}")
    order = theirs.get_type("DiamondOrder")
    if isinstance(order, GraphQLInputObjectType):
        for problem in _problems(ORDER, order):
            breaks = f"{problem}; no page could be asked in the order of creation"
            yield Finding("DiamondOrder", "retyped", "breaks", breaks)


def _added(theirs: GraphQLSchema, taken: Collection[str]) -> Iterator[Finding]:
    """Fields that are new on the types we read and filter by."""
    owners = {f.owner for text in (LOGIN, COUNT, PAGE) for f in walk(text, theirs).values()}
    filter_type = _filter_type(theirs)
    for owner in sorted(owners | ({filter_type.name} if filter_type else set())):
        before, now = _fields(known(), owner), _fields(theirs, owner)
        for name in now.keys() - before.keys() if before else ():
            if any(f"`{name}`" in says for says in taken):
                continue
            what, field = f"{owner}.{name}", now[name]
            if filter_type is theirs.get_type(owner) and is_required_input_field(field):
                yield Finding(what, "added", "breaks", "demanded now: every request refused")
            else:
                yield Finding(what, "added", "none", f"new ({field.type}); not asked for")


def _missing(what: str, theirs: GraphQLSchema, was: str, harm: Harm, breaks: str) -> Finding:
    """A field that is not there any more: removed, or perhaps renamed."""
    owner, _, name = what.partition(".")
    before = _fields(known(), owner)
    new = [n for n, f in _fields(theirs, owner).items() if n not in before and str(f.type) == was]
    guess = get_close_matches(name, new, 1, 0.0)
    if guess:
        says = f"gone, perhaps `{guess[0]}` now, which is new and of the same type; {breaks}"
        return Finding(what, "renamed", harm, says)
    return Finding(what, "removed", harm, f"gone; {breaks}")


def _problems(value: Any, wanted: Any) -> list[str]:
    """Why a value that we send would not be taken."""
    found: list[str] = []
    validate_input_value(value, wanted, lambda error, _: found.append(error.message), True)
    return found


def _filter_type(schema: GraphQLSchema) -> GraphQLInputObjectType | None:
    """The type of a page's filter."""
    search = schema.query_type.fields.get("diamonds_by_query") if schema.query_type else None
    argument = search.args.get("query") if search else None
    found = get_named_type(argument.type) if argument else None
    return found if isinstance(found, GraphQLInputObjectType) else None


def _fields(schema: GraphQLSchema, owner: str) -> Mapping[str, Any]:
    found = schema.get_type(owner)
    if isinstance(found, GraphQLObjectType | GraphQLInputObjectType):
        return cast(Mapping[str, Any], found.fields)
    return {}
