"""The supplier: one request in, one answer out. No network here.

`Supplier.answer` is the path of every request: read it, validate it, find who asks, run it, say it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError

from simulator import drift, graphql, harm, items, reading, skew
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
from simulator.auth import DeadTokenError, Door, Session, UnauthenticatedError
from simulator.board import NO_HITS, Hits
from simulator.drift import Drift
from simulator.fields import Batch
from simulator.filters import UnreadableFilterError
from simulator.search import Order, Part, Query, Search
from simulator.selection import Selected
from simulator.switches import SchemaDrift

LIMIT_MAX = 50
LIMIT_DEFAULT = 50  # what the real one does without a limit is unknown
OFFSET_MAX = 50_000


@dataclass
class _Run:
    """One request while it runs."""

    request: graphql.Request
    note: Note
    bearer: str | None  # the token of the header
    hits: Hits
    status: int = 200  # of HTTP
    errors: list[dict[str, Any]] = field(default_factory=list)


class Supplier:
    def __init__(self, search: Search, door: Door) -> None:
        self.search = search
        self.door = door

    def look(self, body: bytes, hits: Hits) -> Note:
        """What a request is, unanswered; `hits` is told."""
        note = Note()
        try:
            request = reading.read(body, _drift(hits))
            note.kind = reading.kind(request)
            crawl = reading.crawl(request) if note.kind == "page" else None
        except (GraphQLError, graphql.InvalidRequestError) as error:
            note.error, crawl = str(error), None
        hits.arrived(note.kind, crawl)
        return note

    def answer(self, body: bytes, authorization: str | None, hits: Hits = NO_HITS) -> Answer:
        """Answer one POST.

        authorization  the header as it came, or None
        hits           the faults of this request

        Never raises for what a client sends: HTTP 400 where the request is not valid GraphQL, else
        HTTP 200, with `errors` where something was refused.
        """
        note = Note()
        changed = _drift(hits)
        if changed is not drift.NONE:
            hits.show(SchemaDrift)
        try:
            request = reading.read(body, changed)
        except graphql.InvalidRequestError as error:
            note.error = str(error)
            return Answer(400, to_json({"errors": [e.formatted for e in error.errors]}), note)

        note.kind = reading.kind(request)
        scheme, _, token = (authorization or "").partition(" ")
        run = _Run(request, note, token if scheme.lower() == "bearer" else None, hits)
        try:
            data: dict[str, Any] | None = self._root(run, request.selected, run.bearer, ())
        except RefusedError as error:  # every field on the way up is non-null
            run.errors.append(error.entry)
            run.status = error.status
            data = None
        except (GraphQLError, graphql.InvalidRequestError) as error:
            run.errors.append({"message": str(error), "extensions": {"code": BAD_INPUT}})
            data = None
        if run.errors:
            note.error = run.errors[0]["message"]
            return Answer(run.status, to_json({"errors": run.errors, "data": data}), note)
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
            if token and (death := harm.death(run.hits)):
                self.door.kill(token, death)
                raise DeadTokenError(death)
        except DeadTokenError as error:
            wording, status, said = error.death
            code = UNAUTHENTICATED if said else None
            raise RefusedError(wording, code, path, status=status) from error
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
        parts = self._parts(
            run, query, Order(order["type"], order["direction"] == "DESC"), offset, limit, path
        )
        run.note.items = sum(len(part.rows) for part in parts)
        counted = {"total_count": run.note.items, "result_count": None}
        return {
            child.key: self._items(run, child, parts, (*path, child.key))
            if child.name == "items"
            else _value(child, "DiamondList", counted)
            for child in one.children
        }

    def _parts(
        self,
        run: _Run,
        query: Query,
        order: Order,
        offset: int,
        limit: int,
        path: tuple[str, ...],
    ) -> list[Part]:
        """The stones of a page. Raises RefusedError, UnreadableFilterError."""
        hits = run.hits
        offset, limit = skew.bounds(
            hits, offset, limit, path, offset_max=OFFSET_MAX, limit_max=LIMIT_MAX
        )
        if not hits:
            return self.search.page(query, order, offset, limit)
        query = skew.query(hits, run.request.drift.query(query))
        parts = skew.page(hits, self.search, query, order, offset, limit)
        harm.touch(hits, parts)
        return parts

    def _count(self, run: _Run, arguments: Mapping[str, Any]) -> int:
        """Offset, limit and order are taken and left without effect."""
        query = _given(arguments, "query", {})
        if run.note.query is None:
            run.note.query = query
        if run.hits:
            query = skew.query(run.hits, run.request.drift.query(query))
            run.note.count = skew.count(run.hits, self.search, query)
        else:
            run.note.count = self.search.count(query)
        return run.note.count

    def _stone(self, run: _Run, one: Selected, diamond_id: str, path: tuple[str, ...]) -> Any:
        part = self.search.by_id(diamond_id)
        if part is None:
            raise RefusedError("Diamond not found", NOT_FOUND, path)
        run.note.items = 1
        found, errors = _items(one, [part]), list[dict[str, Any]]()
        if run.hits:
            harm.touch(run.hits, [part])
            found, errors = harm.nulled(run.hits, found, [part], [path])
        if found[0] is None:  # DiamondItem! - the null climbs
            raise RefusedError(errors[0]["message"], None, tuple(errors[0]["path"]))
        run.errors += errors
        return found[0]

    def _items(
        self, run: _Run, one: Selected, parts: list[Part], path: tuple[str, ...]
    ) -> list[Any]:
        found = _items(one, parts)
        if run.hits:
            places: list[tuple[str | int, ...]] = [
                (*path, position) for position in range(len(found))
            ]
            found, errors = harm.nulled(run.hits, found, parts, places)
            run.errors += errors
        return found


def _drift(hits: Hits) -> Drift:
    """How the schema differs for this request."""
    hit = hits.get(SchemaDrift) if hits else None
    return drift.NONE if hit is None else hit.switch.drift


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
