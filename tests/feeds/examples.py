"""An offer as each supplier would say it, for the conformance suite: one function a feed."""

import json
from pathlib import Path

from pydantic_core import to_json

from shared.feeds.base import Feed
from shared.feeds.idex_layouts import LAYOUTS
from shared.feeds.local import LocalFeed, as_feed
from shared.feeds.rows import keys_of
from tests.feeds.conformance import Example, Said
from tests.feeds.offers import make_offer

_IDEX = {
    "color": "E", "clarity": "VS1", "cut_grade": "Very Good", "make_cut_grade": "Very Good",
    "grading_lab": "IGI", "polish": "Excellent", "symmetry": "Good", "depth": "61.5",
    "measurements_lengthxwidthxheight": "6.55x6.52x4.02", "girdle_from_to": "Thin / Medium",
    "measurements_length": "6.55", "measurements_width": "6.52", "measurements_height": "4.02",
    "girdle_from": "Thin", "girdle_to": "Medium", "table": "57", "treated_color": "None",
    "fluorescence_intensity": "Faint", "fluorescence_color": "Blue", "enhancement": "None",
}  # fmt: skip


def nivoda(said: Said, *, labgrown: bool) -> bytes:
    carat = None if said.carat is None else float(said.carat)
    grown = {"labgrown": labgrown, "labgrown_type": "CVD" if labgrown else None}
    offer = make_offer(
        price=said.cost_cents,
        shape=said.shape,
        carats=carat,
        certNumber=said.certificate_number,
        **grown,
    )
    return to_json(offer | {"id": said.offer_id})


def nivoda_file(said: Said, *, labgrown: bool) -> bytes:
    row = {
        "stock_id": None, "diamond_id": said.offer_id, "reportno": said.certificate_number,
        "shape": said.shape, "carats": said.carat, "col": "E", "clar": "VS1", "cut": "EX",
        "pol": "EX", "symm": "VG", "flo": "NON", "length": "6.55", "width": "6.52",
        "height": "4.02", "depth": "61.5", "table": "57", "girdle": "MED - STK",
        "price": None, "deliveredprice": dollars(said.cost_cents), "lab": "GIA",
        "mindeliverydays": "6", "maxdeliverydays": "9", "country": "IN",
        "labgrowntype": "CVD" if labgrown else None,
    }  # fmt: skip
    return _row(row)


def idex(said: Said, *, labgrown: bool) -> bytes:
    columns = next(iter(LAYOUTS["labgrown" if labgrown else "natural"].values()))
    row: dict[str, str | None] = {key: _IDEX.get(key) for key in keys_of(columns)}
    row |= {
        "item_id": said.offer_id,
        "cut": None if said.shape is None else said.shape.title(),
        "carat": said.carat,
        "total_price": dollars(said.cost_cents),
        "certificate_number": said.certificate_number,
    }
    return _row(row)


def partner(said: Said) -> bytes:
    row = {"sku": said.offer_id, "shape": said.shape, "weight": said.carat}
    return _row(row | {"price": dollars(said.cost_cents), "cert": said.certificate_number})


def erp(said: Said) -> bytes:
    document = {"id": said.offer_id, "stone": {"shape": said.shape, "ct": said.carat}}
    return json.dumps(
        document | {"cents": said.cost_cents, "paper": said.certificate_number}
    ).encode()


def dollars(cents: int | None) -> str | None:
    if cents is None:
        return None
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _row(fields: dict[str, str | None]) -> bytes:
    """A CSV row as it lands: every value is text, a missing one is empty."""
    return to_json({key: value or "" for key, value in fields.items()})


EXAMPLES: dict[str, Example] = {
    "nivoda-natural": lambda said: nivoda(said, labgrown=False),
    "nivoda-labgrown": lambda said: nivoda(said, labgrown=True),
    "nivoda-file-natural": lambda said: nivoda_file(said, labgrown=False),
    "nivoda-file-fancy": lambda said: nivoda_file(said, labgrown=False),
    "nivoda-file-labgrown": lambda said: nivoda_file(said, labgrown=True),
    "idex-natural": lambda said: idex(said, labgrown=False),
    "idex-labgrown": lambda said: idex(said, labgrown=True),
}

# Feeds that a shop would name in its FACET_FEEDS_FILE: one of each format.
LOCAL: dict[str, tuple[Feed, Example]] = {
    "partner": (
        as_feed(
            "partner",
            LocalFeed(
                directory=Path("/nowhere"),
                kind="natural",
                columns={
                    "offer_id": "SKU",
                    "shape": "Shape",
                    "carat": "Weight",
                    "cost": "Price",
                    "certificate_number": "Cert",
                },
            ),
        ),
        partner,
    ),
    "erp": (
        as_feed(
            "erp",
            LocalFeed(
                directory=Path("/nowhere"),
                kind="labgrown",
                format="ndjson",
                files="*.ndjson",
                columns={
                    "offer_id": "id",
                    "shape": "stone.shape",
                    "carat": "stone.ct",
                    "cost_cents": "cents",
                    "certificate_number": "paper",
                },
            ),
        ),
        erp,
    ),
}
