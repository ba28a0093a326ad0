"""What a row of a supplier's file is as a stone, field by field, slow and obvious.

Shares no code with the pipeline. A row is its headers and the texts under them.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from tests.oracle.reading import (
    COLUMNS,
    Refused,
    Stone,
    apart,
    check,
    decimal,
    eye_clean,
    gray,
    read,
    text,
    word,
)

Row = Mapping[str, str]

GRADES = {
    "EXCELLENT": "EX",
    "IDEAL": "ID",
    "VERY GOOD": "VG",
    "GOOD": "G",
    "FAIR": "F",
    "POOR": "P",
}
GLOWS = {
    "NONE": "NON", "VERY SLIGHT": "VSL", "SLIGHT": "SLT", "FAINT": "FNT", "MEDIUM": "MED",
    "STRONG": "STG", "VERY STRONG": "VST",
}  # fmt: skip


def idex(row: Row, kind: str) -> Stone:
    """A row of IDEX. Raises Refused."""
    item_id = text(row.get("Item ID #") or row.get("Item ID"))
    number = text(row["Certificate Number"])
    color = word(row["Color"])
    if text(row["Natural Fancy Color"]):
        color = "FANCY"
    together = text(row.get("Measurements (LengthxWidthxHeight)"))
    sides: list[str | None] = [row.get(f"Measurements {name}") for name in SIDES]
    if together:
        sides = list(together.split("x"))
    stone = dict.fromkeys(COLUMNS) | {
        "offer_id": item_id,
        "supplier_stone_id": item_id,
        "kind": kind,
        "treated": _treated(row),
        "lab": word(row["Grading Lab"]),
        "certificate_number": number,
        "certificate_url": text(row.get("Certificate Path") or row.get("Certificate URL")),
        "shape": word(apart(row["Cut"]), {"ASCHER": "ASSCHER"}),
        "carat": decimal(row["Carat"]),
        "color": color,
        "fancy_color": gray(row["Natural Fancy Color"]),
        "fancy_intensity": word(apart(row["Natural Fancy Color Intensity"])),
        "fancy_overtone": gray(row["Natural Fancy Color Overtone"]),
        "clarity": word(row["Clarity"]),
        "cut": word(row.get("Make (Cut Grade)") or row.get("Cut Grade"), GRADES),
        "polish": word(row["Polish"], GRADES),
        "symmetry": word(row["Symmetry"], GRADES),
        "fluorescence": word(row["Fluorescence Intensity"], GLOWS),
        "fluorescence_color": word(gray(row["Fluorescence Color"]), LIGHTS),
        "length_mm": decimal(sides[0]),
        "width_mm": decimal(sides[1]) if len(sides) > 1 else None,
        "depth_mm": decimal(sides[2]) if len(sides) > 2 else None,
        "depth_percent": decimal(row["Depth"]),
        "table_percent": decimal(row["Table"]),
        "girdle": _girdle(row),
        "culet": word(row["Culet Size"], {"NONE": "NON"}),
        "eye_clean": eye_clean(row.get("Eye Clean")),
        "milky": word(row.get("Milky"), {"NONE": "NO"}),
        "availability": word(row.get("Availability")),
        "image_url": text(row.get("Image Path") or row.get("Image URL")),
        "video_url": text(row.get("Video URL")),
        "cost_cents": cents(row["Total Price"]),
        "cost_currency": "USD",
    }
    if kind == "natural" and number is not None and number.startswith("LG"):
        raise Refused("wrong_kind")
    return _finished(stone)


def nivoda(row: Row, kind: str) -> Stone:
    """A row of Nivoda's CSV: the words of its API under other names. Raises Refused."""
    price = cents(row["deliveredPrice"] or row["price"])
    item = {
        "id": row["diamond_id"],
        "price": price,
        "discount": None,
        "diamond": {
            "id": row["diamond_id"],
            "availability": None,
            "image": row["image"],
            "video": row["video"],
            "eyeClean": row["eyeClean"],
            "brown": row["brown"],
            "green": row["green"],
            "milky": row["milky"],
            "mine_of_origin": row["mine_of_origin"],
            "supplier": {"id": None, "name": None},
            "delivery_time": {
                "min_business_days": row["minDeliveryDays"],
                "max_business_days": row["maxDeliveryDays"],
            },
            "certificate": {
                "lab": row["lab"],
                "certNumber": row["ReportNo"],
                "pdfUrl": row["pdf"],
                "shape": row["shape"],
                "carats": row["carats"],
                "color": row["col"],
                "f_color": row["fancyColor"],
                "f_intensity": row["fancyIntensity"],
                "f_overtone": row["fancyOvertone"],
                "clarity": row["clar"],
                "cut": row["cut"],
                "polish": row["pol"],
                "symmetry": row["symm"],
                "floInt": row["flo"],
                "floCol": row["floCol"],
                "length": row["length"],
                "width": row["width"],
                "depth": row["height"],
                "depthPercentage": row["depth"],
                "table": row["table"],
                "girdle": row["girdle"],
                "culetSize": row["culet"],
                "labgrown": None if kind == "natural" else True,
                "labgrown_type": row["labgrownType"],
                "treated": None,
                "country_of_origin": row["country"],
            },
        },
    }
    return read(item, kind)


SIDES = ("Length", "Width", "Height")
LIGHTS = {"B": "BLUE", "O": "ORANGE", "W": "WHITE", "Y": "YELLOW"}


def cents(said: str) -> int | None:
    """Dollars with a point, a half cent upwards. Raises Refused."""
    if not said.strip():
        return None
    try:
        dollars = Decimal(said)
    except InvalidOperation:
        raise Refused("unreadable") from None
    return int((dollars * 100).quantize(Decimal(1), ROUND_HALF_UP))


def _finished(stone: dict[str, Any]) -> Stone:
    if stone["lab"] == "NONE":
        stone["certificate_number"] = None
    if stone["color"] != "FANCY":
        stone |= {"fancy_color": None, "fancy_intensity": None, "fancy_overtone": None}
    check(stone, grown=None if stone["kind"] == "natural" else True)
    return stone


def _treated(row: Row) -> bool | None:
    said = [word(row[name]) for name in ("Treated Color", "Enhancement")]
    if any(one not in (None, "NONE", "NO", "N") for one in said):
        return True
    return False if any(said) else None


def _girdle(row: Row) -> str | None:
    together = row.get("Girdle (From / To)")
    ends = together.split(" / ") if together else [row.get("Girdle From"), row.get("Girdle To")]
    said = [word(end) for end in ends if word(end)]
    if not said:
        return None
    return said[0] if said[0] == said[-1] else f"{said[0]} - {said[-1]}"
