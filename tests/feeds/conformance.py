"""What every adapter must do, whatever its supplier: the same cases for all of them.

A case takes a feed and an example of it: a function that says an offer as that supplier would.
Hypothesis makes up the offers.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.feeds.base import Feed, Mapped
from shared.rejections import Reason
from shared.stone import REJECTED_SCHEMA, STONE_SCHEMA

quick = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
NEVER_NULL = ("offer_id", "kind", "shape", "carat", "cost_cents", "cost_currency")


class Said(NamedTuple):
    """What an offer says; None: nothing, as the supplier leaves a field out."""

    offer_id: str | None = "A-1"
    shape: str | None = "ROUND"
    carat: str | None = "1.06"
    cost_cents: int | None = 204_12
    certificate_number: str | None = "600100200"


Example = Callable[[Said], bytes]
Case = Callable[[Feed, Example], None]

# No text holds these, and no supplier means anything by a margin of blanks.
text = st.text(
    st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30
).filter(lambda said: said == said.strip() and said.lower() != "null")  # fmt: skip
offers = st.builds(
    Said,
    offer_id=text,
    shape=st.sampled_from(("ROUND", "OVAL", "PEAR", "HEART")),
    carat=st.integers(1, 99_999).map(lambda hundredths: f"{hundredths / 100:.2f}"),
    cost_cents=st.integers(1, 10**11),
    certificate_number=st.none() | text.filter(lambda said: not said.upper().startswith("LG")),
)


def only_stone(mapped: Mapped) -> dict[str, Any]:
    assert mapped.rejected.is_empty(), mapped.rejected.to_dicts()
    (stone,) = mapped.stones.to_dicts()
    return stone


def only_refusal(mapped: Mapped) -> dict[str, Any]:
    assert mapped.stones.is_empty()
    (refusal,) = mapped.rejected.to_dicts()
    return refusal


def assert_total(mapped: Mapped, rows: int) -> None:
    """Every row is in exactly one of the two frames, and both are as they must be."""
    assert dict(mapped.stones.schema) == {"seq": pl.Int64, **_types(STONE_SCHEMA)}
    assert dict(mapped.rejected.schema) == _types(REJECTED_SCHEMA)
    stones, rejected = mapped.stones["seq"].to_list(), mapped.rejected["seq"].to_list()
    assert sorted(stones + rejected) == list(range(rows))
    assert stones == sorted(stones)
    assert rejected == sorted(rejected)
    assert set(mapped.rejected["reason"]) <= set(Reason)
    assert all(mapped.rejected["detail"])
    for name in NEVER_NULL:
        assert mapped.stones[name].null_count() == 0
    assert (mapped.stones["cost_cents"] > 0).all()
    assert (mapped.stones["carat"] > 0).all()


def _types(schema: dict[str, Any]) -> dict[str, pl.DataType]:
    return dict(pl.DataFrame(schema=schema).schema)


def nothing_maps_to_nothing(feed: Feed, _: Example) -> None:
    assert_total(feed.map_offers([]), 0)


def one_offer_is_one_stone(feed: Feed, example: Example) -> None:
    mapped = feed.map_offers([example(Said())])
    assert_total(mapped, 1)
    stone = only_stone(mapped)
    assert (stone["offer_id"], stone["shape"]) == ("A-1", "ROUND")
    assert (stone["carat"], stone["cost_cents"]) == (Decimal("1.060"), 20_412)
    assert stone["certificate_number"] == "600100200"


def many_offers_are_mapped_as_if_each_came_alone(feed: Feed, example: Example) -> None:
    @quick
    @given(st.lists(offers | st.just(Said(shape=None)), min_size=2, max_size=6))
    def check(said: list[Said]) -> None:
        payloads = [example(one) for one in said]
        together = feed.map_offers(payloads)
        assert_total(together, len(said))
        alone = [feed.map_offers([payload]) for payload in payloads]
        for seq, one in enumerate(alone):
            for frame, whole in zip(one, together, strict=True):
                found = whole.filter(pl.col("seq") == seq)
                assert found.drop("seq").rows() == frame.drop("seq").rows()

    check()


def text_comes_through_letter_by_letter(feed: Feed, example: Example) -> None:
    @quick
    @given(text, text.filter(lambda said: not said.upper().startswith("LG")))
    def check(offer_id: str, number: str) -> None:
        said = Said(offer_id=offer_id, certificate_number=number)
        stone = only_stone(feed.map_offers([example(said)]))
        assert (stone["offer_id"], stone["certificate_number"]) == (offer_id, number)

    check()


def what_is_missing_is_named(feed: Feed, example: Example) -> None:
    for field, reason in {
        "offer_id": Reason.NO_ID,
        "shape": Reason.NO_SHAPE,
        "carat": Reason.NO_CARAT,
        "cost_cents": Reason.NO_PRICE,
    }.items():
        refusal = only_refusal(feed.map_offers([example(Said()._replace(**{field: None}))]))
        assert refusal["reason"] == reason, field
    number = feed.map_offers([example(Said(certificate_number=None))])
    assert only_stone(number)["certificate_number"] is None


def any_field_may_be_left_out(feed: Feed, example: Example) -> None:
    """Left out of the payload altogether, and at any depth."""
    payload = example(Said())
    for path in _paths(json.loads(payload)):
        document = json.loads(payload)
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        assert_total(feed.map_offers([json.dumps(document).encode(), payload]), 2)


def _paths(document: Any) -> list[tuple[str, ...]]:
    if not isinstance(document, dict):
        return []
    return [
        (key, *below) for key, value in document.items() for below in [(), *_paths(value)]
    ]  # fmt: skip


def money_is_exact_to_the_cent(feed: Feed, example: Example) -> None:
    edges = [1, 9, 10, 99, 100, 101, 199, 1_005, 29_999, 10**9 + 1, 10**11 - 1]

    @quick
    @given(st.sampled_from(edges) | st.integers(1, 10**11))
    def check(cents: int) -> None:
        stone = only_stone(feed.map_offers([example(Said(cost_cents=cents))]))
        assert stone["cost_cents"] == cents

    check()
    for cents in (0, -1, -100):
        refusal = only_refusal(feed.map_offers([example(Said(cost_cents=cents))]))
        assert refusal["reason"] in (Reason.NO_PRICE, Reason.UNREADABLE)


def weights_are_exact(feed: Feed, example: Example) -> None:
    for carat in ("0.01", "0.30", "0.99", "1", "1.1", "10.005", "123.45"):
        stone = only_stone(feed.map_offers([example(Said(carat=carat))]))
        assert stone["carat"] == Decimal(carat)


def an_offer_keeps_its_identity(feed: Feed, example: Example) -> None:
    """Whatever else of it changes; and the same offer is the same stone each time."""

    @quick
    @given(text, offers, offers)
    def check(offer_id: str, first: Said, second: Said) -> None:
        payloads = [example(one._replace(offer_id=offer_id)) for one in (first, second)]
        mapped = feed.map_offers(payloads)
        assert mapped.stones["offer_id"].to_list() == [offer_id] * 2
        assert feed.map_offers(payloads).stones.rows() == mapped.stones.rows()

    check()


def every_row_becomes_a_stone_or_a_reason(feed: Feed, example: Example) -> None:
    """Whatever its bytes: noise, other JSON, and sound offers with something broken in them."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
    sound = json.loads(example(Said()))
    paths = _paths(sound)

    def broken(path: tuple[str, ...], value: Any) -> bytes:
        document = json.loads(example(Said()))
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return json.dumps(document).encode()

    payloads = (
        st.binary()
        | values.map(lambda value: json.dumps(value).encode())
        | st.builds(broken, st.sampled_from(paths), values)
        | offers.map(example)
    )

    @quick
    @given(st.lists(payloads, max_size=6))
    def check(rows: list[bytes]) -> None:
        assert_total(feed.map_offers(rows), len(rows))

    check()


CASES: tuple[Case, ...] = (
    nothing_maps_to_nothing,
    one_offer_is_one_stone,
    many_offers_are_mapped_as_if_each_came_alone,
    text_comes_through_letter_by_letter,
    what_is_missing_is_named,
    any_field_may_be_left_out,
    money_is_exact_to_the_cent,
    weights_are_exact,
    an_offer_keeps_its_identity,
    every_row_becomes_a_stone_or_a_reason,
)
