"""The migrations lead to sql/schema.sql, and the code knows which schema it needs."""

import pytest
from sqlalchemy import Engine, text

from shared import db
from shared.db import transaction
from shared.errors import DatabaseUnavailable, OldSchema
from shared.stone import STONE_COLUMNS
from tests.builders import rows
from tests.sql.schema import SCHEMA, dump


def test_migrations_lead_to_the_schema_file(database_url: str, engine: Engine) -> None:
    assert dump(database_url) == SCHEMA.read_text(encoding="utf-8"), "run `make schema`"


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    assert db.migrate(engine) == (db.versions()[-1], db.versions()[-1])


def test_the_catalogue_has_every_canonical_column(engine: Engine) -> None:
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'diamonds'"
    assert set(STONE_COLUMNS) <= {row["column_name"] for row in rows(engine, columns)}


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("DELETE FROM alembic_version", "at schema none, this release needs"),
        ("UPDATE alembic_version SET version_num = 'f00d'", "f00d, which this release does not"),
    ],
)
def test_another_schema_is_refused_with_the_command_that_helps(
    engine: Engine, version: str, sentence: str
) -> None:
    db.require_schema(engine)
    with transaction(engine) as tx:
        tx.execute(text(version))
    with pytest.raises(OldSchema, match=sentence) as caught:
        db.require_schema(engine)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("oldest", "runs"), [(db.versions()[-1], True), ("0001", True), ("9998", False)]
)
def test_code_runs_on_a_later_schema_that_says_it_serves_it(
    engine: Engine, oldest: str, runs: bool
) -> None:
    """Between migrating and restarting, the processes of the release before may start again."""
    with transaction(engine) as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        tx.execute(text("UPDATE schema_serves SET oldest = :oldest"), {"oldest": oldest})
    if runs:
        db.require_schema(engine)
    else:
        with pytest.raises(OldSchema, match="9999, which this release does not know"):
            db.require_schema(engine)


def test_a_database_that_is_down_is_a_sentence_without_its_password() -> None:
    engine = db.connect("postgresql+psycopg://facet:hush-hush@127.0.0.1:9/facet")
    with pytest.raises(DatabaseUnavailable) as caught:
        db.require_schema(engine)
    assert "hush-hush" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
