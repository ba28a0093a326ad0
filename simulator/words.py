"""The words of the stock, and how often each occurs among natural and lab-grown stones.

The supplier's true mix is not public: the weights are made up to be plausible. What is dirty here
is dirty in the real feed (`"null"` as text, two spellings of one grade, `"100%"` for a yes).
A column holds the code of a word: its place in the tuple. None is null.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Vocabulary:
    """Words and their weights; a weight of 0 keeps a word for the filters alone."""

    words: tuple[str | None, ...]
    natural: tuple[float, ...]
    labgrown: tuple[float, ...]

    def pick(self, rng: np.random.Generator, n: int, *, labgrown: bool) -> NDArray[np.uint8]:
        """`n` codes, drawn by weight."""
        weights = np.cumsum(self.labgrown if labgrown else self.natural)
        drawn = rng.random(n, np.float32) * np.float32(weights[-1])
        found = np.searchsorted(weights.astype(np.float32), drawn, side="right")
        return np.minimum(found, len(weights) - 1).astype(np.uint8)

    def code(self, word: str | None) -> int:
        return self.words.index(word)


Weights = Mapping[str | None, float | tuple[float, float]]


def _vocabulary(weights: Weights) -> Vocabulary:
    """Word → its weight, or its weights among natural and lab-grown stones."""
    pairs = [w if isinstance(w, tuple) else (w, w) for w in weights.values()]
    natural, labgrown = zip(*pairs, strict=True)
    return Vocabulary(tuple(weights), natural, labgrown)


# Shape → length to width.
RATIOS = {
    "ROUND": 1.0,
    "OVAL": 1.42,
    "EMERALD": 1.40,
    "PEAR": 1.55,
    "PRINCESS": 1.01,
    "CUSHION": 1.06,
    "CUSHION BRILLIANT": 1.10,
    "CUSHION MODIFIED": 1.08,
    "RADIANT": 1.25,
    "MARQUISE": 1.95,
    "ASSCHER": 1.01,
    "ASCHER": 1.01,
    "SQUARE EMERALD": 1.01,
    "SQUARE RADIANT": 1.02,
    "HEART": 1.02,
    "TRILLIANT": 1.05,
    "OLD MINER": 1.05,
    "OLD EUROPEAN": 1.0,
    "EUROPEAN CUT": 1.0,
    "ROSE": 1.1,
    "KITE": 1.5,
    "SHIELD": 1.1,
    "BAGUETTE": 1.9,
    "HALF MOON": 1.8,
    "TRAPEZOID": 1.7,
    "BRIOLETTE": 1.6,
    "OTHER": 1.2,
}
_COMMON: Weights = {
    "ROUND": (56.0, 46.0),
    "OVAL": (8.0, 14.0),
    "EMERALD": (6.0, 9.0),
    "PEAR": (6.0, 8.0),
    "PRINCESS": (6.0, 5.0),
    "CUSHION": (3.0, 3.0),
    "CUSHION BRILLIANT": (2.0, 2.5),
    "CUSHION MODIFIED": (3.0, 2.0),
    "RADIANT": (3.0, 5.0),
    "MARQUISE": (2.5, 3.0),
    "ASSCHER": (1.0, 1.0),
    "HEART": (1.5, 1.5),
}
SHAPES = _vocabulary({shape: _COMMON.get(shape, 0.2) for shape in RATIOS})

COLORS = (
    *("D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "NO", "O", "OP", "PR", "P", "Q"),
    *("QR", "R", "S", "SZ", "ST", "T", "U", "UV", "V", "W", "WX", "X", "XY", "Y", "YZ", "Z"),
    "FANCY",
)
FANCY = COLORS.index("FANCY")
CLARITIES = ("FL", "IF", "VVS1", "VVS2", "VS1", "VS2", "SI1", "SI2", "SI3", "I1", "I2", "I3", None)
GRADES = ("EIGHTX", "ID", "EX", "VG", "GD", "G", "FR", "F", "PR", "P", None)

FANCY_COLORS = _vocabulary(
    {
        "YELLOW": 40,
        "PINK": 12,
        "BROWN": 8,
        "ORANGE BROWN": 4,
        "BROWN ORANGE": 4,
        "BLUE": 5,
        "GREY": 4,
        "GRAY": 4,
        "GREEN": 4,
        "GREENISH YELLOW": 3,
        "BLACK": 3,
        "EVEN": 1,
        "U-V": 1,
        None: 0,
    }
)
FANCY_INTENSITIES = _vocabulary(
    {
        "FANCY": 25,
        "FANCY LIGHT": 12,
        "FANCY-LIGHT": 4,
        "FANCY_LIGHT": 4,
        "FANCY INTENSE": 16,
        "FANCY_INTENSE": 6,
        "FANCY VIVID": 12,
        "FANCY-VIVID": 4,
        "FANCY DEEP": 5,
        "FANCY DARK": 4,
        "LIGHT": 4,
        "FAINT": 4,
        None: 2,
    }
)
FANCY_OVERTONES = _vocabulary(
    {None: 60, "NONE": 8, "BROWNISH": 12, "ORANGEY": 5, "GREENISH": 8, "PINKISH": 7}
)

FINISHES = _vocabulary(  # polish and symmetry
    {
        "EIGHTX": (0.1, 0.3),
        "ID": (1.0, 6.0),
        "EX": (74.0, 80.0),
        "VG": (17.0, 11.0),
        "GD": (4.0, 1.5),
        "G": (2.0, 0.6),
        "FR": (0.9, 0.3),
        "F": (0.7, 0.2),
        "PR": (0.2, 0.1),
        "P": (0.1, 0.0),
    }
)
FLUORESCENCE = _vocabulary(
    {
        "NON": (66.0, 97.0),
        "VSL": (2.0, 0.4),
        "SLT": (2.0, 0.3),
        "FNT": (15.0, 1.0),
        "MED": (8.0, 0.3),
        "STG": (4.0, 0.1),
        "STN": (1.0, 0.0),
        "VST": (1.0, 0.0),
        None: (1.0, 0.9),
    }
)
FLUORESCENCE_COLORS = _vocabulary({"B": 55, "BLUE": 35, "Y": 4, "YELLOW": 3, "W": 1, None: 2})

LABS = _vocabulary(
    {
        "GIA": (77.0, 7.0),
        "IGI": (9.0, 84.0),
        "HRD": (4.0, 1.0),
        "GCAL": (1.0, 4.0),
        "AGS": (1.5, 0.0),
        "EGL": (1.5, 0.0),
        "SGL": (1.0, 0.6),
        "GSI": (0.8, 0.6),
        "IIDGR": (0.0, 0.4),
        "LAB": (0.5, 0.2),
        "OTHER": (0.7, 0.2),
        "NONE": (3.0, 2.0),
    }
)
NO_LAB = LABS.code("NONE")

GIRDLES = _vocabulary(
    {
        "MED - STK": 30,
        "TN - TK": 8,
        "STK-THK": 8,
        "Medium": 14,
        "Thin": 5,
        "Thin - Medium": 9,
        "Medium - Slightly Thick": 10,
        "Medium - Very Thick": 4,
        "VTN - STK": 2,
        "ETN - VTK": 1,
        "null": 5,
        None: 4,
    }
)
CULETS = _vocabulary({"NON": 55, "None": 25, "VSM": 3, "SML": 1.5, "MED": 0.5, "null": 3, None: 12})
EYE_CLEAN = _vocabulary({None: 42, "Yes": 36, "100%": 13, "90%": 3, "Borderline": 2, "No": 4})
TINGES = _vocabulary({None: 40, "No": 52, "None": 5, "Light": 2, "Medium": 1})
SYMBOLS = _vocabulary(
    {
        None: 45,
        "Feather": 12,
        "Crystal, Feather": 14,
        "Cloud, Pinpoint": 9,
        "Twinning Wisp, Crystal, Needle": 7,
        "Indented Natural": 4,
        "Cavity, Cloud, Feather": 3,
        "Pinpoint": 6,
    }
)
ORIGINS = _vocabulary(
    {
        None: (88.0, 99.0),
        "CANADA": (2.5, 0.0),
        "BOTSWANA": (4.0, 0.0),
        "RUSSIA": (0.5, 0.0),
        "NAMIBIA": (1.0, 0.0),
        "SOUTH_AFRICA": (1.5, 0.0),
        "UNKNOWN": (1.5, 0.5),
        "INDIA": (0.5, 0.5),
        "MIXED": (0.5, 0.0),
    }
)
AVAILABILITY = _vocabulary(
    {
        "AVAILABLE": 95.5,
        "HOLD": 1.2,
        "ON_HOLD": 0.8,
        "MEMO": 1.0,
        "ON_MEMO": 0.5,
        "CONSIGNMENT": 0.4,
        "NOT_AVAILABLE": 0.6,
    }
)
AVAILABLE = AVAILABILITY.code("AVAILABLE")
GROWTH = _vocabulary({None: (1.0, 1.0), "CVD": (0.0, 71.0), "HPHT": (0.0, 27.0), "IIA": (0.0, 1.0)})
TRUTH = (False, True, None)  # of labgrown and treated
TREATED = Vocabulary(("no", "yes", "unknown"), (86.0, 0.6, 13.4), (35.0, 6.0, 59.0))
LABGROWN = Vocabulary(("no", "yes", "unknown"), (1.0, 0.0, 0.0), (0.0, 92.0, 8.0))
