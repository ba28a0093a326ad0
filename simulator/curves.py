"""What a stone of either kind costs per carat: a rank in the stock becomes a price.

Natural follows the published quantiles of the supplier's stock; below its 5th percentile no
figure exists, so a floor of 100 USD a carat is chosen. Of lab-grown stones two figures are known:
85.6 % lie under 250 USD a carat and 4.0 % between 180 and 209. The rest of that curve is made up;
it runs smoothly through the two, with its middle near 118.

Between two knots the price is linear in its logarithm.
"""

import numpy as np
from numpy.typing import NDArray

# (share of the stones below, USD per carat)
NATURAL = (
    (0.0, 100),
    (0.05, 364),
    (0.10, 566),
    (0.25, 883),
    (0.50, 1_439),
    (0.75, 2_542),
    (0.90, 4_852),
    (0.95, 7_302),
    (0.99, 14_928),
    (0.9953, 20_000),
    (0.9995, 50_000),
    (1.0, 100_000),
)
LABGROWN = (
    (0.0, 40),
    (0.04, 60),
    (0.17, 80),
    (0.35, 100),
    (0.515, 120),
    (0.635, 140),
    (0.715, 160),
    (0.763, 180),
    (0.803, 209),
    (0.856, 250),
    (0.900, 300),
    (0.945, 400),
    (0.975, 600),
    (0.992, 1_000),
    (0.999, 2_000),
    (1.0, 6_000),
)

# Suppliers quote part of the lab-grown stones in whole dollars a carat. How large a part is not
# known; it makes one stone lie on the shared edge of two touching ranges.
LABGROWN_WHOLE_DOLLARS = 0.10

_CURVES = {
    labgrown: (np.array([u for u, _ in knots]), np.log([usd for _, usd in knots]))
    for labgrown, knots in ((False, NATURAL), (True, LABGROWN))
}


def usd_per_carat(share: NDArray[np.float64], *, labgrown: bool) -> NDArray[np.float64]:
    """The price per carat below which `share` (0..1) of the stones lie."""
    shares, logs = _CURVES[labgrown]
    return np.exp(np.interp(share, shares, logs))


def list_price(
    carat: NDArray[np.int64], color: NDArray[np.uint8], clarity: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """USD per carat of an invented list, which the offers' discounts refer to.

    A plain formula, so that discounts look like discounts; it copies no published list.

    carat    hundredths
    color    0 for D, one up a grade; at most 10 counts
    clarity  0 for FL, one up a grade
    """
    log = 9.4 + 0.85 * np.log(carat / 100) - 0.13 * np.minimum(color, 10) - 0.17 * clarity
    return np.exp(log)
