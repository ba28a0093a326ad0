"""What a stone itself is: grades and proportions, drawn after a stone of the real table.

Pure: the same generator gives the same columns.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import table, words

Columns = dict[str, NDArray[Any]]

# In table order, the place of each cut and clarity in the supplier's own lists.
_CUT_OF = np.array([words.GRADES.index(g) for g in ("FR", "GD", "VG", "EX", "ID")], np.uint8)
_CLARITY_OF = np.array([words.CLARITIES.index(name) for name in table.CLARITIES], np.uint8)
_RATIOS = np.array(list(words.RATIOS.values()))


def grades(
    rng: np.random.Generator, source: NDArray[np.int64], real: table.Table, *, labgrown: bool
) -> Columns:
    n = len(source)
    color = real.color[source].astype(np.int64)
    if labgrown:
        color = np.maximum(color - rng.integers(0, 4, n), 0)
    else:  # the table ends at J: part of I and J is lower still
        color += np.where((color >= 5) & (rng.random(n) < 0.3), rng.integers(1, 8, n), 0)
    fancy = rng.random(n) < (0.012 if labgrown else 0.022)
    color = np.where(fancy, words.FANCY, color)

    clarity = _CLARITY_OF[source_clarity := real.clarity[source]].astype(np.int64)
    step = rng.random(n)
    clarity = np.where((source_clarity == 0) & (step < 0.08), words.CLARITIES.index("FL"), clarity)
    included = source_clarity == len(table.CLARITIES) - 1
    clarity = np.where(included & (step < 0.25), clarity + 1, clarity)  # I2
    clarity = np.where(included & (step > 0.97), clarity - 1, clarity)  # SI3
    clarity = np.where(step > 0.9995, words.CLARITIES.index(None), clarity)

    shape = words.SHAPES.pick(rng, n, labgrown=labgrown)
    cut = _CUT_OF[real.cut[source]].astype(np.int64)
    old = rng.random(n) < 0.3  # one grade, two spellings
    for ours, theirs in (("FR", "F"), ("GD", "G"), ("ID", "EX")):
        cut = np.where(old & (cut == words.GRADES.index(ours)), words.GRADES.index(theirs), cut)
    graded = (shape == words.SHAPES.code("ROUND")) & ~fancy
    cut = np.where(graded, cut, words.GRADES.index(None))

    # Some stones that are not fancy carry a fancy colour all the same.
    colored = fancy | (rng.random(n) < 0.003)
    fluorescence = words.FLUORESCENCE.pick(rng, n, labgrown=labgrown)
    glows = ~np.isin(fluorescence, [words.FLUORESCENCE.code(w) for w in ("NON", None)])
    return {
        "color": color,
        "clarity": clarity,
        "shape": shape,
        "cut": cut,
        "polish": words.FINISHES.pick(rng, n, labgrown=labgrown),
        "symmetry": words.FINISHES.pick(rng, n, labgrown=labgrown),
        "fluorescence": fluorescence,
        "fluorescence_color": _word_where(rng, glows, words.FLUORESCENCE_COLORS, labgrown=labgrown),
        "fancy_color": _word_where(rng, colored, words.FANCY_COLORS, labgrown=labgrown),
        "fancy_intensity": _word_where(rng, colored, words.FANCY_INTENSITIES, labgrown=labgrown),
        "fancy_overtone": _word_where(rng, colored, words.FANCY_OVERTONES, labgrown=labgrown),
    }


def _word_where(
    rng: np.random.Generator,
    mask: NDArray[np.bool_],
    vocabulary: words.Vocabulary,
    *,
    labgrown: bool,
) -> NDArray[np.uint8]:
    """A word where the mask holds, null elsewhere."""
    drawn = vocabulary.pick(rng, len(mask), labgrown=labgrown)
    return np.where(mask, drawn, vocabulary.code(None)).astype(np.uint8)


def proportions(
    rng: np.random.Generator,
    source: NDArray[np.int64],
    real: table.Table,
    *,
    grown: NDArray[np.float64],
    shape: NDArray[Any],
) -> Columns:
    """Dimensions scaled to weight and shape. A zero of the table stays a zero."""
    n = len(source)
    stretch = np.sqrt(_RATIOS[shape] * (1 + rng.normal(0, 0.02, n).clip(-0.05, 0.05)))
    sides = real.millimetres[source].T * grown
    crown = rng.integers(320, 366, n)
    known = rng.random(n) < 0.85  # else null, all six together
    return {
        "length": np.rint(sides[0] * stretch * 100),
        "width": np.rint(sides[1] / stretch * 100),
        "depth": np.rint(sides[2] * 100),
        "depth_percent": real.depth_percent[source],
        "table_percent": real.table_percent[source],
        "crown_angle": np.where(known, crown, 0),
        "crown_height": np.where(known, 130 + (crown - 320) // 2, 0),
        "pavilion_angle": np.where(known, rng.integers(400, 419, n), 0),
        "pavilion_depth": np.where(known, rng.integers(420, 446, n), 0),
        "star_length": np.where(known, rng.integers(9, 13, n) * 50, 0),
        "lower_girdle": np.where(known, rng.integers(14, 18, n) * 50, 0),
    }
