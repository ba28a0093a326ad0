"""Rows of files: every row is an offer, and a broken one says what is wrong with it."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.feeds.base import RawOffer
from shared.feeds.rows import (
    BROKEN_ROW,
    ROW_LINES_MAX,
    Layout,
    csv_offers,
    decoded,
    json_offers,
    key_of,
    keys_of,
)

LAYOUT = Layout(("id", "name", "price"), ("id",))

cells = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8) | st.sampled_from(
    ('"', '""', "a,b", 'say "so"', "one\ntwo", "\r\n", " ", "é", "鑽石")
)


def read(text: str, layout: Layout = LAYOUT) -> list[RawOffer]:
    return list(csv_offers(io.StringIO(text, newline="\n"), layout))


def said(offer: RawOffer) -> dict[str, str]:
    found: dict[str, str] = json.loads(offer.payload)
    return found


@given(st.lists(st.tuples(st.text("abc1", min_size=1), cells, cells), max_size=8))
def test_what_a_writer_of_csv_wrote_is_read_back(rows: list[tuple[str, str, str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    offers = read(written.getvalue())
    assert [tuple(said(offer).values()) for offer in offers] == rows
    assert [offer.offer_id for offer in offers] == [row[0] for row in rows]


@given(st.text(st.sampled_from('a1,"\n é')), st.sampled_from((",", ";")))
def test_no_line_is_lost_and_every_payload_is_one_line_of_json(text: str, delimiter: str) -> None:
    layout = LAYOUT._replace(delimiter=delimiter)
    offers = read(text, layout)
    lines = [line for line in text.split("\n") if line.strip()]
    assert len(offers) <= len(lines)
    assert bool(offers) == bool(lines)
    for offer in offers:
        assert b"\n" not in offer.payload
        assert BROKEN_ROW in said(offer) or list(said(offer)) == list(LAYOUT.keys)


def test_a_quote_that_does_not_end_spoils_its_own_row_only() -> None:
    rows = [f"{n},x,{n}" for n in range(2 * ROW_LINES_MAX)]
    rows[3] = '3,"x,3'
    offers = read("\n".join(rows))
    assert [offer.offer_id for offer in offers] == [str(n) for n in range(2 * ROW_LINES_MAX)]
    broken = [offer for offer in offers if BROKEN_ROW in said(offer)]
    assert [said(one) for one in broken] == [
        {BROKEN_ROW: "a quoted field does not end", "row": '3,"x,3'}
    ]


def test_a_field_may_go_over_several_lines() -> None:
    offers = read('1,"two\nlines",3\n2,b,4\n')
    assert said(offers[0])["name"] == "two\nlines"
    assert len(offers) == 2


@pytest.mark.parametrize(("row", "fields"), [("7,a", 2), ("7,a,b,c", 4), ("7", 1)])
def test_a_row_of_another_width_is_broken_and_keeps_its_id(row: str, fields: int) -> None:
    (offer,) = read(row)
    assert offer.offer_id == "7"
    assert said(offer)[BROKEN_ROW] == f"{fields} fields in place of 3"


@pytest.mark.parametrize("line", [b"7,caf\xe9,1", b"7,\x00,1"])
def test_bytes_that_no_text_holds_make_a_broken_row(line: bytes) -> None:
    (offer,) = csv_offers([decoded(line)], LAYOUT)
    assert offer.offer_id == "7"
    assert said(offer)[BROKEN_ROW] == "bytes that are no UTF-8 text"


def test_json_lines_keep_every_word_of_theirs() -> None:
    lines = ['{"stone": {"id": 7}, "x": [1, 2]}\n', "\n", "[1]\n", "{broken\n", '{"stone": 5}']
    first, listed, broken, other = json_offers(lines, "stone.id")
    assert first == RawOffer("7", b'{"stone": {"id": 7}, "x": [1, 2]}')
    assert (listed.offer_id, listed.payload) == (None, b"[1]")
    assert said(broken)["row"] == "{broken"
    assert other.offer_id is None


def test_headers_become_keys_that_differ() -> None:
    assert key_of("Girdle (From / To)") == "girdle_from_to"
    assert keys_of(["Price", "price ", "", "% Off", "PRICE"]) == [
        *("price", "price_2", "column_3", "off", "price_3")
    ]


def test_an_offer_is_named_by_the_first_of_its_ids_that_the_row_has() -> None:
    """As the mapping names it: a stone under another id than its raw offer would be delisted."""
    layout = Layout(("diamond_id", "stock_id"), ("diamond_id", "stock_id"))
    rows = ["D1,S1\n", " ,S2\n", "D3,\n", ",\n"]
    assert [one.offer_id for one in csv_offers(rows, layout)] == ["D1", "S2", "D3", None]
