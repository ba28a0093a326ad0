"""What we say to Nivoda: the GraphQL texts, and a slice as the supplier's filter. Pure."""

from datetime import UTC, datetime
from typing import Any

from shared.feeds.base import Slice, Slicing

PAGE_SIZE = 50
OFFSET_MAX = 50_000

# Both ends of a range must be given, so an open top is asked as the largest number there is:
# of GraphQL's Int for prices, and for carats one far above any stone.
PRICE_USD_MAX = 2**31 - 1
CARAT_MAX = 100_000.0
UPDATED_MAX = datetime(2100, 1, 1, tzinfo=UTC)

SHAPES = (
    "ROUND", "OVAL", "EMERALD", "PEAR", "MARQUISE", "PRINCESS", "CUSHION", "CUSHION B",
    "CUSHION BRILLIANT", "CUSHION MODIFIED", "RADIANT", "SQUARE RADIANT", "ASSCHER", "ASCHER",
    "SQUARE EMERALD", "HEART", "TRILLIANT", "OLD MINER", "OLD EUROPEAN", "EUROPEAN",
    "EUROPEAN CUT", "ROSE", "KITE", "SHIELD", "BAGUETTE", "TAPERED BAGUETTE", "HALF MOON",
    "HALFMOON", "TRAPEZOID", "TRAPEZE", "BULLET", "LOZENGE", "BRIOLETTE", "FLANDERS", "FAN",
    "PRAD", "SQUARE", "RECTANGLE", "RECTANGULAR", "TRIANGULAR", "TETRAGONAL", "PENTAGONAL",
    "HEXAGONAL", "HEPTAGONAL", "OCTAGONAL", "NONAGONAL", "ROUND MODIFIED BRILLIANT",
    "PEAR MODIFIED BRILLIANT", "OVAL MIXED CUT", "OTHER",
)  # fmt: skip
LABS = (
    "GIA", "IGI", "HRD", "GCAL", "IIDGR", "SGL", "EGL", "AGS", "NONE", "LAB", "STOCKID", "OTHER",
    "GGL", "DSEF", "CDC", "FGL", "GRS", "AGL", "ICL", "AGTL", "EMTEEM", "GTL", "GUBELIN", "RGL",
    "TGL", "AIGS", "LOTUS", "SSEF", "ZG", "GSI", "ALGT", "WISE",
)  # fmt: skip

SLICING = Slicing(
    page_size=PAGE_SIZE,
    depth=OFFSET_MAX,
    touching=True,
    price_unit="USD per carat",
    shapes=SHAPES,
    labs=LABS,
)

LOGIN = """query Login($username: String!, $password: String!) {
  authenticate { username_and_password(username: $username, password: $password) { token expires } }
}"""

COUNT = "query Count($query: DiamondQuery) { diamonds_by_query_count(query: $query) }"

PAGE = """query Page($query: DiamondQuery, $offset: Int, $limit: Int, $order: DiamondOrder) {
  diamonds_by_query(query: $query, offset: $offset, limit: $limit, order: $order) {
    items {
      id price discount markup_price
      diamond {
        id availability image video eyeClean brown green milky mine_of_origin
        supplier { id name }
        delivery_time { express_timeline_applicable min_business_days max_business_days }
        certificate {
          id lab certNumber pdfUrl shape carats
          color f_color f_intensity f_overtone clarity cut polish symmetry floInt floCol
          length width depth depthPercentage table girdle culetSize
          labgrown labgrown_type treated country_of_origin
        }
      }
    }
  }
}"""

# Creation is the one order that a change of price does not disturb while we page.
ORDER = {"type": "createdAt", "direction": "ASC"}


def filters(part: Slice, *, labgrown: bool) -> dict[str, Any]:
    """A slice as a `DiamondQuery`.

    Ranges include both ends and prices are not whole, so a half-open range is asked with its high
    end: neighbours touch, and an offer on the edge comes twice. A Slice is never inverted.
    """
    wanted: dict[str, Any] = {"labgrown": labgrown, "availability": ["AVAILABLE"]}
    if part.price is not None:
        low, high = part.price
        wanted["dollar_per_carat"] = {"from": low, "to": PRICE_USD_MAX if high is None else high}
    if part.carat is not None:
        low, high = part.carat
        top = CARAT_MAX if high is None else high / 100
        wanted["sizes"] = [{"from": low / 100, "to": top}]
    if part.shapes is not None:
        wanted["shapes"] = list(part.shapes)
    if part.labs is not None:
        wanted["certificate_lab"] = list(part.labs)
    if part.updated_from is not None:
        wanted["updated"] = {"from": _iso(part.updated_from), "to": _iso(UPDATED_MAX)}
    return wanted


def _iso(moment: datetime) -> str:
    """In UTC, to the millisecond below."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
