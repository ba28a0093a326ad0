"""Another version of the supplier's schema: fields removed, renamed, added and retyped.

A change is made to the schema's text, and the library does the rest: what it says of itself and
what it lets pass follow from it. Below, names and values are led back to those that the rest of the
simulator knows.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from graphql import (
    DefinitionNode,
    DocumentNode,
    FieldDefinitionNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    NameNode,
    ObjectTypeDefinitionNode,
    Undefined,
    assert_valid_schema,
    build_ast_schema,
    coerce_input_value,
    get_named_type,
    parse,
    parse_type,
)

SCHEMA_PATH = Path(__file__).with_name("schema.graphql")
SCHEMAS_MAX = 8  # kept
ITEM = "DiamondItem"

# What a value becomes under another type, and what an added field answers.
_CAST: dict[str, Callable[[Any], Any]] = {
    "ID": str,
    "String": str,
    "Int": lambda value: round(float(value)),
    "Float": float,
    "Boolean": bool,
}
_NEW: dict[str, Any] = {"ID": "1", "String": "new", "Int": 1, "Float": 1.5, "Boolean": True}


Name = tuple[str, str]  # type and field


class Drift(NamedTuple):
    """What is different: (type, field), and the field's new name or type."""

    removed: tuple[Name, ...] = ()
    renamed: tuple[tuple[Name, str], ...] = ()
    added: tuple[tuple[Name, str], ...] = ()
    retyped: tuple[tuple[Name, str], ...] = ()

    @classmethod
    def read(
        cls,
        removed: tuple[str, ...],
        renamed: tuple[str, ...],
        added: tuple[str, ...],
        retyped: tuple[str, ...],
    ) -> "Drift":
        """From `Type.field`, `Type.field:name`, `Type.field:Type` or `Type.field` for a String, and
        `Type.field:Type`. Raises ValueError."""
        return cls(
            tuple(_name(text) for text in removed),
            tuple(_pair(text, None) for text in renamed),
            tuple(_pair(text, "String") for text in added),
            tuple(_pair(text, None) for text in retyped),
        )

    def schema(self) -> GraphQLSchema:
        """The schema, different. Raises ValueError where there is no such field or type."""
        return schema(self)

    def original(self, owner: str, field: str) -> str:
        """The old name of a field of a type."""
        for (type_name, old), new in self.renamed:
            if (type_name, new) == (owner, field):
                return old
        return field

    def cast(self, owner: str, field: str) -> Callable[[Any], Any] | None:
        """What to do with the values of a field, by its old name; None: nothing."""
        wanted = dict(self.retyped).get((owner, field))
        if wanted is None:
            return None
        one = _CAST[wanted.strip("[]!")]
        many = wanted.startswith("[")

        def to_type(value: Any) -> Any:
            try:
                found = None if value is None else one(value)
            except ValueError:  # a word as a number
                return None
            return [found] if many and found is not None else found

        return to_type

    def invented(self, owner: str, field: str) -> Any:
        """The value of an added field; None where it was not added."""
        wanted = dict(self.added).get((owner, field))
        return None if wanted is None else _NEW[wanted.rstrip("!")]

    def query(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """A DiamondQuery in the old names and types. Raises GraphQLError."""
        base = cast(GraphQLInputObjectType, schema().get_type("DiamondQuery"))
        found = {}
        for new, value in query.items():
            name = self.original("DiamondQuery", new)
            if ("DiamondQuery", name) in dict(self.retyped):
                found[name] = coerce_input_value(value, base.fields[name].type)
                if found[name] is Undefined:
                    raise GraphQLError(f"{new}: {value!r} is not understood")
            elif name in base.fields:
                found[name] = value
        return found


NONE = Drift()


@lru_cache(maxsize=SCHEMAS_MAX)
def schema(drift: Drift = NONE) -> GraphQLSchema:
    """The supplier's schema, or a drifted one. Raises ValueError where it cannot be."""
    document = parse(SCHEMA_PATH.read_text(encoding="utf-8"))
    if drift == NONE:
        return build_ast_schema(document)
    _check(drift)
    definitions = [
        _changed(one, drift)
        if isinstance(one, ObjectTypeDefinitionNode | InputObjectTypeDefinitionNode)
        else one
        for one in document.definitions
    ]
    try:
        found = build_ast_schema(DocumentNode(definitions=tuple(definitions)))
        assert_valid_schema(found)
    except (GraphQLError, TypeError) as error:
        raise ValueError(str(error)) from error
    return found


def _check(drift: Drift) -> None:
    """Raise ValueError for a change that cannot be made, or that nobody could answer."""
    known = schema()
    below = _below(known, ITEM)
    changed = (*drift.removed, *(name for name, _ in (*drift.renamed, *drift.retyped)))
    for owner, field in changed:
        if field not in _fields(known, owner):
            raise ValueError(f"{owner} has no {field}")
    for (owner, field), _ in drift.added:
        if field in _fields(known, owner):
            raise ValueError(f"{owner} has {field} already")
    for (owner, field), wanted in (*drift.added, *drift.retyped):
        if isinstance(known.get_type(owner), GraphQLInputObjectType):
            continue
        if owner not in below:
            raise ValueError(f"fields of {owner} are not added or retyped, only those of items")
        if wanted.strip("[]!") not in _CAST:
            raise ValueError(f"{owner}.{field}: {wanted!r} is none of {', '.join(_CAST)}")
    for (owner, field), _ in drift.retyped:
        if get_named_type(_fields(known, owner)[field].type).name in below:
            raise ValueError(f"{owner}.{field} is an object and is not retyped")


def _fields(known: GraphQLSchema, owner: str) -> Mapping[str, Any]:
    type_ = known.get_type(owner)
    if not isinstance(type_, GraphQLObjectType | GraphQLInputObjectType):
        raise ValueError(f"{owner!r} is no type with fields")
    return cast(Mapping[str, Any], type_.fields)


def _below(known: GraphQLSchema, name: str) -> set[str]:
    """The types of an item and of what is nested in it."""
    found: set[str] = set()
    todo = [name]
    while todo:
        type_ = known.get_type(todo.pop())
        if isinstance(type_, GraphQLObjectType) and type_.name not in found:
            found.add(type_.name)
            todo += [get_named_type(field.type).name for field in type_.fields.values()]
    return found


def _changed(
    node: ObjectTypeDefinitionNode | InputObjectTypeDefinitionNode, drift: Drift
) -> DefinitionNode:
    owner = node.name.value
    renamed, retyped = dict(drift.renamed), dict(drift.retyped)
    fields: list[Any] = []
    for field in node.fields or ():
        name: Name = (owner, field.name.value)
        if name in drift.removed:
            continue
        changed: Any = field
        if name in retyped:
            changed = replace(changed, type=_type(retyped[name]))
        if name in renamed:
            changed = replace(changed, name=NameNode(value=renamed[name]))
        fields.append(changed)
    make: Any = InputValueDefinitionNode
    if isinstance(node, ObjectTypeDefinitionNode):
        make = FieldDefinitionNode
    for (type_name, field_name), wanted in drift.added:
        if type_name == owner:
            fields.append(make(name=NameNode(value=field_name), type=_type(wanted)))
    return cast(DefinitionNode, replace(cast(Any, node), fields=tuple(fields)))


def _type(text: str) -> Any:
    try:
        return parse_type(text)
    except GraphQLError as error:
        raise ValueError(f"{text!r} is no type") from error


def _name(text: str) -> Name:
    owner, _, field = text.partition(".")
    if not (owner.isidentifier() and field.isidentifier()):
        raise ValueError(f"{text!r} is not Type.field")
    return owner, field


def _pair(text: str, default: str | None) -> tuple[Name, str]:
    name, colon, value = text.partition(":")
    if not colon and default is None:
        raise ValueError(f"{text!r} is not Type.field:name")
    return _name(name), value if colon else cast(str, default)
