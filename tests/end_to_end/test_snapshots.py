"""Whole runs of feeds that say everything at once: the catalogue is what the oracle says."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine

from cli.embedded.servers import Servers
from shared.errors import NotNow, SupplierUnavailable
from shared.feeds import snapshot
from shared.feeds.base import RawOffer, Snapshot, SnapshotSource, SupplierSettings
from simulator import file_rows
from simulator.stock import Stock
from tests.builders import rows
from tests.end_to_end.catalogue import assert_exact, assert_untouched, marks
from tests.end_to_end.conftest import EXAMPLE, Activate, StartSupplier, settings
from tests.end_to_end.pipeline import Pipeline
from tests.end_to_end.shop import Active
from tests.end_to_end.supplier import Supplier
from tests.oracle import file_reading
from tests.oracle.oracle import NOTHING, Catalogue, Offered, after_run, at_our_prices

SIZE = 200


class Form(NamedTuple):
    """A supplier's file on the oracle's side."""

    labgrown: bool
    header: tuple[str, ...]
    row: Callable[[file_rows.Item], list[str]]
    read: Callable[..., Mapping[str, Any]]
    id_column: str


FORMS = {
    "idex-natural": Form(
        False, file_rows.NATURAL, file_rows.natural, file_reading.idex, "Item ID #"
    ),
    "idex-labgrown": Form(
        True, file_rows.LABGROWN, file_rows.labgrown, file_reading.idex, "Item ID"
    ),
    "nivoda-file-natural": Form(
        False, file_rows.NIVODA, file_rows.nivoda, file_reading.nivoda, "diamond_id"
    ),
    "nivoda-file-labgrown": Form(
        True, file_rows.NIVODA, file_rows.nivoda, file_reading.nivoda, "diamond_id"
    ),
}


class FileShop(NamedTuple):
    """A pipeline over one feed of files, the supplier, and the prices."""

    feed: str
    pipeline: Pipeline
    supplier: Supplier
    active: Active

    def has(self, time: int = 0, *, known: Catalogue = NOTHING) -> Offered:
        """What the file of that time holds, at our prices."""
        form = FORMS[self.feed]
        stock = Stock.at(SIZE, SIZE, self.supplier.seed, time)
        said = [
            dict(zip(form.header, form.row(item), strict=True))
            for item in file_rows.available(stock.shelf(form.labgrown))
        ]
        reading = partial(form.read, kind="labgrown" if form.labgrown else "natural")
        there = [(row[form.id_column], row) for row in said]
        ruleset_id, rules = self.active
        return at_our_prices(there, reading, rules, ruleset_id, feed=self.feed, known=known)

    def run(self) -> dict[str, Any]:
        return self.pipeline.run(self.feed)

    def switch(self, **faults: Any) -> None:
        """Switch faults on; `bad_file={}` is `bad-file`."""
        named = {name.replace("_", "-"): options for name, options in faults.items()}
        httpx.post(f"{self.supplier.control}/faults", json=named).raise_for_status()


MakeFileShop = Callable[..., FileShop]


@pytest.fixture
def make_file_shop(
    engine: Engine, servers: Servers, moving: StartSupplier, activate: Activate
) -> Iterator[MakeFileShop]:
    client = redis.Redis.from_url(str(servers.redis_url))
    made: list[Pipeline] = []

    def make(feed: str = "idex-natural") -> FileShop:
        supplier = moving(SIZE, 3)
        pipeline = Pipeline(
            engine, settings(partition_offers_max=40), account(feed, supplier), client
        )
        made.append(pipeline)
        return FileShop(feed, pipeline, supplier, activate(EXAMPLE))

    yield make
    for pipeline in made:
        pipeline.edge.close()
    client.close()


def account(feed: str, supplier: Supplier) -> SupplierSettings:
    """An account of the test's own at the simulator's suppliers of files."""
    base = supplier.control.removesuffix("/control")
    secret = "facet"
    if feed.startswith("nivoda-file-"):
        which = feed.removeprefix("nivoda-file-")
        secret = base + supplier.state()["nivoda_files"][which]
    return SupplierSettings(
        account=f"test-{uuid4()}",
        url=f"{base}/onsite/api",
        username="facet",
        password=SecretStr(secret),
        timeout_s=20,
    )


def snapshots(engine: Engine) -> list[dict[str, Any]]:
    statement = "SELECT s.* FROM snapshots AS s JOIN runs AS r USING (run_id) ORDER BY r.opened_at"
    return rows(engine, statement)


@pytest.mark.parametrize("feed", FORMS)
def test_a_file_becomes_exactly_what_it_says_and_again_only_what_changed(
    engine: Engine, make_file_shop: MakeFileShop, feed: str
) -> None:
    shop = make_file_shop(feed)
    first = shop.run()
    assert (first["state"], first["reason"]) == ("complete", None)
    before = after_run(NOTHING, shop.has())
    assert_exact(engine, first, before)
    assert len(before.catalogue) > SIZE / 2
    assert first["landed"] == first["offers"] == first["counted"] == len(shop.has().ids())
    assert len(rows(engine, "SELECT * FROM partitions")) > 1

    stood = marks(engine, feed)
    same = shop.run()
    assert (same["state"], same["written"], same["price_changes"]) == ("complete", 0, 0)
    assert marks(engine, feed) == stood
    assert snapshots(engine)[-1]["same_as"] == first["run_id"]

    shop.supplier.advance(2)
    third = shop.run()
    assert third["state"] == "complete"
    assert snapshots(engine)[-1]["same_as"] is None
    after = after_run(before.catalogue, shop.has(2, known=before.catalogue))
    assert_exact(engine, third, after)
    assert_untouched(stood, marks(engine, feed), after.touched)
    assert after.delisted
    assert {item["kind"] for item in shop.pipeline.work()} == {"plan", "fetch", "fold", "reconcile"}


@pytest.mark.parametrize(
    ("faults", "state", "reason"),
    [
        ({"empty-200": {}}, "partial", "suspiciously empty: 0 offers"),
        ({"short-file": {}}, "partial", "suspiciously empty: "),
        ({"truncated": {}}, "failed", "broken archive"),
        ({"two-files": {}}, "failed", "in place of one CSV file"),
        ({"layout": {"how": "removed"}}, "failed", "no total_price"),
        ({"json-error": {"status": 401}}, "failed", "answered 401, code 32110"),
        ({"json-error": {"status": 200, "code": 2001}}, "failed", "answered 200, code 2001"),
        ({"json-error": {"times": 1}}, "complete", None),
        ({"reset": {"times": 1, "halfway": True}}, "complete", None),
        ({"throttle": {"times": 1, "retry_after": "absent"}}, "complete", None),
        ({"slow": {"ms": 300}}, "complete", None),
        ({"header": {}}, "complete", None),
        ({"layout": {"how": "added"}}, "complete", None),
        ({"stale": {}}, "complete", None),
    ],
    ids=str,
)
def test_a_bad_file_ends_its_run_by_name_and_takes_nothing_off_sale(
    engine: Engine,
    make_file_shop: MakeFileShop,
    faults: dict[str, Any],
    state: str,
    reason: str | None,
) -> None:
    shop = make_file_shop()
    assert shop.run()["state"] == "complete"
    stood = marks(engine, shop.feed)
    shop.switch(**faults)
    run = shop.run()
    assert run["state"] == state, run["reason"]
    if reason is None:
        assert run["reason"] is None
    else:
        assert reason in run["reason"]
    assert marks(engine, shop.feed) == stood
    assert shop.supplier.state()["faults"][next(iter(faults))] >= 1


def test_rows_that_are_broken_are_rejected_by_name_and_the_others_are_stones(
    engine: Engine, make_file_shop: MakeFileShop
) -> None:
    shop = make_file_shop()
    now = shop.has()
    some = {"probability": 0.1}
    shop.switch(ragged=some, encoding=some, no_prices=some, wrong_kind=some)
    run = shop.run()
    assert run["state"] == "complete"
    assert run["landed"] == len(now.ids())
    stones = rows(engine, "SELECT offer_id, cost_cents FROM diamonds WHERE on_sale")
    costs = {one["offer_id"]: one["cost_cents"] for one in stones}
    assert all(now.stones[offer_id]["cost_cents"] == cost for offer_id, cost in costs.items())
    refused = rows(engine, "SELECT offer_id, reason, detail FROM rejected_offers")
    assert len(refused) + len(costs) == run["landed"]
    assert {row["reason"] for row in refused} >= {"broken", "no_price", "wrong_kind"}
    details = {row["detail"] for row in refused if row["reason"] == "broken"}
    assert details == {"33 fields in place of 36", "bytes that are no UTF-8 text"}
    assert all(row["offer_id"] for row in refused)


def test_a_file_that_changed_after_a_crash_is_read_anew(
    engine: Engine, make_file_shop: MakeFileShop
) -> None:
    shop = make_file_shop()
    before = after_run(NOTHING, shop.has())
    assert shop.run()["state"] == "complete"
    shop.supplier.advance(2)
    shop.pipeline.snapshots = lambda feed: Breaking(
        snapshot(feed).open(shop.pipeline.supplier, shop.pipeline.edge), row=60
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.download.PAGE_OFFERS", 20)
        patch.setattr("shared.ledger.delay_s", lambda *_: 0.0)
        run_id = shop.pipeline.start(shop.feed)
        shop.pipeline.drain("plan")
        (message,) = shop.pipeline.due("fetch")
        assert shop.pipeline.deliver("fetch", message) == "due"
        assert len(rows(engine, "SELECT FROM raw_offers AS r JOIN partitions AS p USING"
                        " (partition_id) WHERE p.run_id = :id", id=run_id)) == 60  # fmt: skip
        shop.supplier.advance(2)
        shop.pipeline.snapshots = lambda feed: snapshot(feed).open(
            shop.pipeline.supplier, shop.pipeline.edge
        )
        shop.pipeline.drain()
    run = shop.pipeline.row(run_id)
    assert run["state"] == "complete", run["reason"]
    now = shop.has(4, known=before.catalogue)
    assert run["landed"] == len(now.ids())
    assert_exact(engine, run, after_run(before.catalogue, now))


def test_there_is_no_incremental_run_of_a_snapshot(make_file_shop: MakeFileShop) -> None:
    shop = make_file_shop()
    assert shop.run()["state"] == "complete"
    with pytest.raises(NotNow, match="whole list every time") as refused:
        shop.pipeline.start(shop.feed, "incremental")
    assert "facet run start idex-natural" in refused.value.hint


def test_a_run_leaves_the_secrets_nowhere(
    engine: Engine, make_file_shop: MakeFileShop, capfd: pytest.CaptureFixture[str]
) -> None:
    shop = make_file_shop("nivoda-file-natural")
    secret = shop.pipeline.supplier.password.get_secret_value().rsplit("/", 1)[1]
    shop.switch(server_error={"html": True})
    shop.run()
    shop.switch(server_error=None, empty_200={})
    held = rows(engine, "SELECT last_error FROM work_items WHERE last_error IS NOT NULL")
    assert held
    assert "the URL of Nivoda's file answered 503" in held[0]["last_error"]
    said = capfd.readouterr()
    assert secret not in str(held) + said.out + said.err


class Breaking:
    """A source whose snapshot cannot be read past a row."""

    def __init__(self, real: SnapshotSource, *, row: int) -> None:
        self._real = real
        self._row = row

    @contextmanager
    def take(self, alive: Callable[[], None]) -> Iterator[Snapshot]:
        with self._real.take(alive) as taken:
            yield Torn(taken, self._row)

    def requests(self) -> int:
        return self._real.requests()

    def close(self) -> None:
        self._real.close()


class Torn:
    """A snapshot that cannot be read past a row."""

    def __init__(self, real: Snapshot, row: int) -> None:
        self.name, self.checksum = real.name, real.checksum
        self.size_bytes, self.offers_about = real.size_bytes, real.offers_about
        self._real = real
        self._row = row

    def offers(self) -> Iterator[RawOffer]:
        yield from islice(self._real.offers(), self._row)
        raise SupplierUnavailable("gone")
