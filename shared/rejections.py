"""Why an offer is no stone: the fixed words, each explained in docs/rejected-offers.md.

A word here is kept for good: operators filter by it, and old rows carry it.
"""

from enum import StrEnum


class Reason(StrEnum):
    """What a feed's mapping says of an offer it cannot turn into a stone."""

    NULL_ITEM = "null_item"  # the supplier sent null in the offer's place
    BROKEN = "broken"  # the payload is not one JSON object of the expected shape
    NO_ID = "no_id"
    UNREADABLE = "unreadable"  # a field holds what it cannot hold; the detail names both
    WRONG_KIND = "wrong_kind"  # lab-grown in the natural feed, or the other way round
    NO_SHAPE = "no_shape"
    NO_CARAT = "no_carat"  # missing or zero
    NO_PRICE = "no_price"  # missing, zero or negative
