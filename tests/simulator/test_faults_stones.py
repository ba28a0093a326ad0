"""Switches of stones: what is wrong with a stone is so in every answer and every filter."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

from simulator import faults, items
from simulator.shown import shown
from simulator.stock import Stock
from tests.simulator.faulty import Faulty

LAB = {"labgrown": True}
NATURAL = {"labgrown": False}
FIELDS = """
id price markup_price
diamond {
  id image video eyeClean supplier { id name }
  certificate {
    id certNumber pdfUrl lab carats shape color clarity cut polish symmetry floInt girdle culetSize
    length width depth f_color f_intensity labgrown labgrown_type
  }
}
"""
EVERYTHING = (
    "query Q($q: DiamondQuery, $offset: Int) { diamonds_by_query(query: $q, offset: $offset,"
    " order: {type: createdAt, direction: ASC}, limit: 50) { items { " + FIELDS + " } } }"
)
Item = dict[str, Any]


def stones(faulty: Faulty, query: Item) -> tuple[list[Any], list[Item]]:
    """All items of a query and all entries of `errors`."""
    found: list[Any] = []
    errors: list[Item] = []
    while True:
        answer = faulty.ask(EVERYTHING, {"q": query, "offset": len(found)}).json()
        page = answer["data"]["diamonds_by_query"]["items"]
        errors += answer.get("errors", [])
        if not page:
            return found, errors
        found += page


def by_id(faulty: Faulty, query: Item) -> dict[str, Item]:
    found, errors = stones(faulty, query)
    assert errors == []
    return {item["id"]: item for item in found}


def certificate(item: Item) -> Item:
    found = item["diamond"]["certificate"]
    assert isinstance(found, dict)
    return found


def test_some_items_are_null_and_errors_say_so() -> None:
    faulty = Faulty({"null-item": {"probability": 0.1}})
    found, errors = stones(faulty, LAB)
    assert len(found) == faulty.count(LAB) == 300
    assert 10 < found.count(None) == len(errors) < 60
    position = found[:50].index(None)
    assert errors[0]["path"][:3] == ["diamonds_by_query", "items", position]
    assert "cannot represent" in errors[0]["message"]
    assert stones(faulty, LAB) == (found, errors)
    assert [one["items"] for one in faulty.logged()[:6]] == [50] * 6


def test_a_broken_field_that_may_be_null_leaves_its_item() -> None:
    faulty = Faulty({"null-item": {"nullable": True}})
    found, errors = stones(faulty, LAB)
    assert {certificate(item)["clarity"] for item in found} == {None}
    assert len(errors) == 300


def test_a_broken_stone_by_its_id_leaves_no_data() -> None:
    faulty = Faulty()
    diamond_id = faulty.page(LAB)[0]["id"].removeprefix("DIAMOND/")
    faulty.switch({"null-item": {}})
    query = "query One($id: ID!) { get_diamond_by_id(diamond_id: $id) { id } }"
    answer = faulty.ask(query, {"id": diamond_id}).json()
    assert answer["data"] is None
    assert answer["errors"][0]["path"] == ["get_diamond_by_id", "diamond", "certificate", "polish"]


def test_labgrown_can_be_null_for_labgrown_stones_alone() -> None:
    plain, faulty = Faulty(), Faulty({"null-labgrown": {"probability": 0.5}})
    before, after = by_id(plain, LAB), by_id(faulty, LAB)
    assert before.keys() == after.keys()
    hidden = [one for one in after.values() if certificate(one)["labgrown"] is None]
    assert 110 < len(hidden) < 220
    for offer_id, item in after.items():
        certificate(item)["labgrown"] = certificate(before[offer_id])["labgrown"]
    assert after == before
    assert by_id(faulty, NATURAL) == by_id(plain, NATURAL)


def test_dirty_values_lose_nothing_where_they_must_not() -> None:
    plain, faulty = Faulty(size=900), Faulty({"dirty-values": {"lossy": False}}, size=900)
    before, after = by_id(plain, NATURAL), by_id(faulty, NATURAL)
    seen = defaultdict(set)
    for offer_id, item in before.items():
        old, new = certificate(item), certificate(after[offer_id])
        for name, value in old.items():
            if new[name] != value:
                seen[name].add((value, new[name]))
        if item["diamond"]["eyeClean"] != after[offer_id]["diamond"]["eyeClean"]:
            assert after[offer_id]["diamond"]["eyeClean"] == "100%"
    assert seen["polish"] >= {("GD", "G"), ("FR", "F")}
    assert seen["girdle"] == seen["culetSize"] == {(None, "null")}
    assert seen["floInt"] == {("STG", "STN")}
    grades = {"cut", "polish", "symmetry", "floInt"}
    assert seen.keys() <= grades | {"girdle", "culetSize", "f_color", "f_intensity"}
    good = NATURAL | {"polish": ["GD"]}
    assert faulty.count(good) == plain.count(good) > 0  # the filters know both


def test_dirty_values_can_take_knowledge_away() -> None:
    plain, faulty = Faulty(size=900), Faulty({"dirty-values": {}}, size=900)
    after = by_id(faulty, NATURAL)
    assert {certificate(item)["length"] for item in after.values()} == {"0"}
    colors = {certificate(item)["f_color"] for item in after.values()}
    assert colors == {None, "EVEN"}
    measured = NATURAL | {"length_mm": {"from": 1.0, "to": 99.0}}
    assert faulty.count(measured) == 0 < plain.count(measured)


def test_twins_share_a_certificate_and_nothing_of_the_trade() -> None:
    faulty = Faulty({"twins": {"offers": 3, "spread": 0.2}})
    found = by_id(faulty, LAB)
    assert len(found) == 300
    of_number = defaultdict(list)
    for item in found.values():
        of_number[certificate(item)["certNumber"]].append(item)
    families = [family for family in of_number.values() if len(family) > 1]
    assert {len(family) for family in families} <= {2, 3}
    assert len(families) > 60
    for family in families:
        first = certificate(family[0])
        assert all(certificate(one) == first for one in family)
        for name in ("id", "price"):
            assert len({one[name] for one in family}) == len(family)
        assert len({one["diamond"]["supplier"]["id"] for one in family}) > 1
        prices = [one["price"] for one in family]
        assert max(prices) <= 1.2 / 0.8 * min(prices) + 2

    number = certificate(families[0][0])["certNumber"]
    searched = by_id(faulty, {"certificate_numbers": [number]})
    assert searched.keys() == {item["id"] for item in families[0]}


def test_twins_are_where_their_price_says() -> None:
    faulty = Faulty({"twins": {"spread": 0.5}})
    edges = [0, 100, 200, 400, 800, 10**6]
    found = {}
    for low, high in pairwise(edges):
        part = by_id(faulty, LAB | {"dollar_per_carat": {"from": low, "to": high}})
        for item in part.values():
            assert low <= item["price"] / 100 / certificate(item)["carats"] <= high
        found |= part
    assert found.keys() == by_id(faulty, LAB).keys()


def test_dead_media_lead_to_no_host() -> None:
    plain, faulty = Faulty(), Faulty({"dead-media": {"probability": 0.5}})
    before, after = by_id(plain, LAB), by_id(faulty, LAB)
    dead = {one for one, item in after.items() if "media.invalid" in str(item)}
    assert 100 < len(dead) < 200
    assert "media.invalid" not in str(before)
    for offer_id, item in after.items():
        old = str(before[offer_id])
        new = old.replace("media.example", "media.invalid")
        assert str(item) == (new if offer_id in dead else old)
    other = Faulty({"dead-media": {"url": "http://127.0.0.1:9"}})
    assert "http://127.0.0.1:9/still/" in str(by_id(other, LAB))


def test_switches_of_stones_stay_while_the_stock_moves_and_leave_no_trace() -> None:
    faulty = Faulty({"twins": {}, "null-labgrown": {}, "churn": {"n": 1, "times": 4}}, size=400)
    by_id(faulty, LAB)
    assert faulty.client.stock.time == 4
    assert {certificate(item)["labgrown"] for item in by_id(faulty, LAB).values()} == {None}
    faulty.control("DELETE")
    still = Stock.at(400, 400, seed=1, time=4)
    wanted = {item["id"]: item["price"] for item in still.items(True)}
    assert {one: item["price"] for one, item in by_id(faulty, LAB).items()} == wanted


def test_a_test_can_have_the_same_look() -> None:
    options = {"twins": {}, "dirty-values": {"probability": 0.3}, "null-labgrown": {}}
    faulty = Faulty(options)
    look = shown(Stock(300, 300, seed=1).labgrown, faults.read(options), 1)
    raw = {item["id"]: item for item in items.raw(look, look.columns["serial"])}
    for offer_id, item in by_id(faulty, LAB).items():
        there = raw[offer_id]
        assert item["price"] == there["price"]
        assert certificate(item) == {name: certificate(there)[name] for name in certificate(item)}


def test_a_shelf_without_such_switches_is_itself() -> None:
    shelf = Stock(10, 10, seed=1).labgrown
    assert shown(shelf, {}, 1) is shelf
    assert shown(shelf, faults.read({"slow": {}}), 1) is shelf


def test_which_stones_are_hit_is_counted_by_request() -> None:
    faulty = Faulty({"dirty-values": {"probability": 0.01}, "dead-media": {"probability": 0}})
    stones(faulty, LAB)
    lines = faulty.logged()
    hit = [line for line in lines if "faults" in line]
    assert 0 < len(hit) < len(lines)
    assert {*hit[0]["faults"]} == {"dirty-values"}
    assert faulty.shown() == {"dirty-values": len(hit)}
