"""A small part of what the campaign does with the same machine for 100,000 steps."""

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.shared.ledger_machine import LedgerMachine

STEPS = 30
EXAMPLES = 15


def test_the_ledger_is_what_its_model_says_whatever_the_broker_and_late_holders_do(
    engine: Engine,
) -> None:
    LedgerMachine.engine = engine
    run_state_machine_as_test(
        seed(1)(LedgerMachine),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert LedgerMachine.steps > EXAMPLES * STEPS / 4
