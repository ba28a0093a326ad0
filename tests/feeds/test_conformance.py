"""The same cases over every adapter there is, found through the registry."""

import pytest

from shared.feeds import FEEDS
from shared.feeds.base import Feed
from tests.feeds.conformance import CASES, Case, Example
from tests.feeds.examples import EXAMPLES, LOCAL

ALL: dict[str, tuple[Feed, Example]] = {
    **{name: (found, EXAMPLES[name]) for name, found in FEEDS.items() if name in EXAMPLES},
    **LOCAL,
}


def test_every_feed_has_an_example() -> None:
    """A new adapter gets one in tests/feeds/examples.py; docs/adding-a-feed.md says how."""
    assert EXAMPLES.keys() == FEEDS.keys()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("name", ALL)
def test_conformance(name: str, case: Case) -> None:
    case(*ALL[name])
