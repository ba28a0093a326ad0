"""Who may ask, and how much at once."""

import base64
import json
from typing import Any

import pytest

from simulator.stock import Stock
from tests.simulator.asking import PASSWORD, USERNAME, Client

COUNT = "{ diamonds_by_query_count }"
AS_COUNT = "query As($token: String) { as(token: $token) { diamonds_by_query_count } }"


@pytest.fixture
def client() -> Client:
    return Client(Stock(30, 20, seed=1), lifetime_s=60)


def session(client: Client) -> dict[str, Any]:
    found = client.login().data["authenticate"]["username_and_password"]
    assert isinstance(found, dict)
    return found


def test_a_login_answers_a_session(client: Client) -> None:
    found = session(client)

    assert found["expires"] == (client.clock.now + 60) * 1000
    claims = json.loads(base64.urlsafe_b64decode(found["token"].split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == 60
    assert {"id", "role", "country"} <= claims.keys()
    assert found["refresh_token"] not in ("", found["token"])


def test_both_ways_to_show_a_token_work(client: Client) -> None:
    token = session(client)["token"]

    assert client.ask(COUNT, token=token).data == {"diamonds_by_query_count": 30}
    wrapped = {"as": {"diamonds_by_query_count": 30}}
    assert client.ask(AS_COUNT, {"token": token}, token=None).data == wrapped
    # A null token leaves the header's.
    assert client.ask(AS_COUNT, {"token": None}, token=token).data == wrapped


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "Unauthenticated"),
        ("nonsense", "jwt malformed"),
        ("a.b.c", "invalid token"),
        ("é.ü.ß", "invalid token"),
    ],
)
def test_a_wrong_token_or_none_is_refused(
    client: Client, wrapped: bool, token: str | None, message: str
) -> None:
    refused = (
        client.ask(AS_COUNT, {"token": token}, token=None)
        if wrapped
        else client.ask(COUNT, token=token)
    )

    assert refused.status == 200
    assert refused.content["data"] is None
    assert refused.error["message"] == message
    assert refused.error["extensions"]["code"] == "UNAUTHENTICATED"
    assert refused.error["path"] == (["as"] if wrapped else ["diamonds_by_query_count"])


def test_another_accounts_signature_is_refused(client: Client) -> None:
    other = Client(Stock(0, 0, seed=2))

    assert client.ask(COUNT, token=other.token).error["message"] == "invalid token"


def test_a_token_ends_with_its_lifetime(client: Client) -> None:
    token = session(client)["token"]
    client.clock.now += 59.9
    assert client.ask(COUNT, token=token).data
    client.clock.now += 0.1

    refused = client.ask(COUNT, token=token)
    assert refused.error["message"] == "jwt expired"
    assert client.ask(COUNT, token=session(client)["token"]).data


@pytest.mark.parametrize(
    "wrong", [{"password": "facet"}, {"username": "nobody"}, {"password": ""}, {"username": "é"}]
)
def test_a_wrong_login_is_an_error_under_200(client: Client, wrong: dict[str, str]) -> None:
    refused = client.login(**wrong)

    assert refused.status == 200
    assert refused.content["data"] == {"authenticate": {"username_and_password": None}}
    assert refused.error["path"] == ["authenticate", "username_and_password"]
    assert refused.error["extensions"]["code"] == "UNAUTHENTICATED"
    assert PASSWORD not in json.dumps(refused.content)


def test_a_refresh_token_buys_a_session_and_nothing_else(client: Client) -> None:
    first = session(client)
    query = "query R($t: String!) { authenticate { refresh_token(refresh_token: $t) { token } } }"
    client.clock.now += 3600

    answer = client.ask(query, {"t": first["refresh_token"]}, token=None).data
    fresh = answer["authenticate"]["refresh_token"]["token"]
    assert client.ask(COUNT, token=fresh).data
    assert client.ask(COUNT, token=first["refresh_token"]).error["message"] == "invalid token"
    refused = client.ask(query, {"t": first["token"]}, token=None)
    assert refused.content["data"] is None


def test_a_token_that_holds_buys_another(client: Client) -> None:
    query = """query T($u: String!, $t: String!) {
        authenticate { username_and_token(username: $u, token: $t) { token } } }"""

    answer = client.ask(query, {"u": USERNAME, "t": client.token}, token=None).data
    assert client.ask(COUNT, token=answer["authenticate"]["username_and_token"]["token"]).data
    refused = client.ask(query, {"u": "nobody", "t": client.token}, token=None)
    assert refused.content["data"] == {"authenticate": {"username_and_token": None}}


def test_logging_in_needs_no_good_header(client: Client) -> None:
    query = """{ authenticate { __typename
        username_and_password(username: "%s", password: "%s") { __typename token } } }"""

    answer = client.ask(query % (USERNAME, PASSWORD), token="nonsense").data
    assert answer["authenticate"]["__typename"] == "Authenticate"
    assert answer["authenticate"]["username_and_password"]["__typename"] == "Session"


@pytest.mark.parametrize(
    "mutation",
    [
        'mutation { create_hold(ProductId: "x", ProductType: Diamond) { id } }',
        'mutation { cancel_hold(hold_id: "x") { id } }',
        'mutation { as(token: "TOKEN") { __typename create_order(items: []) } }',
    ],
)
def test_holds_and_orders_are_not_for_this_account(client: Client, mutation: str) -> None:
    refused = client.ask(mutation.replace("TOKEN", client.token))

    assert refused.status == 200
    assert refused.content["data"] is None
    assert refused.error["extensions"]["code"] == "FORBIDDEN"
    assert client.ask(mutation.replace("TOKEN", "x.y.z"), token=None).error["extensions"] == {
        "code": "UNAUTHENTICATED"
    }


@pytest.mark.parametrize(
    ("arguments", "accepted"),
    [
        ("limit: 50", True),
        ("limit: 51", False),
        ("limit: 0", True),
        ("limit: -1", False),
        ("offset: 50000", True),
        ("offset: 50001", False),
        ("offset: -1", False),
        ("limit: null, offset: null, query: null, order: null", True),
    ],
)
def test_a_page_has_its_limits(client: Client, arguments: str, accepted: bool) -> None:
    query = "{ diamonds_by_query(HERE) { total_count items { id } } }"
    reply = client.ask(query.replace("HERE", arguments))

    assert reply.status == 200
    if accepted:
        page = reply.data["diamonds_by_query"]
        assert page["total_count"] == len(page["items"])
    else:
        assert reply.content["data"] is None
        assert reply.error["extensions"]["code"] == "BAD_USER_INPUT"
        assert reply.error["path"] == ["diamonds_by_query"]


def test_total_count_is_the_size_of_the_page(client: Client) -> None:
    query = "{ diamonds_by_query(offset: %d, limit: 20) { total_count items { id } } }"
    counts = [client.ask(query % o).data["diamonds_by_query"]["total_count"] for o in (0, 20, 40)]

    assert counts == [20, 10, 0]


def test_a_count_takes_offset_limit_and_order_and_ignores_them(client: Client) -> None:
    query = """{ diamonds_by_query_count(
        offset: 60000, limit: 900, order: {type: price, direction: DESC}) }"""

    assert client.ask(query).data == {"diamonds_by_query_count": 30}
