"""Whether a snapshot feed still is what its adapter relies on: one file is taken and looked at."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

from shared.errors import SupplierRefused
from shared.feeds.base import Mapped, SnapshotSource
from shared.feeds.health import Finding, Health

FILE = "the file"
SAMPLE_OFFERS = 1_000
REJECTED_SHARE_MAX = 0.1  # dirt is normal; more of it is a column that means something else now


def check(source: SnapshotSource, map_offers: Callable[[Sequence[bytes]], Mapped]) -> Health:
    """Take the file once and map its first SAMPLE_OFFERS rows.

    Raises SupplierUnavailable, SupplierBusy and BrokerUnavailable, which say nothing of it.
    """
    try:
        with source.take(lambda: None) as snapshot:
            payloads = [offer.payload for offer in islice(snapshot.offers(), SAMPLE_OFFERS)]
    except SupplierRefused as error:
        return Health([Finding(FILE, "answer", "breaks", str(error))])
    if not payloads:
        return Health([Finding(FILE, "answer", "breaks", f"{snapshot.name} holds no offer")])
    rejected = map_offers(payloads).rejected
    if rejected.height <= REJECTED_SHARE_MAX * len(payloads):
        return Health([])
    reasons = Counter(rejected["reason"].to_list()).most_common()
    says = [
        f"{count:,} of {len(payloads):,} rows are rejected as {reason}, such as "
        f"{rejected.filter(rejected['reason'] == reason)['detail'][0]}"
        for reason, count in reasons
    ]
    return Health([Finding(FILE, "answer", "breaks", one) for one in says])
