"""What the supplier says of a stone, field by field, from the stone's columns.

A field is a function from a batch of rows to one value a row, so that a page costs some array
lookups and not a call for each field of each item. `items.py` puts the fields together.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from simulator import certificates, identity, make, words
from simulator.companies import COMPANIES, Company
from simulator.shelf import Rows, Shelf
from simulator.shown import BITS
from simulator.switches import DeadMedia, StoneSwitch

MEDIA = "https://media.example"

Values = list[Any]
Field = Callable[["Batch"], Values]


class Batch:
    """Some rows of a shelf; what several fields need is computed once."""

    def __init__(self, shelf: Shelf, rows: Rows) -> None:
        self.shelf = shelf
        self.rows = rows

    def take(self, column: str) -> NDArray[Any]:
        return self.shelf.columns[column][self.rows]

    def codes(self, column: str) -> list[int]:
        return self.take(column).tolist()  # type: ignore[no-any-return]

    @cached_property
    def bits(self) -> list[int]:
        """64 random bits a stone, the same for ever."""
        salt = self.shelf.naming.salt
        return [identity.bits(serial, salt) for serial in self.codes("serial")]

    @cached_property
    def ids(self) -> list[str]:
        pairs = zip(self.codes("key"), self.bits, strict=True)
        return [identity.uuid(key, word) for key, word in pairs]

    @cached_property
    def certificates(self) -> list[int]:
        """The serials of the certificates: their own, but for twins."""
        return self.codes("certificate" if "certificate" in self.shelf.columns else "serial")

    @cached_property
    def certificate_bits(self) -> list[int]:
        """The bits behind what offers of one certificate share."""
        if "certificate" not in self.shelf.columns:
            return self.bits
        return [identity.bits(serial, self.shelf.naming.salt) for serial in self.certificates]

    @cached_property
    def media_urls(self) -> list[str]:
        """Where the media of each stone are."""
        if not self.shelf.media_url_dead:
            return [MEDIA] * len(self.rows)
        dead = self.touched(DeadMedia)
        return [self.shelf.media_url_dead if one else MEDIA for one in dead]

    def touched(self, switch: type[StoneSwitch]) -> list[bool]:
        """Which of the stones a switch has hit."""
        if "touched" not in self.shelf.columns:
            return [False] * len(self.rows)
        return (self.take("touched") & BITS[switch]).astype(bool).tolist()  # type: ignore[no-any-return]

    @cached_property
    def numbers(self) -> list[str]:
        columns = (self.certificates, self.codes("lab"), self.codes("company"))
        return [certificates.number(self.shelf, *stone) for stone in zip(*columns, strict=True)]

    @cached_property
    def companies(self) -> list[Company]:
        return [COMPANIES[code] for code in self.codes("company")]

    def has(self, media: int) -> list[bool]:
        return (self.take("media") & media).astype(bool).tolist()  # type: ignore[no-any-return]


def constant(value: object) -> Field:
    return lambda b: [value] * len(b.rows)


def _column(name: str) -> Field:
    return lambda b: b.codes(name)


def _word(name: str, vocabulary: Sequence[Any]) -> Field:
    return lambda b: [vocabulary[code] for code in b.codes(name)]


def _company(get: Callable[[Company], Any]) -> Field:
    return lambda b: [get(company) for company in b.companies]


def _number(name: str, scale: int, style_bit: int, *, zero: str | None = "0") -> Field:
    """A decimal as text: bare, with two places or with six, as the stone's bits will have it.

    scale  of the column: 10 for tenths
    zero   what a zero is written as; None is null
    """

    def text(value: int, word: int) -> str | None:
        style = word >> style_bit & 3
        if not value:
            return zero
        if style == 3:
            return f"{value / scale:.6f}"
        return f"{value / scale:.2f}" if style == 2 else f"{value / scale:g}"

    return lambda b: [text(*pair) for pair in zip(b.codes(name), b.certificate_bits, strict=True)]


def _by_bits(choices: Sequence[object], shift: int) -> Field:
    """One of the choices, even and fixed for each stone."""
    return lambda b: [choices[(word >> shift) % len(choices)] for word in b.certificate_bits]


def _link(media: int, pattern: str) -> Field:
    """A media link, null where the stone lacks it. The pattern may use `id` and `number`."""
    return lambda b: [
        url + pattern.format(id=stone_id, number=number) if there else None
        for url, there, stone_id, number in zip(
            b.media_urls, b.has(media), b.ids, b.numbers, strict=True
        )
    ]


def _offer_ids(b: Batch) -> Values:
    return [identity.OFFER_PREFIX + stone_id for stone_id in b.ids]


def _canadian(b: Batch) -> Values:
    return [code == words.ORIGINS.code("CANADA") for code in b.codes("origin")]


def _certificate_ids(b: Batch) -> Values:
    return [
        identity.uuid(certificates.key(b.shelf, serial), word, version=5)
        for serial, word in zip(b.certificates, b.certificate_bits, strict=True)
    ]


_IMAGE = _link(make.IMAGE, "/still/{id}.jpg")
_VIDEO = _link(make.VIDEO, "/diamond/{number}/video/500/500")
_V360 = _link(make.V360, "/360/{id}/index.html")
_EYE_CLEAN = _word("eye_clean", words.EYE_CLEAN.words)
_NO_OR_NULL = ("No", None)
_TINTS: dict[str, Field] = {
    "brown": _word("brown", words.TINGES.words),
    "green": _word("green", words.TINGES.words),
    "blue": _by_bits(_NO_OR_NULL, 3),
    "gray": _by_bits(_NO_OR_NULL, 4),
    "milky": _word("milky", words.TINGES.words),
    "bowtie": _by_bits((None, None, "No", None), 5),
}
_FULL_SHAPES = tuple(
    "Round Brilliant" if shape == "ROUND" else (shape or "").title() for shape in words.SHAPES.words
)

# Family → field → values. A family is a type of the schema, but that images and videos are two.
FIELDS: dict[str, dict[str, Field]] = {
    "DiamondItem": {
        "id": _offer_ids,
        "price": _column("price"),
        "discount": _column("discount"),
        "markup_price": _column("price"),
        "markup_discount": _column("discount"),
        "diamond_price": lambda b: [price * 98 // 100 for price in b.codes("price")],
    },
    "Diamond": {
        "id": lambda b: b.ids,
        "OrderItemId": constant(None),
        "HoldId": constant(None),
        "NivodaStockId": lambda b: [f"N{key:010d}" for key in b.codes("key")],
        "supplierStockId": constant(None),
        "availability": _word("availability", words.AVAILABILITY.words),
        "CertificateType": _word("lab", words.LABS.words),
        "image": _IMAGE,
        "video": _VIDEO,
        "supplier_video_link": constant(None),
        **_TINTS,
        "other": _by_bits(_NO_OR_NULL, 6),
        "eyeClean": _EYE_CLEAN,
        "mine_of_origin": _word("origin", words.ORIGINS.words),
        "canada_mark_eligible": _canadian,
        "forever_mark_eligible": constant(value=False),
        "approval_type": _by_bits(("FULL", None, None, "INTERNAL"), 7),
        "final_price": constant(value=True),
        "inclusions": constant(()),
        "show_measurements": constant(value=True),
        "show_certificate_number": constant(value=True),
        "return_window": _company(lambda company: 7 if company.accept_returns else None),
        "location": _company(lambda company: company.country),
        "scs_certificate": constant(None),
        "country_of_polishing": _by_bits((None, "India", None, None), 9),
    },
    "Certificate": {
        "id": _certificate_ids,
        "lab": _word("lab", words.LABS.words),
        "certNumber": lambda b: b.numbers,
        "pdfUrl": _link(make.PDF, "/cert/{number}.pdf"),
        "masked_pdf_url": constant(None),
        "image": _IMAGE,
        "video": _VIDEO,
        "shape": _word("shape", words.SHAPES.words),
        "fullShape": _word("shape", _FULL_SHAPES),
        "carats": lambda b: (b.take("carat") / 100).tolist(),
        "color": _word("color", words.COLORS),
        "f_color": _word("fancy_color", words.FANCY_COLORS.words),
        "f_intensity": _word("fancy_intensity", words.FANCY_INTENSITIES.words),
        "f_overtone": _word("fancy_overtone", words.FANCY_OVERTONES.words),
        "colorShade": _by_bits((None, None, None, "None"), 11),
        "clarity": _word("clarity", words.CLARITIES),
        "cut": _word("cut", words.GRADES),
        "polish": _word("polish", words.FINISHES.words),
        "symmetry": _word("symmetry", words.FINISHES.words),
        "length": _number("length", 100, 0),
        "width": _number("width", 100, 2),
        "depth": _number("depth", 100, 4),
        "depthPercentage": _number("depth_percent", 10, 6),
        "table": _number("table_percent", 10, 8),
        "crownAngle": _number("crown_angle", 10, 10, zero=None),
        "crownHeight": _number("crown_height", 10, 12, zero=None),
        "pavAngle": _number("pavilion_angle", 10, 14, zero=None),
        "pavHeight": _number("pavilion_depth", 10, 16, zero=None),
        "pavDepth": _number("pavilion_depth", 10, 18, zero=None),
        "starLength": _number("star_length", 10, 20, zero=None),
        "lowerGirdle": _number("lower_girdle", 10, 22, zero=None),
        "girdle": _word("girdle", words.GIRDLES.words),
        "culetSize": _word("culet", words.CULETS.words),
        "girdleCondition": _by_bits(("Faceted", None, None, "Polished"), 13),
        "culet_condition": constant(None),
        "cut_style": constant(None),
        "mix_tinge": constant(None),
        "eyeclean": _EYE_CLEAN,
        "floInt": _word("fluorescence", words.FLUORESCENCE.words),
        "floCol": _word("fluorescence_color", words.FLUORESCENCE_COLORS.words),
        "keyToSymbols": _word("symbols", words.SYMBOLS.words),
        "comments": _by_bits((None, None, "Additional clouds are not shown.", "null"), 15),
        "verified": constant(None),
        "inclusions": constant(()),
        "labgrown": _word("labgrown", words.TRUTH),
        "labgrown_type": _word("growth", words.GROWTH.words),
        "treated": _word("treated", words.TRUTH),
        "country_of_origin": _word("origin", words.ORIGINS.words),
        "canada_mark_eligible": _canadian,
        **_TINTS,
    },
    "V360Info": {
        "id": lambda b: b.ids,
        "url": _V360,
        "frame_count": _by_bits((256, 128, 64), 17),
        "renumbered": constant(value=False),
        "top_index": _by_bits((None, "0", "12"), 19),
        "dl_link": constant(None),
    },
    "DeliveryTime": {
        "express_timeline_applicable": lambda b: b.take("express").astype(bool).tolist(),
        "min_business_days": _column("days_min"),
        "max_business_days": _column("days_max"),
    },
    "Company": {
        "id": _company(lambda company: company.id),
        "name": _company(lambda company: company.name),
        "legal_name": _company(lambda company: company.legal_name),
        "accept_returns": _company(lambda company: company.accept_returns),
        "accept_holds": constant(value=True),
    },
    "Location": {
        "id": _company(lambda company: company.id[::-1]),
        "name": _company(lambda company: f"{company.name}, {company.city}"),
        "country": _company(lambda company: company.country),
        "city": _company(lambda company: company.city),
        "state": _company(lambda company: company.state),
        "postalCode": constant(None),
        "address1": constant(None),
        "address2": constant(None),
    },
    "Image": {
        "id": lambda b: b.ids,
        "url": _IMAGE,
        "loupe360_url": constant(None),
        "type": constant("IMAGE"),
        "display_index": constant(0),
    },
    "Video": {
        "id": lambda b: b.ids,
        "url": _VIDEO,
        "loupe360_url": _V360,
        "type": constant("VIDEO"),
        "display_index": constant(0),
    },
}
