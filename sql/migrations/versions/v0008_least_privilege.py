"""Room is made for roles that own no table."""

from pathlib import Path

from alembic import op

from sql import run_script

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))


def downgrade() -> None:
    """Only the owner makes room again."""
    op.execute("ALTER FUNCTION make_room(date) SECURITY INVOKER RESET search_path")
    op.execute("GRANT EXECUTE ON FUNCTION make_room(date) TO PUBLIC")
