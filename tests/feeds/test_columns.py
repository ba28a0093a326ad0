import json
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from shared.feeds import columns
from shared.feeds.columns import read_columns
from shared.rejections import Reason

PATHS = {"offer_id": "id", "price": "price", "carat": "stone.cert.carat", "girdle": "stone.girdle"}

texts = st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
near_misses = st.fixed_dictionaries(
    {"id": leaves | trees},
    optional={
        "price": leaves | trees,
        "stone": st.fixed_dictionaries(
            {}, optional={"cert": st.fixed_dictionaries({"carat": leaves}) | trees, "girdle": trees}
        )
        | trees,
        "unknown": trees,
    },
)
documents = st.one_of(trees, near_misses)


@settings(deadline=None)
@given(st.lists(documents | st.binary(max_size=12), max_size=6), st.booleans())
def test_every_payload_is_read_or_broken(found: list[Any], ascii_only: bool) -> None:
    payloads = [
        one
        if isinstance(one, bytes)
        else json.dumps(one, ensure_ascii=ascii_only).encode(errors="surrogatepass")
        for one in found
    ]
    read = read_columns(payloads, PATHS)
    seqs = [*read.frame["seq"], *(row.seq for row in read.broken)]
    assert sorted(seqs) == list(range(len(payloads)))
    assert read.frame.schema == pl.Schema({"seq": pl.Int64} | dict.fromkeys(PATHS, pl.String))


def carefully(payloads: list[bytes]) -> columns.Columns:
    rows, broken = columns._read_each(payloads, range(len(payloads)), columns._tree(PATHS))
    schema = {"seq": pl.Int64} | dict.fromkeys(PATHS, pl.String)
    return columns.Columns(pl.DataFrame(rows, schema=schema, orient="row"), broken)


@settings(deadline=None)
@given(st.lists(near_misses, min_size=1, max_size=4))
def test_both_ways_read_the_same(found: list[Any]) -> None:
    payloads = [json.dumps(one).encode() for one in found]
    quick, careful = read_columns(payloads, PATHS), carefully(payloads)
    assert quick.broken == careful.broken
    assert quick.frame.equals(careful.frame)


def test_numbers_and_flags_become_their_text() -> None:
    rows = [
        ({"price": 1.10}, "1.1"),
        ({"price": 1.0}, "1"),
        ({"price": 0.00001}, "0.00001"),
        ({"price": 1e22}, "10000000000000000000000"),
        ({"price": 20412}, "20412"),
        ({"price": True}, "true"),
        ({"price": "7.200000"}, "7.200000"),
        ({"price": None}, None),
        ({}, None),
    ]
    payloads = [json.dumps(document).encode() for document, _ in rows]
    for read in (read_columns(payloads, PATHS), carefully(payloads)):
        assert read.frame["price"].to_list() == [text for _, text in rows]


def test_only_the_broken_rows_are_lost() -> None:
    good = b'{"id": "a", "price": 1}'
    no_json = (None, Reason.BROKEN, "not JSON")
    bad = {
        b'{"id": "a", "price": 1': no_json,
        b"": no_json,
        b"null": (None, Reason.BROKEN, "document: null in place of an object"),
        b"[]": (None, Reason.BROKEN, "document: [] in place of an object"),
        b'{"id": "b"}{"id": "c"}': no_json,
        b'{"id": "b", "price": NaN}': (None, Reason.BROKEN, "NaN is no JSON number"),
        b'{"id": "b", "price": 1e999}': (None, Reason.BROKEN, "1e999 is too large"),
        b'{"id": "\xff"}': no_json,
        b"[" * 100_000: no_json,
        b'{"id": "b", "other": ' + b"[" * 9_999 + b"]" * 9_999 + b"}": no_json,
        b'{"id": "b", "price": [1]}': ("b", Reason.UNREADABLE, 'price: ["1"]'),
        b'{"id": "b", "stone": "x"}': ("b", Reason.UNREADABLE, 'stone: "x" in place of an object'),
        b'{"id": "b", "stone": {"cert": []}}': ("b", Reason.UNREADABLE, "stone.cert: []"),
        b'{"id": "b", "price": "\\ud800"}': ("b", Reason.UNREADABLE, 'price: "\\ud800"'),
        b'{"id": "b", "price": "a\\u0000"}': ("b", Reason.UNREADABLE, 'price: "a\\u0000"'),
        b'{"id": ["b"]}': (None, Reason.UNREADABLE, 'id: ["b"]'),
    }
    for payload, (offer_id, reason, says) in bad.items():
        read = read_columns([good, payload, good], PATHS)
        assert read.frame["seq"].to_list() == [0, 2], payload
        (broken,) = read.broken
        assert (broken.seq, broken.offer_id, broken.reason) == (1, offer_id, reason), payload
        assert says in broken.detail, payload


def test_what_only_looks_odd_is_read() -> None:
    odd = {
        b'{"id": "a",\n "price": 1}': "1",
        b'{"id": "a", "price": "[1]"}': "[1]",
        b'{"id": "a", "price": "{"}': "{",
        b'{"id": "a", "price": "\\ud83d\\udc8e"}': "\N{GEM STONE}",
        b'{"id": "a", "price": "\\\\u0000"}': "\\u0000",
        b'{"id": "a", "price": "1", "other": "\\ud800"}': "1",
        '{"id": "a", "price": "Brüssel"}'.encode(): "Brüssel",
    }
    for payload, text in odd.items():
        read = read_columns([payload], PATHS)
        assert read.broken == [], payload
        assert read.frame["price"].to_list() == [text], payload


def test_nothing_reads_as_nothing() -> None:
    read = read_columns([], PATHS)
    assert read.broken == []
    assert read.frame.columns == ["seq", *PATHS]
    assert read.frame.height == 0


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value(number: float) -> None:
    (text,) = read_columns([json.dumps({"price": number}).encode()], PATHS).frame["price"]
    assert float(text) == number
    assert "e" not in text.lower()
    assert not math.isinf(float(text))


@pytest.mark.parametrize("said", ["plain", "\\u0000 said in letters"])
def test_two_columns_may_have_one_path(said: str) -> None:
    """The quick way and the careful way, which an escaped backslash before u0000 leads to."""
    payload = to_json({"id": said})
    found = read_columns([payload], {"offer_id": "id", "stone_id": "id"})
    assert found.broken == []
    assert found.frame.to_dicts() == [{"seq": 0, "offer_id": said, "stone_id": said}]
