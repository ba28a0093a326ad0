"""Snapshots: the file behind a run."""

from pathlib import Path

from alembic import op

from sql import run_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))


def downgrade() -> None:
    """As it was before."""
    op.execute("DROP TABLE snapshots")
