"""Dead letters with all they need, replays, closing counts, and who leads the stewards."""

from pathlib import Path

from alembic import op

from sql import run_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))


def downgrade() -> None:
    """Letters of unknown tasks and what else is new are forgotten."""
    op.execute("DELETE FROM dead_letters WHERE reason = 'unknown_task'")
    op.execute("""
        DROP TABLE leaders;
        DROP FUNCTION work_payload(bigint);
        DROP INDEX one_open_letter_an_item, one_open_letter_a_message;
        DROP INDEX dead_letters_by_run, runs_replayed;
        ALTER TABLE dead_letters
            DROP COLUMN payload, DROP COLUMN digest,
            DROP CONSTRAINT message_has_digest,
            DROP CONSTRAINT known_reason,
            ADD CONSTRAINT known_reason CHECK (reason IN
                ('permanent', 'attempts', 'worker_lost', 'bug', 'bad_message'));
        ALTER TABLE work_items DROP COLUMN first_failed_at;
        ALTER TABLE partitions DROP COLUMN recounted;
        ALTER TABLE runs
            DROP CONSTRAINT complete_takes_no_replay, DROP COLUMN replayed_at, DROP COLUMN note;
        """)
