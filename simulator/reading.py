"""A POST's body as a request, and what kind of request it is."""

import json

from graphql import GraphQLError

from simulator import graphql
from simulator.drift import Drift
from simulator.switches import Kind


def read(body: bytes, changed: Drift) -> graphql.Request:
    """A POST's body as a request. Raises InvalidRequestError."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise graphql.InvalidRequestError([GraphQLError("The body is not JSON.")]) from error
    if not isinstance(sent, dict) or not isinstance(sent.get("query"), str):
        raise graphql.InvalidRequestError([GraphQLError("The body holds no query.")])
    variables, operation = sent.get("variables"), sent.get("operationName")
    if not isinstance(variables, dict | None) or not isinstance(operation, str | None):
        raise graphql.InvalidRequestError(
            [GraphQLError("`variables` is an object and `operationName` a string, or null.")]
        )
    return graphql.prepare(sent["query"], operation, variables or {}, changed)


def kind(request: graphql.Request) -> Kind:
    names = request.names()
    if "diamonds_by_query" in names:
        return "page"
    if "diamonds_by_query_count" in names:
        return "count"
    return "login" if "authenticate" in names else "other"


def crawl(request: graphql.Request) -> str | None:
    """The kind of stones that a page is of."""
    for one in (below for root in request.selected for below in root.walk()):
        if one.name == "diamonds_by_query":
            query = one.arguments(request.variables).get("query") or {}
            return "labgrown" if query.get("labgrown") else "natural"
    return None
