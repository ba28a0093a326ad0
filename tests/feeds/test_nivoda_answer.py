"""The table of Nivoda's answers: what came, what it means."""

import json
import traceback
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.edge import Answer
from shared.errors import FacetError, SupplierRefused, SupplierUnavailable
from shared.feeds.base import RawOffer
from shared.feeds.nivoda_answer import (
    RequestRefused,
    TokenRefused,
    read_count,
    read_offers,
    read_session,
)
from tests.feeds.offers import make_offer

SESSION = {"token": "eyJ.a.b", "expires": 1_763_715_600_000.0}


def said(document: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode())


def errors(message: str, code: str | None = None, path: list[str | int] | None = None) -> Any:
    entry: dict[str, Any] = {"message": message}
    if code:
        entry["extensions"] = {"code": code}
    if path:
        entry["path"] = path
    return [entry]


def page(*items: Any, **beside: Any) -> Answer:
    return said({"data": {"diamonds_by_query": {"items": list(items)}}} | beside)


def at_item(position: int, *below: str) -> list[str | int]:
    return ["diamonds_by_query", "items", position, *below]


ANY_ANSWER = [
    (Answer(200, b""), SupplierUnavailable, "no JSON"),
    (Answer(200, b'{"data": {"diamonds_by'), SupplierUnavailable, "no JSON: '{\"data"),
    (Answer(200, b"<html>Back soon</html>"), SupplierUnavailable, "no JSON: '<html>Back soon"),
    (Answer(200, b"[" * 100_000), SupplierUnavailable, "no JSON"),
    (Answer(200, b"NaN"), SupplierRefused, "no GraphQL: 'NaN'"),
    (Answer(302, b""), SupplierRefused, "answered 302"),
    (Answer(404, b"<html>"), SupplierRefused, "answered 404"),
    (Answer(405, b"Method Not Allowed"), SupplierRefused, "answered 405"),
    (Answer(401, b"<html>"), TokenRefused, "answered 401"),
    (said({"message": "no"}, 401), TokenRefused, "answered 401"),
    (said({"errors": errors("?")}, 401), TokenRefused, "answered 401: ?"),
    (said({"errors": errors("jwt expired")}), TokenRefused, "jwt expired"),
    (said({"errors": errors("jwt malformed"), "data": None}), TokenRefused, "jwt malformed"),
    (said({"errors": errors("invalid token")}), TokenRefused, "invalid token"),
    (said({"errors": errors("Unauthenticated")}), TokenRefused, "Unauthenticated"),
    (said({"errors": errors("Unauthorized")}, 400), TokenRefused, "Unauthorized"),
    (said({"errors": errors("?", "UNAUTHENTICATED")}), TokenRefused, "200: ?"),
    (said({"errors": errors("Unknown field")}, 400), RequestRefused, "400: Unknown field"),
    (said({"errors": errors("Denied")}, 403), SupplierRefused, "403: Denied"),
    (said({"data": {}}, 404), SupplierRefused, "404: no error given"),
    (
        said({"errors": errors("No such field", "GRAPHQL_VALIDATION_FAILED")}),
        RequestRefused,
        "No such field",
    ),
    (said({"errors": errors("boom", "INTERNAL_SERVER_ERROR")}), SupplierUnavailable, "boom"),
    (said({"errors": errors("boom"), "data": {"x": 1}}), SupplierUnavailable, "boom"),
    (said({"errors": "boom"}), SupplierUnavailable, "boom"),
    (said({"errors": ["boom", None]}), SupplierUnavailable, "boom; None"),
    (said({"data": None}), SupplierUnavailable, "without data"),
    (said({"data": [1]}), SupplierUnavailable, "without data"),
    (said({}), SupplierRefused, "no GraphQL"),
    (said([]), SupplierRefused, "no GraphQL"),
    (said("ok"), SupplierRefused, "no GraphQL"),
]
COUNTS = [
    (said({"data": {}}), SupplierRefused, "diamonds_by_query_count is missing"),
    (said({"data": {"diamonds_by_query_count": None}}), SupplierRefused, "null is no count"),
    (said({"data": {"diamonds_by_query_count": -1}}), SupplierRefused, "-1 is no count"),
    (said({"data": {"diamonds_by_query_count": 1.5}}), SupplierRefused, "1.5 is no count"),
    (said({"data": {"diamonds_by_query_count": "12"}}), SupplierRefused, '"12" is no count'),
    (said({"data": {"diamonds_by_query_count": True}}), SupplierRefused, "true is no count"),
]
PAGES = [
    (said({"data": {}}), SupplierRefused, "diamonds_by_query is missing"),
    (said({"data": {"diamonds_by_query": None}}), SupplierUnavailable, "items: null"),
    (said({"data": {"diamonds_by_query": []}}), SupplierRefused, "items is missing"),
    (said({"data": {"diamonds_by_query": {}}}), SupplierRefused, "items is missing"),
    (said({"data": {"diamonds_by_query": {"items": None}}}), SupplierUnavailable, "items: null"),
    (said({"data": {"diamonds_by_query": {"items": {}}}}), SupplierRefused, "in place of a list"),
    (
        page(make_offer(), errors=errors("half of it timed out", path=["diamonds_by_query"])),
        SupplierUnavailable,
        "half of it timed out",
    ),
    (
        said({"data": None, "errors": errors("cannot be null", path=at_item(3, "price"))}),
        SupplierUnavailable,
        "without data: cannot be null",
    ),
]


@pytest.mark.parametrize(("answer", "error", "says"), [*ANY_ANSWER, *COUNTS])
def test_what_is_no_count_has_its_name(answer: Answer, error: type[FacetError], says: str) -> None:
    with pytest.raises(FacetError) as raised:
        read_count(answer)
    assert type(raised.value) is error
    assert says in str(raised.value)


@pytest.mark.parametrize(("answer", "error", "says"), [*ANY_ANSWER, *PAGES])
def test_what_is_no_page_has_its_name(answer: Answer, error: type[FacetError], says: str) -> None:
    with pytest.raises(FacetError) as raised:
        read_offers(answer)
    assert type(raised.value) is error
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(401, b"no"), SupplierRefused, "refused the login: Nivoda answered 401"),
        (said({"errors": errors("Unauthorized")}), SupplierRefused, "login: "),
        (said({"errors": errors("Wrong username or password")}), SupplierRefused, "Wrong username"),
        (
            said(
                {"errors": errors("?"), "data": {"authenticate": {"username_and_password": None}}}
            ),
            SupplierRefused,
            "refused the login: ",
        ),
        (
            said({"data": {"authenticate": {"username_and_password": None}}}),
            SupplierRefused,
            "refused the login without a reason",
        ),
        (
            said({"data": {"authenticate": {"username_and_password": {"token": None}}}}),
            SupplierRefused,
            "gave no token",
        ),
        (
            said({"data": {"authenticate": {"username_and_password": {"token": "a\r\nb: c"}}}}),
            SupplierRefused,
            "gave no token",
        ),
        (
            said({"data": {"authenticate": {"username_and_password": {"token": ""}}}}),
            SupplierRefused,
            "gave no token",
        ),
        (said({"data": {"authenticate": {}}}), SupplierRefused, "username_and_password is missing"),
        (said({"errors": errors("boom"), "data": None}), SupplierUnavailable, "boom"),
        (Answer(200, b"<html>"), SupplierUnavailable, "no JSON"),
        (said({"errors": errors("Cannot query field")}, 400), RequestRefused, "Cannot query"),
    ],
)
def test_a_login_that_fails_has_its_name(
    answer: Answer, error: type[FacetError], says: str
) -> None:
    with pytest.raises(FacetError) as raised:
        read_session(answer)
    assert type(raised.value) is error
    assert says in str(raised.value)


@given(st.integers(0, 200), st.sampled_from([200, 401, 403]))
def test_a_login_that_was_cut_off_shows_no_token(kept: int, status: int) -> None:
    whole = said({"data": {"authenticate": {"username_and_password": SESSION}}}).body
    with pytest.raises(FacetError) as raised:
        read_session(Answer(status, whole[: min(kept, len(whole) - 1)]))
    assert "eyJ" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [
        (1_763_715_600_000.0, 1_763_715_600.0),
        (None, None),
        ("soon", None),
        (10**400, None),
        (0, None),
    ],
)
def test_a_login_gives_a_token_and_perhaps_its_end(expires: Any, seconds: float | None) -> None:
    session = SESSION | {"expires": expires}
    answer = said({"data": {"authenticate": {"username_and_password": session}}})
    assert read_session(answer) == ("eyJ.a.b", seconds)


def test_a_count_is_a_number() -> None:
    assert read_count(said({"data": {"diamonds_by_query_count": 437_849}})) == 437_849
    assert read_count(said({"data": {"diamonds_by_query_count": 0}})) == 0


def test_a_page_keeps_every_offer_as_it_came() -> None:
    offers = [make_offer(), make_offer(name="Brüder \N{GEM STONE}", carats=1.10)]
    offers[1]["later_addition"] = {"list": [1, None, "x"]}
    read = read_offers(page(*offers))
    assert [offer.offer_id for offer in read] == [offer["id"] for offer in offers]
    assert [json.loads(offer.payload) for offer in read] == offers
    assert all(b"\n" not in offer.payload for offer in read)


def test_an_empty_page_is_empty() -> None:
    assert read_offers(page()) == []


def test_a_null_item_carries_the_error_that_made_it() -> None:
    (entry,) = errors("Enum cannot represent", path=at_item(1, "diamond", "certificate"))
    first, null, last = read_offers(page(make_offer(), None, make_offer(), errors=[entry]))
    assert null.offer_id is None
    assert json.loads(null.payload) == {
        "null_item": True,
        "position": 1,
        "message": "Enum cannot represent",
        "error": entry | {"path": ["diamond", "certificate"]},
    }
    assert first.offer_id
    assert last.offer_id


def test_a_null_item_without_an_error_is_one_all_the_same() -> None:
    (null,) = read_offers(page(None))
    assert json.loads(null.payload) == {
        "null_item": True,
        "position": 0,
        "message": None,
        "error": None,
    }


def test_an_error_about_a_field_of_an_item_leaves_the_item() -> None:
    offer = make_offer(clarity=None)
    entry = errors("Enum cannot represent", path=at_item(0, "diamond", "certificate", "clarity"))
    (read,) = read_offers(page(offer, errors=entry))
    assert read.offer_id == offer["id"]


@pytest.mark.parametrize("offer_id", [None, "", 7, ["a"], "a\x00b", "a\ud800"])
def test_an_id_that_is_none_is_left_out(offer_id: Any) -> None:
    (read,) = read_offers(page({"id": offer_id}))
    assert read.offer_id is None
    assert json.loads(read.payload) == {"id": offer_id}


@pytest.mark.parametrize("item", [7, "x", [], True])
def test_an_item_that_is_no_object_is_kept_for_the_mapping(item: Any) -> None:
    assert read_offers(page(item)) == [RawOffer(None, json.dumps(item).encode())]


@pytest.mark.parametrize("bad", [b"\xff", b"\\ud83d"])
def test_one_bad_character_does_not_cost_the_page(bad: bytes) -> None:
    offers = make_offer(), make_offer(name="MARK")
    body = page(*offers).body.replace(b"MARK", bad)
    read = read_offers(Answer(200, body))
    assert [offer.offer_id for offer in read] == [offer["id"] for offer in offers]
    assert all(json.loads(offer.payload) for offer in read)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity"])
@pytest.mark.parametrize("name", ["plain", "\ud83d"])
def test_a_number_that_is_none_is_left_to_the_mapping(number: bytes, name: str) -> None:
    body = page(make_offer(carats=17.5, name=name)).body.replace(b"17.5", number)
    (read,) = read_offers(Answer(200, body))
    kept = json.loads(read.payload, parse_constant=pytest.fail)
    assert isinstance(kept["diamond"]["certificate"]["carats"], str)


keys = st.sampled_from([
    "data", "errors", "message", "path", "extensions", "code", "items", "diamonds_by_query",
    "diamonds_by_query_count", "authenticate", "username_and_password", "token", "expires",
])  # fmt: skip
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
bodies = st.binary(max_size=40) | documents.map(lambda document: json.dumps(document).encode())


@settings(deadline=None)
@given(st.sampled_from([200, 400, 401, 403, 404]), bodies)
def test_no_answer_surprises(status: int, body: bytes) -> None:
    for read in (read_count, read_offers, read_session):
        with suppress(FacetError):
            read(Answer(status, body))
