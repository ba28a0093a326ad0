"""GraphQL as the library defines it, run as this server needs it.

The library parses, validates and coerces; each query text is parsed and validated once and kept. It
also answers introspection. What it does not do is execute: a general executor calls a function for
every field of every item, so a request becomes a tree of `Selected` fields instead, which
`supplier.py` walks, and below `items` a projection compiled once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Visitor,
    execute_sync,
    get_variable_values,
    parse,
    validate,
    visit,
)
from graphql.execution.values import VariableValues

from simulator import drift
from simulator.drift import Drift
from simulator.selection import Compiler, Selected

TEXTS_MAX = 256  # query texts kept; a client has a handful
INTROSPECTION = ("__schema", "__type")


class InvalidRequestError(Exception):
    """A request that cannot be run: its text, its variables or its operation name."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors


@dataclass(frozen=True)
class Request:
    """One operation, ready to run."""

    type_name: str  # Query or Mutation
    selected: tuple[Selected, ...]
    variables: VariableValues
    given: Mapping[str, Any] = field(repr=False)  # the variables as they came
    operation: OperationDefinitionNode = field(repr=False)
    fragments: Mapping[str, FragmentDefinitionNode] = field(repr=False)
    drift: Drift = drift.NONE

    def names(self) -> set[str]:
        """The fields asked anywhere above the items."""
        return {field.name for root in self.selected for field in root.walk()}

    def introspect(self, selected: Selected) -> Any:
        """What the library answers for a field of introspection."""
        operation = OperationDefinitionNode(
            operation=OperationType.QUERY,
            selection_set=SelectionSetNode(selections=(selected.node,)),
            variable_definitions=self.operation.variable_definitions,
            directives=(),
        )
        document = DocumentNode(definitions=(operation, *self.fragments.values()))
        result = execute_sync(schema(self.drift), document, variable_values=dict(self.given))
        if result.errors or result.data is None:
            raise InvalidRequestError(result.errors or [GraphQLError("no introspection")])
        return result.data[selected.key]


@dataclass
class _Document:
    """A query text that is valid, and what was compiled from it."""

    operations: dict[str | None, OperationDefinitionNode]
    fragments: dict[str, FragmentDefinitionNode]
    conditional: bool  # has @skip or @include, so that what is selected depends on the variables
    compiled: dict[str | None, tuple[Selected, ...]] = field(default_factory=dict)


def schema(changed: Drift = drift.NONE) -> GraphQLSchema:
    """The supplier's schema, built once a process."""
    return drift.schema(changed)


def prepare(
    text: str,
    operation_name: str | None,
    given: Mapping[str, Any],
    changed: Drift = drift.NONE,
) -> Request:
    """Validate and coerce a request, and compile what it selects.

    given    the variables as they came
    changed  how the schema differs

    Raises InvalidRequestError.
    """
    document = _document(text, changed)
    if isinstance(document, InvalidRequestError):
        raise document
    if operation_name is None and len(document.operations) == 1:
        operation_name = next(iter(document.operations))
    operation = document.operations.get(operation_name)
    if operation is None:
        raise InvalidRequestError([GraphQLError(f"Unknown operation named {operation_name!r}.")])
    known = schema(changed)
    variables = get_variable_values(known, operation.variable_definitions or (), dict(given))
    if isinstance(variables, list):
        raise InvalidRequestError(variables)
    root = known.get_root_type(operation.operation)
    if root is None:
        raise InvalidRequestError([GraphQLError("The schema has no such operation.")])
    compiler = Compiler(document.fragments, variables, changed)
    selected = document.compiled.get(operation_name)
    if selected is None:
        selected = compiler.select(root, [operation.selection_set])
        if not document.conditional:
            document.compiled[operation_name] = selected
    return Request(root.name, selected, variables, given, operation, document.fragments, changed)


@lru_cache(maxsize=TEXTS_MAX)
def _document(text: str, changed: Drift) -> "_Document | InvalidRequestError":
    """Parse and validate; a wrong text is remembered as well as a right one."""
    try:
        parsed = parse(text)
    except GraphQLError as error:
        return InvalidRequestError([error])
    if errors := validate(schema(changed), parsed):
        return InvalidRequestError(errors)
    return _Document(
        operations={
            node.name.value if node.name else None: node
            for node in parsed.definitions
            if isinstance(node, OperationDefinitionNode)
        },
        fragments={
            node.name.value: node
            for node in parsed.definitions
            if isinstance(node, FragmentDefinitionNode)
        },
        conditional=_has_directives(parsed),
    )


def _has_directives(parsed: DocumentNode) -> bool:
    found: list[str] = []

    class Directives(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: object) -> None:
            found.append(node.name.value)

    visit(parsed, Directives())
    return bool(found)
