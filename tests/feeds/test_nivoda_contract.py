"""Each drift of the supplier's schema is named, with what it would break."""

import pytest
from graphql import introspection_from_schema, parse, validate
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import SupplierRefused
from shared.feeds.health import Finding, Health
from shared.feeds.nivoda_contract import ITEM, gone, known, page_without, read_schema
from shared.feeds.nivoda_drift import compare
from shared.feeds.nivoda_mapping import PATHS
from shared.feeds.nivoda_query import COUNT, LOGIN, PAGE
from tests.feeds.drifting import drifted

COLUMNS = {path: name for name, path in PATHS.items()}


def found(**changes: list[str]) -> list[Finding]:
    return compare(drifted(**changes), COLUMNS)


@pytest.mark.parametrize("text", [LOGIN, COUNT, PAGE])
def test_what_we_ask_for_fits_the_schema_as_we_know_it(text: str) -> None:
    assert validate(known(), parse(text)) == []


def test_the_schema_as_we_know_it_has_not_drifted() -> None:
    assert compare(known(), COLUMNS) == []
    assert compare(read_schema(introspection_from_schema(drifted())), COLUMNS) == []


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(SupplierRefused, match="cannot be read"):
        read_schema({"__schema": None})


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (
            {"removed": ["DiamondItem.price"]},
            Finding(
                *("DiamondItem.price", "removed", "breaks"),
                "gone; no cost, every offer would be rejected",
            ),
        ),
        (
            {"renamed": ["DiamondItem.price:amount"]},
            Finding(
                *("DiamondItem.price", "renamed", "breaks"),
                "gone, perhaps `amount` now, which is new and of the same type; no cost, every "
                "offer would be rejected",
            ),
        ),
        (
            {"removed": ["Diamond.milky"]},
            Finding("Diamond.milky", "removed", "some", "gone; milky: empty"),
        ),
        (
            {"removed": ["DiamondItem.markup_price"]},
            Finding("DiamondItem.markup_price", "removed", "none", "gone; no stone is made of it"),
        ),
        (
            {"removed": ["Diamond.supplier"]},
            Finding(
                "Diamond.supplier", "removed", "some", "gone; supplier id, supplier name: empty"
            ),
        ),
        (
            {"retyped": ["Certificate.carats:String"]},
            Finding(
                *("Certificate.carats", "retyped", "none"),
                "Float! became String; it is read as text either way",
            ),
        ),
        (
            {"retyped": ["DiamondItem.discount:Float"]},
            Finding(
                *("DiamondItem.discount", "retyped", "some"),
                "Int! became Float; what is no whole number would be rejected",
            ),
        ),
        (
            {"retyped": ["DiamondItem.price:[Int]"]},
            Finding(
                *("DiamondItem.price", "retyped", "breaks"),
                "Int! became [Int]; no cost, every offer would be rejected",
            ),
        ),
        (
            {"added": ["Certificate.sparkle:Float"]},
            Finding("Certificate.sparkle", "added", "none", "new (Float); not asked for"),
        ),
        (
            {"added": ["DiamondQuery.market:Int!"]},
            Finding(
                "DiamondQuery.market", "added", "breaks", "demanded now: every request refused"
            ),
        ),
        (
            {"removed": ["DiamondQuery.updated"]},
            Finding(
                *("DiamondQuery.updated", "removed", "breaks"),
                "gone; no incremental run, and no full run could look at what changed",
            ),
        ),
        (
            {"retyped": ["IntRange.from:Float!"]},
            None,
        ),
        (
            {"added": ["IntRange.unit:String!"]},
            Finding(
                *("DiamondQuery.dollar_per_carat", "retyped", "breaks"),
                "Expected value of type 'IntRange' to include required field 'unit', found: "
                "{'from': 1, 'to': 2}.; the feed could not be cut along its price",
            ),
        ),
        (
            {"removed": ["DiamondQuery.sizes"]},
            Finding(
                *("DiamondQuery.sizes", "removed", "some"),
                "gone; prices too heavy for one partition could not be cut further; a run that "
                "must is refused",
            ),
        ),
    ],
    ids=str,
)
def test_a_drift_is_named(changes: dict[str, list[str]], finding: Finding | None) -> None:
    assert found(**changes) == ([finding] if finding else [])


def test_the_worst_comes_first_and_decides() -> None:
    health = Health(
        found(
            removed=["Diamond.milky", "Certificate.shape"],
            added=["Diamond.novelty:Int"],
            renamed=["Query.diamonds_by_query_count:counted"],
        )
    )
    assert [one.harm for one in health.findings] == ["breaks", "breaks", "some", "none"]
    assert health.verdict == "incompatible"
    assert "Certificate.shape: gone; no shape" in health.worst()
    assert "milky" not in health.worst()


def test_a_sentence_names_the_first_few_and_counts_the_rest() -> None:
    fields = ("image", "video", "milky", "green", "brown")
    health = Health(found(removed=[f"Diamond.{name}" for name in fields]))
    assert health.worst().count(": gone") == 3
    assert health.worst().endswith("; and 2 more")


def test_a_request_that_would_be_refused_for_another_reason_is_found() -> None:
    theirs = drifted(renamed=["DiamondOrder.direction:way"])
    (finding, *_) = compare(theirs, COLUMNS)
    assert (finding.what, finding.harm) == ("DiamondOrder", "breaks")


OPTIONAL = (
    [("Diamond", name) for name in ("image", "milky", "green", "eyeClean", "mine_of_origin")]
    + [("Certificate", name) for name in ("cut", "table", "floInt", "labgrown", "girdle")]
    + [
        *(("Company", "id"), ("Company", "name"), ("DiamondItem", "discount")),
    ]
)


@settings(deadline=None, max_examples=20)
@given(st.sets(st.sampled_from(OPTIONAL)))
def test_a_page_without_what_is_gone_is_always_accepted(fields: set[tuple[str, str]]) -> None:
    theirs = drifted(removed=[f"{owner}.{name}" for owner, name in fields])
    lost = gone(theirs)
    assert {path.rpartition(".")[2] for path in lost} == {name for _, name in fields}
    assert validate(theirs, parse(page_without(lost))) == []
    assert Health(compare(theirs, COLUMNS)).verdict == ("degraded" if fields else "compatible")


def test_what_no_offer_can_do_without_is_never_left_out() -> None:
    theirs = drifted(removed=["DiamondItem.price", "Certificate.carats", "Diamond.milky"])
    assert gone(theirs) == {ITEM + "diamond.milky"}
