"""Names for stones, computed from their serial number and back: no table of names is kept.

A stone is known inside by (seed, kind, serial): `serial` counts the stones of one kind from 0 and
is never used twice. Its 32-bit `key` is a one-to-one scrambling of the serial; the key opens the
stone's uuid, so keys order stones as their ids do, and an id leads back to its serial.
"""

from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Words = TypeVar("Words", int, NDArray[np.uint64])

MASK32 = 0xFFFF_FFFF
MASK64 = 0xFFFF_FFFF_FFFF_FFFF
OFFER_PREFIX = "DIAMOND/"

# Odd numbers multiply one-to-one modulo 2**32; these two scatter neighbours well.
_ODD = (0x7FEB_352D, 0x846C_A68B)
_ODD_BACK = tuple(pow(odd, -1, 1 << 32) for odd in _ODD)
_GOLDEN = 0x9E37_79B9_7F4A_7C15


class Naming(NamedTuple):
    """What scrambles the serials of one kind of one stock."""

    offset: int  # 32 bits
    salt: int  # 64 bits


def naming(seed: int, kind: str) -> Naming:
    """The naming of one kind; two kinds or two seeds share no ids but by chance of 2**-96."""
    words = np.random.SeedSequence([seed, *kind.encode()]).generate_state(2, np.uint64).tolist()
    return Naming(offset=words[0] & MASK32, salt=words[1])


def scramble(serial: Words, offset: int) -> Words:
    """One-to-one from 32 bits to 32 bits; of an int, or of an array of uint64."""
    word: Any = (serial + offset) & MASK32
    word = ((word ^ (word >> 16)) * _ODD[0]) & MASK32
    word = ((word ^ (word >> 15)) * _ODD[1]) & MASK32
    return cast(Words, word ^ (word >> 16))


def unscramble(key: int, offset: int) -> int:
    """The serial whose `scramble` is `key`."""
    word = ((key ^ (key >> 16)) * _ODD_BACK[1]) & MASK32
    word ^= (word >> 15) ^ (word >> 30)
    word = (word * _ODD_BACK[0]) & MASK32
    word ^= word >> 16
    return (word - offset) & MASK32


def bits(serial: Words, salt: int) -> Words:
    """64 even bits for the stone: the rest of its ids, and what it has no column for."""
    word: Any = (serial * _GOLDEN + salt) & MASK64
    word = ((word ^ (word >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK64
    word = ((word ^ (word >> 27)) * 0x94D0_49BB_1331_11EB) & MASK64
    return cast(Words, word ^ (word >> 31))


def uuid(key: int, word: int, version: int = 4) -> str:
    """A uuid that opens with `key`; `word` fills what version and variant leave."""
    tail = bits(word, key)
    return (
        f"{key:08x}-{word & 0xFFFF:04x}-{version}{word >> 16 & 0xFFF:03x}"
        f"-{0x8000 | (word >> 28 & 0x3FFF):04x}-{tail & 0xFFFF_FFFF_FFFF:012x}"
    )


def key_of(diamond_id: str) -> int | None:
    """The key that the uuid opens with; None where it is no uuid at all."""
    try:
        return int(diamond_id[:8], 16) if len(diamond_id) == 36 else None
    except ValueError:
        return None
