"""Retention, archive, and what a restore compares."""

from pathlib import Path

from alembic import op

from sql import run_script

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))


def downgrade() -> None:
    """Records of what was dropped and archived would be lost."""
    raise NotImplementedError("restore a backup")
