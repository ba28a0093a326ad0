"""The columns of IDEX's files. Pure.

A layout has a name, and columns are added under the same name, so a file is bound by its header
where it has one. Without a header only the number of columns tells a layout; where that fits none,
the file is refused.
"""

from collections.abc import Sequence

from shared.errors import SupplierRefused
from shared.feeds.base import Kind
from shared.feeds.files import Bound
from shared.feeds.rows import Layout, keys_of

ID_KEY = "item_id"
NEEDED = (ID_KEY, "cut", "carat", "total_price")  # without one of these no row is a stone

_BASIS = (
    "Item ID #", "Cut", "Carat", "Color", "Natural Fancy Color", "Natural Fancy Color Intensity",
    "Natural Fancy Color Overtone", "Treated Color", "Clarity", "Make (Cut Grade)", "Grading Lab",
    "Certificate Number", "Certificate Path", "Image Path", "Online Report", "Price Per Carat",
    "Total Price", "% Off IDEX List", "Polish", "Symmetry", "Measurements (LengthxWidthxHeight)",
    "Depth", "Table", "Crown Height", "Pavilion Depth", "Girdle (From / To)", "Culet Size",
    "Culet Condition", "Graining", "Fluorescence Intensity", "Fluorescence Color", "Enhancement",
    "Country", "State / Region", "Pair Stock Ref.",
)  # fmt: skip
_LABGROWN = (
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

# What is asked for by name.
FORMATS: dict[Kind, str] = {"natural": "format_20220525_basis", "labgrown": "format_lg_20221130"}

# Known layouts, by kind and then by name, as the vendor lists them.
LAYOUTS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "natural": {
        "format_20220525_basis": (*_BASIS, ""),
        "format_20230628_extended": (*_BASIS, "Video URL", "3DViewer URL"),
    },
    "labgrown": {
        "format_lg_20221130": _LABGROWN,
        "format_lg_20221130 before June 2023": _LABGROWN[:-2],
    },
}


def bind(first: Sequence[str], kind: Kind) -> Bound:
    """The columns of a file, by its first row. Raises SupplierRefused."""
    keys = keys_of(first)
    if ID_KEY in keys:
        missing = [key for key in NEEDED if key not in keys]
        if missing:
            raise SupplierRefused(
                f"the file's header has no {', '.join(missing)}: no {FORMATS[kind]}",
                hint="the layout has changed: the adapter must follow",
            )
        return Bound(Layout(keys, (ID_KEY,)), has_header=True)
    for columns in LAYOUTS[kind].values():
        if len(columns) == len(first):
            return Bound(Layout(keys_of(columns), (ID_KEY,)), has_header=False)
    widths = ", ".join(f"{name} {len(one)}" for name, one in LAYOUTS[kind].items())
    raise SupplierRefused(
        f"the file has no header and {len(first)} columns; known layouts have: {widths}",
        hint="the layout has changed: the adapter must follow",
    )
