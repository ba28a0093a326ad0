"""What a supplier's item is as a stone, one item and one field at a time, slow and obvious.

Shares no code with the pipeline. Written from what the supplier's contract says of its values and
from docs/rejected-offers.md; where the pipeline says something else, one of the two is wrong.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

Item = Mapping[str, Any]
Stone = dict[str, Any]

# Every business column of a stone, but for what pricing adds.
COLUMNS = (
    "offer_id", "supplier_stone_id", "kind", "labgrown_type", "treated", "lab",
    "certificate_number", "certificate_url", "shape", "carat", "color", "fancy_color",
    "fancy_intensity", "fancy_overtone", "clarity", "cut", "polish", "symmetry", "fluorescence",
    "fluorescence_color", "length_mm", "width_mm", "depth_mm", "depth_percent", "table_percent",
    "girdle", "culet", "eye_clean", "brown", "green", "milky", "origin", "supplier_id",
    "supplier_name", "availability", "image_url", "video_url", "delivery_days_min",
    "delivery_days_max", "discount_bp", "cost_cents", "cost_currency",
)  # fmt: skip

_GRADES = {"PR": "P", "FR": "F", "GD": "G"}
_SHAPES = {"ASCHER": "ASSCHER", "HALFMOON": "HALF MOON", "TRAPEZE": "TRAPEZOID"}
_GLOWS = {"NONE": "NON", "STN": "STG"}
_LIGHTS = {"B": "BLUE", "O": "ORANGE", "W": "WHITE", "Y": "YELLOW"}
_YES_OR_NO = {"Y": "YES", "TRUE": "YES", "N": "NO", "FALSE": "NO"}


class Refused(Exception):
    """The offer is no stone; its argument is the word of the reason."""


def read(item: Item, kind: str) -> Stone:
    """The stone's COLUMNS.

    kind    natural or labgrown, as the feed asks for it

    Raises Refused.
    """
    diamond = item["diamond"]
    paper = diamond["certificate"]
    days = diamond["delivery_time"]
    stone: Stone = {
        "offer_id": text(item["id"]),
        "supplier_stone_id": text(diamond["id"]),
        "kind": kind,
        "labgrown_type": word(paper["labgrown_type"]),
        "treated": truth(paper["treated"]),
        "lab": word(paper["lab"]),
        "certificate_number": text(paper["certNumber"]),
        "certificate_url": text(paper["pdfUrl"]),
        "shape": word(apart(paper["shape"]), _SHAPES),
        "carat": decimal(paper["carats"]),
        "color": word(paper["color"]),
        "fancy_color": gray(paper["f_color"]),
        "fancy_intensity": word(apart(paper["f_intensity"])),
        "fancy_overtone": gray(paper["f_overtone"]),
        "clarity": word(paper["clarity"]),
        "cut": word(paper["cut"], _GRADES),
        "polish": word(paper["polish"], _GRADES),
        "symmetry": word(paper["symmetry"], _GRADES),
        "fluorescence": word(paper["floInt"], _GLOWS),
        "fluorescence_color": word(gray(paper["floCol"]), _LIGHTS),
        "length_mm": decimal(paper["length"]),
        "width_mm": decimal(paper["width"]),
        "depth_mm": decimal(paper["depth"]),
        "depth_percent": decimal(paper["depthPercentage"]),
        "table_percent": decimal(paper["table"]),
        "girdle": word(paper["girdle"]),
        "culet": word(paper["culetSize"], {"NONE": "NON"}),
        "eye_clean": eye_clean(diamond["eyeClean"]),
        "brown": word(diamond["brown"], {"NONE": "NO"}),
        "green": word(diamond["green"], {"NONE": "NO"}),
        "milky": word(diamond["milky"], {"NONE": "NO"}),
        "origin": word(diamond["mine_of_origin"]) or word(paper["country_of_origin"]),
        "supplier_id": text(diamond["supplier"]["id"]),
        "supplier_name": text(diamond["supplier"]["name"]),
        "availability": word(diamond["availability"]),
        "image_url": text(diamond["image"]),
        "video_url": text(diamond["video"]),
        "delivery_days_min": whole(days["min_business_days"]),
        "delivery_days_max": whole(days["max_business_days"]),
        "discount_bp": whole(item["discount"]),
        "cost_cents": whole(item["price"]),
        "cost_currency": "USD",
    }
    if stone["lab"] == "NONE":  # the number is the supplier's own code
        stone["certificate_number"] = None
    if stone["color"] != "FANCY":
        stone |= {"fancy_color": None, "fancy_intensity": None, "fancy_overtone": None}
    check(stone, grown=truth(paper["labgrown"]))
    return stone


def check(stone: Stone, *, grown: bool | None) -> None:
    """Raise Refused for the first thing that makes it no stone."""
    made = stone["labgrown_type"]
    if stone["offer_id"] is None:
        raise Refused("no_id")
    if stone["kind"] == "natural" and (grown is True or made == "CVD"):
        raise Refused("wrong_kind")
    if stone["kind"] == "labgrown" and grown is False and made is None:
        raise Refused("wrong_kind")
    if stone["shape"] is None:
        raise Refused("no_shape")
    if stone["carat"] is None:
        raise Refused("no_carat")
    if stone["cost_cents"] is None or stone["cost_cents"] <= 0:
        raise Refused("no_price")


def text(value: object) -> str | None:
    """The text, or None for what the supplier writes where it knows nothing."""
    said = "" if value is None else str(value).strip()
    return None if said in ("", "null", "Null", "NULL") else said


def word(value: object, spellings: Mapping[str, str] | None = None) -> str | None:
    """In capitals, under one spelling."""
    said = text(value)
    if said is None or said == "0":
        return None
    return (spellings or {}).get(said.upper(), said.upper())


def apart(value: object) -> str | None:
    """Parts of a word with one space between them, whatever stood there."""
    said = text(value)
    return None if said is None else " ".join(said.replace("-", " ").replace("_", " ").split())


def gray(value: object) -> str | None:
    said = word(value)
    return None if said is None else said.replace("GREY", "GRAY")


def eye_clean(value: object) -> str | None:
    said = word(value, _YES_OR_NO)
    if said is None or not said.endswith("%"):
        return said
    percent = int(said.removesuffix("%"))
    return "YES" if percent >= 100 else "NO" if percent == 0 else "BORDERLINE"


def decimal(value: object) -> Decimal | None:
    """Three places, a half upwards; zero means that nobody measured. Raises Refused."""
    said = text(value)
    if said is None:
        return None
    try:
        number = Decimal(said).quantize(Decimal("0.001"), ROUND_HALF_UP)
    except InvalidOperation:
        raise Refused("unreadable") from None
    if number < 0:
        raise Refused("unreadable")
    return number or None


def whole(value: object) -> int | None:
    """Raises Refused."""
    said = text(value)
    try:
        return None if said is None else int(said)
    except ValueError:
        raise Refused("unreadable") from None


def truth(value: object) -> bool | None:
    """Raises Refused."""
    said = text(value)
    if said is None:
        return None
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if said.lower() not in known:
        raise Refused("unreadable")
    return known[said.lower()]
