"""How a shelf looks under the switches of stones.

The stock stays as it is: what is shown is a copy of some of its columns, made when a switch is set
or time goes on, and indexed like the stock itself. So counts, filters and pages agree about what is
wrong with a stone, and a test can have the same look: `shown(shelf, faults.read({...}), seed)`.

Two columns are there only under a switch: `touched`, the bits below, and `certificate`, the serial
whose certificate the stone has.
"""

import copy
from collections.abc import Mapping

import numpy as np

from simulator import faults, make, words
from simulator.companies import COMPANIES
from simulator.masks import Mask
from simulator.shelf import Shelf
from simulator.switches import (
    AnySwitch,
    DeadMedia,
    DirtyValues,
    NullItem,
    NullLabgrown,
    StoneSwitch,
    Twins,
)

# Bits of the column `touched`, in the order they are applied: what twins copy may be dirty in turn.
BITS: dict[type[StoneSwitch], int] = {
    Twins: 1,
    DirtyValues: 2,
    NullLabgrown: 4,
    DeadMedia: 8,
    NullItem: 16,
}
_OWN = frozenset(  # what two offers of one certificate do not share
    (
        *("price", "discount", "created", "updated", "company", "availability", "media"),
        *("days_min", "days_max", "express"),
    )
)
_UNKNOWN = words.TRUTH.index(None)


def shown(shelf: Shelf, switches: Mapping[str, AnySwitch], seed: int) -> Shelf:
    """The shelf as it looks; the shelf itself where no switch of stones is on.

    seed  for switches without one of their own

    From 0.02 s to 0.2 s for each switch and a million stones.
    """
    wanted = {type(switch): switch for switch in switches.values()}
    if not wanted.keys() & BITS.keys():
        return shelf
    look = copy.copy(shelf)
    look.columns = dict(shelf.columns)
    look.columns["touched"] = np.zeros(shelf.size, np.uint8)
    for kind, bit in BITS.items():
        if kind in wanted:
            mask = _applied(look, wanted[kind], seed)
            look.columns["touched"] |= (mask * bit).astype(np.uint8)
    return look


def _applied(look: Shelf, switch: AnySwitch, seed: int) -> Mask:
    """Change the columns; which stones were hit."""
    kind = "labgrown" if look.labgrown else "natural"
    mask = faults.chosen(switch, seed, look.columns["serial"], kind)
    match switch:
        case Twins():
            return _twins(look, switch, seed, mask)
        case DirtyValues():
            _dirty(look, switch, mask)
        case NullLabgrown():
            mask &= look.labgrown
            known = look.columns["labgrown"]
            look.columns["labgrown"] = np.where(mask, _UNKNOWN, known).astype(np.uint8)
        case DeadMedia():  # shows only in the answer, as does NullItem: the bit is looked at there
            look.media_url_dead = switch.url
    return mask


def _twins(look: Shelf, switch: Twins, seed: int, mask: Mask) -> Mask:
    """Of each few serials in a row, the first is the stone that others become offers of."""
    columns = look.columns
    serials = columns["serial"]
    leaders = look.rows_of(serials - serials % switch.offers)
    mask = mask & (serials % switch.offers != 0) & (leaders >= 0)
    mask &= columns["lab"][leaders] != words.NO_LAB  # those have numbers of their supplier's own
    rows, source = np.flatnonzero(mask), leaders[mask]
    changed = {name: columns[name].copy() for name in make.DTYPES}
    for name in make.DTYPES.keys() - _OWN:
        changed[name][rows] = columns[name][source]

    apart = 2 * faults.shares(switch, seed, serials[rows], "price") - 1
    price = columns["price"][source].astype(np.int64)
    other = np.clip(np.rint(price * (1 + switch.spread * apart)).astype(np.int64), 1, 2**31 - 2)
    changed["price"][rows] = np.where(other == price, other + 1, other)
    decisive = ("carat", "color", "clarity", "price")
    changed["discount"][rows] = make.discounts({name: changed[name][rows] for name in decisive})

    report = columns["media"][source] & make.PDF  # the certificate's
    changed["media"][rows] = changed["media"][rows] & ~np.uint8(make.PDF) | report

    same = changed["company"][rows] == columns["company"][source]
    changed["company"][rows[same]] = (changed["company"][rows[same]] + 1) % len(COMPANIES)
    certificate = serials.copy()
    certificate[rows] = serials[source]
    columns |= changed | {"certificate": certificate}
    return mask


# Column → its words, and what becomes of them; nothing is lost by it.
_SPELLINGS: dict[str, tuple[tuple[str | None, ...], dict[str | None, str]]] = {
    "eye_clean": (words.EYE_CLEAN.words, {"Yes": "100%"}),
    "girdle": (words.GIRDLES.words, {None: "null"}),
    "culet": (words.CULETS.words, {None: "null"}),
    "cut": (words.GRADES, {"GD": "G", "FR": "F", "PR": "P"}),
    "polish": (words.FINISHES.words, {"GD": "G", "FR": "F", "PR": "P"}),
    "symmetry": (words.FINISHES.words, {"GD": "G", "FR": "F", "PR": "P"}),
    "fluorescence": (words.FLUORESCENCE.words, {"STG": "STN"}),
    "fancy_color": (words.FANCY_COLORS.words, {"GRAY": "GREY"}),
    "fancy_intensity": (
        words.FANCY_INTENSITIES.words,
        {
            "FANCY LIGHT": "FANCY-LIGHT",
            "FANCY INTENSE": "FANCY_INTENSE",
            "FANCY VIVID": "FANCY-VIVID",
        },
    ),
}


def _dirty(look: Shelf, switch: DirtyValues, mask: Mask) -> None:
    for name, (known, spellings) in _SPELLINGS.items():
        becomes = np.arange(256, dtype=np.uint8)
        for word, other in spellings.items():
            becomes[known.index(word)] = known.index(other)
        column = look.columns[name]
        look.columns[name] = np.where(mask, becomes[column], column)
    if switch.lossy:
        for name in ("length", "width", "depth", "depth_percent", "table_percent"):
            look.columns[name] = np.where(mask, 0, look.columns[name]).astype(make.DTYPES[name])
        fancy = look.columns["fancy_color"]
        even = mask & (fancy != words.FANCY_COLORS.code(None))
        dirty = np.where(even, words.FANCY_COLORS.code("EVEN"), fancy)
        look.columns["fancy_color"] = dirty.astype(np.uint8)
