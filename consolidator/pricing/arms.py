"""Which stones an experiment prices by its variant. Pure.

A stone's arm follows from the experiment's name and the stone's identity alone: the same in every
process, and in every later ruleset that names the experiment. A larger share keeps the stones of a
smaller one.
"""

import hashlib

import numpy as np
import polars as pl

from consolidator.pricing.amounts import ONE, Flags

CONTROL, VARIANT = "control", "variant"


def in_variant(experiment: str, share: int, stones: pl.DataFrame) -> Flags:
    """Of each stone, whether it belongs to the variant.

    share   of all stones, in parts per million
    stones  with `feed` and `offer_id`

    About a microsecond a stone.
    """
    key = hashlib.blake2b(experiment.encode(), digest_size=32).digest()
    identities = stones.select(pl.concat_str("feed", "offer_id", separator="\n")).to_series()
    numbers = (
        int.from_bytes(hashlib.blake2b(one.encode(), digest_size=7, key=key).digest(), "big")
        for one in identities
    )
    drawn = np.fromiter(numbers, dtype=np.int64, count=stones.height)
    return np.asarray(drawn < share * 2**56 // ONE)
