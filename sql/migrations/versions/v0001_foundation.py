"""The ledger, runs, raw offers, rulesets and the catalogue."""

from pathlib import Path

from alembic import op

from sql import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))


def downgrade() -> None:
    """Nothing was there before."""
    op.execute("DROP SCHEMA public CASCADE")
    op.execute("CREATE SCHEMA public")
