"""A schema that drifts: validation, introspection and answers agree."""

from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query

from simulator import graphql
from tests.simulator.faulty import Faulty

LAB = {"labgrown": True}


def ask(faulty: Faulty, fields: str, query: Any = None) -> Any:
    """The items of a page of three, or the message of the refusal, which is HTTP 400."""
    text = (
        "query Q($q: DiamondQuery) { diamonds_by_query(query: $q, limit: 3,"
        " order: {type: createdAt, direction: ASC}) { items { " + fields + " } } }"
    )
    answer = faulty.ask(text, {"q": query or LAB})
    content = answer.json()
    if "errors" in content:
        assert answer.status_code == 400, content
        return content["errors"][0]["message"]
    return content["data"]["diamonds_by_query"]["items"]


def drifted(**options: list[str]) -> Faulty:
    return Faulty({"schema-drift": options})


def test_a_removed_field_is_refused_and_the_rest_is_answered() -> None:
    faulty = drifted(removed=["Certificate.floInt"])
    refusal = ask(faulty, "id diamond { certificate { floInt } }")
    assert "Cannot query field 'floInt' on type 'Certificate'" in refusal
    assert ask(faulty, "id price") == ask(Faulty(), "id price")
    assert faulty.shown() == {"schema-drift": 2}


def test_a_renamed_field_answers_under_its_new_name() -> None:
    faulty = drifted(renamed=["DiamondItem.price:amount", "Diamond.supplier:company"])
    assert "price" in ask(faulty, "id price")
    new = ask(faulty, "amount diamond { company { name } }")
    old = ask(Faulty(), "price diamond { supplier { name } }")
    assert [item["amount"] for item in new] == [item["price"] for item in old]
    assert new[0]["diamond"]["company"] == old[0]["diamond"]["supplier"]


def test_a_renamed_query_answers_under_its_new_name() -> None:
    faulty = drifted(renamed=["Query.diamonds_by_query_count:diamonds_count"])
    assert faulty.ask("{ diamonds_count }").json() == {"data": {"diamonds_count": 300}}
    assert faulty.ask("{ diamonds_by_query_count }").status_code == 400


def test_an_added_field_is_there_for_who_asks() -> None:
    faulty = drifted(added=["Diamond.novelty", "Certificate.rank:Int!", "Image.x"][:2])
    (item, *_) = ask(faulty, "diamond { novelty certificate { rank } }")
    assert item == {"diamond": {"novelty": "new", "certificate": {"rank": 1}}}


@pytest.mark.parametrize(
    ("change", "convert"),
    [
        ("DiamondItem.price:String!", str),
        ("DiamondItem.price:Float", float),
        ("DiamondItem.price:[Int]", lambda value: [value]),
    ],
)
def test_a_retyped_field_answers_values_of_its_new_type(change: str, convert: Any) -> None:
    old = ask(Faulty(), "price")
    new = ask(drifted(retyped=[change]), "price")
    assert new == [{"price": convert(item["price"])} for item in old]
    assert type(new[0]["price"]) is type(convert(old[0]["price"]))


def test_words_become_null_where_numbers_are_wanted() -> None:
    faulty = drifted(retyped=["Certificate.girdle:Int", "Certificate.length:Float!"])
    for item in ask(faulty, "diamond { certificate { girdle length } }"):
        assert item["diamond"]["certificate"]["girdle"] is None
        assert isinstance(item["diamond"]["certificate"]["length"], float)


def test_filters_drift_too() -> None:
    band = {"from": 100, "to": 300}
    plain = ask(Faulty(), "id", LAB | {"dollar_per_carat": band})
    renamed = drifted(renamed=["DiamondQuery.dollar_per_carat:usd_per_carat"])
    assert ask(renamed, "id", LAB | {"usd_per_carat": band}) == plain
    assert "dollar_per_carat" in ask(renamed, "id", LAB | {"dollar_per_carat": band})
    removed = drifted(removed=["DiamondQuery.dollar_per_carat"])
    assert "dollar_per_carat" in ask(removed, "id", LAB | {"dollar_per_carat": band})
    added = drifted(added=["DiamondQuery.region", "DiamondQuery.market:Int!"])
    assert "market" in ask(added, "id")
    assert ask(added, "id", LAB | {"market": 3, "dollar_per_carat": band}) == plain
    retyped = drifted(retyped=["DiamondQuery.dollar_per_carat:FloatRange"])
    assert ask(retyped, "id", LAB | {"dollar_per_carat": band}) == plain


def test_a_filter_that_cannot_be_led_back_is_refused() -> None:
    faulty = drifted(retyped=["DiamondQuery.dollar_per_carat:FloatRange"])
    variables = {"q": LAB | {"dollar_per_carat": {"from": 0.5, "to": 9.0}}}
    text = "query Q($q: DiamondQuery) { diamonds_by_query_count(query: $q) }"
    answer = faulty.ask(text, variables).json()
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_the_schema_says_of_itself_what_it_is() -> None:
    faulty = drifted(
        removed=["Certificate.floInt"],
        renamed=["DiamondItem.price:amount"],
        added=["Diamond.novelty"],
        retyped=["Certificate.length:Float"],
    )
    found = build_client_schema(faulty.ask(get_introspection_query()).json()["data"])
    assert "floInt" not in found.get_type("Certificate").fields  # type: ignore[union-attr]
    assert str(found.get_type("Certificate").fields["length"].type) == "Float"  # type: ignore[union-attr]
    assert "amount" in found.get_type("DiamondItem").fields  # type: ignore[union-attr]
    assert str(found.get_type("Diamond").fields["novelty"].type) == "String"  # type: ignore[union-attr]
    assert "floInt" in graphql.schema().get_type("Certificate").fields  # type: ignore[union-attr]


def test_hosts_can_disagree_about_the_schema() -> None:
    options = {"removed": ["Certificate.floInt"], "probability": 0.5}
    faulty = Faulty({"schema-drift": options})
    answers = [ask(faulty, "diamond { certificate { floInt } }") for _ in range(30)]
    refused = [one for one in answers if isinstance(one, str)]
    assert 5 < len(refused) < 25
    assert faulty.shown() == {"schema-drift": len(refused)}


def test_a_request_is_known_for_what_it_is_under_another_schema() -> None:
    faulty = drifted(renamed=["DiamondItem.price:amount"])
    faulty.switch({"server-error": {"kinds": ["page"]}})
    text = "{ diamonds_by_query(limit: 1) { items { amount } } }"
    assert faulty.ask(text).status_code == 503


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"removed": ["Certificate"]}, "'Certificate' is not Type.field"),
        ({"removed": ["Certificate.nothing"]}, "Certificate has no nothing"),
        ({"removed": ["Girdle.ACT"]}, "'Girdle' is no type with fields"),
        ({"added": ["Certificate.floInt"]}, "Certificate has floInt already"),
        ({"added": ["Session.more"]}, "only those of items"),
        ({"added": ["Diamond.more:Company"]}, "'Company' is none of"),
        ({"added": ["DiamondQuery.more:Nothing"]}, "Nothing"),
        ({"retyped": ["Session.expires:Int"]}, "only those of items"),
        ({"retyped": ["Diamond.supplier:String"]}, "is an object and is not retyped"),
        ({"retyped": ["DiamondItem.price:["]}, "is no"),
        ({"renamed": ["DiamondItem.price:a b"]}, "a b"),
        ({"removed": ["IntRange.from", "IntRange.to"]}, "IntRange"),
    ],
)
def test_a_drift_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    faulty = Faulty()
    answer = faulty.control("POST", {"schema-drift": options})
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]
