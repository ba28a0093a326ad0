"""The supplier: one request in, one answer out. No network here.

`Supplier.answer` is the path of every request: read it, validate it, find who asks, run it, say it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError

from simulator import graphql, items
from simulator.answers import (
    BAD_INPUT,
    FORBIDDEN,
    NOT_FOUND,
    UNAUTHENTICATED,
    Answer,
    Note,
    RefusedError,
    to_json,
)
from simulator.auth import Door, Session, UnauthenticatedError
from simulator.fields import Batch
from simulator.filters import UnreadableFilterError
from simulator.search import Order, Part, Search
from simulator.selection import Selected

LIMIT_MAX = 50
LIMIT_DEFAULT = 50  # what the real one does without a limit is unknown
OFFSET_MAX = 50_000


@dataclass
class _Run:
    """One request while it runs."""

    request: graphql.Request
    note: Note
    bearer: str | None  # the token of the header
    errors: list[dict[str, Any]] = field(default_factory=list)


class Supplier:
    def __init__(self, search: Search, door: Door) -> None:
        self.search = search
        self.door = door

    def answer(self, body: bytes, authorization: str | None) -> Answer:
        """Answer one POST.

        authorization  the header as it came, or None

        Never raises for what a client sends: HTTP 400 where the request is not valid GraphQL, else
        HTTP 200, with `errors` where something was refused.
        """
        note = Note()
        try:
            request = _read(body)
        except graphql.InvalidRequestError as error:
            note.error = str(error)
            return Answer(400, to_json({"errors": [e.formatted for e in error.errors]}), note)

        note.kind = _kind(request)
        scheme, _, token = (authorization or "").partition(" ")
        run = _Run(request, note, token if scheme.lower() == "bearer" else None)
        try:
            data: dict[str, Any] | None = self._root(run, request.selected, run.bearer, ())
        except RefusedError as error:  # every field on the way up is non-null
            run.errors.append(error.entry)
            data = None
        except (GraphQLError, graphql.InvalidRequestError) as error:
            run.errors.append({"message": str(error), "extensions": {"code": BAD_INPUT}})
            data = None
        if run.errors:
            note.error = run.errors[0]["message"]
            return Answer(200, to_json({"errors": run.errors, "data": data}), note)
        return Answer(200, to_json({"data": data}), note)

    def _root(
        self, run: _Run, selected: tuple[Selected, ...], token: str | None, path: tuple[str, ...]
    ) -> dict[str, Any]:
        """The fields of Query or Mutation, for whom the token stands."""
        return {one.key: self._field(run, one, token, (*path, one.key)) for one in selected}

    def _field(self, run: _Run, one: Selected, token: str | None, path: tuple[str, ...]) -> Any:
        if one.name == "__typename":
            return run.request.type_name
        if one.name in graphql.INTROSPECTION:
            return run.request.introspect(one)
        if one.name == "authenticate":
            return self._authenticate(run, one, path)
        arguments = one.arguments(run.request.variables)
        if one.name == "as":
            token = arguments.get("token") or run.bearer
        self._check(run, token, path)
        return self._granted(run, one, arguments, token, path)

    def _granted(
        self,
        run: _Run,
        one: Selected,
        arguments: Mapping[str, Any],
        token: str | None,
        path: tuple[str, ...],
    ) -> Any:
        """A field that only an account may ask for."""
        if one.name == "as":
            return self._root(run, one.children, token, path)
        try:
            if one.name == "diamonds_by_query":
                return self._page(run, one, arguments, path)
            if one.name == "diamonds_by_query_count":
                return self._count(run, arguments)
        except UnreadableFilterError as error:
            raise RefusedError(str(error), BAD_INPUT, path) from error
        if one.name == "get_diamond_by_id":
            return self._stone(run, one, arguments["diamond_id"], path)
        # Holds and orders are for buyers with the right contract.
        raise RefusedError("Forbidden", FORBIDDEN, path)

    def _check(self, run: _Run, token: str | None, path: tuple[str, ...]) -> None:
        try:
            run.note.account = self.door.check(token)
        except UnauthenticatedError as error:
            raise RefusedError(str(error), UNAUTHENTICATED, path) from error

    def _authenticate(self, run: _Run, one: Selected, path: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for way in one.children:
            if way.name == "__typename":
                found[way.key] = "Authenticate"
                continue
            try:
                session = self._session(run, way)
            except UnauthenticatedError as error:
                refused = RefusedError(str(error), UNAUTHENTICATED, (*path, way.key))
                if way.name == "refresh_token":  # Session! - the null climbs
                    raise refused from error
                run.errors.append(refused.entry)
                found[way.key] = None
            else:
                found[way.key] = _object(way, "Session", session._asdict())
        return found

    def _session(self, run: _Run, way: Selected) -> Session:
        arguments = way.arguments(run.request.variables)
        if way.name == "refresh_token":
            return self.door.refresh(arguments["refresh_token"])
        run.note.account = arguments["username"]
        if way.name == "username_and_token":
            return self.door.renew(arguments["username"], arguments["token"])
        return self.door.login(arguments["username"], arguments["password"])

    def _page(
        self, run: _Run, one: Selected, arguments: Mapping[str, Any], path: tuple[str, ...]
    ) -> dict[str, Any]:
        offset = _given(arguments, "offset", 0)
        limit = _given(arguments, "limit", LIMIT_DEFAULT)
        query = _given(arguments, "query", {})
        order = _given(arguments, "order", {"type": "none", "direction": "ASC"})
        run.note.query, run.note.offset, run.note.limit = query, offset, limit
        if not 0 <= limit <= LIMIT_MAX:
            raise RefusedError(f"limit is from 0 to {LIMIT_MAX}, not {limit}", BAD_INPUT, path)
        if not 0 <= offset <= OFFSET_MAX:
            raise RefusedError(f"offset is from 0 to {OFFSET_MAX}, not {offset}", BAD_INPUT, path)
        parts = self.search.page(
            query, Order(order["type"], order["direction"] == "DESC"), offset, limit
        )
        run.note.items = sum(len(part.rows) for part in parts)
        counted = {"total_count": run.note.items, "result_count": None}
        return {
            child.key: _items(child, parts)
            if child.name == "items"
            else _value(child, "DiamondList", counted)
            for child in one.children
        }

    def _count(self, run: _Run, arguments: Mapping[str, Any]) -> int:
        """Offset, limit and order are taken and left without effect."""
        query = _given(arguments, "query", {})
        if run.note.query is None:
            run.note.query = query
        run.note.count = self.search.count(query)
        return run.note.count

    def _stone(self, run: _Run, one: Selected, diamond_id: str, path: tuple[str, ...]) -> Any:
        part = self.search.by_id(diamond_id)
        if part is None:
            raise RefusedError("Diamond not found", NOT_FOUND, path)
        run.note.items = 1
        return _items(one, [part])[0]


def _read(body: bytes) -> graphql.Request:
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
    return graphql.prepare(sent["query"], operation, variables or {})


def _kind(request: graphql.Request) -> str:
    names = request.names()
    if "diamonds_by_query" in names:
        return "page"
    if "diamonds_by_query_count" in names:
        return "count"
    return "login" if "authenticate" in names else "other"


def _given(arguments: Mapping[str, Any], name: str, default: Any) -> Any:
    """An argument; null is as good as absent."""
    value = arguments.get(name)
    return default if value is None else value


def _items(one: Selected, parts: list[Part]) -> list[dict[str, Any]]:
    return [
        item for part in parts for item in items.project(one.fields, Batch(part.shelf, part.rows))
    ]


def _object(one: Selected, type_name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {child.key: _value(child, type_name, values) for child in one.children}


def _value(child: Selected, type_name: str, values: Mapping[str, Any]) -> Any:
    return type_name if child.name == "__typename" else values[child.name]
