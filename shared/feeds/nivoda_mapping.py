"""Nivoda's offers as stones: what is its own, on top of what all suppliers have in common.

- numbers come as strings (`"7.200000"`); `price` is in cents, `discount` in basis points, both as
  they come.
- the kind is the feed's own query; an offer that contradicts it is rejected.
- a null item comes with its error in its place, put there by our client.
- only what is available is asked for; an offer that says it is not is rejected.
"""

from collections.abc import Sequence

import polars as pl

from shared.feeds import mapping
from shared.feeds.base import Kind, Mapped
from shared.feeds.mapping import OfferMap, Refusal, said
from shared.rejections import Reason

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


def map_offers(payloads: Sequence[bytes], *, kind: Kind) -> Mapped:
    """Turn each payload into a stone or a rejected offer.

    payloads  offers as `NivodaSource.page` yields them
    kind      what the feed asks for

    Total, as `mapping.map_offers` is.
    """
    return mapping.map_offers(payloads, _MAPS[kind])


def _wrong_kind(kind: Kind) -> pl.Expr:
    grown, made = pl.col("labgrown"), pl.col("labgrown_type")
    if kind == "natural":
        # HPHT is also a treatment of natural stones, and IIA a type among them.
        return grown | (made == "CVD")
    return ~grown & made.is_null()


def _map(kind: Kind) -> OfferMap:
    return OfferMap(
        kind=kind,
        paths=PATHS,
        reads={"labgrown": "flag", "mine": "word", "country": "word"},
        made={"origin": pl.coalesce("mine", "country")},
        refusals={
            Reason.NULL_ITEM: Refusal(
                pl.col("null_item") == "true", pl.col("error").fill_null("no error given")
            ),
            Reason.WRONG_KIND: Refusal(
                _wrong_kind(kind), said("labgrown", PATHS) + ", " + said("labgrown_type", PATHS)
            ),
            Reason.NOT_AVAILABLE: Refusal(
                pl.col("availability") != "AVAILABLE", said("availability", PATHS)
            ),
        },
    )


_MAPS: dict[Kind, OfferMap] = {"natural": _map("natural"), "labgrown": _map("labgrown")}
