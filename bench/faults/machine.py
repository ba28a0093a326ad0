"""The ledger's state machine (tests/shared/ledger_machine.py) for as many steps as one asks for."""

import time
import traceback

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from cli.embedded.servers import temporary_servers
from shared import db
from tests.shared.ledger_machine import LedgerMachine

STEPS_A_CHUNK = 2_000
STEPS_AN_EXAMPLE = 50


def chunk(wanted: int, number: int) -> tuple[int, str | None]:
    """At least `wanted` steps of the machine, by a seed; how many, and what went wrong if any."""
    with temporary_servers(broker=False) as servers:
        engine = db.connect(str(servers.database_url), pool_size=4)
        db.migrate(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER DATABASE facet SET synchronous_commit = off")
        engine.dispose()
        LedgerMachine.engine, LedgerMachine.steps = engine, 0
        part = 0
        try:
            while LedgerMachine.steps < wanted:
                part += 1
                run_state_machine_as_test(
                    seed(1_000 * number + part)(LedgerMachine),
                    settings=settings(
                        max_examples=20,
                        stateful_step_count=STEPS_AN_EXAMPLE,
                        deadline=None,
                        database=None,
                        phases=[Phase.generate],
                        suppress_health_check=list(HealthCheck),
                    ),
                )
        except Exception:  # noqa: BLE001  whatever it is, it is what the machine found
            return LedgerMachine.steps, traceback.format_exc(limit=-3)
        finally:
            engine.dispose()
        return LedgerMachine.steps, None


def measured(wanted: int, number: int) -> tuple[int, float, str | None]:
    """The same, with the seconds it took."""
    started = time.monotonic()
    steps, problem = chunk(wanted, number)
    return steps, time.monotonic() - started, problem
