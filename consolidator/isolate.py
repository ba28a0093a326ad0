"""Find the offers that a fold breaks on, so that they cost only themselves.

Many offers are mapped, priced and written at once. Where that fails, half of them are tried, and
half of those, until each culprit stands alone. Bounded: a trouble of more than CULPRITS_MAX offers,
or one that is not found in SEARCH_S_MAX, is none of single offers.

Pure, but for the clock: what a try is, the caller says.
"""

import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

import psycopg
from sqlalchemy.exc import DBAPIError

from consolidator.in_time import TookTooLong
from shared.errors import FacetError

CULPRITS_MAX = 100  # of a partition
SEARCH_S_MAX = 120.0
DETAIL_CHARS_MAX = 200

# SQLSTATEs that say something of a value: it cannot be held, breaks a constraint, or is longer than
# an index takes.
_OF_A_VALUE = ("22", "23", "54")


class Trouble(StrEnum):
    """Why an offer was set apart; each explained in docs/rejected-offers.md and kept for good."""

    FAILED = "failed"  # mapping or pricing it raises an error
    TOO_SLOW = "too_slow"  # mapping or pricing it takes too long
    UNSTORABLE = "unstorable"  # the database does not take it


class Culprit(NamedTuple):
    position: int
    reason: Trouble
    detail: str


class NotOfSingleOffers(Exception):
    """The bounds of the search were reached."""


Try = Callable[[Sequence[int]], BaseException | None]  # offers by position → what was raised


class Search:
    """One search, over all parts of a partition."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SEARCH_S_MAX
        self.found: list[Culprit] = []

    def among(self, positions: Sequence[int], attempt: Try) -> None:
        """Add the culprits among some offers. Raises NotOfSingleOffers."""
        if time.monotonic() > self._until or len(self.found) >= CULPRITS_MAX:
            raise NotOfSingleOffers
        error = attempt(positions)
        if error is None:
            return
        if len(positions) == 1:
            self.found.append(Culprit(positions[0], _trouble(error), _detail(error)))
            return
        half = len(positions) // 2
        self.among(positions[:half], attempt)
        self.among(positions[half:], attempt)


def may_be_of_an_offer(error: BaseException) -> bool:
    """Whether what a fold raised can come from what an offer holds."""
    state = _sqlstate(error)
    if state is not None:
        return state.startswith(_OF_A_VALUE)
    return not isinstance(error, FacetError | DBAPIError | psycopg.Error | MemoryError)


def _trouble(error: BaseException) -> Trouble:
    if isinstance(error, TookTooLong):
        return Trouble.TOO_SLOW
    return Trouble.UNSTORABLE if _sqlstate(error) is not None else Trouble.FAILED


def _detail(error: BaseException) -> str:
    """One line; no NUL, which may be what it is about."""
    found = _from_the_database(error) or error
    first, *_ = str(found).strip().splitlines() or [""]
    name = "" if isinstance(found, psycopg.Error | TookTooLong) else f"{type(found).__name__}: "
    return f"{name}{first}".replace("\x00", "\\u0000")[:DETAIL_CHARS_MAX]


def _sqlstate(error: BaseException) -> str | None:
    found = _from_the_database(error)
    return None if found is None else found.sqlstate


def _from_the_database(error: BaseException | None) -> psycopg.Error | None:
    """The driver's error at the bottom of one of ours or SQLAlchemy's."""
    if isinstance(error, FacetError):
        error = error.__cause__
    if isinstance(error, DBAPIError):
        error = error.orig
    return error if isinstance(error, psycopg.Error) else None
