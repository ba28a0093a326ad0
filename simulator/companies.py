"""The suppliers behind the offers: made up, with the accents and ampersands of real ones."""

from typing import NamedTuple

from simulator import identity


class Company(NamedTuple):
    id: str
    name: str
    legal_name: str | None
    country: str  # ISO 3166-1 alpha-2
    city: str
    state: str | None
    days_min: int  # business days to deliver
    days_max: int
    accept_returns: bool
    weight: float  # share of the offers


_PLACES = (
    ("IN", "Surat", "Gujarat", 6, 9),
    ("IN", "Mumbai", "Maharashtra", 5, 8),
    ("BE", "Antwerp", None, 3, 5),
    ("US", "New York", "NY", 1, 3),
    ("HK", "Hong Kong", None, 5, 7),
    ("IL", "Ramat Gan", None, 4, 7),
    ("AE", "Dubai", None, 4, 6),
    ("GB", "London", None, 2, 4),
)
_FIRST = ("Aster", "Brüder Stein", "Corvus", "Dhruv", "Éclat", "Falk & Söhne", "Gemini", "Hira")
_LAST = ("Gems", "Diamonds", "Exports", "Lab Stones", "Trading", "Jewels", "Brillanten")


def _company(n: int) -> Company:
    country, city, state, days_min, days_max = _PLACES[n % 3 if n % 2 else n % len(_PLACES)]
    name = f"{_FIRST[n % len(_FIRST)]} {_LAST[n // len(_FIRST) % len(_LAST)]}"
    word = identity.bits(n, 0xFACE7)
    return Company(
        id=identity.uuid(word >> 32, word),
        name=name,
        legal_name=f"{name} Ltd." if n % 3 else None,
        country=country,
        city=city,
        state=state,
        days_min=days_min,
        days_max=days_max,
        accept_returns=n % 4 != 0,
        weight=1 / (n + 3),  # a few large ones and a long tail
    )


COMPANIES = tuple(_company(n) for n in range(56))
