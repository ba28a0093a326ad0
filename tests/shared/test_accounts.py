"""The account behind each feed, and that no secret prints."""

import pytest

from shared.errors import BadSettings
from shared.feeds import FEEDS
from shared.settings import Settings, load

GIVEN = {
    "FACET_NIVODA_URL": "https://nivoda.example/api",
    "FACET_NIVODA_USERNAME": "ana",
    "FACET_NIVODA_PASSWORD": "hush-nivoda",
    "FACET_IDEX_API_KEY": "hush-key",
    "FACET_IDEX_API_SECRET": "hush-secret",
    "FACET_NIVODA_FILE_NATURAL_URL": "https://files.example/hush-natural",
    "FACET_NIVODA_FILE_FANCY_URL": "https://files.example/hush-fancy",
    "FACET_NIVODA_FILE_LABGROWN_URL": "https://files.example/hush-labgrown",
}


@pytest.mark.parametrize("feed", FEEDS)
def test_every_feed_has_an_account_and_says_what_it_misses(feed: str) -> None:
    account = load(GIVEN).supplier(feed)
    assert "hush" in account.password.get_secret_value()
    with pytest.raises(BadSettings, match=r"FACET_\w+ not set|FACET_\w+, ") as raised:
        load().supplier(feed)
    assert feed in str(raised.value)


@pytest.mark.parametrize("feed", FEEDS)
def test_no_secret_prints(feed: str) -> None:
    given = load(GIVEN)
    for shown in (repr(given), repr(given.supplier(feed)), str(given.supplier(feed))):
        assert "hush" not in shown


def test_the_files_of_one_supplier_share_one_limit_and_are_asked_rarely() -> None:
    given = load(GIVEN)
    natural, grown = given.supplier("idex-natural"), given.supplier("idex-labgrown")
    assert (natural.account, grown.account) == ("idex", "idex")
    assert natural.requests_per_s == 1
    assert natural.timeout_s == Settings.model_fields["file_timeout_s"].default


def test_a_feed_of_local_files_needs_no_account() -> None:
    assert load().supplier("partner-natural").account == "partner-natural"
