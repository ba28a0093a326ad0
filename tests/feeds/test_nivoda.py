import json
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from shared.errors import FacetError, SupplierRefused, SupplierUnavailable
from shared.feeds import feed
from shared.feeds.base import RawOffer, Slice, Span, SupplierSettings
from shared.feeds.nivoda import NivodaSource
from tests.feeds.conftest import MakeEdge
from tests.feeds.offers import make_offer

HOUR_S = 3_600
TOKEN = "eyJ.a-token.of-817"


class FakeNivoda:
    """Logs in anybody with the password, and lists `offers` to who has a token that lives."""

    def __init__(self, *offers: Any, life_s: float | None = 6 * HOUR_S) -> None:
        self.offers = list(offers)
        self.life_s = life_s
        self.password = "pa$$w0rd"
        self.tokens: list[str] = []
        self.dead: set[str] = set()
        self.refusal: Callable[[], httpx.Response] = lambda: error("jwt expired")
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append(body)
        if "authenticate" in body["query"]:
            return self.login(body["variables"])
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token not in self.tokens or token in self.dead:
            return self.refusal()
        if "diamonds_by_query_count" in body["query"]:
            return data(diamonds_by_query_count=len(self.offers))
        first = body["variables"]["offset"]
        items = self.offers[first : first + body["variables"]["limit"]]
        return data(diamonds_by_query={"items": items, "total_count": len(items)})

    def login(self, variables: dict[str, str]) -> httpx.Response:
        if variables != {"username": "facet", "password": self.password}:
            message = f"Wrong username or password: {variables['password']}"
            return data(authenticate={"username_and_password": None}, errors=[{"message": message}])
        self.tokens.append(f"token-{len(self.tokens)}")
        expires = None if self.life_s is None else 1_000 * (time.time() + self.life_s)
        session = {"token": self.tokens[-1], "expires": expires}
        return data(authenticate={"username_and_password": session})


def data(errors: Any = None, **fields: Any) -> httpx.Response:
    return httpx.Response(200, json={"data": fields} | ({"errors": errors} if errors else {}))


def error(message: str, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"errors": [{"message": message}], "data": None})


@pytest.fixture
def nivoda() -> FakeNivoda:
    return FakeNivoda(*(make_offer() for _ in range(120)))


@pytest.fixture
def source(nivoda: FakeNivoda, supplier: SupplierSettings, make_edge: MakeEdge) -> NivodaSource:
    return NivodaSource(supplier, make_edge(nivoda), labgrown=False)


def test_a_feed_is_counted_and_paged(nivoda: FakeNivoda, source: NivodaSource) -> None:
    assert source.count(Slice()) == 120
    found: list[RawOffer] = []
    while page := source.page(Slice(), len(found), 50).offers:
        found += page
    assert [offer.offer_id for offer in found] == [offer["id"] for offer in nivoda.offers]
    assert [json.loads(offer.payload) for offer in found] == nivoda.offers
    assert source.requests() == len(nivoda.asked) == 1 + 1 + 4  # login, count, three pages, the end
    assert len(nivoda.tokens) == 1


def test_the_query_says_what_is_wanted(nivoda: FakeNivoda, source: NivodaSource) -> None:
    source.page(Slice(price=Span(180, 209)), 50, 25)
    assert nivoda.asked[-1]["variables"] == {
        "query": {
            "labgrown": False,
            "availability": ["AVAILABLE"],
            "dollar_per_carat": {"from": 180, "to": 209},
        },
        "offset": 50,
        "limit": 25,
        "order": {"type": "createdAt", "direction": "ASC"},
    }


def test_a_null_item_counts_for_the_offset(nivoda: FakeNivoda, source: NivodaSource) -> None:
    nivoda.offers[1] = None
    page = source.page(Slice(), 0, 3)
    assert page.received == 3
    assert [offer.offer_id is None for offer in page.offers] == [False, True, False]


@pytest.mark.parametrize(("offset", "limit"), [(0, 0), (0, 51), (-1, 50)])
def test_a_page_that_makes_no_sense_is_a_mistake(
    nivoda: FakeNivoda, source: NivodaSource, offset: int, limit: int
) -> None:
    with pytest.raises(ValueError, match="no page"):
        source.page(Slice(), offset, limit)
    assert nivoda.asked == []


def test_an_offset_too_deep_is_not_asked_for(nivoda: FakeNivoda, source: NivodaSource) -> None:
    assert source.page(Slice(), 50_000, 50).received == 0
    asked = len(nivoda.asked)
    with pytest.raises(SupplierRefused, match="50,001 is beyond") as raised:
        source.page(Slice(), 50_001, 50)
    assert "FACET_PARTITION_OFFERS_MAX" in raised.value.hint
    assert len(nivoda.asked) == asked


def test_every_offer_has_a_price(nivoda: FakeNivoda, source: NivodaSource) -> None:
    part = Slice(priceless=True)
    assert source.count(part) == 0
    assert source.page(part, 0, 50) == ((), 0)
    assert nivoda.asked == []


def test_what_happens_to_hold_a_secret_is_read_as_it_is(
    nivoda: FakeNivoda, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    nivoda.password = "oke"  # part of each token, and of an offer below
    nivoda.offers = [make_offer(certNumber="token-0 of a smoker")]
    account = supplier.model_copy(update={"password": SecretStr("oke")})
    (offer,) = NivodaSource(account, make_edge(nivoda), labgrown=False).page(Slice(), 0, 50).offers
    assert json.loads(offer.payload) == nivoda.offers[0]


WORDINGS = ["jwt expired", "invalid token", "Unauthenticated"]


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("wording", WORDINGS)
def test_a_token_refused_is_renewed_once(
    nivoda: FakeNivoda, source: NivodaSource, wording: str, status: int
) -> None:
    nivoda.refusal = lambda: error(wording, status)
    source.count(Slice())
    nivoda.dead.add("token-0")
    assert source.count(Slice()) == 120
    assert nivoda.tokens == ["token-0", "token-1"]
    assert source.requests() == 5  # login, count, refusal, login, count


def test_a_new_token_that_is_refused_may_be_taken_later(
    nivoda: FakeNivoda, source: NivodaSource
) -> None:
    nivoda.dead = {"token-0", "token-1"}
    with pytest.raises(SupplierUnavailable, match=r"a token just given is refused: .* jwt expired"):
        source.count(Slice())
    assert source.count(Slice()) == 120


@pytest.mark.parametrize(
    ("life_s", "passed_s", "logins"),
    [
        (6 * HOUR_S, 5 * HOUR_S, 1),
        (6 * HOUR_S, 6 * HOUR_S - 599, 2),
        (HOUR_S, 0.89 * HOUR_S, 1),
        (HOUR_S, 0.91 * HOUR_S, 2),
        (None, 0.89 * HOUR_S, 1),
        (None, 0.91 * HOUR_S, 2),
        (-300, 0.89 * HOUR_S, 1),  # our clock is five minutes ahead of the supplier's, or more
    ],
)
def test_a_token_is_renewed_before_it_ends(
    nivoda: FakeNivoda,
    source: NivodaSource,
    monkeypatch: pytest.MonkeyPatch,
    life_s: float | None,
    passed_s: float,
    logins: int,
) -> None:
    nivoda.life_s = life_s
    source.count(Slice())
    later = time.monotonic() + passed_s
    monkeypatch.setattr(
        "shared.feeds.nivoda.time", SimpleNamespace(monotonic=lambda: later, time=time.time)
    )
    source.count(Slice())
    assert len(nivoda.tokens) == logins


def test_threads_share_one_login(nivoda: FakeNivoda, source: NivodaSource) -> None:
    threads = [threading.Thread(target=source.count, args=(Slice(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert nivoda.tokens == ["token-0"]
    assert source.requests() == 9


def test_a_wrong_password_says_so_without_saying_it(
    nivoda: FakeNivoda, source: NivodaSource
) -> None:
    nivoda.password = "another"
    with capture_logs() as lines, pytest.raises(SupplierRefused) as raised:
        source.count(Slice())
    assert "refused the login" in str(raised.value)
    assert "Wrong username or password: ***" in str(raised.value)
    assert raised.value.hint == "check FACET_NIVODA_USERNAME and FACET_NIVODA_PASSWORD"
    assert "pa$$w0rd" not in f"{raised.value!r} {lines}"
    assert source.requests() == 1


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
@pytest.mark.parametrize("form", ["errors", "html", "another shape", "request"])
@pytest.mark.parametrize("password", ["pa$$w0rd-817", 'quo"te\\ü-817'])
def test_a_supplier_that_repeats_our_secrets_does_not_make_us_show_them(
    status: int, form: str, password: str, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    """The password in the answer to a login, the token in any other."""

    def repeats(given_in: bool, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        if "authenticate" in sent["query"] and given_in:
            return data(authenticate={"username_and_password": {"token": TOKEN, "expires": None}})
        said = TOKEN if given_in else password
        bodies = {
            "errors": json.dumps({"errors": [{"message": f"no: {said}"}], "data": None}),
            "html": f"<html>{said}</html>",
            "another shape": json.dumps({"data": {"session": {"password": said}}}),
            "request": json.dumps({"request": sent, "authorization": f"Bearer {said}"}),
        }
        return httpx.Response(
            status, content=bodies[form].encode(), headers={"Content-Type": "application/json"}
        )

    account = supplier.model_copy(update={"password": SecretStr(password)})
    for given_in in (False, True):
        source = feed("nivoda-natural").open(account, make_edge(partial(repeats, given_in)))
        with capture_logs() as lines, pytest.raises(FacetError) as raised:
            source.page(Slice(), 0, 50)
        told = "".join(traceback.format_exception(raised.value)) + str(lines) + raised.value.hint
        for secret in (password, json.dumps(password)[1:-1], TOKEN):
            assert secret not in told
            assert repr(secret)[1:-1] not in told


def test_no_secret_is_in_what_is_logged(nivoda: FakeNivoda, source: NivodaSource) -> None:
    with capture_logs() as lines:
        source.count(Slice())
        nivoda.dead.add("token-0")
        source.count(Slice())
    assert {line["event"] for line in lines} >= {"logged_in", "token_refused"}
    assert not any(secret in str(lines) for secret in ("pa$$w0rd", "token-0", "token-1"))


def test_the_password_is_sent_only_to_log_in(nivoda: FakeNivoda, source: NivodaSource) -> None:
    source.count(Slice())
    source.page(Slice(), 0, 50)
    login, *others = nivoda.asked
    assert login["variables"]["password"] == "pa$$w0rd"
    assert "pa$$w0rd" not in login["query"]
    assert not any(word in json.dumps(others) for word in ("pa$$w0rd", "token-0"))


def test_an_unreachable_supplier_is_named(supplier: SupplierSettings, make_edge: MakeEdge) -> None:
    url = "http://127.0.0.1:9/api/diamonds"
    source = NivodaSource(supplier.model_copy(update={"url": url}), make_edge(None), labgrown=False)
    with pytest.raises(SupplierUnavailable, match=url) as raised:
        source.count(Slice())
    assert raised.value.hint == "check FACET_NIVODA_URL"


def test_a_count_has_the_patience_it_is_given(
    nivoda: FakeNivoda, source: NivodaSource, supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    timeouts: list[Any] = []

    def watch(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        return nivoda(request)

    watched = NivodaSource(supplier, make_edge(watch, timeout_s=60), labgrown=False)
    watched.count(Slice(), timeout_s=2)
    watched.count(Slice())
    assert timeouts == [60, 2, 60]  # the login, then the counts
