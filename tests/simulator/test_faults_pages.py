"""Switches of counts and pages."""

from collections import Counter
from typing import Any

import pytest

from simulator.stock import Stock
from tests.simulator.asking import COUNT, PAGE
from tests.simulator.faulty import Faulty, ids

LAB = {"labgrown": True}
INVERTED = {"labgrown": True, "dollar_per_carat": {"from": 500, "to": 100}}
OTHER_INVERTED = {"labgrown": True, "sizes": [{"from": 2.0, "to": 1.0}]}


def crawl(faulty: Faulty, query: Any = None, *, pages_max: int = 1_000) -> list[str]:
    found: list[str] = []
    for _ in range(pages_max):
        page = faulty.page(query, offset=len(found))
        if not page:
            break
        found += ids(page)
    return found


def test_short_pages_still_lead_through_everything() -> None:
    plain, faulty = Faulty(), Faulty({"short-page": {"probability": 0.4}})
    assert crawl(faulty, LAB) == crawl(plain, LAB)
    assert faulty.shown()["short-page"] > 2


def test_a_short_page_can_be_empty_in_mid_scan() -> None:
    faulty = Faulty({"short-page": {"items": 0, "times": 1}})
    assert [len(faulty.page()) for _ in range(2)] == [0, 50]


def test_a_page_of_one_item_is_not_made_shorter() -> None:
    faulty = Faulty({"short-page": {}})
    assert len(faulty.page(limit=1)) == 1
    assert faulty.shown() == {}


def test_an_endless_scan_goes_round() -> None:
    plain, faulty = Faulty(), Faulty({"endless": {}})
    whole = crawl(plain, LAB)
    found = crawl(faulty, LAB, pages_max=15)
    assert found == (whole * 3)[: 15 * 50]
    assert faulty.count(LAB) == 300
    assert faulty.shown() == {"endless": 9}


def test_an_endless_scan_of_nothing_ends() -> None:
    assert Faulty({"endless": {}}).page({"dollar_per_carat": {"from": 0, "to": 0}}) == []


def test_an_endless_scan_can_stray() -> None:
    query = LAB | {"dollar_per_carat": {"from": 0, "to": 150}}
    plain, faulty = Faulty(), Faulty({"endless": {"what": "strays"}})
    inside = set(crawl(plain, query))
    strays = ids(faulty.page(query, offset=1_000))
    assert len(strays) == len(set(strays)) == 50
    assert set(strays) - inside
    assert set(strays) <= set(crawl(plain, LAB))
    assert ids(faulty.page(query, offset=1_000)) == strays


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({"how": "more", "share": 0.1}, 330, 330),
        ({"how": "less", "share": 0.1}, 270, 270),
        ({"how": "less", "share": 1}, 0, 0),
        ({"how": "more", "share": 0}, 301, 301),
        ({}, 285, 315),
    ],
)
def test_count_and_search_disagree(options: dict[str, Any], low: int, high: int) -> None:
    faulty = Faulty({"count-drift": options})
    counts = Counter(faulty.count(LAB) for _ in range(12))
    assert min(counts) == low
    assert max(counts) == high
    assert 300 not in counts
    assert len(crawl(faulty, LAB)) == 300


def test_rows_that_come_and_go_shift_a_page() -> None:
    plain = Faulty()
    whole = crawl(plain, LAB)
    removed = Faulty({"churn": {"how": "removed", "n": 7}})
    inserted = Faulty({"churn": {"how": "inserted", "n": 7}})
    assert ids(removed.page(LAB, offset=100)) == whole[107:157]
    assert ids(inserted.page(LAB, offset=100)) == whole[93:143]
    assert ids(inserted.page(LAB)) == whole[:50]
    assert inserted.client.stock.time == 0


def test_time_that_goes_on_moves_the_stock_itself() -> None:
    faulty = Faulty({"churn": {"n": 3}}, size=900)
    before = crawl(faulty, LAB)
    stock = faulty.client.stock
    pages = len(faulty.logged())
    assert stock.time == 3 * pages
    assert list(stock.items(True)) == list(Stock.at(900, 900, seed=1, time=3 * pages).items(True))
    faulty.control("DELETE")
    after = crawl(faulty, LAB)
    assert set(after) == {item["id"] for item in stock.items(True)} != set(before)


@pytest.mark.parametrize("query", [INVERTED, OTHER_INVERTED])
def test_an_inverted_range_answers_strays(query: dict[str, Any]) -> None:
    plain, faulty = Faulty(), Faulty({"inverted-strays": {}})
    assert (plain.page(query), plain.count(query)) == ([], 0)
    found = ids(faulty.page(query))
    assert len(found) == len(set(found)) == faulty.count(query) == 30
    assert ids(faulty.page(query, offset=20)) == found[20:]
    assert faulty.page(query, offset=30) == []
    assert set(found) <= set(crawl(plain, LAB))


def test_a_range_the_right_way_round_answers_no_strays() -> None:
    query = LAB | {"dollar_per_carat": {"from": 100, "to": 500}}
    plain, faulty = Faulty(), Faulty({"inverted-strays": {}})
    assert faulty.page(query) == plain.page(query)
    assert faulty.count(query) == plain.count(query)
    assert faulty.shown() == {}


@pytest.mark.parametrize(
    ("switch", "variables", "plainly", "refused", "other"),
    [
        ("deep-offset", {"offset": 50_001, "limit": 5}, None, None, 0),
        ("big-limit", {"offset": 0, "limit": 51}, None, None, 50),
    ],
)
def test_what_is_beyond_the_maximum_is_refused_or_not(
    switch: str, variables: dict[str, int], plainly: None, refused: None, other: int
) -> None:
    def items(faulty: Faulty) -> int | None:
        answer = faulty.ask(PAGE, variables).json()
        if "errors" in answer:
            assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
            return None
        return len(answer["data"]["diamonds_by_query"]["items"])

    assert items(Faulty()) == plainly
    assert items(Faulty({switch: {"how": "refused"}})) == refused
    faulty = Faulty({switch: {}})
    assert items(faulty) == other
    assert faulty.shown() == {switch: 1}


def test_the_maximum_can_be_moved() -> None:
    faulty = Faulty({"deep-offset": {"how": "refused", "above": 100}, "big-limit": {"above": 20}})
    assert len(faulty.page(offset=100, limit=50)) == 20
    answer = faulty.ask(PAGE, {"offset": 101, "limit": 5}).json()
    assert "offset is from 0 to 100" in answer["errors"][0]["message"]
    served = Faulty({"deep-offset": {"how": "served", "above": 100}})
    assert len(served.page(offset=200)) == 50


@pytest.mark.parametrize("name", ["dollar_per_carat", "dollar_value"])
def test_price_filters_can_be_cents(name: str) -> None:
    plain, faulty = Faulty(size=900), Faulty({"cents": {}}, size=900)
    dollars = LAB | {name: {"from": 120, "to": 340}}
    cents = LAB | {name: {"from": 12_000, "to": 34_000}}
    assert crawl(faulty, cents) == crawl(plain, dollars) != []
    assert faulty.count(cents) == plain.count(dollars)
    assert faulty.count(dollars) == 0
    assert faulty.count(LAB) == 900
    assert faulty.shown()["cents"] == faulty.board.requests - 1


def test_the_log_keeps_the_query_as_it_came() -> None:
    query = LAB | {"dollar_per_carat": {"from": 12_000, "to": 34_000}}
    faulty = Faulty({"cents": {}, "big-limit": {}})
    faulty.ask(PAGE, {"q": query, "limit": 80})
    faulty.ask(COUNT, {"q": query})
    page, count = faulty.logged()
    assert page["query"] == count["query"] == query
    assert (page["limit"], page["faults"]) == (80, ["big-limit", "cents"])


def test_faults_of_a_page_come_together() -> None:
    faulty = Faulty({"endless": {}, "short-page": {"items": 9}, "churn": {"how": "removed"}})
    whole = crawl(Faulty(), LAB)
    assert ids(faulty.page(LAB, offset=289)) == [*whole[290:], *whole][:9]
    assert faulty.logged()[0]["faults"] == ["churn", "endless", "short-page"]
