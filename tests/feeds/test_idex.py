"""IDEX's file over the wire: what comes, what it is taken for, and what is never said."""

import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from shared.errors import FacetError, SupplierBusy, SupplierRefused, SupplierUnavailable
from shared.feeds import snapshot
from shared.feeds.base import RawOffer, SupplierSettings
from shared.feeds.idex_layouts import LAYOUTS
from shared.feeds.rows import keys_of
from tests.feeds.canned import Canned, Script
from tests.feeds.conftest import MakeEdge

HEADER = LAYOUTS["natural"]["format_20220525_basis"]
JSON = {"Content-Type": "application/json"}


def row(**wanted: str) -> str:
    fields = dict.fromkeys(keys_of(HEADER), "")
    sound = {"item_id": "77", "cut": "Round", "carat": "1.01", "total_price": "1010.00"}
    return ",".join((fields | sound | wanted).values())


def zipped(*lines: str, name: str = "natural.csv", more: tuple[str, ...] = ()) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in (name, *more):
            archive.writestr(one, "\r\n".join(lines) + "\r\n")
    return packed.getvalue()


def csv_of(*rows: str) -> bytes:
    return zipped(",".join(HEADER), *rows)


def taken(
    supplier: SupplierSettings, make_edge: MakeEdge, answer: Canned | Exception
) -> tuple[list[RawOffer], Script]:
    script = Script(answer)
    source = snapshot("idex-natural").open(supplier, make_edge(script))
    with source.take(lambda: None) as found:
        return list(found.offers()), script


def error(code: int, text: str = "no") -> bytes:
    said: dict[str, Any] = {"response_code": code, "response_description": text}
    return json.dumps({"result_info": said}).encode()


def test_the_account_goes_into_the_body(supplier: SupplierSettings, make_edge: MakeEdge) -> None:
    offers, script = taken(supplier, make_edge, Canned(200, csv_of(row(), row(item_id="78"))))
    assert [offer.offer_id for offer in offers] == ["77", "78"]
    (request,) = script.requests
    assert request.url.path.endswith("/fullfeed")
    assert json.loads(request.content) == {
        "authentication_details": {"api_key": "facet", "api_secret": "pa$$w0rd"},
        "parameters": {
            "file_format": "csv",
            "data_format": "format_20220525_basis",
            "create_zip_file": True,
        },
    }


@pytest.mark.parametrize(
    ("answer", "raised", "words"),
    [
        (Canned(200, b"PK\x03\x04 and no more"), SupplierRefused, "a broken archive"),
        (Canned(200, csv_of(row())[:-40]), SupplierRefused, "a broken archive"),
        (Canned(200, zipped("a", more=("b.csv",))), SupplierRefused, "natural.csv, b.csv in place"),
        (Canned(200, zipped("a", name="list.xls")), SupplierRefused, "list.xls in place of one"),
        (Canned(200, zipped("a,b,c", "1,2,3")), SupplierRefused, "no header and 3 columns"),
        (Canned(200, zipped("Item ID,Cut,Carat", "1,2,3")), SupplierRefused, "no total_price"),
        (Canned(200, error(2001)), SupplierRefused, "code 2001"),
        (Canned(200, error(1)), SupplierUnavailable, "answered 200, code 1"),
        (Canned(500, error(32110), JSON), SupplierUnavailable, "answered 500, code 32110: no"),
        (Canned(401, error(5), JSON), SupplierRefused, "answered 401"),
        (Canned(500, b"<html>"), SupplierUnavailable, "answered 500"),
        (Canned(200, b"<html>sorry</html>"), SupplierUnavailable, "neither a ZIP nor JSON"),
        (Canned(200, b'{"a": 1}'), SupplierUnavailable, "no description"),
        (Canned(429, b"", {"Retry-After": "60"}), SupplierBusy, "too many requests"),
        (Canned(403, b"<html>", {"Content-Type": "text/html"}), SupplierBusy, "firewall"),
        (httpx.ConnectError("no route"), SupplierUnavailable, "no route"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_file_leaves_under_one_of_our_names(
    supplier: SupplierSettings,
    make_edge: MakeEdge,
    answer: Canned | Exception,
    raised: type[FacetError],
    words: str,
) -> None:
    with pytest.raises(raised, match=words):
        taken(supplier, make_edge, answer)


@pytest.mark.parametrize("body", [b"", b"[]", b" [] \n"])
def test_an_empty_answer_is_a_feed_without_offers(
    supplier: SupplierSettings, make_edge: MakeEdge, body: bytes
) -> None:
    assert taken(supplier, make_edge, Canned(200, body))[0] == []


def test_a_byte_that_rotted_in_the_archive_is_noticed_before_the_first_row(
    supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    rotten = bytearray(csv_of(*[row(item_id=str(n)) for n in range(2_000)]))
    rotten[len(rotten) // 2] ^= 0xFF
    with pytest.raises(SupplierRefused, match="a broken archive"):
        taken(supplier, make_edge, Canned(200, bytes(rotten)))


def test_a_file_without_a_header_is_bound_by_its_width(
    supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    (offer,), _ = taken(supplier, make_edge, Canned(200, zipped(row())))
    assert offer.offer_id == "77"
    assert list(json.loads(offer.payload)) == keys_of(HEADER)


def test_columns_that_were_added_and_moved_are_found_and_kept(
    supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    answer = Canned(
        200, zipped("New One,Total Price,Carat,Cut,Item ID #", "x,1010.00,1.01,Round,77")
    )
    (offer,), _ = taken(supplier, make_edge, answer)
    assert json.loads(offer.payload)["new_one"] == "x"
    mapped = snapshot("idex-natural").map_offers([offer.payload])
    assert mapped.stones["cost_cents"].to_list() == [101_000]


def test_an_error_that_repeats_our_secrets_is_shown_without_them(
    supplier: SupplierSettings, make_edge: MakeEdge
) -> None:
    said = Canned(401, error(5, "bad secret pa$$w0rd for facet"), JSON)
    with pytest.raises(SupplierRefused, match=r"bad secret \*\*\* for \*\*\*") as raised:
        taken(supplier, make_edge, said)
    assert "FACET_IDEX_API_KEY" in raised.value.hint


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"price_per_carat": "1000.00"}, None),
        ({"price_per_carat": "1009.00"}, None),  # the weight was rounded
        ({"price_per_carat": "2000.00"}, "prices_disagree"),
        ({"price_per_carat": "cheap"}, "unreadable"),
        ({"total_price": ""}, "no_price"),
        ({"total_price": "1,010.00"}, None),
        ({"certificate_number": "LG600100200"}, "wrong_kind"),
        ({"measurements_lengthxwidthxheight": "large"}, "unreadable"),
    ],
    ids=str,
)
def test_a_row_is_a_stone_or_has_a_reason(wanted: dict[str, str], reason: str | None) -> None:
    fields = dict(zip(keys_of(HEADER), row().split(","), strict=True)) | wanted
    mapped = snapshot("idex-natural").map_offers([json.dumps(fields).encode()])
    assert mapped.rejected["reason"].to_list() == ([] if reason is None else [reason])
    if reason is None:
        assert mapped.stones["cost_cents"].to_list() == [101_000]


def test_words_and_combined_columns_become_ours() -> None:
    fields = dict(zip(keys_of(HEADER), row().split(","), strict=True)) | {
        "make_cut_grade": "Very Good", "fluorescence_intensity": "None", "treated_color": "None",
        "measurements_lengthxwidthxheight": "6.55x6.52x4.02", "girdle_from_to": "Thin / Medium",
        "natural_fancy_color": "Yellow", "natural_fancy_color_intensity": "Fancy Intense",
    }  # fmt: skip
    mapped = snapshot("idex-natural").map_offers([json.dumps(fields).encode()])
    (stone,) = mapped.stones.to_dicts()
    assert (stone["cut"], stone["fluorescence"], stone["treated"]) == ("VG", "NON", False)
    assert [str(stone[f"{side}_mm"]) for side in ("length", "width", "depth")] == [
        *("6.550", "6.520", "4.020")
    ]
    assert stone["girdle"] == "THIN - MEDIUM"
    assert (stone["color"], stone["fancy_color"]) == ("FANCY", "YELLOW")
