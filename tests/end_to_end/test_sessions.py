"""Nothing of a session outlives a transaction: a pooler may hand the next one to another."""

from typing import Any

import redis
from sqlalchemy import event

from cli.embedded.servers import Servers
from consolidator import rulesets
from shared import db
from shared.db import transaction
from tests.end_to_end.conftest import EXAMPLE, RULES, StartSupplier, account_at, settings
from tests.end_to_end.pipeline import Pipeline

LEFT = """
    SELECT 'prepared ' || name FROM pg_prepared_statements
     UNION ALL SELECT 'listens to ' || name FROM pg_listening_channels() AS name
     UNION ALL SELECT 'holds ' || locktype FROM pg_locks
                WHERE pid = pg_backend_pid() AND locktype = 'advisory'
     UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE name <> ''
     UNION ALL SELECT 'set ' || name FROM pg_settings WHERE source = 'session'
     UNION ALL SELECT 'table ' || relname FROM pg_class
                WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'
"""
# Empty at each commit, and made again where a connection has none.
KNOWN = {"table staged_stones", "table staged_prices"}


def test_a_whole_run_and_a_reprice_leave_nothing_in_any_session(
    database_url: str, servers: Servers, still: StartSupplier
) -> None:
    engine = db.connect(database_url, pool_size=4, pooled=True)
    left: set[str] = set()
    looked = []

    def look(connection: Any, _record: Any) -> None:
        left.update(row[0] for row in connection.execute(LEFT).fetchall())
        looked.append(connection.info.backend_pid)
        connection.rollback()

    event.listen(engine, "checkin", look)
    client = redis.Redis.from_url(str(servers.redis_url))
    pipeline = Pipeline(engine, settings(), account_at(still(400, 3)), client)
    for path in (EXAMPLE, RULES / "dearer.yaml"):
        with transaction(engine) as tx:
            source = path.read_text(encoding="utf-8")
            ruleset_id = rulesets.add(tx, source, source=path.name, author="ana")
            rulesets.activate(tx, ruleset_id, actor="ana", reason="a test")
        assert pipeline.run("nivoda-natural")["state"] == "complete"
    pipeline.edge.close()
    client.close()
    engine.dispose()
    assert left <= KNOWN
    assert len(looked) > 50
