"""Fields of a DiamondQuery that stand alone, and the test that each becomes."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import numpy as np

from simulator import make, masks, words
from simulator.companies import COMPANIES, Company
from simulator.masks import Column, Mask, Test

Maker = Callable[[Any], Test | None]  # from the field's value; None: it does not restrict


def normal(word: str) -> str:
    """Capitals, and one space between words."""
    return re.sub(r"[ _-]+", " ", word.strip().upper())


# Spellings of one and the same.
_SAME = {
    "ASCHER": "ASSCHER",
    "HALFMOON": "HALF MOON",
    "TRAPEZE": "TRAPEZOID",
    "G": "GD",
    "F": "FR",
    "P": "PR",
    "STN": "STG",
}
_FLUORESCENCE_COLORS = {"B": "BLUE", "Y": "YELLOW", "W": "WHITE"}


def _words(
    name: str, vocabulary: Sequence[str | None], same: Mapping[str, str] | None = None
) -> Maker:
    """A list of words; unknown ones match nothing."""
    alias = same or {}

    def plain(word: str) -> str:
        return alias.get(normal(word), normal(word))

    own = [None if word is None else plain(word) for word in vocabulary]

    def maker(value: list[str]) -> Test:
        wanted = {plain(word) for word in value}
        return masks.member(name, [c for c, word in enumerate(own) if word in wanted], len(own))

    return maker


def _meanings(name: str, meanings: Sequence[Collection[str]]) -> Maker:
    """A list of words, compared with what each code of the column means."""

    def maker(value: list[str]) -> Test | None:
        if "ANY" in value:
            return None
        codes = [code for code, meaning in enumerate(meanings) if set(value).intersection(meaning)]
        return masks.member(name, codes, len(meanings))

    return maker


def _decimals(name: str, scale: int, *, least: int = 0) -> Maker:
    """A FloatRange, or a list of them, on a column of 1 / `scale`. Below `least` is null."""

    def whole(bound: float, rounding: str) -> int:
        # The decimal as it was written: 1.49 is 149 hundredths.
        return int((Decimal(repr(float(bound))) * scale).to_integral_value(rounding))

    def one(value: Mapping[str, float]) -> Test:
        low = max(whole(value["from"], ROUND_CEILING), least)
        return masks.between(name, low, whole(value["to"], ROUND_FLOOR))

    return lambda value: masks.any_of(
        [one(part) for part in (value if isinstance(value, list) else [value])]
    )


def _wholes(name: str, scale: int = 1) -> Maker:
    """An IntRange, in units of `scale`."""
    return lambda value: masks.between(
        name, round(value["from"] * scale), round(value["to"] * scale)
    )


def _ratio(value: Mapping[str, float]) -> Test:
    def test(column: Column) -> Mask:
        length, width = column("length").astype(np.float64), column("width").astype(np.float64)
        ratio = np.divide(length, width, out=np.full(len(width), np.nan), where=width > 0)
        return np.asarray((ratio >= value["from"]) & (ratio <= value["to"]))

    return test


def _when(test: Test) -> Maker:
    """A switch: true restricts, false does not."""
    return lambda value: test if value else None


def _codes(vocabulary: Sequence[str | None], *some: str) -> list[int]:
    return [vocabulary.index(word) for word in some]


def _companies(holds: Callable[[Any, Company], bool]) -> Maker:
    """The stone's company, judged by (value, company)."""

    def maker(value: Any) -> Test:
        codes = [code for code, company in enumerate(COMPANIES) if holds(value, company)]
        return masks.member("company", codes, len(COMPANIES))

    return maker


_AVAILABILITY = words.AVAILABILITY.words
_ON_MEMO = _codes(_AVAILABILITY, "MEMO", "ON_MEMO", "CONSIGNMENT")
_POOR = _codes(words.GRADES, "FR", "F", "PR", "P")
_GIRDLES: dict[str | None, tuple[str, ...]] = {
    "MED - STK": ("MED", "STK"),
    "TN - TK": ("THN", "THK"),
    "STK-THK": ("STK", "THK"),
    "Medium": ("MED",),
    "Thin": ("THN",),
    "Thin - Medium": ("THN", "MED"),
    "Medium - Slightly Thick": ("MED", "STK"),
    "Medium - Very Thick": ("MED", "VTK"),
    "VTN - STK": ("VTN", "STK"),
    "ETN - VTK": ("ETN", "VTK"),
}
_CULETS: dict[str | None, tuple[str, ...]] = {
    "None": ("NON",),
    "null": (),
    None: (),
}

TESTS: dict[str, Maker] = {
    "shapes": _words("shape", words.SHAPES.words, _SAME),
    "sizes": _decimals("carat", 100),
    "color": _words("color", words.COLORS),
    "clarity": _words("clarity", words.CLARITIES),
    "cut": _words("cut", words.GRADES, _SAME),
    "polish": _words("polish", words.FINISHES.words, _SAME),
    "symmetry": _words("symmetry", words.FINISHES.words, _SAME),
    "flouresence": _words("fluorescence", words.FLUORESCENCE.words, _SAME),
    "flouresence_color": _words(
        "fluorescence_color", words.FLUORESCENCE_COLORS.words, _FLUORESCENCE_COLORS
    ),
    "girdle": _meanings("girdle", [_GIRDLES.get(text, ()) for text in words.GIRDLES.words]),
    "culet": _meanings("culet", [_CULETS.get(text, (str(text),)) for text in words.CULETS.words]),
    "dollar_value": _wholes("price", 100),
    "discount": _wholes("discount"),
    "table_percentage": _decimals("table_percent", 10),
    "depth_percentage": _decimals("depth_percent", 10),
    "pav_percentage": _decimals("pavilion_depth", 10, least=1),
    "length_mm": _decimals("length", 100),
    "width_mm": _decimals("width", 100),
    "depth_mm": _decimals("depth", 100),
    "ratio": _ratio,
    "pav_angle": _decimals("pavilion_angle", 10, least=1),
    "crown_angle": _decimals("crown_angle", 10, least=1),
    "star_length": _decimals("star_length", 10, least=1),
    "lower_half": _decimals("lower_girdle", 10, least=1),
    "has_certpdf": _when(masks.medium(make.PDF)),
    "certificate_lab": _words("lab", words.LABS.words),
    "suppliers": _companies(lambda ids, company: company.id in ids),
    "fancyColor": _words("fancy_color", words.FANCY_COLORS.words),
    "fancyIntensity": _words("fancy_intensity", words.FANCY_INTENSITIES.words),
    "fancyOvertone": _words("fancy_overtone", words.FANCY_OVERTONES.words),
    "mine_of_origin": _words("origin", words.ORIGINS.words),
    "location": _companies(lambda places, company: company.country in places),
    "delivery_time": lambda days: masks.between("days_max", 0, max(days)),
    "return_window_timeline": _companies(
        lambda days, company: company.accept_returns and days <= 7
    ),
    "returns": _companies(lambda wanted, company: company.accept_returns or not wanted),
    "labgrown_type": _words("growth", words.GROWTH.words),
    "treated": lambda value: masks.member("treated", [words.TRUTH.index(value)], 3),
    "hide_memo": _when(masks.negated(masks.member("availability", _ON_MEMO, len(_AVAILABILITY)))),
    "availability": _words("availability", _AVAILABILITY),
    "is_fbn": _when(masks.member("express", [1], 2)),
    "excludeFairPoorCuts": _when(masks.negated(masks.member("cut", _POOR, len(words.GRADES)))),
}
