"""Counts and pages against a plain reading of the query, item by item."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import words
from simulator.companies import COMPANIES
from tests.simulator.asking import Client
from tests.simulator.matching import matches, per_carat


def lists(*options: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(options), min_size=1, max_size=5, unique=True)


def spans(low: int, high: int) -> st.SearchStrategy[dict[str, int]]:
    """Mostly upright ranges; some hold nothing."""
    ends = st.integers(low, high)
    return st.builds(lambda a, b: {"from": a, "to": b}, ends, ends)


def decimals(low: int, high: int, scale: int) -> st.SearchStrategy[dict[str, float]]:
    return spans(low, high).map(lambda s: {end: value / scale for end, value in s.items()})


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "dollar_per_carat": spans(0, 4_000) | spans(60, 300),
    "dollar_value": spans(0, 6_000),
    "discount": spans(-10_000, 2_000),
    "shapes": lists(*words.RATIOS, "ASCHER", "HALFMOON", "NO SUCH SHAPE"),
    "sizes": st.lists(decimals(30, 400, 100), min_size=1, max_size=3),
    "color": lists("D", "E", "F", "G", "H", "K", "FANCY"),
    "clarity": lists("FL", "IF", "VVS2", "VS1", "VS2", "SI1", "SI2", "I2"),
    "cut": lists("EX", "VG", "GD", "G", "F", "FR", "ID"),
    "polish": lists("EX", "VG", "G", "EIGHTX", "P"),
    "symmetry": lists("EX", "VG", "GD", "F"),
    "flouresence": lists("NON", "FNT", "STN", "STG", "VST"),
    "certificate_lab": lists("GIA", "IGI", "HRD", "NONE", "EGL", "CDC"),
    "labgrown_type": lists("CVD", "HPHT", "IIA"),
    "fancyColor": lists("YELLOW", "GREY", "U-V", "ORANGE BROWN"),
    "length_mm": decimals(0, 1_200, 100),
    "width_mm": decimals(400, 900, 100),
    "depth_mm": decimals(0, 600, 100),
    "ratio": decimals(90, 200, 100),
    "table_percentage": decimals(500, 700, 10),
    "depth_percentage": decimals(550, 680, 10),
    "crown_angle": decimals(0, 400, 10),
    "star_length": decimals(0, 700, 10),
    "availability": lists("AVAILABLE", "ON_HOLD", "MEMO", "SOLD"),
    "hide_memo": st.booleans(),
    "has_image": st.booleans(),
    "has_v360": st.booleans(),
    "has_certpdf": st.booleans(),
    "eyeClean": lists("Yes", "No", "Borderline"),
    "sue": st.booleans(),
    "treated": st.booleans(),
    "suppliers": lists(*(company.id for company in COMPANIES[:6])),
    "location": lists("IN", "BE", "US", "XX"),
    "delivery_time": lists(1, 3, 5, 8),
    "is_fbn": st.booleans(),
    "returns": st.booleans(),
    "mine_of_origin": lists("CANADA", "BOTSWANA", "UNKNOWN"),
    "excludeFairPoorCuts": st.booleans(),
    "girdle": lists("MED", "STK", "THN", "VTK"),
    "culet": lists("NON", "VSM", "MED"),
    "key_to_symbols": lists("Feather", "crystal", "Needle"),
    "key_to_symbols_contains": st.booleans(),
}
queries = st.dictionaries(st.sampled_from(sorted(FIELDS)), st.just(None), max_size=4).flatmap(
    lambda chosen: st.fixed_dictionaries({name: FIELDS[name] for name in chosen})
)


@cache
def items(client: Client, *, labgrown: bool) -> tuple[dict[str, Any], ...]:
    return tuple(client.stock.items(labgrown))


def expected(client: Client, query: Mapping[str, Any]) -> set[str]:
    """Ids of the items that match, by the plain reading."""
    stones = items(client, labgrown=bool(query.get("labgrown")))
    return {item["id"] for item in stones if matches(item, query)}


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(query=queries, labgrown=st.sampled_from([None, False, True]))
def test_a_count_equals_the_items_that_match(
    still: Client, query: dict[str, Any], labgrown: bool | None
) -> None:
    query = query if labgrown is None else query | {"labgrown": labgrown}

    assert still.count(query) == len(expected(still, query))


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_every_filter_can_match_some_and_leave_out_others(still: Client, field: str) -> None:
    """So that the property above compares more than zeros."""
    seen: set[int] = set()

    @settings(deadline=None, max_examples=25, derandomize=True)
    @given(value=FIELDS[field], labgrown=st.booleans())
    def collect(value: Any, labgrown: bool) -> None:
        query = {"labgrown": labgrown, field: value}
        if field == "sue":
            query["eyeClean"] = ["No"]
        if field == "key_to_symbols_contains":
            query["key_to_symbols"] = ["Feather"]
        seen.add(still.count(query))
        assert still.count(query) == len(expected(still, query))

    collect()
    assert len(seen) > 1


@settings(deadline=None, max_examples=25)
@given(
    query=queries,
    limit=st.integers(1, 50),
    order=st.sampled_from(
        ["createdAt", "price", "discount", "size", "none", "insert", "price_per_carat", "color"]
    ),
    direction=st.sampled_from(["ASC", "DESC"]),
)
def test_pages_of_a_still_feed_tile_without_loss_or_repeat(
    still: Client, query: dict[str, Any], limit: int, order: str, direction: str
) -> None:
    query = {"labgrown": True} | query
    found = still.crawl(query, order={"type": order, "direction": direction}, limit=max(limit, 20))

    ids = [item["id"] for item in found]
    assert len(ids) == len(set(ids))
    assert set(ids) == expected(still, query)


@given(low=st.integers(0, 3_000), width=st.integers(0, 500))
@settings(deadline=None)
def test_ranges_include_both_ends_in_whole_dollars_a_carat(
    still: Client, low: int, width: int
) -> None:
    query = {"labgrown": True, "dollar_per_carat": {"from": low, "to": low + width}}

    assert still.count(query) == sum(
        low <= per_carat(item) <= low + width for item in items(still, labgrown=True)
    )


def test_a_stone_on_a_shared_edge_is_in_both_ranges(still: Client) -> None:
    edges = {per_carat(i) for i in items(still, labgrown=True) if per_carat(i).denominator == 1}
    assert edges, "part of the lab-grown stones is quoted in whole dollars"

    for edge in sorted(edges)[:20]:
        dollars = int(edge)
        on_it = still.count(
            {"labgrown": True, "dollar_per_carat": {"from": dollars, "to": dollars}}
        )
        below = still.count({"labgrown": True, "dollar_per_carat": {"from": 0, "to": dollars}})
        above = still.count(
            {"labgrown": True, "dollar_per_carat": {"from": dollars, "to": 2_147_483_647}}
        )
        assert on_it >= 1
        assert below + above == still.stock.labgrown.size + on_it


@pytest.mark.parametrize("top", [2_147_483_647, 1_000_000])
def test_a_large_top_reaches_everything(still: Client, top: int) -> None:
    query = {"labgrown": True, "dollar_per_carat": {"from": 0, "to": top}}

    assert still.count(query) == still.stock.labgrown.size


def test_an_inverted_range_holds_nothing(still: Client) -> None:
    inverted = {"from": 900, "to": 100}

    for field in ("dollar_per_carat", "dollar_value", "sizes", "discount"):
        query = {"labgrown": True, field: inverted}
        assert still.count(query) == 0
        assert still.page(query) == []


def test_without_labgrown_only_natural_stones_are_found(still: Client) -> None:
    natural = {item["id"] for item in items(still, labgrown=False)}

    assert still.count() == still.count({}) == still.count({"labgrown": None}) == len(natural)
    assert {item["id"] for item in still.crawl()} == natural


def test_an_empty_list_and_null_restrict_nothing(still: Client) -> None:
    query = {"shapes": [], "color": [None], "sizes": None, "certificate_numbers": []}

    assert still.count(query) == still.stock.natural.size


def test_one_bare_value_stands_for_a_list(still: Client) -> None:
    bare = {"shapes": "OVAL", "sizes": {"from": 0.5, "to": 2.0}, "availability": "AVAILABLE"}
    listed = {name: [value] for name, value in bare.items()}

    assert still.count(bare) == still.count(listed) == len(expected(still, listed)) > 0


def test_certificate_numbers_override_everything_else(still: Client) -> None:
    natural, labgrown = items(still, labgrown=False)[3], items(still, labgrown=True)[4]
    numbers = [i["diamond"]["certificate"]["certNumber"] for i in (natural, labgrown)]
    query = {
        "certificate_numbers": [*numbers, numbers[0], "LG0", "٣", "no such number", ""],
        "labgrown": True,
        "dollar_per_carat": {"from": 0, "to": 0},
        "shapes": ["NONE"],
    }

    assert still.count(query) == 2
    assert {item["id"] for item in still.crawl(query, limit=1)} == {natural["id"], labgrown["id"]}


def test_every_certificate_number_finds_its_stone_and_no_other(still: Client) -> None:
    for labgrown in (False, True):
        for item in items(still, labgrown=labgrown)[:150]:
            number = item["diamond"]["certificate"]["certNumber"]
            (found,) = still.page({"certificate_numbers": [number]})
            assert found["id"] == item["id"]


def test_a_number_that_only_resembles_one_finds_nothing(still: Client) -> None:
    for labgrown in (False, True):
        for item in items(still, labgrown=labgrown)[:150]:
            number = item["diamond"]["certificate"]["certNumber"]
            digits = number.rpartition("-")[2].removeprefix("LG")
            alike = {f"LG{digits}", digits, f"ZZ-{digits}", f"0{number}", f"{number} "} - {number}
            assert still.count({"certificate_numbers": sorted(alike)}) == 0


ORDERS = {
    "price": lambda item: item["price"],
    "size": lambda item: item["diamond"]["certificate"]["carats"],
    "price_per_carat": per_carat,
}


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_sorts_and_breaks_ties_by_id(still: Client, name: str) -> None:
    ascending = still.crawl({"labgrown": True}, order={"type": name, "direction": "ASC"})
    descending = still.crawl({"labgrown": True}, order={"type": name, "direction": "DESC"})

    assert ascending == sorted(ascending, key=lambda item: (ORDERS[name](item), item["id"]))
    assert descending == ascending[::-1]


def created(client: Client) -> dict[str, int]:
    """Offer id → second of creation."""
    columns = client.stock.labgrown.columns
    return {
        client.stock.offer_id(True, serial): second
        for serial, second in zip(
            columns["serial"].tolist(), columns["created"].tolist(), strict=True
        )
    }


def test_the_order_of_creation_breaks_ties_by_id(still: Client) -> None:
    seconds = created(still)
    assert len(set(seconds.values())) < len(seconds), "some stones came in one upload"

    ids = [item["id"] for item in still.crawl({"labgrown": True})]
    assert ids == sorted(ids, key=lambda offer: (seconds[offer], offer))

    newest_first = {"type": "insert", "direction": "ASC"}
    first = [item["id"] for item in still.page({"labgrown": True}, order=newest_first)]
    assert [seconds[offer] for offer in first] == sorted(seconds.values(), reverse=True)[:50]


def test_a_stone_is_found_by_its_bare_uuid(still: Client) -> None:
    query = "query One($id: ID!) { get_diamond_by_id(diamond_id: $id) { id price } }"
    for labgrown in (False, True):
        for item in items(still, labgrown=labgrown)[:20]:
            found = still.ask(query, {"id": item["diamond"]["id"]}).data["get_diamond_by_id"]
            assert found == {"id": item["id"], "price": item["price"]}

    offer = items(still, labgrown=False)[0]["id"]
    other = offer.removeprefix("DIAMOND/")[:-1] + "z"
    for missing in (offer, other, "", "00000000-0000-4000-8000-000000000000"):
        refused = still.ask(query, {"id": missing})
        assert refused.status == 200
        assert refused.content["data"] is None
        assert refused.error["extensions"]["code"] == "NOT_FOUND"


def test_updated_holds_both_ends_and_either_may_be_missing(still: Client) -> None:
    seconds = sorted(still.stock.natural.columns["updated"].tolist())
    low, high = seconds[200], seconds[900]
    ends = [still.stock.moment(end).isoformat() for end in (low, high)]

    between = {"from": ends[0], "to": ends[1].replace("+00:00", "Z")}
    assert still.count({"updated": between}) == sum(low <= s <= high for s in seconds)
    assert still.count({"updated": {"from": ends[0]}}) == sum(s >= low for s in seconds)
    assert still.count({"updated": {"to": ends[1]}}) == sum(s <= high for s in seconds)
    assert still.count({"updated": {"from": "2000-01-01"}}) == len(seconds)
    assert still.count({"updated": {}}) == len(seconds)
    assert still.count({"updated": {"from": ends[1], "to": ends[0]}}) == 0


def test_a_moment_that_is_none_is_refused(still: Client) -> None:
    query = '{ diamonds_by_query_count(query: {updated: {from: "yesterday"}}) }'

    refused = still.ask(query)
    assert refused.status == 200
    assert refused.error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "yesterday" in refused.error["message"]


def test_later_pages_of_a_large_result_are_kept(still: Client) -> None:
    search = still.supplier.search
    search.renew()
    for offset in (0, 50, 100):
        still.page({"labgrown": True, "color": ["D"]}, offset=offset)

    assert len(search.kept) == 1


def test_kept_orders_stay_within_their_memory(
    still: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = still.supplier.search
    search.renew()
    monkeypatch.setattr("simulator.search.KEPT_BYTES_MAX", 20_000)
    for top in range(1_000, 1_040):
        still.page({"labgrown": True, "dollar_per_carat": {"from": 0, "to": top}})

    assert 0 < sum(part.rows.nbytes for parts in search.kept.values() for part in parts) <= 20_000
