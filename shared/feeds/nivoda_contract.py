"""What we rely on in Nivoda's schema, and what a change of it would break. Pure.

`nivoda.graphql` beside this file is the schema as we know it. Our texts are walked through it and
through the supplier's present one side by side, by the path of a field and not by the name of its
type. A field of an offer that we can do without is left out of the request when it is gone; any
other that changed for the worse stops a run.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    build_client_schema,
    build_schema,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    parse,
    print_ast,
)

from shared.errors import SupplierRefused
from shared.feeds.nivoda_query import PAGE

INTROSPECTION = get_introspection_query(descriptions=False)
ITEM = "diamonds_by_query.items."

# Without these no run is possible; any other field of an offer may be missing.
REJECTED = "every offer would be rejected"
NEEDED = {
    "authenticate": "no login, so no request",
    "authenticate.username_and_password": "no login, so no request",
    "authenticate.username_and_password.token": "no token, so no request",
    "authenticate.username_and_password.expires": "the login asks for it and would be refused",
    "diamonds_by_query_count": "nothing could be counted, so no run planned",
    "diamonds_by_query": "no page could be read",
    "diamonds_by_query.items": "no page could be read",
    ITEM + "id": f"no identity, {REJECTED}",
    ITEM + "price": f"no cost, {REJECTED}",
    ITEM + "diamond": f"no stone behind the offer, {REJECTED}",
    ITEM + "diamond.certificate": f"no shape and no carat, {REJECTED}",
    ITEM + "diamond.certificate.shape": f"no shape, {REJECTED}",
    ITEM + "diamond.certificate.carats": f"no carat, {REJECTED}",
}


class Selected(NamedTuple):
    """A field that a text selects."""

    owner: str  # the type it is a field of
    type: Any  # of the schema that was walked; None: there is no such field


@cache
def known() -> GraphQLSchema:
    """The schema as we know it."""
    text = Path(__file__).with_name("nivoda.graphql").read_text(encoding="utf-8")
    return build_schema(text)


def read_schema(introspection: Any) -> GraphQLSchema:
    """The schema from the `data` of an introspection. Raises SupplierRefused for what is none."""
    try:
        return build_client_schema(introspection)
    except (TypeError, KeyError, AttributeError) as error:
        raise SupplierRefused(f"the supplier's schema cannot be read: {error}") from error


def gone(theirs: GraphQLSchema) -> frozenset[str]:
    """Paths of the page's fields that can no longer be selected and that we can do without."""
    ours, present = walk(PAGE, known()), walk(PAGE, theirs)
    lost = {
        path
        for path, field in present.items()
        if field.type is None or is_value(ours[path].type) != is_value(field.type)
    }
    return frozenset(lost - NEEDED.keys())


def page_without(paths: Collection[str]) -> str:
    """The text that asks for a page, less the fields at these paths."""
    operation = _operation(PAGE)
    kept = _kept(operation.selection_set, paths, "")
    return print_ast(replace(operation, selection_set=kept))


def walk(text: str, schema: GraphQLSchema) -> dict[str, Selected]:
    """Every field that a text selects, by its path; below one that is missing, nothing."""
    found: dict[str, Selected] = {}

    def down(selected: SelectionSetNode, owner: Any, path: str) -> None:
        for node in _field_nodes(selected):
            field = owner.fields.get(node.name.value)
            found[path + node.name.value] = Selected(owner.name, field.type if field else None)
            below = get_named_type(field.type) if field else None
            if node.selection_set and isinstance(below, GraphQLObjectType):
                down(node.selection_set, below, f"{path}{node.name.value}.")

    if schema.query_type is not None:
        down(_operation(text).selection_set, schema.query_type, "")
    return found


def _kept(selected: SelectionSetNode, paths: Collection[str], path: str) -> SelectionSetNode:
    nodes = []
    for node in _field_nodes(selected):
        here = path + node.name.value
        if here in paths:
            continue
        if node.selection_set is None:
            nodes.append(node)
            continue
        below = _kept(node.selection_set, paths, f"{here}.")
        if below.selections:
            nodes.append(replace(node, selection_set=below))
    return replace(selected, selections=tuple(nodes))


def _field_nodes(selected: SelectionSetNode) -> list[FieldNode]:
    return [node for node in selected.selections if isinstance(node, FieldNode)]


@cache
def _operation(text: str) -> OperationDefinitionNode:
    (operation,) = parse(text).definitions
    if not isinstance(operation, OperationDefinitionNode):
        raise TypeError("our texts are one operation each")
    return operation


def is_value(type_: Any) -> bool:
    """Whether it is selected by its name alone; else by the fields below."""
    return is_leaf_type(get_named_type(type_))


def is_list(type_: Any) -> bool:
    return is_list_type(get_nullable_type(type_))
