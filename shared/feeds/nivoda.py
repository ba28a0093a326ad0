"""Nivoda's GraphQL API as a feed that can be counted and paged.

The token goes in the `Authorization` header, not into the query as `as(token:)`: request bodies
end up in logs and in the error messages of GraphQL servers, headers do not. It is kept for the
process, renewed before it expires, and once more when the supplier says it is no good.

Nothing here trusts `total_count`, which is the size of the page, and no page is so short that it
must be the last: that is the caller's to know, who asks until a page is empty.

A page that is refused because a field is gone from the supplier's schema is asked again without
that field, where an offer can do without it.
"""

import copy
import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import structlog
from pydantic_core import to_json

from shared.edge import Answer, Edge
from shared.errors import FacetError, LoginRefused, SupplierRefused, SupplierUnavailable
from shared.feeds.base import Page, Slice, SupplierSettings
from shared.feeds.nivoda_answer import (
    CHECK_URL,
    RequestRefused,
    TokenRefused,
    read_count,
    read_introspection,
    read_offers,
    read_session,
)
from shared.feeds.nivoda_query import COUNT, LOGIN, OFFSET_MAX, ORDER, PAGE, PAGE_SIZE, filters

if TYPE_CHECKING:
    from graphql import GraphQLSchema

log = structlog.get_logger(__name__)

T = TypeVar("T")

# A token is renewed when a tenth of its life is left, but no sooner than this before its end.
RENEW_S_MAX = 600.0
LIFE_S_UNKNOWN = 3_600.0  # the shortest that anybody has reported

CHECK_LOGIN = "check FACET_NIVODA_USERNAME and FACET_NIVODA_PASSWORD"


class _Token(NamedTuple):
    text: str
    renew_at: float  # on the monotonic clock


class _Known:
    """What all know who share a connection: the token, and how a page is asked for."""

    def __init__(self) -> None:
        self.token: _Token | None = None
        self.lock = threading.Lock()
        self.page = PAGE
        self.left_out: frozenset[str] = frozenset()


class NivodaSource:
    """An open connection to one of Nivoda's feeds; threads may share it.

    Every call raises SupplierUnavailable, SupplierBusy, SupplierRefused or BrokerUnavailable.
    """

    def __init__(self, supplier: SupplierSettings, edge: Edge, *, labgrown: bool) -> None:
        self._supplier = supplier
        self._edge = edge
        self._labgrown = labgrown
        self._known = _Known()

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        """Offers in the slice at this instant. `timeout_s` None: the account's."""
        if part.priceless:  # there are none: `price: Int!`
            return 0
        variables = {"query": filters(part, labgrown=self._labgrown)}
        return self._ask(COUNT, variables, read_count, timeout_s)

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        """Offers `offset` to `offset + limit` of the slice, in order of creation.

        limit   1 to 50
        offset  0 to 50,000; SupplierRefused beyond, without asking
        """
        if not 1 <= limit <= PAGE_SIZE or offset < 0:
            raise ValueError(f"no page: offset {offset}, limit {limit}")
        if offset > OFFSET_MAX:
            raise SupplierRefused(
                f"offset {offset:,} is beyond the {OFFSET_MAX:,} that Nivoda answers",
                hint="lower FACET_PARTITION_OFFERS_MAX",
            )
        if part.priceless:
            return Page((), 0)
        query = filters(part, labgrown=self._labgrown)
        variables = {"query": query, "offset": offset, "limit": limit, "order": ORDER}
        read = partial(read_offers, offset=offset)
        asked = self._known.page
        try:
            offers = self._ask(asked, variables, read)
        except RequestRefused as error:
            if not self._leave_out_what_is_gone(asked):
                raise error from None
            offers = self._ask(self._known.page, variables, read)
        return Page(offers, len(offers))

    def schema(self) -> "GraphQLSchema":
        """The supplier's schema as it says it is. One request, and a login where there was none.

        Where the login itself has drifted, it is asked without one.
        """
        from shared.feeds import nivoda_contract as contract  # noqa: PLC0415  rarely needed

        try:
            told = self._ask(contract.INTROSPECTION, {}, read_introspection)
        except RequestRefused:
            told = self._post(contract.INTROSPECTION, {}, read_introspection)
        return contract.read_schema(told)

    def requests(self) -> int:
        """Requests sent since this source was opened, retries and logins included."""
        return self._edge.requests()

    def apart(self) -> "NivodaSource":
        """The same connection and login, with a count of requests of its own."""
        other = copy.copy(self)
        other._edge = self._edge.apart()
        return other

    def close(self) -> None:
        """Give the connections back."""
        self._edge.close()

    def _leave_out_what_is_gone(self, asked: str) -> bool:
        """Ask for pages without the fields that are gone; whether that differs from `asked`."""
        from shared.feeds import nivoda_contract as contract  # noqa: PLC0415  rarely needed

        try:
            gone = contract.gone(self.schema())
        except SupplierRefused:  # it does not show its schema; the page's own refusal says more
            return False
        if gone != self._known.left_out:
            log.warning("fields_left_out", account=self._supplier.account, fields=sorted(gone))
            self._known.page, self._known.left_out = contract.page_without(gone), gone
        return self._known.page != asked

    def _ask(
        self,
        text: str,
        variables: Mapping[str, Any],
        read: Callable[[Answer], T],
        timeout_s: float | None = None,
    ) -> T:
        """Ask with the token; with a new one where it is refused."""
        token = self._current_token()
        try:
            return self._post(text, variables, read, timeout_s, token)
        except TokenRefused as error:
            log.info("token_refused", account=self._supplier.account, error=str(error))
            self._forget(token)
        token = self._current_token()
        try:
            return self._post(text, variables, read, timeout_s, token)
        except TokenRefused as error:
            self._forget(token)
            # Not for good: a supplier whose hosts do not agree yet takes it a moment later.
            raise SupplierUnavailable(f"a token just given is refused: {error}") from error

    def _current_token(self) -> _Token:
        with self._known.lock:
            if self._known.token is None or time.monotonic() >= self._known.token.renew_at:
                self._known.token = self._new_token()
            return self._known.token

    def _forget(self, token: _Token) -> None:
        with self._known.lock:
            if self._known.token is token:  # else another thread has renewed it already
                self._known.token = None

    def _new_token(self) -> _Token:
        password = self._supplier.password.get_secret_value()
        variables = {"username": self._supplier.username, "password": password}
        try:
            session = self._post(LOGIN, variables, read_session)
        except SupplierRefused as error:
            kind = RequestRefused if isinstance(error, RequestRefused) else LoginRefused
            raise kind(str(error), hint=error.hint or CHECK_LOGIN) from error
        life_s = session.expires - time.time() if session.expires is not None else LIFE_S_UNKNOWN
        if life_s <= 0:  # one of the two clocks is wrong; the supplier will say when it is over
            life_s = LIFE_S_UNKNOWN
        log.info("logged_in", account=self._supplier.account, life_s=round(life_s))
        return _Token(session.token, time.monotonic() + life_s - min(RENEW_S_MAX, life_s / 10))

    def _post(
        self,
        text: str,
        variables: Mapping[str, Any],
        read: Callable[[Answer], T],
        timeout_s: float | None = None,
        token: _Token | None = None,
    ) -> T:
        headers = {"Content-Type": "application/json"}
        secret = self._supplier.password.get_secret_value()
        if token is not None:
            secret = token.text
            headers["Authorization"] = f"Bearer {token.text}"
        content = to_json({"query": text, "variables": variables})
        try:
            return self._edge.post(
                self._supplier.url,
                content=content,
                headers=headers,
                read=partial(_reading, read, secret),
                timeout_s=timeout_s,
            )
        except SupplierUnavailable as error:
            error.hint = error.hint or CHECK_URL
            raise


def _reading(read: Callable[[Answer], T], secret: str, answer: Answer) -> T:
    """What `read` makes of an answer; an error that quotes it does not quote the secret sent."""
    try:
        return read(answer)
    except FacetError as error:
        said = str(error)
        forms = {secret, to_json(secret).decode()[1:-1], json.dumps(secret)[1:-1]} - {""}
        for form in sorted(forms, key=len, reverse=True):
            said = said.replace(form, "***")
        error.args = (said,)
        raise error from None  # what it came from may hold the answer too
