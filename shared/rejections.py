"""Why an offer is no stone: the fixed words, each explained in docs/rejected-offers.md.

A word here is kept for good: operators filter by it, and old rows carry it.
"""

from enum import StrEnum


class Reason(StrEnum):
    """What a feed's mapping says of an offer it cannot turn into a stone."""

    NULL_ITEM = "null_item"  # the supplier sent null in the offer's place
    BROKEN = "broken"  # the payload is not one JSON object of the expected shape, or a broken row
    NO_ID = "no_id"
    UNREADABLE = "unreadable"  # a field holds what it cannot hold; the detail names both
    WRONG_KIND = "wrong_kind"  # lab-grown in the natural feed, or the other way round
    NOT_AVAILABLE = "not_available"  # it is sold or on hold, which was not asked for
    NO_SHAPE = "no_shape"
    NO_CARAT = "no_carat"  # missing or zero
    NO_PRICE = "no_price"  # missing, zero or negative
    PRICES_DISAGREE = "prices_disagree"  # the total is not the price per carat times the weight
