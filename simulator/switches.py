"""The fault switches: their names and options. Data only; those of files are beside this one.

Four kinds. A `Switch` shows in a share of the requests; a `KindSwitch` is one that can be kept to
some kinds of request; a `StoneSwitch` shows on a share of the stones, and always on the same ones,
since what is wrong with a stone stays wrong however often it is asked for; a `RowSwitch` shows on a
share of the rows of a file.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simulator.drift import Drift

Kind = Literal["page", "count", "login", "file", "other"]
KINDS: tuple[Kind, ...] = ("page", "count", "login", "file", "other")

WORDINGS = ("jwt expired", "jwt malformed", "invalid token", "Unauthenticated", "Unauthorized")
RETRY_AFTER = ("absent", "zero", "negative", "seconds", "date", "past", "absurd", "garbage")
DEAD_URL = "https://media.invalid"  # a name that never resolves


def _listed(value: object) -> object:
    """`a+b` on a command line is the list ["a", "b"]."""
    return value.split("+") if isinstance(value, str) else value


def number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class AnySwitch(BaseModel):
    """What every switch has.

    probability  the share of requests, or of stones, on which it shows
    seed         of its own; None: the simulator's
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    name: ClassVar[str]

    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)


class Switch(AnySwitch):
    """A fault of a request.

    after  requests let through first, since it was switched on
    times  shows no more often than this; None: as often as it comes
    """

    after: int = Field(default=0, ge=0)
    times: int | None = Field(default=None, ge=1)


class KindSwitch(Switch):
    kinds: Annotated[tuple[Kind, ...], BeforeValidator(_listed)] = Field(KINDS, min_length=1)


class StoneSwitch(AnySwitch):
    """A fault of a stone."""


class RowSwitch(AnySwitch):
    """A fault of a row of a file."""


# --- of the connection and of HTTP


class Slow(KindSwitch):
    """The answer waits."""

    name = "slow"
    ms: float = Field(default=1_000, ge=0, le=3_600_000)


class Hang(KindSwitch):
    """No answer, until the client leaves or the connection is closed after `seconds`."""

    name = "hang"
    seconds: float = Field(default=600, gt=0, le=86_400)


class Reset(KindSwitch):
    """The connection is reset, before the answer or halfway through it."""

    name = "reset"
    halfway: bool = False


class Rated(KindSwitch):
    """per_s  shows only where more requests than this came within one second; None: always"""

    per_s: int | None = Field(default=None, ge=0)


class Waf(Rated):
    """403 with HTML.

    crawls    shows also where pages of both kinds of stone were asked within `crawl_s`, and with
              `per_s` None only there
    """

    name = "waf"
    crawls: bool = False
    crawl_s: float = Field(default=1.0, gt=0, le=60)


class Throttle(Rated):
    """429. `seconds` is what `Retry-After` asks for as a number or a date."""

    name = "throttle"
    retry_after: Literal[
        "absent", "zero", "negative", "seconds", "date", "past", "absurd", "garbage", "mixed"
    ] = "mixed"
    seconds: int = Field(default=1, ge=0, le=86_400)


class ServerError(KindSwitch):
    name = "server-error"
    status: int = Field(default=503, ge=500, le=599)
    html: bool = True  # else JSON with `errors`


class Truncated(KindSwitch):
    """The JSON, or the file, ends after a share of its bytes."""

    name = "truncated"
    share: float = Field(default=0.5, ge=0, lt=1)


class TokenExpiry(KindSwitch):
    """The token of the request dies: this request is refused, and all that bring it later.

    wording  one of WORDINGS, or one drawn of them
    code     whether `extensions.code` says UNAUTHENTICATED
    """

    name = "token-expiry"
    wording: Literal[
        "jwt expired", "jwt malformed", "invalid token", "Unauthenticated", "Unauthorized", "mixed"
    ] = "mixed"
    status: Annotated[Literal[200, 401, "mixed"], BeforeValidator(number)] = "mixed"
    code: bool = True


# --- of pages and counts


class ShortPage(Switch):
    """Fewer items than there are, at least one. `items` None: drawn."""

    name = "short-page"
    items: int | None = Field(default=None, ge=0, le=49)  # 0: an empty page in mid-scan


class Endless(Switch):
    """Pages past the end are full: of the same result from its start, or of other stones."""

    name = "endless"
    what: Literal["repeats", "strays"] = "repeats"


class CountDrift(Switch):
    """The count is off by a share of it, and by one at least."""

    name = "count-drift"
    share: float = Field(default=0.05, ge=0, le=1)
    how: Literal["more", "less", "mixed"] = "mixed"


class Churn(Switch):
    """Rows move before the page is read.

    how  ticks: time goes on by `n` ticks, the stock itself moves, and all later answers with it;
         inserted, removed: this page reads as if `n` rows before it had come or gone
    """

    name = "churn"
    how: Literal["ticks", "inserted", "removed"] = "ticks"
    n: int = Field(default=1, ge=1, le=100)


class InvertedStrays(Switch):
    """A range with its ends exchanged answers this many unrelated stones."""

    name = "inverted-strays"
    stones: int = Field(default=30, ge=1, le=1_000)


class DeepOffset(Switch):
    """An offset beyond `above` is refused, or served."""

    name = "deep-offset"
    how: Literal["refused", "served"] = "served"
    above: int = Field(default=50_000, ge=0)


class BigLimit(Switch):
    """A limit beyond `above` is refused, or taken for `above`."""

    name = "big-limit"
    how: Literal["refused", "clamped"] = "clamped"
    above: int = Field(default=50, ge=1)


class Cents(Switch):
    """`dollar_value` and `dollar_per_carat` are read as cents."""

    name = "cents"


class SchemaDrift(Switch):
    """Another schema: what it says of itself, what it lets pass and what it answers.

    removed, renamed, added, retyped  lists as `Drift.read` takes them
    """

    name = "schema-drift"
    removed: Names = ()
    renamed: Names = ()
    added: Names = ()
    retyped: Names = ()

    @model_validator(mode="after")
    def _sound(self) -> "SchemaDrift":
        if not any(self.drift):
            raise ValueError("name what is removed, renamed, added or retyped")
        self.drift.schema()
        return self

    @property
    def drift(self) -> Drift:
        return Drift.read(self.removed, self.renamed, self.added, self.retyped)


# --- of stones


class NullItem(StoneSwitch):
    """A stored value breaks the answer: `null` for the item, with an entry in `errors`.

    nullable  it breaks a field that may be null: the item stays, and its `clarity` is null
    """

    name = "null-item"
    nullable: bool = False


class NullLabgrown(StoneSwitch):
    """`certificate.labgrown` is null for lab-grown stones."""

    name = "null-labgrown"


class DirtyValues(StoneSwitch):
    """Other spellings: `"null"`, `"100%"`, G for GD, FANCY_INTENSE.

    lossy  also what takes knowledge away: dimensions of "0", a fancy colour of EVEN
    """

    name = "dirty-values"
    lossy: bool = True


class Twins(StoneSwitch):
    """Stones become further offers of another stone: its certificate, another supplier and price.

    offers  of one certificate, at most
    spread  how far prices lie apart, as a share
    """

    name = "twins"
    offers: int = Field(default=2, ge=2, le=8)
    spread: float = Field(default=0.1, gt=0, le=0.9)


class DeadMedia(StoneSwitch):
    """Links to media lead to where nothing answers."""

    name = "dead-media"
    url: str = DEAD_URL


ALL: tuple[type[AnySwitch], ...] = (
    *(ShortPage, Endless, CountDrift, Churn, InvertedStrays, TokenExpiry, Waf, Throttle),
    *(Slow, Hang, Reset, Truncated, ServerError, DeepOffset, BigLimit, NullItem),
    *(NullLabgrown, DirtyValues, Twins, DeadMedia, Cents, SchemaDrift),
)
