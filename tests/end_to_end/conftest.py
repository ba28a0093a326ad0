"""A pipeline of its own for every test, and suppliers that tests share while they stand still."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine

from cli.embedded.servers import Servers
from consolidator import reprices, rulesets
from shared.db import transaction
from shared.feeds.base import SupplierSettings
from shared.settings import Settings, load
from tests.builders import rows
from tests.end_to_end import supplier as simulated
from tests.end_to_end.pipeline import Pipeline
from tests.end_to_end.shop import Active, Shop
from tests.end_to_end.supplier import Supplier
from tests.oracle import oracle

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ruleset.yaml"
RULES = Path(__file__).parent / "rules"

StartSupplier = Callable[..., Supplier]
MakePipeline = Callable[..., Pipeline]
Activate = Callable[..., Active]
MakeShop = Callable[..., Shop]


@pytest.fixture(scope="session")
def still() -> Iterator[StartSupplier]:
    """Starts suppliers that no test may move; the same one again for the same stock."""
    with ExitStack() as stack:
        known: dict[tuple[int, int], Supplier] = {}

        def start(size: int, seed: int) -> Supplier:
            if (size, seed) not in known:
                known[size, seed] = stack.enter_context(simulated.running(size, seed))
            return known[size, seed]

        yield start


@pytest.fixture
def moving() -> Iterator[StartSupplier]:
    """Starts suppliers that are the test's own."""
    with ExitStack() as stack:
        yield lambda size, seed, *flags: stack.enter_context(simulated.running(size, seed, *flags))


@pytest.fixture
def make_pipeline(engine: Engine, servers: Servers) -> Iterator[MakePipeline]:
    """Builds pipelines over the test's database; settings as in the environment."""
    assert servers.redis_url is not None
    client = redis.Redis.from_url(servers.redis_url)
    made: list[Pipeline] = []

    def make(supplier: Supplier, **wanted: object) -> Pipeline:
        pipeline = Pipeline(engine, settings(**wanted), account_at(supplier), client)
        made.append(pipeline)
        return pipeline

    yield make
    for pipeline in made:
        pipeline.edge.close()
    client.close()


@pytest.fixture
def activate(engine: Engine) -> Activate:
    """Makes a ruleset file the one that prices; without a reprice, folds alone bring its prices."""

    def make_active(path: Path, *, reprice: bool = False) -> Active:
        with transaction(engine) as tx:
            source = path.read_text(encoding="utf-8")
            ruleset_id = rulesets.add(tx, source, source=path.name, author="ana")
            rulesets.activate(tx, ruleset_id, actor="ana", reason="a test")
            if not reprice and rows(engine, "SELECT FROM diamonds LIMIT 1"):
                reprices.cancel(tx, actor="ana", reason="a test")
        return Active(ruleset_id, oracle.load(path))

    return make_active


@pytest.fixture
def make_shop(make_pipeline: MakePipeline, activate: Activate) -> MakeShop:
    """Builds shops that price by the example ruleset."""

    def make(supplier: Supplier, **wanted: object) -> Shop:
        return Shop(make_pipeline(supplier, **wanted), supplier, activate(EXAMPLE))

    return make


def account_at(supplier: Supplier) -> SupplierSettings:
    """An account of the test's own: its limit and breaker are nobody else's."""
    return SupplierSettings(
        account=f"test-{uuid4()}",
        url=supplier.url,
        username="facet",
        password=SecretStr("facet"),
        timeout_s=20,
    )


def settings(**wanted: object) -> Settings:
    return load({f"FACET_{name.upper()}": str(value) for name, value in wanted.items()})
