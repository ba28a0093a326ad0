"""The whole pipeline, each stage logged in as its own role, nobody of them a superuser."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from cli.embedded.servers import Servers
from consolidator import rulesets
from shared.db import transaction
from shared.ledger import Kind
from shared.queue import Wakeup
from tests.builders import rows
from tests.end_to_end.conftest import EXAMPLE, RULES, StartSupplier, account_at, settings
from tests.end_to_end.pipeline import Message, Pipeline
from tests.sql.test_roles import House, house

__all__ = ["house"]

FEED = "nivoda-natural"
ROLES: dict[Kind, str] = {
    "plan": "facet_scheduler",
    "sweep": "facet_scheduler",
    "cut": "facet_scheduler",
    "fetch": "facet_worker",
    "fold": "facet_consolidator",
    "reconcile": "facet_consolidator",
    "reprice": "facet_consolidator",
    "alert": "facet_scheduler",
}


class Separated(Pipeline):
    """Every kind of work by the role whose it is; the steward's by the scheduler's."""

    def __init__(self, logins: dict[str, Engine], *rest: Any) -> None:
        super().__init__(logins["facet_scheduler"], *rest)
        self._logins = logins

    def deliver(self, kind: Kind, message: Message) -> str:
        assert Wakeup.model_validate(message)
        steward, self.engine = self.engine, self._logins[ROLES[kind]]
        try:
            return super().deliver(kind, message)
        finally:
            self.engine = steward


@pytest.fixture
def separated(house: House, servers: Servers, still: StartSupplier) -> Iterator[Separated]:
    client = redis.Redis.from_url(str(servers.redis_url))
    made = Separated(
        house.logins, settings(partition_offers_max=150), account_at(still(400, 3)), client
    )
    yield made
    made.edge.close()
    client.close()


def test_every_stage_does_its_work_with_what_its_role_may(
    house: House, separated: Separated
) -> None:
    operator = house.logins["facet_operator"]
    for path in (EXAMPLE, RULES / "dearer.yaml"):
        with transaction(operator) as tx:
            ruleset_id = rulesets.add(
                tx, path.read_text(encoding="utf-8"), source=path.name, author="ana"
            )
            rulesets.activate(tx, ruleset_id, actor="ana", reason="a test")
        run = separated.run(FEED)
        assert (run["state"], run["reason"]) == ("complete", None)
    reader = house.logins["facet_readonly"]
    assert rows(reader, "SELECT state FROM reprices") == [{"state": "done"}]
    assert rows(reader, "SELECT 1 FROM dead_letters") == []
    causes = rows(reader, "SELECT DISTINCT cause FROM price_changes ORDER BY cause")
    assert causes == [{"cause": "activation"}, {"cause": "feed"}]
