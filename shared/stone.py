"""The canonical stone: one list of columns for mapping, pricing, the catalogue and `explain`.

Units: money in integer cents beside its currency, carats and millimetres and percents as exact
decimals of three places, the discount in basis points (hundredths of a percent, signed).
A missing value is null, never "" or 0.
"""

import polars as pl

DECIMAL = pl.Decimal(10, 3)

# What a feed's mapping yields, in the order of the table. Only `offer_id`, `kind`, `shape`,
# `carat`, `cost_cents` and `cost_currency` are never null.
STONE_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "offer_id": pl.String,  # the supplier's; (feed, offer_id) is the stone's identity
    "supplier_stone_id": pl.String,  # what holds and orders are placed with
    "kind": pl.String,  # natural | labgrown
    "labgrown_type": pl.String,  # CVD | HPHT | IIA
    "treated": pl.Boolean,
    "lab": pl.String,
    "certificate_number": pl.String,
    "certificate_url": pl.String,
    "shape": pl.String,
    "carat": DECIMAL,
    "color": pl.String,  # D..Z, or FANCY
    "fancy_color": pl.String,
    "fancy_intensity": pl.String,
    "fancy_overtone": pl.String,
    "clarity": pl.String,
    "cut": pl.String,
    "polish": pl.String,
    "symmetry": pl.String,
    "fluorescence": pl.String,
    "fluorescence_color": pl.String,
    "length_mm": DECIMAL,
    "width_mm": DECIMAL,
    "depth_mm": DECIMAL,
    "depth_percent": DECIMAL,
    "table_percent": DECIMAL,
    "girdle": pl.String,
    "culet": pl.String,
    "eye_clean": pl.String,
    "brown": pl.String,
    "green": pl.String,
    "milky": pl.String,
    "origin": pl.String,
    "supplier_id": pl.String,
    "supplier_name": pl.String,
    "availability": pl.String,
    "image_url": pl.String,
    "video_url": pl.String,
    "delivery_days_min": pl.Int64,
    "delivery_days_max": pl.Int64,
    "discount_bp": pl.Int64,
    "cost_cents": pl.Int64,
    "cost_currency": pl.String,
}
STONE_COLUMNS = tuple(STONE_SCHEMA)

# An offer that cannot be mapped, priced or stored.
REJECTED_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "seq": pl.Int64,  # row of the input, from 0
    "offer_id": pl.String,  # null where not even that could be read
    "reason": pl.String,  # a word of the fixed list in docs/rejected-offers.md
    "detail": pl.String,  # the field and the value
}
