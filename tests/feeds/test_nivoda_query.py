from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate
from graphql.execution.values import get_variable_values
from graphql.language.ast import OperationDefinitionNode

from shared.feeds.base import Slice, Span
from shared.feeds.nivoda_mapping import PATHS
from shared.feeds.nivoda_query import COUNT, LABS, LOGIN, ORDER, PAGE, PRICE_USD_MAX, filters

PARTS = [
    Slice(),
    Slice(price=Span(0, None)),
    Slice(price=Span(180, 209), carat=Span(100, 150)),
    Slice(price=Span(2**31 - 2, 2**31 - 1), carat=Span(0, None)),
    Slice(shapes=("ROUND", "CUSHION BRILLIANT"), labs=LABS),
    Slice(updated_from=datetime(2026, 11, 21, tzinfo=UTC)),
]


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((resources.files("simulator") / "schema.graphql").read_text())


def variable_errors(schema: GraphQLSchema, text: str, variables: dict[str, Any]) -> Any:
    (operation,) = parse(text).definitions
    assert isinstance(operation, OperationDefinitionNode)
    values = get_variable_values(schema, operation.variable_definitions or (), variables)
    return values if isinstance(values, list) else []


@pytest.mark.parametrize("text", [LOGIN, COUNT, PAGE])
def test_what_we_ask_is_in_the_schema(schema: GraphQLSchema, text: str) -> None:
    assert validate(schema, parse(text)) == []


@pytest.mark.parametrize("part", PARTS)
def test_what_we_filter_by_is_in_the_schema(schema: GraphQLSchema, part: Slice) -> None:
    variables = {
        "query": filters(part, labgrown=True),
        "offset": 0,
        "limit": 50,
        "order": ORDER,
    }
    assert variable_errors(schema, PAGE, variables) == []
    variables["query"]["no_such_filter"] = 1  # type: ignore[index]
    assert variable_errors(schema, PAGE, variables) != []


def test_everything_the_mapping_reads_is_asked_for() -> None:
    def leaves(selections: Any, path: str = "") -> set[str]:
        found: set[str] = set()
        for field in selections.selections:
            here = f"{path}.{field.name.value}" if path else field.name.value
            found |= leaves(field.selection_set, here) if field.selection_set else {here}
        return found

    (operation,) = parse(PAGE).definitions
    assert isinstance(operation, OperationDefinitionNode)
    asked = leaves(operation.selection_set)
    ours = {"null_item", "message"}  # written by the client in place of a null item
    assert {f"diamonds_by_query.items.{path}" for path in set(PATHS.values()) - ours} <= asked


def test_the_kind_is_always_asked_for() -> None:
    assert filters(Slice(), labgrown=False) == {"labgrown": False, "availability": ["AVAILABLE"]}
    assert filters(Slice(), labgrown=True)["labgrown"] is True


def test_neighbours_touch() -> None:
    left = filters(Slice(price=Span(180, 209), carat=Span(50, 100)), labgrown=True)
    right = filters(Slice(price=Span(209, 300), carat=Span(100, 150)), labgrown=True)
    assert left["dollar_per_carat"] == {"from": 180, "to": 209}
    assert right["dollar_per_carat"] == {"from": 209, "to": 300}
    assert left["sizes"] == [{"from": 0.5, "to": 1.0}]
    assert right["sizes"] == [{"from": 1.0, "to": 1.5}]


def test_an_open_top_is_the_largest_number_there_is() -> None:
    asked = filters(Slice(price=Span(500, None), carat=Span(500, None)), labgrown=False)
    assert asked["dollar_per_carat"] == {"from": 500, "to": PRICE_USD_MAX}
    assert asked["sizes"] == [{"from": 5.0, "to": 100_000.0}]


def test_a_mark_is_told_in_utc() -> None:
    bombay = timezone(timedelta(hours=5, minutes=30))
    mark = datetime(2026, 11, 21, 3, 0, 0, 123_999, tzinfo=bombay)
    asked = filters(Slice(updated_from=mark), labgrown=False)
    assert asked["updated"] == {
        "from": "2026-11-20T21:30:00.123Z",
        "to": "2100-01-01T00:00:00.000Z",
    }
