import json
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.feeds.base import Mapped
from shared.feeds.nivoda_mapping import map_offers
from shared.rejections import Reason
from shared.stone import REJECTED_SCHEMA, STONE_SCHEMA
from tests.feeds.offers import lab_grown, make_offer, payload

Kind = Literal["natural", "labgrown"]


def the_stone(said: bytes, kind: Kind = "natural") -> dict[str, Any]:
    mapped = map_offers([said], kind=kind)
    assert mapped.rejected.rows() == []
    return mapped.stones.row(0, named=True)


def the_refusal(said: bytes, kind: Kind = "natural") -> dict[str, Any]:
    mapped = map_offers([said], kind=kind)
    assert mapped.stones.rows() == []
    return mapped.rejected.row(0, named=True)


def assert_total(mapped: Mapped, rows: int) -> None:
    assert mapped.stones.schema == pl.Schema({"seq": pl.Int64, **STONE_SCHEMA})
    assert mapped.rejected.schema == pl.Schema(REJECTED_SCHEMA)
    for frame in mapped:
        assert frame["seq"].is_sorted()
    assert sorted([*mapped.stones["seq"], *mapped.rejected["seq"]]) == list(range(rows))
    assert set(mapped.rejected["reason"]) <= set(Reason)
    assert mapped.rejected["detail"].null_count() == 0
    for column in ("offer_id", "kind", "shape", "carat", "cost_cents", "cost_currency"):
        assert mapped.stones[column].null_count() == 0
    assert (mapped.stones["cost_cents"] > 0).all()
    assert (mapped.stones["carat"] > 0).all()


def test_an_offer_becomes_a_stone_in_every_column() -> None:
    offer = make_offer(
        stone_id="5b0c9a52",
        supplier_id="c2b6a6e2",
        certNumber="2185400100",
        pdfUrl="https://media.example/cert.pdf",
        image="https://media.example/still.jpg",
        video="https://media.example/video/500/500",
        eyeClean="Yes",
        milky="Light",
        mine_of_origin="Botswana",
        labgrown_type="HPHT",
        treated=True,
        color="FANCY",
        f_color="Grey Yellow",
        f_intensity="Fancy_Light",
        f_overtone="Brownish",
        floInt="STN",
        floCol="B",
    )
    offer["id"] = "DIAMOND/5b0c9a52"
    assert the_stone(json.dumps(offer).encode()) == {
        "seq": 0,
        "offer_id": "DIAMOND/5b0c9a52",
        "supplier_stone_id": "5b0c9a52",
        "kind": "natural",
        "labgrown_type": "HPHT",
        "treated": True,
        "lab": "GIA",
        "certificate_number": "2185400100",
        "certificate_url": "https://media.example/cert.pdf",
        "shape": "ROUND",
        "carat": Decimal("1.060"),
        "color": "FANCY",
        "fancy_color": "GRAY YELLOW",
        "fancy_intensity": "FANCY LIGHT",
        "fancy_overtone": "BROWNISH",
        "clarity": "VS1",
        "cut": "ID",
        "polish": "EX",
        "symmetry": "VG",
        "fluorescence": "STG",
        "fluorescence_color": "BLUE",
        "length_mm": Decimal("6.550"),
        "width_mm": Decimal("6.520"),
        "depth_mm": Decimal("4.020"),
        "depth_percent": Decimal("61.500"),
        "table_percent": Decimal("57.000"),
        "girdle": "MED - STK",
        "culet": "NON",
        "eye_clean": "YES",
        "brown": "NO",
        "green": "NO",
        "milky": "LIGHT",
        "origin": "BOTSWANA",
        "supplier_id": "c2b6a6e2",
        "supplier_name": "Example Gems",
        "availability": "AVAILABLE",
        "image_url": "https://media.example/still.jpg",
        "video_url": "https://media.example/video/500/500",
        "delivery_days_min": 6,
        "delivery_days_max": 9,
        "discount_bp": -3736,
        "cost_cents": 20412,
        "cost_currency": "USD",
    }


MISSING = [None, "", "  ", "null", "NULL", " null ", "0"]


@pytest.mark.parametrize(
    ("field", "said", "column", "meant"),
    [
        *(("length", said, "length_mm", None) for said in (*MISSING, "0.000000", 0, "0.0")),
        *(("girdle", said, "girdle", None) for said in MISSING),
        *(("culetSize", said, "culet", None) for said in MISSING),
        *(("image", said, "image_url", None) for said in MISSING[:-1]),
        ("length", "7.200000", "length_mm", Decimal("7.200")),
        ("length", " 7.12 ", "length_mm", Decimal("7.120")),
        ("length", 7.12, "length_mm", Decimal("7.120")),
        ("length", 7, "length_mm", Decimal("7.000")),
        ("length", "7.", "length_mm", Decimal("7.000")),
        ("length", ".5", "length_mm", Decimal("0.500")),
        ("length", "7.0004", "length_mm", Decimal("7.000")),
        ("length", "7.0005", "length_mm", Decimal("7.001")),
        ("length", "7.0015", "length_mm", Decimal("7.002")),
        ("length", "7.00049999999999999999999", "length_mm", Decimal("7.000")),
        ("carats", "1.06", "carat", Decimal("1.060")),
        ("carats", 15.005, "carat", Decimal("15.005")),
        ("min_business_days", 0, "delivery_days_min", 0),
        ("min_business_days", "3", "delivery_days_min", 3),
        ("discount", 0, "discount_bp", 0),
        ("discount", -9_731, "discount_bp", -9_731),
        ("discount", 250, "discount_bp", 250),
        ("price", 2**31 - 1, "cost_cents", 2**31 - 1),
        ("price", 1, "cost_cents", 1),
        ("cut", "PR", "cut", "P"),
        ("cut", "P", "cut", "P"),
        ("polish", "FR", "polish", "F"),
        ("symmetry", "GD", "symmetry", "G"),
        ("symmetry", "gd", "symmetry", "G"),
        ("cut", "EIGHTX", "cut", "EIGHTX"),
        ("cut", "superb ", "cut", "SUPERB"),
        ("floInt", "STN", "fluorescence", "STG"),
        ("floInt", "STG", "fluorescence", "STG"),
        ("floCol", "B", "fluorescence_color", "BLUE"),
        ("floCol", "Blue", "fluorescence_color", "BLUE"),
        ("floCol", "Y", "fluorescence_color", "YELLOW"),
        ("floCol", "G", "fluorescence_color", "G"),  # green or gray: nobody says
        ("floCol", "Grey", "fluorescence_color", "GRAY"),
        ("floInt", "None", "fluorescence", "NON"),
        ("culetSize", "None", "culet", "NON"),
        ("brown", "None", "brown", "NO"),
        ("milky", "No", "milky", "NO"),
        ("shape", "ASCHER", "shape", "ASSCHER"),
        ("shape", "TRAPEZE", "shape", "TRAPEZOID"),
        ("shape", "HALFMOON", "shape", "HALF MOON"),
        ("shape", "half_moon", "shape", "HALF MOON"),
        ("shape", "Cushion-Brilliant", "shape", "CUSHION BRILLIANT"),
        ("shape", "SQUARE  EMERALD", "shape", "SQUARE EMERALD"),
        ("color", "e", "color", "E"),
        ("color", None, "color", None),
        ("clarity", None, "clarity", None),
        ("lab", "EGL", "lab", "EGL"),
        ("lab", "NEWLAB", "lab", "NEWLAB"),
        ("eyeClean", "100%", "eye_clean", "YES"),
        ("eyeClean", "90%", "eye_clean", "BORDERLINE"),
        ("eyeClean", "0 %", "eye_clean", "NO"),
        ("eyeClean", "Yes", "eye_clean", "YES"),
        ("eyeClean", True, "eye_clean", "YES"),
        ("eyeClean", "No", "eye_clean", "NO"),
        ("eyeClean", "Borderline", "eye_clean", "BORDERLINE"),
        ("eyeClean", None, "eye_clean", None),
        ("eyeClean", "mostly", "eye_clean", "MOSTLY"),
        ("treated", None, "treated", None),
        ("treated", False, "treated", False),
        ("treated", "Yes", "treated", True),
        ("f_color", "YELLOW", "fancy_color", None),  # the colour is E
        ("mine_of_origin", "Russia", "origin", "RUSSIA"),
        ("country_of_origin", "SOUTH_AFRICA", "origin", "SOUTH_AFRICA"),
        ("name", "Brüder Gold & Söhne", "supplier_name", "Brüder Gold & Söhne"),
    ],
)
def test_every_spelling_has_its_meaning(field: str, said: Any, column: str, meant: Any) -> None:
    assert the_stone(payload(**{field: said}))[column] == meant


@pytest.mark.parametrize("said", ["FANCY LIGHT", "FANCY_LIGHT", "fancy-light", "Fancy  Light"])
def test_an_intensity_is_read_however_it_is_spaced(said: str) -> None:
    stone = the_stone(payload(color="FANCY", f_color="ORANGE BROWN", f_intensity=said))
    assert (stone["fancy_color"], stone["fancy_intensity"]) == ("ORANGE BROWN", "FANCY LIGHT")


def test_a_stone_that_nobody_graded_has_no_certificate_number() -> None:
    stone = the_stone(payload(lab="NONE", certNumber="STOCK-17"))
    assert (stone["lab"], stone["certificate_number"]) == ("NONE", None)


def test_a_stone_of_an_unknown_lab_keeps_its_number() -> None:
    stone = the_stone(payload(lab=None, certNumber="123"))
    assert (stone["lab"], stone["certificate_number"]) == (None, "123")


@pytest.mark.parametrize(
    ("field", "said", "reason", "detail"),
    [
        ("price", None, Reason.NO_PRICE, "price: missing"),
        ("price", 0, Reason.NO_PRICE, "price: 0"),
        ("price", -5, Reason.NO_PRICE, "price: -5"),
        ("price", "204.12", Reason.UNREADABLE, "price: 204.12"),
        ("price", "on request", Reason.UNREADABLE, "price: on request"),
        ("price", 10**13, Reason.UNREADABLE, "price: 10000000000000"),
        ("price", 10**30, Reason.UNREADABLE, "price: 1000000000000000000000000000000"),
        ("carats", None, Reason.NO_CARAT, "diamond.certificate.carats: missing"),
        ("carats", 0, Reason.NO_CARAT, "diamond.certificate.carats: 0"),
        ("carats", "0.0004", Reason.NO_CARAT, "diamond.certificate.carats: 0.0004"),
        ("carats", -1, Reason.UNREADABLE, "diamond.certificate.carats: -1"),
        ("carats", "1,06", Reason.UNREADABLE, "diamond.certificate.carats: 1,06"),
        ("carats", "1e1", Reason.UNREADABLE, "diamond.certificate.carats: 1e1"),
        ("carats", "10000000", Reason.UNREADABLE, "diamond.certificate.carats: 10000000"),
        ("shape", None, Reason.NO_SHAPE, "diamond.certificate.shape: missing"),
        ("shape", "null", Reason.NO_SHAPE, "diamond.certificate.shape: missing"),
        ("shape", "0", Reason.NO_SHAPE, "diamond.certificate.shape: 0"),
        ("length", "abc", Reason.UNREADABLE, "diamond.certificate.length: abc"),
        ("length", "-1", Reason.UNREADABLE, "diamond.certificate.length: -1"),
        ("table", "57%", Reason.UNREADABLE, "diamond.certificate.table: 57%"),
        ("table", True, Reason.UNREADABLE, "diamond.certificate.table: true"),
        ("discount", "1.5", Reason.UNREADABLE, "discount: 1.5"),
        (
            "max_business_days",
            2**31,
            Reason.UNREADABLE,
            "diamond.delivery_time.max_business_days: 2147483648",
        ),
        ("treated", "maybe", Reason.UNREADABLE, "diamond.certificate.treated: maybe"),
        (
            "labgrown",
            True,
            Reason.WRONG_KIND,
            "diamond.certificate.labgrown: true, diamond.certificate.labgrown_type: missing",
        ),
        (
            "labgrown_type",
            "cvd",
            Reason.WRONG_KIND,
            "diamond.certificate.labgrown: false, diamond.certificate.labgrown_type: cvd",
        ),
        ("availability", "Sold", Reason.NOT_AVAILABLE, "diamond.availability: Sold"),
        ("certificate", None, Reason.NO_SHAPE, "diamond.certificate.shape: missing"),
        ("certificate", [], Reason.UNREADABLE, "diamond.certificate: [] in place of an object"),
        ("length", ["6.5"], Reason.UNREADABLE, 'diamond.certificate.length: ["6.5"]'),
        ("delivery_time", "soon", Reason.UNREADABLE, 'diamond.delivery_time: "soon" in place of'),
    ],
)
def test_what_is_no_stone_says_why(field: str, said: Any, reason: Reason, detail: str) -> None:
    refusal = the_refusal(payload(**{field: said}))
    assert refusal["reason"] == reason
    assert refusal["detail"].startswith(detail)
    assert refusal["offer_id"].startswith("DIAMOND/")


@pytest.mark.parametrize("said", [None, "", "null", 7.0])
def test_an_offer_without_an_id_is_rejected(said: Any) -> None:
    offer = make_offer()
    offer["id"] = said
    mapped = map_offers([json.dumps(offer).encode()], kind="natural")
    reasons = [] if said == 7.0 else [(0, None, "no_id", "id: missing")]
    assert mapped.rejected.rows() == reasons


def test_a_null_item_is_rejected_with_what_the_supplier_said_of_it() -> None:
    said = {"null_item": True, "message": "Cannot serialise clarity", "error": {"path": ["a", 1]}}
    refusal = the_refusal(json.dumps(said).encode())
    assert refusal["reason"] == Reason.NULL_ITEM
    assert refusal["detail"] == "Cannot serialise clarity"
    said["message"] = None
    assert the_refusal(json.dumps(said).encode())["detail"] == "no error given"


@pytest.mark.parametrize(
    ("labgrown", "labgrown_type", "is_stone"),
    [
        (True, "CVD", True),
        (None, "CVD", True),
        (None, None, True),
        (False, "HPHT", True),
        (False, None, False),
    ],
)
def test_the_labgrown_feed_is_trusted_until_an_offer_contradicts(
    labgrown: bool | None, labgrown_type: str | None, is_stone: bool
) -> None:
    said = lab_grown(labgrown=labgrown, labgrown_type=labgrown_type)
    mapped = map_offers([said], kind="labgrown")
    assert mapped.stones["kind"].to_list() == (["labgrown"] if is_stone else [])
    assert mapped.rejected["reason"].to_list() == ([] if is_stone else [Reason.WRONG_KIND])


def test_one_broken_row_costs_one_row() -> None:
    said = [payload() for _ in range(20)]
    said[3], said[11] = said[3][:-1], payload(length={"mm": 6})
    mapped = map_offers(said, kind="natural")
    assert_total(mapped, 20)
    assert mapped.rejected["seq"].to_list() == [3, 11]


def test_nothing_maps_to_nothing() -> None:
    assert_total(map_offers([], kind="natural"), 0)


texts = st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from([
    "price", "discount", "diamond", "certificate", "carats", "shape", "length", "eyeClean",
    "labgrown", "treated", "girdle", "f_color", "color", "lab", "supplier", "delivery_time",
    "min_business_days", "name", "stone_id",
])  # fmt: skip
spoilt = st.dictionaries(fields, anything, max_size=3).map(
    lambda wanted: json.dumps(make_offer(**dict(sorted(wanted.items(), reverse=True)))).encode()
)
whatever = anything.map(lambda value: json.dumps(value).encode())


@settings(deadline=None)
@given(
    st.lists(st.one_of(spoilt, whatever, st.binary(max_size=9)), max_size=5),
    st.sampled_from(["natural", "labgrown"]),
)
def test_every_payload_is_a_stone_or_has_a_reason(said: list[bytes], kind: Kind) -> None:
    assert_total(map_offers(said, kind=kind), len(said))


@settings(deadline=None)
@given(st.lists(spoilt, min_size=1, max_size=4))
def test_a_row_maps_the_same_in_any_company(said: list[bytes]) -> None:
    together = map_offers([*said, b"broken"], kind="natural")
    rows = {row["seq"]: row for frame in together for row in frame.iter_rows(named=True)}
    for seq, one in enumerate(said):
        alone = map_offers([one], kind="natural")
        (row,) = [row for frame in alone for row in frame.iter_rows(named=True)]
        assert row | {"seq": seq} == rows[seq]


@settings(deadline=None)
@given(
    st.decimals(min_value=0, max_value=9_999_999, places=6, allow_nan=False, allow_infinity=False)
)
def test_a_measure_is_exact_to_three_places(measure: Decimal) -> None:
    stone = the_stone(payload(length=f"{measure:f}"))
    exact = measure.quantize(Decimal("0.001"), ROUND_HALF_UP)
    assert stone["length_mm"] == (exact or None)


@settings(deadline=None)
@given(st.integers(1, 10**12))
def test_a_price_stays_what_it_is_to_the_cent(cents: int) -> None:
    assert the_stone(payload(price=cents))["cost_cents"] == cents
