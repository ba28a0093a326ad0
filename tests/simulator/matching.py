"""A second, plain reading of DiamondQuery: item by item, in fractions, over the raw items.

Shares no code with the supplier's columns and masks.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

Item = Mapping[str, Any]
Reading = Callable[[Item, Any], bool]  # does this item have what is asked?

SYNONYMS = [
    {"GD", "G"},
    {"FR", "F"},
    {"PR", "P"},
    {"STG", "STN"},
    {"ASSCHER", "ASCHER"},
    {"HALF MOON", "HALFMOON"},
]
EYE_CLEAN = {"Yes": {"Yes", "100%"}, "No": {"No"}, "Borderline": {"Borderline", "90%"}}
GIRDLES = {
    "MED - STK": {"MED", "STK"},
    "TN - TK": {"THN", "THK"},
    "STK-THK": {"STK", "THK"},
    "Medium": {"MED"},
    "Thin": {"THN"},
    "Thin - Medium": {"THN", "MED"},
    "Medium - Slightly Thick": {"MED", "STK"},
    "Medium - Very Thick": {"MED", "VTK"},
    "VTN - STK": {"VTN", "STK"},
    "ETN - VTK": {"ETN", "VTK"},
}


def exact(number: float | str) -> Fraction:
    return Fraction(str(number))


def certificate(item: Item) -> Mapping[str, Any]:
    found = item["diamond"]["certificate"]
    assert isinstance(found, dict)
    return found


def per_carat(item: Item) -> Fraction:
    """Dollars."""
    return Fraction(item["price"], 100) / exact(certificate(item)["carats"])


def within(value: Fraction, span: Mapping[str, float]) -> bool:
    return exact(span["from"]) <= value <= exact(span["to"])


def _word(field: str) -> Reading:
    def reading(item: Item, wanted: list[str]) -> bool:
        word = certificate(item)[field]
        meant = {word, *(other for group in SYNONYMS if word in group for other in group)}
        return word is not None and bool(meant.intersection(wanted))

    return reading


def _decimal(field: str) -> Reading:
    def reading(item: Item, span: Mapping[str, float]) -> bool:
        text = certificate(item)[field]
        return text is not None and within(exact(text), span)

    return reading


def _symbols(item: Item, wanted: list[str]) -> bool:
    symbols = (certificate(item)["keyToSymbols"] or "").lower().split(", ")
    return any(word.lower() in symbols for word in wanted)


def _ratio(item: Item, span: Mapping[str, float]) -> bool:
    length, width = (exact(certificate(item)[side]) for side in ("length", "width"))
    return width > 0 and within(length / width, span)


def _culet(item: Item, wanted: list[str]) -> bool:
    size = certificate(item)["culetSize"]
    return ("NON" if size == "None" else size) in wanted


READINGS: dict[str, Reading] = {
    "shapes": _word("shape"),
    "color": _word("color"),
    "clarity": _word("clarity"),
    "cut": _word("cut"),
    "polish": _word("polish"),
    "symmetry": _word("symmetry"),
    "flouresence": _word("floInt"),
    "certificate_lab": _word("lab"),
    "labgrown_type": _word("labgrown_type"),
    "fancyColor": _word("f_color"),
    "length_mm": _decimal("length"),
    "width_mm": _decimal("width"),
    "depth_mm": _decimal("depth"),
    "ratio": _ratio,
    "table_percentage": _decimal("table"),
    "depth_percentage": _decimal("depthPercentage"),
    "crown_angle": _decimal("crownAngle"),
    "star_length": _decimal("starLength"),
    "dollar_per_carat": lambda item, span: within(per_carat(item), span),
    "dollar_value": lambda item, span: within(Fraction(item["price"], 100), span),
    "discount": lambda item, span: within(Fraction(item["discount"]), span),
    "sizes": lambda item, spans: any(
        within(exact(certificate(item)["carats"]), span) for span in spans
    ),
    "availability": lambda item, words: item["diamond"]["availability"] in words,
    "hide_memo": lambda item, on: (
        not on or item["diamond"]["availability"] not in ("MEMO", "ON_MEMO", "CONSIGNMENT")
    ),
    "has_certpdf": lambda item, on: not on or certificate(item)["pdfUrl"] is not None,
    "treated": lambda item, asked: certificate(item)["treated"] is asked,
    "suppliers": lambda item, ids: item["diamond"]["supplier"]["id"] in ids,
    "location": lambda item, places: item["diamond"]["location"] in places,
    "delivery_time": lambda item, days: (
        item["diamond"]["delivery_time"]["max_business_days"] <= max(days)
    ),
    "is_fbn": lambda item, on: (
        not on or item["diamond"]["delivery_time"]["express_timeline_applicable"]
    ),
    "returns": lambda item, on: not on or item["diamond"]["return_window"] is not None,
    "mine_of_origin": lambda item, places: item["diamond"]["mine_of_origin"] in places,
    "excludeFairPoorCuts": lambda item, on: (
        not on or certificate(item)["cut"] not in ("FR", "F", "PR", "P")
    ),
    "girdle": lambda item, words: bool(
        GIRDLES.get(certificate(item)["girdle"], set()).intersection(words)
    ),
    "culet": _culet,
}


# Fields that are read with others, and the kind, which is the caller's choice of items.
TOGETHER = {"has_image", "has_v360", "eyeClean", "sue", "key_to_symbols"} | {
    "key_to_symbols_contains",
    "labgrown",
}


def matches(item: Item, query: Mapping[str, Any]) -> bool:
    """Whether an item of the right kind is what the query asks for."""
    assert query.keys() <= READINGS.keys() | TOGETHER, query
    alone = {name: value for name, value in query.items() if name in READINGS}
    return (
        all(READINGS[name](item, value) for name, value in alone.items())
        and _media(item, query)
        and _eye_clean(item, query)
        and _key_to_symbols(item, query)
    )


def _media(item: Item, query: Mapping[str, Any]) -> bool:
    """One of those asked, not all."""
    asked = [field for field in ("image", "v360") if query.get(f"has_{field}")]
    return not asked or any(item["diamond"][field] is not None for field in asked)


def _eye_clean(item: Item, query: Mapping[str, Any]) -> bool:
    if "eyeClean" not in query:
        return True
    value = item["diamond"]["eyeClean"]
    known = any(value in EYE_CLEAN[word] for word in query["eyeClean"])
    return known or (bool(query.get("sue")) and value is None)


def _key_to_symbols(item: Item, query: Mapping[str, Any]) -> bool:
    if "key_to_symbols" not in query:
        return True
    return _symbols(item, query["key_to_symbols"]) is query.get("key_to_symbols_contains", True)
