"""Turn offers into stones by a table: which column comes from where, and in which words.

Pure functions, in columns. An adapter writes an `OfferMap`; everything that suppliers have in
common is here:

- `"null"` and `""` mean missing, and so does `"0"` for a word or a measurement. A number that is
  none rejects the offer.
- one grade has several spellings; see `WORDS`. An unknown word passes, in capitals.
- `lab: NONE` stays as the word NONE, since it says that nobody graded the stone. Its number is
  then the supplier's own code and no certificate's: it is left out.
- the fancy fields count only where the colour is FANCY.
- eye-clean may be a percentage: 100 % is YES, 0 % is NO, all between is BORDERLINE.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

import polars as pl

from shared.feeds.base import Kind, Mapped
from shared.feeds.columns import DETAIL_CHARS_MAX, Broken, read_columns
from shared.feeds.rows import BROKEN_ROW
from shared.rejections import Reason
from shared.stone import DECIMAL, REJECTED_SCHEMA, STONE_COLUMNS, STONE_SCHEMA

PRICE_CENTS_MAX = 10**12  # ten billion dollars: dearer is a misread field
WHOLE_MAX = 2**31 - 1  # what GraphQL's Int holds

# How a column's text is read. `cents`: a decimal amount of dollars, a half cent rounded up.
Reads = Literal["text", "word", "decimal", "whole", "flag", "cents"]

# The other spellings → ours, once in capitals. No word is "0": that means missing.
_GRADES = {
    "PR": "P", "FR": "F", "GD": "G", "POOR": "P", "FAIR": "F", "GOOD": "G", "VERY GOOD": "VG",
    "EXCELLENT": "EX", "IDEAL": "ID",
}  # fmt: skip
_TINGES = {"NONE": "NO"}
WORDS: dict[str, dict[str, str]] = {
    "availability": {},
    "brown": _TINGES,
    "clarity": {},
    "color": {},
    "culet": {"NONE": "NON"},
    "cut": _GRADES,
    "eye_clean": {"Y": "YES", "TRUE": "YES", "N": "NO", "FALSE": "NO"},
    "fancy_color": {},
    "fancy_intensity": {},
    "fancy_overtone": {},
    "fluorescence": {
        "NONE": "NON", "VERY SLIGHT": "VSL", "SLIGHT": "SLT", "FAINT": "FNT", "MEDIUM": "MED",
        "STRONG": "STG", "STN": "STG", "VERY STRONG": "VST",
    },
    "fluorescence_color": {"B": "BLUE", "O": "ORANGE", "W": "WHITE", "Y": "YELLOW"},
    "girdle": {},
    "green": _TINGES,
    "lab": {},
    "labgrown_type": {},
    "milky": _TINGES,
    "origin": {},
    "polish": _GRADES,
    "shape": {"ASCHER": "ASSCHER", "HALFMOON": "HALF MOON", "TRAPEZE": "TRAPEZOID"},
    "symmetry": _GRADES,
}  # fmt: skip
_SPACED = ("fancy_intensity", "shape")  # words apart by a space, a dash or an underscore
_GRAYISH = ("fancy_color", "fancy_overtone", "fluorescence_color")  # GRAY or GREY in them

_NOTHING = ("", "null", "Null", "NULL")
_TRUE = ("true", "yes", "y", "1")
_FALSE = ("false", "no", "n", "0")
_AS_SAID = " as said"  # ends the name of the column that keeps what the supplier wrote
_DECIMALS = tuple(name for name, dtype in STONE_SCHEMA.items() if dtype == DECIMAL)


class Refusal(NamedTuple):
    """A reason of the supplier's own to reject an offer."""

    when: pl.Expr  # over the columns as they were read
    detail: pl.Expr  # the field and the value; see `said`


def _as_it_is(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


@dataclass(frozen=True, kw_only=True, eq=False)  # itself a key: see `_steps`
class OfferMap:
    """How one supplier's offers become stones.

    paths      column → dotted path in the payload. A column of STONE_SCHEMA has its own name; any
               other is there for `prepare`, `made` and `refusals`. `offer_id` is among them
    reads      how a column is read; one left out by its type in STONE_SCHEMA
    words      column → spellings of this supplier, on top of WORDS
    prepare    may take combined columns apart: text columns in, at least the same out
    made       column of STONE_SCHEMA → what it is, over the columns as they were read
    refusals   reasons to reject besides those that hold for every supplier
    """

    kind: Kind
    paths: Mapping[str, str]
    reads: Mapping[str, Reads] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prepare: Callable[[pl.DataFrame], pl.DataFrame] = _as_it_is
    made: Mapping[str, pl.Expr] = field(default_factory=dict)
    refusals: Mapping[Reason, Refusal] = field(default_factory=dict)
    currency: str = "USD"

    def read_as(self, name: str) -> Reads:
        """How that column is read."""
        dtype = STONE_SCHEMA.get(name)
        if name in self.reads:
            return self.reads[name]
        if name in WORDS or name in self.words:
            return "word"
        by_type: dict[object, Reads] = {DECIMAL: "decimal", pl.Int64: "whole", pl.Boolean: "flag"}
        return by_type.get(dtype, "text")


def map_offers(payloads: Sequence[bytes], by: OfferMap) -> Mapped:
    """Turn each payload into a stone or a rejected offer.

    Total: whatever the bytes are, every row is in exactly one of the two frames, each of them in
    the order of `seq`.
    """
    columns = read_columns(payloads, _paths(by))
    texts = by.prepare(columns.frame.with_columns(_texts(by)))
    steps = _steps(by, tuple(texts.columns))
    judged = (
        texts.with_columns(steps.kept)
        .with_columns(steps.read)
        .with_columns(steps.absent)
        .with_columns(steps.reason)
    )
    stones = judged.filter(pl.col("reason").is_null()).select(steps.stone)
    return Mapped(stones, _rejected(judged, steps.detail, columns.broken))


class _Steps(NamedTuple):
    """The expressions of a mapping. To make them takes longer than to map a thousand offers."""

    kept: list[pl.Expr]  # what the supplier wrote
    read: list[pl.Expr]
    absent: list[pl.Expr]
    reason: pl.Expr
    detail: pl.Expr
    stone: list[pl.Expr]


@cache
def _paths(by: OfferMap) -> dict[str, str]:
    return {**by.paths, BROKEN_ROW: BROKEN_ROW}


@cache
def _texts(by: OfferMap) -> list[pl.Expr]:
    return [_text(name) for name in _paths(by)]


@cache
def _steps(by: OfferMap, columns: tuple[str, ...]) -> _Steps:
    """What to do with columns of text."""
    names = [name for name in columns if name != "seq"]
    absent = [name for name in STONE_COLUMNS if name not in names and name not in by.made]
    refusals = _refusals(by, [name for name in names if by.read_as(name) not in ("text", "word")])
    detail = pl.coalesce(
        pl.when(pl.col("reason") == why.value).then(one.detail) for why, one in refusals.items()
    )
    return _Steps(
        kept=[pl.col(name).alias(name + _AS_SAID) for name in names],
        read=[_read(name, by) for name in names],
        absent=[pl.lit(None, STONE_SCHEMA[name]).alias(name) for name in absent],
        reason=pl.coalesce(
            pl.when(one.when).then(pl.lit(why.value)) for why, one in refusals.items()
        ).alias("reason"),
        detail=detail.str.slice(0, DETAIL_CHARS_MAX).alias("detail"),
        stone=list(_stone(by)),
    )


def said(name: str, paths: Mapping[str, str]) -> pl.Expr:
    """The field and what the supplier wrote there, for a detail."""
    text = pl.col(name + _AS_SAID).cast(pl.String)
    return pl.lit(f"{paths.get(name, name)}: ") + text.fill_null("missing")


def _text(name: str) -> pl.Expr:
    stripped = pl.col(name).str.strip_chars()
    return pl.when(~stripped.is_in(_NOTHING)).then(stripped).alias(name)


def _read(name: str, by: OfferMap) -> pl.Expr:
    match by.read_as(name):
        case "word":
            return _word(name, by.words.get(name, {}))
        case "decimal":
            return _exact(pl.col(name), DECIMAL).alias(name)
        case "whole":
            return _whole(name)
        case "cents":
            return _cents(name)
        case "flag":
            return _flag(name)
        case "text":
            return pl.col(name)


def _word(name: str, spellings: Mapping[str, str]) -> pl.Expr:
    word = pl.col(name).str.to_uppercase()
    if name in _SPACED:
        word = word.str.replace_all(r"[\s_-]+", " ")
    if name in _GRAYISH:
        word = word.str.replace_all("GREY", "GRAY", literal=True)
    known = {**WORDS.get(name, {}), **spellings}
    if known:
        word = word.replace(known)
    return pl.when(word != "0").then(word).alias(name)


def _exact(text: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    """Text as an exact decimal, a half rounded up; null where it is no number or negative."""
    plain = text.str.contains(r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)$")
    # Polars rounds a half to even; digits behind the last one make it more than a half.
    nudged = pl.when(text.str.contains(".", literal=True)).then(text + "0001").otherwise(text)
    return pl.when(plain).then(nudged.cast(dtype, strict=False))


def _whole(name: str) -> pl.Expr:
    number = pl.col(name).cast(pl.Int64, strict=False)
    highest = PRICE_CENTS_MAX if name == "cost_cents" else WHOLE_MAX
    return pl.when(number.is_between(-highest, highest)).then(number).alias(name)


def _cents(name: str) -> pl.Expr:
    """`1234.5`, `$1,234.50`: 123450."""
    text = pl.col(name).str.strip_prefix("$")
    grouped = text.str.contains(r"^[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$")
    amount = pl.when(grouped).then(text.str.replace_all(",", "", literal=True)).otherwise(text)
    exact = _exact(amount, pl.Decimal(16, 2)).cast(pl.String)
    cents = exact.str.replace(".", "", literal=True).cast(pl.Int64, strict=False)
    return pl.when(cents <= PRICE_CENTS_MAX).then(cents).alias(name)


def _flag(name: str) -> pl.Expr:
    word = pl.col(name).str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(True).when(word.is_in(_FALSE)).then(False).alias(name)


def _unreadable(name: str) -> pl.Expr:
    return pl.col(name).is_null() & pl.col(name + _AS_SAID).is_not_null()


def _refusals(by: OfferMap, numbers: Sequence[str]) -> dict[Reason, Refusal]:
    """Why a row is no stone; the first that holds counts, in the order of `Reason`."""
    paths = by.paths

    def where(name: str) -> pl.Expr:
        return said(name, paths) if name in paths else pl.lit(f"{name}: missing")

    found = {
        Reason.BROKEN: Refusal(pl.col(BROKEN_ROW).is_not_null(), pl.col(BROKEN_ROW)),
        Reason.NO_ID: Refusal(pl.col("offer_id").is_null(), where("offer_id")),
        Reason.UNREADABLE: Refusal(
            pl.any_horizontal(_unreadable(name) for name in numbers),
            pl.coalesce(pl.when(_unreadable(name)).then(said(name, paths)) for name in numbers),
        ),
        Reason.NO_SHAPE: Refusal(pl.col("shape").is_null(), where("shape")),
        Reason.NO_CARAT: Refusal(pl.col("carat").fill_null(0) == 0, where("carat")),
        Reason.NO_PRICE: Refusal(pl.col("cost_cents").fill_null(0) <= 0, where("cost_cents")),
        **by.refusals,
    }
    return {reason: found[reason] for reason in Reason if reason in found}


def _stone(by: OfferMap) -> Iterator[pl.Expr]:
    """`seq`, then the columns of STONE_SCHEMA."""
    fancy = pl.col("color") == "FANCY"
    eye_clean = pl.col("eye_clean")
    percent = eye_clean.str.extract(r"^([0-9]{1,3}) ?%$").cast(pl.Int64)
    made = {
        "kind": pl.lit(by.kind),
        "certificate_number": pl.when(pl.col("lab").ne_missing("NONE")).then("certificate_number"),
        "fancy_color": pl.when(fancy).then("fancy_color"),
        "fancy_intensity": pl.when(fancy).then("fancy_intensity"),
        "fancy_overtone": pl.when(fancy).then("fancy_overtone"),
        "eye_clean": pl.when(percent >= 100).then(pl.lit("YES"))
        .when(percent > 0).then(pl.lit("BORDERLINE"))
        .when(percent == 0).then(pl.lit("NO"))
        .otherwise(eye_clean),
        "cost_currency": pl.lit(by.currency),
    }  # fmt: skip
    measured = {name: pl.when(pl.col(name) != 0).then(name) for name in _DECIMALS}
    columns = {name: pl.col(name) for name in STONE_COLUMNS} | measured | made | dict(by.made)
    yield pl.col("seq")
    yield from (columns[name].cast(STONE_SCHEMA[name]).alias(name) for name in STONE_COLUMNS)


def _rejected(judged: pl.DataFrame, detail: pl.Expr, broken: Sequence[Broken]) -> pl.DataFrame:
    refused = judged.filter(pl.col("reason").is_not_null()).select(
        "seq", "offer_id", "reason", detail
    )
    unread = pl.DataFrame(
        [(row.seq, row.offer_id, row.reason.value, row.detail) for row in broken],
        schema=REJECTED_SCHEMA,
        orient="row",
    )
    return pl.concat([refused, unread]).sort("seq")
