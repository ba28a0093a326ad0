"""Certificate numbers: computed from a stone's serial, and back.

Lab-grown stones with an IGI report have the number LG…; stones without a laboratory carry their
supplier's own code. Numbers are unique over both kinds.
"""

import numpy as np

from simulator import identity, words
from simulator.companies import COMPANIES
from simulator.shelf import Shelf

_IGI = words.LABS.code("IGI")

# What is added to the scrambled serial, below 2**32, so that numbers have their usual length and
# natural and lab-grown ones never meet.
_NATURAL = 1_000_000_000
_LABGROWN = 5_300_000_000
_LABGROWN_IGI = 100_000_000
_OWN = (0, 1)  # of a supplier's own code: natural ones are even, lab-grown ones odd


def key(shelf: Shelf, serial: int) -> int:
    """The scrambled serial behind a number, and the opening of the certificate's uuid."""
    return identity.scramble(serial, _offset(shelf))


def number(shelf: Shelf, serial: int, lab: int, company: int) -> str:
    """The certificate number of a stone.

    lab      code of words.LABS
    company  index of COMPANIES
    """
    scrambled = key(shelf, serial)
    if lab == words.NO_LAB:
        prefix = "".join(word[0] for word in COMPANIES[company].name.split() if word[0].isalpha())
        return f"{prefix}-{2 * scrambled + _OWN[shelf.labgrown]}"
    if not shelf.labgrown:
        return str(_NATURAL + scrambled)
    return f"LG{_LABGROWN_IGI + scrambled}" if lab == _IGI else str(_LABGROWN + scrambled)


def find(shelf: Shelf, text: str) -> list[int]:
    """The rows of the stones with exactly this number: one at most, but for twins."""
    row = _row(shelf, text)
    if row is None:
        return []
    certificate = shelf.columns.get("certificate")
    if certificate is None:
        return [row]
    return np.flatnonzero(certificate == shelf.columns["serial"][row]).tolist()


def _row(shelf: Shelf, text: str) -> int | None:
    digits = text.rpartition("-")[2].removeprefix("LG")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10):
        return None
    value = int(digits)
    candidates = (value // 2, value - _NATURAL, value - _LABGROWN, value - _LABGROWN_IGI)
    for scrambled in candidates:
        if 0 <= scrambled <= identity.MASK32:
            serial = identity.unscramble(scrambled, _offset(shelf))
            row = shelf.row_of(serial)
            if row is not None and text == _number_at(shelf, row):
                return row
    return None


def _number_at(shelf: Shelf, row: int) -> str:
    serial, lab, company = (int(shelf.columns[name][row]) for name in ("serial", "lab", "company"))
    return number(shelf, serial, lab, company)


def _offset(shelf: Shelf) -> int:
    return shelf.naming.salt & identity.MASK32
