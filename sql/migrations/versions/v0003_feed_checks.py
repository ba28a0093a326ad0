"""What checks of suppliers' contracts found, and a run's closing count."""

from pathlib import Path

from alembic import op

from sql import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))


def downgrade() -> None:
    """The checks and the closing counts are forgotten."""
    op.execute("ALTER TABLE runs DROP COLUMN recounted")
    op.execute("DROP TABLE feed_checks")
