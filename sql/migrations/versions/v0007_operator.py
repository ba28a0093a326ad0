"""Schedules and their slots, the processes at work, what an operator set for an account."""

from pathlib import Path

from alembic import op

from sql import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))


def downgrade() -> None:
    """Schedules, the record of their slots and the limits set by hand are forgotten."""
    for table in ("schedule_slots", "schedules", "processes", "account_orders"):
        op.execute(f"DROP TABLE {table}")
