"""A stone as a row of a supplier's file: IDEX's two layouts and Nivoda's own CSV.

Pure. Every value is text, as the files have it: words in place of codes, dollars with a point.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from simulator import items
from simulator.fields import Batch
from simulator.shelf import Shelf

_BATCH = 2_000  # items built at once

NATURAL = (
    "Item ID #", "Cut", "Carat", "Color", "Natural Fancy Color", "Natural Fancy Color Intensity",
    "Natural Fancy Color Overtone", "Treated Color", "Clarity", "Make (Cut Grade)", "Grading Lab",
    "Certificate Number", "Certificate Path", "Image Path", "Online Report", "Price Per Carat",
    "Total Price", "% Off IDEX List", "Polish", "Symmetry", "Measurements (LengthxWidthxHeight)",
    "Depth", "Table", "Crown Height", "Pavilion Depth", "Girdle (From / To)", "Culet Size",
    "Culet Condition", "Graining", "Fluorescence Intensity", "Fluorescence Color", "Enhancement",
    "Country", "State / Region", "Pair Stock Ref.", "",
)  # fmt: skip
LABGROWN = (
    "Item ID", "Supplier Stock Ref", "Cut", "Carat", "Color", "Natural Fancy Color",
    "Natural Fancy Color Intensity", "Natural Fancy Color Overtone", "Treated Color", "Clarity",
    "Cut Grade", "Grading Lab", "Certificate Number", "Certificate URL", "Image URL",
    "Online Report URL", "Polish", "Symmetry", "Price Per Carat", "Total Price",
    "Measurements Length", "Measurements Width", "Measurements Height", "Depth", "Table",
    "Crown Height", "Crown Angle", "Pavilion Depth", "Pavilion Angle", "Girdle From", "Girdle To",
    "Culet Size", "Culet Condition", "Graining", "Fluorescence Intensity", "Fluorescence Color",
    "Enhancement", "Country Code", "Country Name", "State Code", "State Name", "Pair Stock Ref",
    "Pair Separable", "Asking Price Per Carat For Pair", "Shade", "Milky", "Black Inclusion",
    "Eye Clean", "Provenance Report", "Provenance Number", "Brand", "Availability", "Video URL",
    "3DViewer URL",
)  # fmt: skip
NIVODA = (
    "stock_id", "diamond_id", "ReportNo", "shape", "carats", "col", "clar", "cut", "pol", "symm",
    "flo", "floCol", "eyeClean", "brown", "green", "milky", "fancyColor", "fancyOvertone",
    "fancyIntensity", "length", "width", "height", "depth", "table", "culet", "girdle", "discount",
    "price", "markup_price", "markup_currency", "price_per_carat", "deliveredPrice", "lab", "pdf",
    "video", "image", "minDeliveryDays", "maxDeliveryDays", "country", "mine_of_origin",
    "labgrownType", "lg", "is_returnable",
)  # fmt: skip

_GRADES = {
    "EIGHTX": "Excellent", "ID": "Ideal", "EX": "Excellent", "VG": "Very Good", "GD": "Good",
    "G": "Good", "FR": "Fair", "F": "Fair", "PR": "Poor", "P": "Poor", None: "",
}  # fmt: skip
_GLOW = {
    "NON": "None", "VSL": "Very Slight", "SLT": "Slight", "FNT": "Faint", "MED": "Medium",
    "STG": "Strong", "STN": "Strong", "VST": "Very Strong", None: "",
}  # fmt: skip
_GIRDLE = {
    "MED": "Medium", "STK": "Slightly Thick", "TN": "Thin", "TK": "Thick", "THN": "Thin",
    "THK": "Thick", "VTN": "Very Thin", "ETN": "Extremely Thin", "VTK": "Very Thick",
    "ETK": "Extremely Thick",
}  # fmt: skip

Item = Mapping[str, Any]


def available(shelf: Shelf) -> Iterator[Item]:
    """The items of a kind that a file lists: those that can be bought."""
    for start in range(0, shelf.size, _BATCH):
        rows = np.arange(start, min(start + _BATCH, shelf.size))
        for item in items.project(_FIELDS, Batch(shelf, rows)):
            if item["diamond"]["availability"] == "AVAILABLE":
                yield item


def natural(item: Item) -> list[str]:
    """The row in IDEX's natural layout."""
    said = _idex(item)
    sides = [said[f"Measurements {side}"] for side in ("Length", "Width", "Height")]
    said |= {
        "Item ID #": said["Item ID"],
        "Make (Cut Grade)": said["Cut Grade"],
        "Certificate Path": said["Certificate URL"],
        "Image Path": said["Image URL"],
        "Measurements (LengthxWidthxHeight)": "x".join(sides) if all(sides) else "",
        "Girdle (From / To)": " / ".join(filter(None, (said["Girdle From"], said["Girdle To"]))),
        "Country": "India",
    }
    return [said.get(name, "") for name in NATURAL]


def labgrown(item: Item) -> list[str]:
    """The row in IDEX's lab-grown layout."""
    said = _idex(item)
    return [said.get(name, "") for name in LABGROWN]


def nivoda(item: Item) -> list[str]:
    """The row in Nivoda's own CSV."""
    diamond, paper = item["diamond"], item["diamond"]["certificate"]
    price, carats = item["price"], paper["carats"]
    days = diamond["delivery_time"]
    values = {
        "stock_id": diamond["NivodaStockId"], "diamond_id": diamond["id"],
        "ReportNo": paper["certNumber"], "shape": paper["shape"], "carats": carats,
        "col": paper["color"], "clar": paper["clarity"], "cut": paper["cut"],
        "pol": paper["polish"], "symm": paper["symmetry"], "flo": paper["floInt"],
        "floCol": paper["floCol"], "eyeClean": diamond["eyeClean"], "brown": diamond["brown"],
        "green": diamond["green"], "milky": diamond["milky"], "fancyColor": paper["f_color"],
        "fancyOvertone": paper["f_overtone"], "fancyIntensity": paper["f_intensity"],
        "length": paper["length"], "width": paper["width"], "height": paper["depth"],
        "depth": paper["depthPercentage"], "table": paper["table"], "culet": paper["culetSize"],
        "girdle": paper["girdle"], "discount": f"{item['discount'] / 100:.2f}",
        "price": _dollars(price - price // 50), "markup_price": _dollars(price * 2),
        "markup_currency": "USD", "price_per_carat": _dollars(round(price / carats)),
        "deliveredPrice": _dollars(price), "lab": paper["lab"], "pdf": paper["pdfUrl"],
        "video": diamond["video"], "image": diamond["image"],
        "minDeliveryDays": days["min_business_days"], "maxDeliveryDays": days["max_business_days"],
        "country": "IN", "mine_of_origin": diamond["mine_of_origin"],
        "labgrownType": paper["labgrown_type"], "lg": "",
        "is_returnable": "N",
    }  # fmt: skip
    return ["" if values[name] is None else str(values[name]) for name in NIVODA]


def _idex(item: Item) -> dict[str, str]:
    """What both layouts say of a stone, under the lab-grown names."""
    diamond, paper = item["diamond"], item["diamond"]["certificate"]
    fancy = paper["color"] == "FANCY"
    carats = paper["carats"]
    girdle = (paper["girdle"] or "").split(" - ")
    ends = [_GIRDLE.get(end, end) for end in (girdle[0], girdle[-1])]
    ends = ["" if end == "null" else end for end in ends]
    sides = [f"{float(paper[side]):.2f}" for side in ("length", "width", "depth")]
    return {
        "Item ID": item_id(diamond["id"]),
        "Supplier Stock Ref": diamond["NivodaStockId"] or "",
        "Cut": paper["shape"].title(),
        "Carat": f"{carats:.2f}",
        "Color": "" if fancy else paper["color"],
        "Natural Fancy Color": _title(paper["f_color"]) if fancy else "",
        "Natural Fancy Color Intensity": _title(paper["f_intensity"]) if fancy else "",
        "Natural Fancy Color Overtone": _title(paper["f_overtone"]) if fancy else "",
        "Treated Color": "None",
        "Clarity": paper["clarity"] or "",
        "Cut Grade": _GRADES[paper["cut"]],
        "Grading Lab": paper["lab"] or "",
        "Certificate Number": paper["certNumber"] or "",
        "Certificate URL": paper["pdfUrl"] or "",
        "Image URL": diamond["image"] or "",
        "Polish": _GRADES[paper["polish"]],
        "Symmetry": _GRADES[paper["symmetry"]],
        "Price Per Carat": _dollars(round(item["price"] / carats)),
        "Total Price": _dollars(item["price"]),
        "% Off IDEX List": f"{-item['discount'] / 100:.2f}",
        "Measurements Length": sides[0] if float(sides[0]) else "",
        "Measurements Width": sides[1] if float(sides[1]) else "",
        "Measurements Height": sides[2] if float(sides[2]) else "",
        "Depth": paper["depthPercentage"],
        "Table": paper["table"],
        "Girdle From": ends[0],
        "Girdle To": ends[1],
        "Culet Size": _title(paper["culetSize"]),
        "Fluorescence Intensity": _GLOW[paper["floInt"]],
        "Fluorescence Color": _title(paper["floCol"]),
        "Enhancement": "None",
        "Country Code": "IND",
        "Country Name": "India",
        "Milky": _title(diamond["milky"]),
        "Eye Clean": _title(diamond["eyeClean"]),
        "Availability": "Available",
        "Video URL": diamond["video"] or "",
    }


def item_id(uuid: str) -> str:
    """IDEX's number for a stone, in place of a uuid."""
    return str(int(uuid.replace("-", "")[:12], 16))


def _title(word: str | None) -> str:
    return "" if word is None or word == "null" else word.title()


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _leaves(family: str, *names: str) -> tuple[items.Leaf, ...]:
    return tuple(items.leaf(family, name, name) for name in names)


def _branch(owner: str, name: str, *fields: items.Leaf | items.Branch) -> items.Branch:
    return items.Branch(name, items.OBJECTS[owner, name], fields)


_FIELDS: items.Fields = (
    *_leaves("DiamondItem", "price", "discount"),
    _branch(
        "DiamondItem",
        "diamond",
        *_leaves("Diamond", "id", "NivodaStockId", "availability", "image", "video", "brown"),
        *_leaves("Diamond", "green", "milky", "eyeClean", "mine_of_origin"),
        _branch(
            "Diamond",
            "certificate",
            *_leaves("Certificate", "lab", "certNumber", "pdfUrl", "shape", "carats", "color"),
            *_leaves("Certificate", "f_color", "f_intensity", "f_overtone", "clarity", "cut"),
            *_leaves("Certificate", "polish", "symmetry", "length", "width", "depth"),
            *_leaves("Certificate", "depthPercentage", "table", "girdle", "culetSize"),
            *_leaves("Certificate", "floInt", "floCol", "labgrown_type"),
        ),
        _branch(
            "Diamond",
            "delivery_time",
            *_leaves("DeliveryTime", "min_business_days", "max_business_days"),
        ),
    ),
)
