"""What a valid request selects: a tree of fields, fragments resolved and repeats merged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLSkipDirective,
    InlineFragmentNode,
    NameNode,
    SelectionNode,
    SelectionSetNode,
    get_argument_values,
    get_directive_values,
    get_named_type,
)
from graphql.execution.values import VariableValues

from simulator import items
from simulator.drift import NONE, Drift
from simulator.fields import constant


@dataclass(frozen=True)
class Selected:
    """A field of the request, with what is asked below it.

    key       its name in the answer
    children  of an object; empty for a leaf, and below `items` compiled into `fields` instead
    """

    key: str
    name: str
    node: FieldNode
    definition: GraphQLField | None  # None: a field of introspection
    children: tuple["Selected", ...] = ()
    fields: items.Fields = ()

    def arguments(self, variables: VariableValues) -> dict[str, Any]:
        """The coerced arguments; those left out and without a default are not in it."""
        if self.definition is None:
            return {}
        return get_argument_values(self.definition, self.node, variables)

    def walk(self) -> Iterator["Selected"]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Compiler:
    """Turns selection sets into `Selected` fields, fragments resolved and repeats merged."""

    fragments: Mapping[str, FragmentDefinitionNode]
    variables: VariableValues
    drift: Drift = NONE

    def select(
        self, owner: GraphQLObjectType, sets: Sequence[SelectionSetNode]
    ) -> tuple[Selected, ...]:
        return tuple(self._field(owner, key, nodes) for key, nodes in self._collect(sets).items())

    def _field(self, owner: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> Selected:
        node = nodes[0]
        name = node.name.value
        if name.startswith("__"):
            return Selected(key, name, node, None)
        definition = owner.fields[name]
        name = self.drift.original(owner.name, name)
        below = get_named_type(definition.type)
        sets = [one.selection_set for one in nodes if one.selection_set]
        if below.name == "DiamondItem":
            return Selected(key, name, node, definition, fields=self.project("DiamondItem", sets))
        children = self.select(below, sets) if isinstance(below, GraphQLObjectType) else ()
        return Selected(key, name, node, definition, children=children)

    def project(self, family: str, sets: Sequence[SelectionSetNode]) -> items.Fields:
        """The projection of an item or of what is nested in it."""
        owner = items.type_of(family)
        fields: list[items.Leaf | items.Branch] = []
        for key, nodes in self._collect(sets).items():
            name = self.drift.original(owner, nodes[0].name.value)
            below = [one.selection_set for one in nodes if one.selection_set]
            if name == "__typename":
                fields.append(items.type_name(family, key))
            elif nested := items.OBJECTS.get((family, name)):
                fields.append(items.Branch(key, nested, self.project(nested.family, below)))
            elif (invented := self.drift.invented(owner, name)) is not None:
                fields.append(items.Leaf(key, constant(invented)))
            else:
                leaf = items.leaf(family, name, key)
                fields.append(items.recast(leaf, self.drift.cast(owner, name)))
        return tuple(fields)

    def _collect(self, sets: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """Fields by their key in the answer, in the order they are first met.

        No type of the schema is abstract, so a valid fragment always applies.
        """
        found: dict[str, list[FieldNode]] = {}
        for selection in (one for selections in sets for one in selections.selections):
            if self._left_out(selection.directives or ()):
                continue
            if isinstance(selection, FieldNode):
                key = (selection.alias or selection.name).value
                found.setdefault(key, []).append(selection)
            else:
                for key, nodes in self._collect([self._fragment(selection)]).items():
                    found.setdefault(key, []).extend(nodes)
        return found

    def _fragment(self, selection: SelectionNode) -> SelectionSetNode:
        if isinstance(selection, FragmentSpreadNode):
            return self.fragments[selection.name.value].selection_set
        return cast(InlineFragmentNode, selection).selection_set  # the third kind, and the last

    def _left_out(self, directives: Sequence[DirectiveNode]) -> bool:
        if not directives:
            return False
        node = FieldNode(name=NameNode(value="_"), directives=tuple(directives))
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return bool((skip and skip["if"]) or (include and not include["if"]))
