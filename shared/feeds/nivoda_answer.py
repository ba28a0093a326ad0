"""What Nivoda's answers mean: the envelope, its errors, and the offers in it.

Pure functions over an answer that came whole. HTTP 200 with `errors` is an error, unless every
entry points at one item of a page: then the page stands, and an item that became null by it
is an offer to be rejected.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from pydantic_core import from_json, to_json

from shared.edge import Answer
from shared.errors import SupplierRefused, SupplierUnavailable
from shared.feeds.base import RawOffer

log = structlog.get_logger(__name__)

SHOWN_CHARS_MAX = 200
EXPIRES_MS_MAX = 1e15  # the year 33658
CHECK_URL = "check FACET_NIVODA_URL"
CHECK_FEED = "`facet feed check FEED` names what has changed"

# The wordings that integrators have met, at HTTP 200 and at 401.
_NO_TOKEN = re.compile(r"\bjwt\b|invalid token|unauthenticated|unauthori[sz]ed", re.IGNORECASE)
_NO_LOGIN = re.compile(
    r"password|credential|user ?name|user not found|denied|forbidden", re.IGNORECASE
)
# Codes of GraphQL servers for a request that can never succeed.
_CODES_INVALID = frozenset({"GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"})
_CODES_REFUSED = frozenset({"BAD_USER_INPUT", "FORBIDDEN"})
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # in no text of PostgreSQL


class TokenRefused(SupplierRefused):
    """Our token has expired or is otherwise no good; a new login may help."""


class RequestRefused(SupplierRefused):
    """Our request does not fit the supplier's schema; a look at the schema may help."""


class Session(NamedTuple):
    token: str
    expires: float | None  # epoch seconds by the supplier's clock; None: not said


class _Envelope(NamedTuple):
    data: Mapping[str, Any] | None
    errors: Sequence[Mapping[str, Any]]


def read_session(answer: Answer) -> Session:
    """The token of a login. Raises SupplierRefused where name or password are not taken."""
    try:
        envelope = _envelope(answer, quoted=b"token" not in answer.body)
        _raise_for_login(answer.status, envelope)
    except TokenRefused as error:
        raise SupplierRefused(f"Nivoda refused the login: {error}") from error
    session: Any = envelope.data
    for key in ("authenticate", "username_and_password"):
        if session is not None and key not in session:
            # Nothing of a login's answer is quoted: it may hold the token.
            raise SupplierRefused(f"{key} is missing in the answer to the login")
        session = session and session[key]
    if not isinstance(session, dict):
        raise SupplierRefused("Nivoda refused the login without a reason")
    token = session.get("token")
    if not isinstance(token, str) or not re.fullmatch("[!-~]+", token):
        raise SupplierRefused("Nivoda's login gave no token that a header can hold")
    expires = session.get("expires")
    if isinstance(expires, int | float) and 0 < expires < EXPIRES_MS_MAX:
        return Session(token, expires / 1000)
    return Session(token, None)


def _raise_for_login(status: int, envelope: _Envelope) -> None:
    """Raise for the errors of a login; what may be about the login itself is TokenRefused."""
    try:
        _raise_for(status, envelope.errors)
    except SupplierUnavailable as error:
        answered = isinstance((envelope.data or {}).get("authenticate"), dict)
        if answered or _NO_LOGIN.search(str(error)):
            raise TokenRefused(str(error)) from error
        raise


def read_count(answer: Answer) -> int:
    """The figure of a count."""
    counted = _at(_data(answer), "diamonds_by_query_count")
    if isinstance(counted, bool) or not isinstance(counted, int) or counted < 0:
        raise SupplierRefused(f"diamonds_by_query_count: {_shown(counted)} is no count")
    return counted


def read_introspection(answer: Answer) -> Mapping[str, Any]:
    """What the supplier says of its own schema."""
    return _data(answer)


def read_offers(answer: Answer, *, offset: int = 0) -> list[RawOffer]:
    """The offers of a page, each as one line of JSON with all it came with.

    offset    of the page in its listing

    A null item becomes {"null_item": true, "position": …, "message": …, "error": …} without an
    offer id. Its position in the listing is all it can be known again by when pages overlap.
    """
    envelope = _envelope(answer)
    _raise_for(answer.status, [one for one in envelope.errors if _item_of(one) is None])
    items = _at(_need_data(envelope), "diamonds_by_query", "items")
    if items is None:
        raise SupplierUnavailable("diamonds_by_query.items: null")
    if not isinstance(items, list):
        raise SupplierRefused(f"diamonds_by_query.items: {_shown(items)} in place of a list")
    if envelope.errors:
        log.info(
            "items_with_errors", errors=len(envelope.errors), first=_message(envelope.errors[0])
        )
    of_item = {_item_of(one): one for one in reversed(envelope.errors)}
    return [_offer(item, of_item.get(n), offset + n) for n, item in enumerate(items)]


def _offer(item: Any, error: Mapping[str, Any] | None, position: int) -> RawOffer:
    if item is None:
        said = {"message": _message(error) if error else None, "error": _of_the_item(error)}
        return RawOffer(None, _line({"null_item": True, "position": position} | said))
    offer_id = item.get("id") if isinstance(item, dict) else None
    known = isinstance(offer_id, str) and offer_id and not _UNSTORABLE.search(offer_id)
    return RawOffer(offer_id if known else None, _line(item))


def _of_the_item(error: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The error with its path below the item: the place on the page differs with every page."""
    if error is None:
        return None
    path = error["path"]
    return {**error, "path": path[path.index("items") + 2 :]}


def _line(value: Any) -> bytes:
    try:
        return to_json(value, inf_nan_mode="strings")  # 1e400 is JSON, and read as infinite
    except ValueError:  # a lone half of a surrogate pair has no UTF-8, only its escape
        return json.dumps(value, separators=(",", ":")).encode()


def _data(answer: Answer) -> Mapping[str, Any]:
    envelope = _envelope(answer)
    _raise_for(answer.status, envelope.errors)
    return _need_data(envelope)


def _need_data(envelope: _Envelope) -> Mapping[str, Any]:
    if envelope.data is None:
        said = f": {_message(envelope.errors[0])}" if envelope.errors else ""
        raise SupplierUnavailable(f"Nivoda answered without data{said}")
    return envelope.data


def _envelope(answer: Answer, *, quoted: bool = True) -> _Envelope:
    """Raises SupplierUnavailable for what is no JSON, SupplierRefused for what is no GraphQL.

    quoted  whether its error may show how the answer begins
    """
    status, body = answer
    shown = _shown_bytes(body) if quoted else f"{len(body)} bytes that may hold a token"
    try:
        document = _parsed(body)
    except (ValueError, RecursionError) as error:
        said = f"Nivoda answered {status} with what is no JSON: {shown}"
        if status == 401:
            raise TokenRefused(said) from error
        if status == 200:  # cut off, or a page of the host's own; both pass
            raise SupplierUnavailable(said) from error
        raise SupplierRefused(said, hint=CHECK_URL) from error
    if not isinstance(document, dict) or not document.keys() & {"data", "errors"}:
        if status == 401:
            raise TokenRefused(f"Nivoda answered 401: {shown}")
        raise SupplierRefused(
            f"Nivoda answered {status} with what is no GraphQL: {shown}", hint=CHECK_URL
        )
    data, errors = document.get("data"), document.get("errors")
    found = errors if isinstance(errors, list) else [errors] if errors else []
    return _Envelope(
        data if isinstance(data, dict) else None,
        [one if isinstance(one, dict) else {"message": str(one)} for one in found],
    )


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        # One bad character or NaN must not cost the page: the mapping rejects its offer alone.
        return json.loads(body.decode(errors="replace"), parse_float=_number, parse_constant=str)


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _raise_for(status: int, errors: Sequence[Mapping[str, Any]]) -> None:
    """Raise the error that `errors` and a status mean, if any."""
    if status == 200 and not errors:
        return
    said = f"Nivoda answered {status}: " + ("; ".join(map(_message, errors)) or "no error given")
    codes = {_code(one) for one in errors}
    no_token = any(_NO_TOKEN.search(_message(one)) for one in errors)
    if status == 401 or "UNAUTHENTICATED" in codes or no_token:
        raise TokenRefused(said)
    if status == 400 or codes & _CODES_INVALID:
        raise RequestRefused(said, hint=CHECK_FEED)
    if status != 200 or codes & _CODES_REFUSED:
        raise SupplierRefused(said, hint=CHECK_FEED)
    raise SupplierUnavailable(said)


def _item_of(error: Mapping[str, Any]) -> int | None:
    """The position of the item an error is about; None: it is about more."""
    path = error.get("path")
    if isinstance(path, list) and "items" in path:
        below = path[path.index("items") + 1 :]
        if below and isinstance(below[0], int):
            return below[0]
    return None


def _message(error: Mapping[str, Any]) -> str:
    return str(error.get("message") or "no message")[:SHOWN_CHARS_MAX]


def _code(error: Mapping[str, Any]) -> str:
    extensions = error.get("extensions")
    return str(extensions.get("code")) if isinstance(extensions, dict) else ""


def _at(data: Any, *keys: str) -> Any:
    """What lies at a path; null where a part of it is null. Raises SupplierRefused for no path."""
    for position, key in enumerate(keys):
        if data is None:
            return None
        if not isinstance(data, dict) or key not in data:
            raise SupplierRefused(
                f"{'.'.join(keys[: position + 1])} is missing in the answer: {_shown(data)}",
                hint=CHECK_FEED,
            )
        data = data[key]
    return data


def _shown(value: Any) -> str:
    return json.dumps(value)[:SHOWN_CHARS_MAX]


def _shown_bytes(body: bytes) -> str:
    return repr(body[:SHOWN_CHARS_MAX])[1:]
