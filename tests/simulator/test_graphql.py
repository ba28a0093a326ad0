"""Requests as GraphQL has them: validation, coercion, projection; and the documented example."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    build_client_schema,
    execute_sync,
    get_introspection_query,
    get_named_type,
    lexicographic_sort_schema,
    parse,
    print_schema,
    validate_schema,
)

from simulator import graphql
from simulator.items import FIELDS, OBJECTS
from simulator.stock import Stock
from tests.simulator.asking import Client

EXAMPLE = json.loads(Path(__file__).with_name("example.json").read_text(encoding="utf-8"))
FAMILIES = {"Image": "ProductMedia", "Video": "ProductMedia"}  # others are named as their type


def selection(type_: GraphQLObjectType, *, depth: int = 5) -> str:
    """Every field below a type; back-references are followed no deeper than `depth`."""
    fields = []
    for name, field in type_.fields.items():
        below = get_named_type(field.type)
        if not isinstance(below, GraphQLObjectType):
            fields.append(name)
        elif depth:
            fields.append(f"{name} {selection(below, depth=depth - 1)}")
    return "{ __typename " + " ".join(fields) + " }"


def all_of_an_item(*, depth: int = 4) -> str:
    item = graphql.schema().get_type("DiamondItem")
    assert isinstance(item, GraphQLObjectType)
    return selection(item, depth=depth)


def shape(value: Any) -> Any:
    """Keys all the way down, lists by their first element, leaves as nothing."""
    if isinstance(value, dict):
        return {key: shape(below) for key, below in value.items()}
    return [shape(value[0])] if isinstance(value, list) else None


def test_the_schema_is_sound() -> None:
    assert validate_schema(graphql.schema()) == []


def test_every_field_of_an_item_has_an_answer_and_none_is_invented() -> None:
    def owned(family: str) -> Iterator[tuple[str, GraphQLField]]:
        type_ = graphql.schema().get_type(FAMILIES.get(family, family))
        assert isinstance(type_, GraphQLObjectType)
        yield from type_.fields.items()

    for family, fields in FIELDS.items():
        nested = {name for owner, name in OBJECTS if owner == family}
        assert {name for name, _ in owned(family)} == fields.keys() | nested, family


def test_the_documented_request_is_answered_in_the_documented_shape(still: Client) -> None:
    request = EXAMPLE["request"]
    variables = request["variables"] | {"token": still.token}

    data = still.ask(request["query"], variables, token=None).data

    assert shape(data) == shape(EXAMPLE["answer"]["data"])
    answer = data["as"]
    page = answer["diamonds_by_query"]
    assert page["total_count"] == len(page["items"]) == 2 < answer["diamonds_by_query_count"]
    for item in page["items"]:
        certificate = item["diamond"]["certificate"]
        assert 180 <= item["price"] / 100 / certificate["carats"] <= 209
        assert 1.0 <= certificate["carats"] <= 1.49
        assert isinstance(certificate["length"], str)


def test_answers_are_what_the_general_executor_makes_of_the_raw_items() -> None:
    """Names, types, enums and nulls: nothing is answered that the schema would not allow."""
    stock = Stock(400, 400, seed=21)
    client = Client(stock)
    query = "{ diamonds_by_query(limit: 50, query: Q) { items " + all_of_an_item() + " } }"
    for labgrown in (False, True):
        raw = {item["id"]: item for item in stock.items(labgrown)}
        for item in raw.values():  # the one field that a raw item leaves out
            item["diamond"]["certificate"]["diamonds"] = [item["diamond"]]
        text = query.replace("Q", "{labgrown: %s}" % ("true" if labgrown else "false"))
        answered = client.ask(text).data["diamonds_by_query"]["items"]
        assert len(answered) == 50
        page = {"items": [raw[item["id"]] for item in answered]}

        result = execute_sync(graphql.schema(), parse(text), {"diamonds_by_query": page})

        assert result.errors is None
        assert result.data == {"diamonds_by_query": {"items": answered}}


def test_every_raw_item_fits_the_schema() -> None:
    stock = Stock(700, 700, seed=22)
    text = "{ diamonds_by_query { items " + all_of_an_item(depth=3) + " } }"
    for labgrown in (False, True):
        items = list(stock.items(labgrown))
        for item in items:
            item["diamond"]["certificate"]["diamonds"] = []
        result = execute_sync(
            graphql.schema(), parse(text), {"diamonds_by_query": {"items": items}}
        )
        assert result.errors is None


def test_introspection_gives_the_whole_schema(still: Client) -> None:
    answer = still.ask(get_introspection_query(), token=None).data

    def printed(schema: Any) -> str:
        return print_schema(lexicographic_sort_schema(schema))

    assert printed(build_client_schema(answer)) == printed(graphql.schema())


def test_introspection_takes_variables_aliases_and_fragments(still: Client) -> None:
    query = """
    query Type($name: String!) {
      kind: __typename
      as(token: "%s") { it: __type(name: $name) { ...Names } }
    }
    fragment Names on __Type { name enumValues { name } }
    """
    data = still.ask(query % still.token, {"name": "OrderDirection"}, token=None).data

    assert data["kind"] == "Query"
    assert data["as"]["it"] == {
        "name": "OrderDirection",
        "enumValues": [{"name": "ASC"}, {"name": "DESC"}],
    }


def test_aliases_fragments_and_repeated_fields_merge(still: Client) -> None:
    query = """
    query {
      first: diamonds_by_query(limit: 1, order: {type: price, direction: ASC}) {
        __typename
        items { ...Price diamond { id } ... on DiamondItem { diamond { kind: __typename } } }
        items { offer: id }
      }
      all: diamonds_by_query_count
    }
    fragment Price on DiamondItem { cents: price ...Deep }
    fragment Deep on DiamondItem { diamond { certificate { carats } } }
    """
    data = still.ask(query).data

    assert data["all"] == still.stock.natural.size
    assert data["first"]["__typename"] == "DiamondList"
    (item,) = data["first"]["items"]
    (same,) = still.page(order={"type": "price", "direction": "ASC"}, limit=1)
    assert item == {
        "cents": same["price"],
        "offer": same["id"],
        "diamond": {
            "certificate": same["diamond"]["certificate"],
            "id": same["id"].removeprefix("DIAMOND/"),
            "kind": "Diamond",
        },
    }


def test_a_certificate_leads_back_to_its_diamonds(still: Client) -> None:
    query = """{ diamonds_by_query(limit: 3) { items { diamond { id certificate {
        id diamonds { id certificate { id } } } } } } }"""
    for item in still.ask(query).data["diamonds_by_query"]["items"]:
        diamond = item["diamond"]
        certificate = diamond["certificate"]
        assert certificate["diamonds"] == [
            {"id": diamond["id"], "certificate": {"id": certificate["id"]}}
        ]


def test_skip_and_include_follow_the_variables_of_each_request(still: Client) -> None:
    query = """query Q($with: Boolean!) { diamonds_by_query(limit: 1) {
        items { id price @include(if: $with) discount @skip(if: $with) } } }"""
    for wanted in (True, False, True):
        (item,) = still.ask(query, {"with": wanted}).data["diamonds_by_query"]["items"]
        assert set(item) == {"id", "price" if wanted else "discount"}


def test_one_of_several_operations_is_run_by_name(still: Client) -> None:
    query = "query A { diamonds_by_query_count } query B { __typename }"

    assert still.ask(query, operation="B").data == {"__typename": "Query"}
    for name in (None, "C"):
        refused = still.ask(query, operation=name)
        assert refused.status == 400


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ nope }", {}),
        ("{ diamonds_by_query { items { id carats } } }", {}),
        ("{", {}),
        ("", {}),
        ("{" * 5_000, {}),
        ("{ diamonds_by_query_count(query: {shapes: [ROUND]}) }", {}),
        ("{ diamonds_by_query_count(query: {fluorescence: [NON]}) }", {}),
        ("{ diamonds_by_query_count(query: {dollar_per_carat: {from: 1.5, to: 2}}) }", {}),
        ("{ diamonds_by_query_count(query: {dollar_per_carat: {from: 1}}) }", {}),
        ("{ diamonds_by_query_count(query: {color: [A]}) }", {}),
        ("{ diamonds_by_query { total_count { x } } }", {}),
        ("mutation { authenticate { username_and_password(username: 1, password: 2) } }", {}),
        ("subscription { x }", {}),
        ("query Q($q: DiamondQuery) { diamonds_by_query_count(query: $q) }", {"q": {"x": 1}}),
        (
            "query Q($q: DiamondQuery) { diamonds_by_query_count(query: $q) }",
            {"q": {"dollar_per_carat": {"from": 1, "to": 2**31}}},
        ),
        (
            "query Q($q: DiamondQuery) { diamonds_by_query_count(query: $q) }",
            {"q": {"color": ["A"]}},
        ),
        ("query Q($id: ID!) { get_diamond_by_id(diamond_id: $id) { id } }", {}),
        ("query Q($l: Int) { diamonds_by_query(limit: $l) { total_count } }", {"l": "5"}),
    ],
)
def test_what_does_not_validate_is_answered_with_400(
    still: Client, query: str, variables: dict[str, Any]
) -> None:
    for _ in range(2):  # a wrong text is remembered as well
        refused = still.ask(query, variables)
        assert refused.status == 400
        assert "data" not in refused.content
        assert refused.content["errors"]
        assert all(error["message"] for error in refused.content["errors"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"query": 1}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "operationName": 3}',
        b'{"query": "\\ud800"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_request_is_answered_with_400(still: Client, body: bytes) -> None:
    refused = still.post(body)

    assert refused.status == 400
    assert refused.content["errors"][0]["message"]


def test_integers_may_come_as_floats_without_a_fraction(still: Client) -> None:
    whole = {"labgrown": True, "dollar_per_carat": {"from": 100.0, "to": 200.0}}

    assert still.count(whole) == still.count(
        {"labgrown": True, "dollar_per_carat": {"from": 100, "to": 200}}
    )


def test_nullable_lists_and_objects_are_null_where_the_stone_has_none(still: Client) -> None:
    query = """{ diamonds_by_query(limit: 50) { items { diamond {
        image v360 { url } inclusions { id } certificate { product_images { url } } } } } }"""
    diamonds = [i["diamond"] for i in still.ask(query).data["diamonds_by_query"]["items"]]

    assert {d["v360"] is None for d in diamonds} == {True, False}
    for diamond in diamonds:
        images = diamond["certificate"]["product_images"]
        assert [image["url"] for image in images] == [u for u in [diamond["image"]] if u]
        assert diamond["inclusions"] == []


def test_types_are_lists_where_the_schema_says_so() -> None:
    """`Nested.many` agrees with the schema."""
    for (family, name), nested in OBJECTS.items():
        type_ = graphql.schema().get_type(family)
        assert isinstance(type_, GraphQLObjectType)
        field = type_.fields[name].type
        bare = field.of_type if isinstance(field, GraphQLNonNull) else field
        assert isinstance(bare, GraphQLList) == nested.many
        assert get_named_type(bare).name == FAMILIES.get(nested.family, nested.family)
