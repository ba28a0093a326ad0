"""How much prices moved in a reprice."""

from pathlib import Path

from alembic import op

from sql import run_script

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))


def downgrade() -> None:
    """What was measured would be lost."""
    raise NotImplementedError("restore a backup")
