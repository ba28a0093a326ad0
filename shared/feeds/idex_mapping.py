"""IDEX's rows as stones: what is its own, on top of what all suppliers have in common.

- words in place of codes, dollars with a point; `Cut` is the shape, the grade is `Cut Grade`.
- the natural file has columns combined (`6.55x6.52x4.02`, `Thin / Medium`), the lab-grown one
  apart; one table reads both.
- the cost is `Total Price`, and must be `Price Per Carat` times the weight.
- `LG` in a certificate number of the natural file is a lab-grown stone in the wrong feed.
- `% Off IDEX List` is left in the payload: nobody documents its sign. So are country and state,
  which say where a stone lies and not where it was mined.
"""

from collections.abc import Sequence

import polars as pl

from shared.feeds import mapping
from shared.feeds.base import Kind, Mapped
from shared.feeds.mapping import OfferMap, Refusal, said
from shared.rejections import Reason

# How far the two prices of a row may lie apart: the weight is rounded to a hundredth of a carat.
DISAGREE_SHARE = 0.01
DISAGREE_CENTS = 100

PATHS: dict[str, str] = {
    "offer_id": "item_id",
    "supplier_stone_id": "item_id",
    "shape": "cut",
    "carat": "carat",
    "color": "color",
    "fancy_color": "natural_fancy_color",
    "fancy_intensity": "natural_fancy_color_intensity",
    "fancy_overtone": "natural_fancy_color_overtone",
    "treated_color": "treated_color",
    "enhancement": "enhancement",
    "clarity": "clarity",
    "cut": "cut_grade",
    "make": "make_cut_grade",
    "lab": "grading_lab",
    "certificate_number": "certificate_number",
    "certificate_url": "certificate_url",
    "certificate_path": "certificate_path",
    "report": "online_report",
    "report_url": "online_report_url",
    "image_url": "image_url",
    "image_path": "image_path",
    "video_url": "video_url",
    "viewer_url": "3dviewer_url",
    "price_per_carat": "price_per_carat",
    "cost_cents": "total_price",
    "polish": "polish",
    "symmetry": "symmetry",
    "measurements": "measurements_lengthxwidthxheight",
    "length_mm": "measurements_length",
    "width_mm": "measurements_width",
    "depth_mm": "measurements_height",
    "depth_percent": "depth",
    "table_percent": "table",
    "girdles": "girdle_from_to",
    "girdle_from": "girdle_from",
    "girdle_to": "girdle_to",
    "culet": "culet_size",
    "fluorescence": "fluorescence_intensity",
    "fluorescence_color": "fluorescence_color",
    "milky": "milky",
    "eye_clean": "eye_clean",
    "availability": "availability",
}

_NO = ("NONE", "NO", "N")
_SIDES = r"(?i)^([0-9.]+) ?[x*-] ?([0-9.]+) ?[x*] ?([0-9.]+)$"


def map_offers(payloads: Sequence[bytes], *, kind: Kind) -> Mapped:
    """Turn each row into a stone or a rejected offer.

    payloads  offers as `IdexSource.take` yields them
    kind      of the file

    Total, as `mapping.map_offers` is.
    """
    return mapping.map_offers(payloads, _MAPS[kind])


def _prepare(texts: pl.DataFrame) -> pl.DataFrame:
    sides = [pl.col("measurements").str.extract(_SIDES, group) for group in (1, 2, 3)]
    girdle = pl.col("girdles").str.replace_all(r" */ *", " - ")
    apart = pl.concat_str("girdle_from", "girdle_to", separator=" - ", ignore_nulls=True)
    girdle = pl.coalesce(girdle, pl.when(apart != "").then(apart))
    ends = girdle.str.split(" - ")
    fancy = pl.col("fancy_color").is_not_null() & ~_says_no("fancy_color")
    return texts.with_columns(
        # Measurements that cannot be taken apart stand where no number can be read in them.
        pl.coalesce("length_mm", sides[0], "measurements").alias("length_mm"),
        pl.coalesce("width_mm", sides[1]).alias("width_mm"),
        pl.coalesce("depth_mm", sides[2]).alias("depth_mm"),
        pl.when(ends.list.first() == ends.list.last()).then(ends.list.first())
        .otherwise(girdle).alias("girdle"),
        pl.coalesce("cut", "make").alias("cut"),
        pl.when(fancy).then(pl.lit("FANCY")).otherwise("color").alias("color"),
        pl.when(fancy).then("fancy_color").alias("fancy_color"),
        pl.when(~_says_no("treated_color") | ~_says_no("enhancement")).then(pl.lit("true"))
        .when(_says_no("treated_color") | _says_no("enhancement")).then(pl.lit("false"))
        .alias("treated"),
        pl.coalesce("certificate_url", "certificate_path", "report_url", "report")
        .alias("certificate_url"),
        pl.coalesce("image_url", "image_path").alias("image_url"),
        pl.coalesce("video_url", "viewer_url").alias("video_url"),
    )  # fmt: skip


def _says_no(name: str) -> pl.Expr:
    """Null where nothing is said."""
    return pl.col(name).str.to_uppercase().is_in(_NO)


def _prices_disagree() -> pl.Expr:
    total = pl.col("cost_cents").cast(pl.Float64)
    product = pl.col("price_per_carat").cast(pl.Float64) * pl.col("carat").cast(pl.Float64)
    apart = (total - product).abs() > total * DISAGREE_SHARE + DISAGREE_CENTS
    return (pl.col("price_per_carat") > 0) & apart


def _map(kind: Kind) -> OfferMap:
    refusals = {
        Reason.PRICES_DISAGREE: Refusal(
            _prices_disagree(),
            said("cost_cents", PATHS)
            + ", "
            + said("price_per_carat", PATHS)
            + ", "
            + said("carat", PATHS),
        )
    }
    if kind == "natural":
        grown = pl.col("certificate_number").str.to_uppercase().str.starts_with("LG")
        refusals[Reason.WRONG_KIND] = Refusal(grown, said("certificate_number", PATHS))
    return OfferMap(
        kind=kind,
        paths=PATHS,
        reads={"cost_cents": "cents", "price_per_carat": "cents"},
        prepare=_prepare,
        refusals=refusals,
    )


_MAPS: dict[Kind, OfferMap] = {"natural": _map("natural"), "labgrown": _map("labgrown")}
