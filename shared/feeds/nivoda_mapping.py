"""Turn Nivoda's offers into stones, in columns.

Pure functions. What the supplier does to its values, and what becomes of it:

- numbers come as strings (`"7.200000"`), and `"null"`, `""` and, for a measurement, `"0"` mean
  missing. A number that is none rejects the offer.
- `price` is in cents, `discount` in basis points; both as they come.
- the kind is the feed's own query; an offer that contradicts it is rejected.
- one grade has two spellings; see the tables below. An unknown word passes, in capitals.
- `lab: NONE` stays as the word NONE, since it says that nobody graded the stone. Its number is
  then the supplier's own code and no certificate's: it is left out.
- the fancy fields count only where the colour is FANCY.
- `eyeClean` may be a percentage: 100 % is YES, 0 % is NO, all between is BORDERLINE.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import polars as pl

from shared.feeds.base import Mapped
from shared.feeds.columns import DETAIL_CHARS_MAX, Broken, read_columns
from shared.rejections import Reason
from shared.stone import DECIMAL, REJECTED_SCHEMA, STONE_COLUMNS, STONE_SCHEMA

PRICE_CENTS_MAX = 10**12  # ten billion dollars: dearer is a misread field
WHOLE_MAX = 2**31 - 1  # what GraphQL's Int holds

_DIAMOND = "diamond."
_CERTIFICATE = "diamond.certificate."

# Column → path in the offer. A column of STONE_SCHEMA has its own name here.
PATHS: dict[str, str] = {
    "null_item": "null_item",  # written by our client in place of a null item
    "error": "message",  # the same
    "offer_id": "id",
    "cost_cents": "price",
    "discount_bp": "discount",
    "supplier_stone_id": _DIAMOND + "id",
    "availability": _DIAMOND + "availability",
    "image_url": _DIAMOND + "image",
    "video_url": _DIAMOND + "video",
    "eye_clean": _DIAMOND + "eyeClean",
    "brown": _DIAMOND + "brown",
    "green": _DIAMOND + "green",
    "milky": _DIAMOND + "milky",
    "mine": _DIAMOND + "mine_of_origin",
    "supplier_id": _DIAMOND + "supplier.id",
    "supplier_name": _DIAMOND + "supplier.name",
    "delivery_days_min": _DIAMOND + "delivery_time.min_business_days",
    "delivery_days_max": _DIAMOND + "delivery_time.max_business_days",
    "lab": _CERTIFICATE + "lab",
    "certificate_number": _CERTIFICATE + "certNumber",
    "certificate_url": _CERTIFICATE + "pdfUrl",
    "shape": _CERTIFICATE + "shape",
    "carat": _CERTIFICATE + "carats",
    "color": _CERTIFICATE + "color",
    "fancy_color": _CERTIFICATE + "f_color",
    "fancy_intensity": _CERTIFICATE + "f_intensity",
    "fancy_overtone": _CERTIFICATE + "f_overtone",
    "clarity": _CERTIFICATE + "clarity",
    "cut": _CERTIFICATE + "cut",
    "polish": _CERTIFICATE + "polish",
    "symmetry": _CERTIFICATE + "symmetry",
    "fluorescence": _CERTIFICATE + "floInt",
    "fluorescence_color": _CERTIFICATE + "floCol",
    "length_mm": _CERTIFICATE + "length",
    "width_mm": _CERTIFICATE + "width",
    "depth_mm": _CERTIFICATE + "depth",
    "depth_percent": _CERTIFICATE + "depthPercentage",
    "table_percent": _CERTIFICATE + "table",
    "girdle": _CERTIFICATE + "girdle",
    "culet": _CERTIFICATE + "culetSize",
    "labgrown": _CERTIFICATE + "labgrown",
    "labgrown_type": _CERTIFICATE + "labgrown_type",
    "treated": _CERTIFICATE + "treated",
    "country": _CERTIFICATE + "country_of_origin",
}

_DECIMALS = (
    "carat",
    "length_mm",
    "width_mm",
    "depth_mm",
    "depth_percent",
    "table_percent",
)
_WHOLES = ("cost_cents", "discount_bp", "delivery_days_min", "delivery_days_max")
_FLAGS = ("labgrown", "treated")
_NUMBERS = (*_DECIMALS, *_WHOLES, *_FLAGS)  # what can be unreadable

# The supplier's other spellings → ours, once in capitals. No word is "0": that means missing.
_GRADES = {"PR": "P", "FR": "F", "GD": "G"}
_TINGES = {"NONE": "NO"}
_SPELLINGS: dict[str, dict[str, str]] = {
    "availability": {},
    "brown": _TINGES,
    "clarity": {},
    "color": {},
    "country": {},
    "culet": {"NONE": "NON"},
    "cut": _GRADES,
    "eye_clean": {"Y": "YES", "TRUE": "YES", "N": "NO", "FALSE": "NO"},
    "fancy_color": {},
    "fancy_intensity": {},
    "fancy_overtone": {},
    "fluorescence": {"NONE": "NON", "STN": "STG"},
    "fluorescence_color": {"B": "BLUE", "O": "ORANGE", "W": "WHITE", "Y": "YELLOW"},
    "girdle": {},
    "green": _TINGES,
    "lab": {},
    "labgrown_type": {},
    "milky": _TINGES,
    "mine": {},
    "polish": _GRADES,
    "shape": {"ASCHER": "ASSCHER", "HALFMOON": "HALF MOON", "TRAPEZE": "TRAPEZOID"},
    "symmetry": _GRADES,
}
_SPACED = ("fancy_intensity", "shape")  # words apart by a space, a dash or an underscore
_GRAYISH = ("fancy_color", "fancy_overtone", "fluorescence_color")  # GRAY or GREY in them
_AS_SAID = " as said"  # ends the name of the column that keeps a number's text
_NOTHING = ("", "null", "Null", "NULL")
_TRUE = ("true", "yes", "1")
_FALSE = ("false", "no", "0")


def map_offers(payloads: Sequence[bytes], *, kind: Literal["natural", "labgrown"]) -> Mapped:
    """Turn each payload into a stone or a rejected offer.

    payloads  offers as `NivodaSource.page` yields them
    kind      what the feed asks for

    Total: whatever the bytes are, every row is in exactly one of the two frames, each of them in
    the order of `seq`.
    """
    columns = read_columns(payloads, PATHS)
    judged = (
        columns.frame.with_columns(_text(name) for name in PATHS)
        .with_columns(
            *(pl.col(name).alias(name + _AS_SAID) for name in _NUMBERS),
            *(_decimal(name) for name in _DECIMALS),
            *(_whole(name) for name in _WHOLES),
            *(_flag(name) for name in _FLAGS),
            *(_word(name, spellings) for name, spellings in _SPELLINGS.items()),
        )
        .with_columns(_reason(kind))
    )
    stones = judged.filter(pl.col("reason").is_null()).select(_stone(kind))
    return Mapped(stones, _rejected(judged, columns.broken))


def _text(name: str) -> pl.Expr:
    stripped = pl.col(name).str.strip_chars()
    return pl.when(~stripped.is_in(_NOTHING)).then(stripped).alias(name)


def _word(name: str, spellings: dict[str, str]) -> pl.Expr:
    word = pl.col(name).str.to_uppercase()
    if name in _SPACED:
        word = word.str.replace_all(r"[\s_-]+", " ")
    if name in _GRAYISH:
        word = word.str.replace_all("GREY", "GRAY", literal=True)
    return word.replace({**spellings, "0": None})


def _decimal(name: str) -> pl.Expr:
    """Text as an exact decimal of three places, a half rounded up; null where it is no number."""
    text = pl.col(name)
    plain = text.str.contains(r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)$")
    # Polars rounds a half to even; digits behind the last one make it more than a half.
    nudged = pl.when(text.str.contains(".", literal=True)).then(text + "0001").otherwise(text)
    return pl.when(plain).then(nudged.cast(DECIMAL, strict=False)).alias(name)


def _whole(name: str) -> pl.Expr:
    number = pl.col(name).cast(pl.Int64, strict=False)
    highest = PRICE_CENTS_MAX if name == "cost_cents" else WHOLE_MAX
    return pl.when(number.is_between(-highest, highest)).then(number).alias(name)


def _flag(name: str) -> pl.Expr:
    word = pl.col(name).str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(True).when(word.is_in(_FALSE)).then(False).alias(name)


def _unreadable(name: str) -> pl.Expr:
    return pl.col(name).is_null() & pl.col(name + _AS_SAID).is_not_null()


def _reason(kind: str) -> pl.Expr:
    """Why a row is no stone: the first that holds; null: it is one."""
    grown = pl.col("labgrown")
    if kind == "natural":
        # HPHT is also a treatment of natural stones, and IIA a type among them.
        wrong_kind = grown | (pl.col("labgrown_type") == "CVD")
    else:
        wrong_kind = ~grown & pl.col("labgrown_type").is_null()
    holds = {
        Reason.NULL_ITEM: pl.col("null_item") == "true",
        Reason.NO_ID: pl.col("offer_id").is_null(),
        Reason.UNREADABLE: pl.any_horizontal(_unreadable(name) for name in _NUMBERS),
        Reason.WRONG_KIND: wrong_kind,
        Reason.NO_SHAPE: pl.col("shape").is_null(),
        Reason.NO_CARAT: pl.col("carat").fill_null(0) == 0,
        Reason.NO_PRICE: pl.col("cost_cents").fill_null(0) <= 0,
    }
    return pl.coalesce(
        pl.when(condition).then(pl.lit(reason.value)) for reason, condition in holds.items()
    ).alias("reason")


def _stone(kind: str) -> Iterator[pl.Expr]:
    """`seq`, then the columns of STONE_SCHEMA."""
    fancy = pl.col("color") == "FANCY"
    eye_clean = pl.col("eye_clean")
    percent = eye_clean.str.extract(r"^([0-9]{1,3}) ?%$").cast(pl.Int64)
    made = {
        "kind": pl.lit(kind),
        "certificate_number": pl.when(pl.col("lab").ne_missing("NONE")).then("certificate_number"),
        "fancy_color": pl.when(fancy).then("fancy_color"),
        "fancy_intensity": pl.when(fancy).then("fancy_intensity"),
        "fancy_overtone": pl.when(fancy).then("fancy_overtone"),
        "eye_clean": pl.when(percent >= 100).then(pl.lit("YES"))
        .when(percent > 0).then(pl.lit("BORDERLINE"))
        .when(percent == 0).then(pl.lit("NO"))
        .otherwise(eye_clean),
        "origin": pl.coalesce("mine", "country"),
        "cost_currency": pl.lit("USD"),
    }  # fmt: skip
    measured = {name: pl.when(pl.col(name) != 0).then(name) for name in _DECIMALS}
    columns = {name: pl.col(name) for name in PATHS if name in STONE_SCHEMA} | measured | made
    yield pl.col("seq")
    yield from (columns[name].cast(STONE_SCHEMA[name]).alias(name) for name in STONE_COLUMNS)


def _rejected(judged: pl.DataFrame, broken: Sequence[Broken]) -> pl.DataFrame:
    refused = judged.filter(pl.col("reason").is_not_null()).select(
        "seq", "offer_id", "reason", _detail().str.slice(0, DETAIL_CHARS_MAX).alias("detail")
    )
    unread = pl.DataFrame(
        [(row.seq, row.offer_id, row.reason.value, row.detail) for row in broken],
        schema=REJECTED_SCHEMA,
        orient="row",
    )
    return pl.concat([refused, unread]).sort("seq")


def _detail() -> pl.Expr:
    """The field and the value behind each refusal."""
    details = {
        Reason.NULL_ITEM: pl.col("error").fill_null("no error given"),
        Reason.NO_ID: pl.lit("id: missing"),
        Reason.UNREADABLE: pl.coalesce(
            pl.when(_unreadable(name)).then(_said(name)) for name in _NUMBERS
        ),
        Reason.WRONG_KIND: _said("labgrown") + ", " + _said("labgrown_type"),
        Reason.NO_SHAPE: _said("shape"),
        Reason.NO_CARAT: _said("carat"),
        Reason.NO_PRICE: _said("cost_cents"),
    }
    return pl.coalesce(
        pl.when(pl.col("reason") == reason.value).then(detail) for reason, detail in details.items()
    )


def _said(name: str) -> pl.Expr:
    text = pl.col(name + _AS_SAID if name in _NUMBERS else name)
    return pl.lit(f"{PATHS[name]}: ") + text.fill_null("missing")
