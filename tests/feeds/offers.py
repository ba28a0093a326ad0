"""Offers as Nivoda says them: each test sets only what it is about."""

import itertools
from typing import Any
from uuid import UUID

from pydantic_core import to_json

serial = itertools.count(1)


def make_offer(**wanted: Any) -> dict[str, Any]:
    """A natural stone. A wanted key is put where it belongs, whichever object that is."""
    n = next(serial)
    stone_id = str(UUID(int=n))
    certificate: dict[str, Any] = {
        "id": str(UUID(int=n + 2**64)), "lab": "GIA", "certNumber": f"{6_000_000 + n}",
        "pdfUrl": f"https://media.example/cert/{n}.pdf", "shape": "ROUND", "carats": 1.06,
        "color": "E", "f_color": None, "f_intensity": None, "f_overtone": None, "clarity": "VS1",
        "cut": "ID", "polish": "EX", "symmetry": "VG", "floInt": "NON", "floCol": None,
        "length": "6.550000", "width": "6.52", "depth": "4.020000",
        "depthPercentage": "61.500000", "table": "57", "girdle": "MED - STK", "culetSize": "NON",
        "labgrown": False, "labgrown_type": None, "treated": None, "country_of_origin": None,
    }  # fmt: skip
    diamond: dict[str, Any] = {
        "id": stone_id, "availability": "AVAILABLE", "image": None,
        "video": f"https://media.example/diamond/{n}/video/500/500", "eyeClean": None,
        "brown": "No", "green": "No", "milky": None, "mine_of_origin": None,
        "supplier": {"id": str(UUID(int=7)), "name": "Example Gems"},
        "delivery_time": {
            "express_timeline_applicable": False, "min_business_days": 6, "max_business_days": 9
        },
        "certificate": certificate,
    }  # fmt: skip
    offer = {
        "id": f"DIAMOND/{stone_id}",
        "price": 20_412,
        "discount": -3_736,
        "markup_price": 20_412,
        "diamond": diamond,
    }
    nested = (offer, diamond, diamond["delivery_time"], diamond["supplier"], certificate)
    prefixed = {"stone_id": (diamond, "id"), "supplier_id": (diamond["supplier"], "id")}
    for key, value in wanted.items():
        place, name = prefixed.get(key) or (next(part for part in nested if key in part), key)
        place[name] = value
    return offer


def payload(**wanted: Any) -> bytes:
    return to_json(make_offer(**wanted))


def lab_grown(**wanted: Any) -> bytes:
    return payload(**{"labgrown": True, "labgrown_type": "CVD", "lab": "IGI"} | wanted)
