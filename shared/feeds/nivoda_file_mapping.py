"""The rows of Nivoda's bulk files as stones: the words of its API under other columns."""

from collections.abc import Sequence

import polars as pl

from shared.feeds import mapping
from shared.feeds.base import Kind, Mapped
from shared.feeds.mapping import OfferMap, Refusal, said
from shared.rejections import Reason

PATHS: dict[str, str] = {
    "offer_id": "diamond_id",
    "stock_id": "stock_id",
    "supplier_stone_id": "diamond_id",
    "certificate_number": "reportno",
    "certificate_url": "pdf",
    "lab": "lab",
    "shape": "shape",
    "carat": "carats",
    "color": "col",
    "fancy_color": "fancycolor",
    "fancy_intensity": "fancyintensity",
    "fancy_overtone": "fancyovertone",
    "clarity": "clar",
    "cut": "cut",
    "polish": "pol",
    "symmetry": "symm",
    "fluorescence": "flo",
    "fluorescence_color": "flocol",
    "eye_clean": "eyeclean",
    "brown": "brown",
    "green": "green",
    "milky": "milky",
    "length_mm": "length",
    "width_mm": "width",
    "depth_mm": "height",
    "depth_percent": "depth",
    "table_percent": "table",
    "girdle": "girdle",
    "culet": "culet",
    "delivered": "deliveredprice",
    "cost_cents": "price",
    "image_url": "image",
    "video_url": "video",
    "delivery_days_min": "mindeliverydays",
    "delivery_days_max": "maxdeliverydays",
    "country": "country",
    "mine": "mine_of_origin",
    "labgrown_type": "labgrowntype",
    "labgrown": "lg",
}


def map_offers(payloads: Sequence[bytes], *, kind: Kind) -> Mapped:
    """Turn each row into a stone or a rejected offer.

    payloads  offers as `NivodaFileSource.take` yields them
    kind      of the file

    Total, as `mapping.map_offers` is.
    """
    return mapping.map_offers(payloads, _MAPS[kind])


def _prepare(texts: pl.DataFrame) -> pl.DataFrame:
    fancy = pl.col("color").is_null() & pl.col("fancy_color").is_not_null()
    return texts.with_columns(
        pl.coalesce("offer_id", "stock_id").alias("offer_id"),
        pl.coalesce("supplier_stone_id", "stock_id").alias("supplier_stone_id"),
        pl.coalesce("delivered", "cost_cents").alias("cost_cents"),
        pl.when(fancy).then(pl.lit("FANCY")).otherwise("color").alias("color"),
    )


def _map(kind: Kind) -> OfferMap:
    # What `lg` holds in a natural file nobody reports: only what plainly says yes counts.
    grown = pl.col("labgrown").str.to_lowercase().is_in(("true", "yes", "y", "1", "lg"))
    refusals = {}
    if kind == "natural":
        refusals[Reason.WRONG_KIND] = Refusal(
            grown | (pl.col("labgrown_type") == "CVD"),
            said("labgrown", PATHS) + ", " + said("labgrown_type", PATHS),
        )
    return OfferMap(
        kind=kind,
        paths=PATHS,
        reads={"cost_cents": "cents", "mine": "word", "country": "word"},
        prepare=_prepare,
        made={"origin": pl.coalesce("mine", "country")},
        refusals=refusals,
    )


_MAPS: dict[Kind, OfferMap] = {"natural": _map("natural"), "labgrown": _map("labgrown")}
