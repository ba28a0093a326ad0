"""Why a stone has no price: the fixed words, each explained in docs/pricing.md.

A word here is kept for good: operators filter by it, and old rows carry it.
"""

from enum import StrEnum


class Refusal(StrEnum):
    """In the order in which the chain tests them; the first that holds is the stone's."""

    BAD_COST = "bad_cost"  # missing, zero, negative, or less than a cent in the shop's currency
    NO_RATE = "no_rate"  # the ruleset has no exchange rate for the cost's currency
    OVERFLOW = "overflow"  # an amount of the chain is beyond amounts.CENTS_MAX
    NO_RULE = "no_rule"
    REFUSED_BY_RULE = "refused_by_rule"
    NOT_POSITIVE = "not_positive"  # the rule made it zero or less
    BELOW_COST = "below_cost"
    LOW_MARGIN = "low_margin"
    BELOW_FLOOR = "below_floor"
    ABOVE_CEILING = "above_ceiling"
    JUMP = "jump"  # too far from the present price
