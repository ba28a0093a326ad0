"""What a supplier counts against what was read of it. Pure.

Stock moves while a run reads, so the two never agree to the offer. What lies between the count at
the plan and the count at the close, the supplier's own movement explains; what is missing against
both is a part of the feed that was not read.
"""

# How many offers may be missing against a count: some come and go between the two.
MISSING_SHARE = 0.001
MISSING_MIN = 50
MISSING_SHARE_MAX = 0.05  # of a small feed, where 50 would be a good part of it


def is_missing(counted: int, read: int) -> bool:
    """Whether more is missing against a count than movement accounts for."""
    allowed = max(min(MISSING_MIN, counted * MISSING_SHARE_MAX), counted * MISSING_SHARE)
    return counted - read > allowed


def unexplained(planned: int, closing: int | None, read: int) -> int:
    """How many offers are missing without an explanation.

    planned   the count at the plan
    closing   the count at the end; None: not asked, then the plan's must do
    read      different offers that were read
    """
    counted = planned if closing is None else min(planned, closing)
    return counted - read if is_missing(counted, read) else 0
