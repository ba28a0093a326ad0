"""`facet db roles`: the database's roles, each allowed what its processes do and no more."""

from typing import Annotated

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from cli import system
from cli.output import Json, emit, say
from shared import db
from shared.db import transaction
from shared.errors import NotNow
from sql import roles as granted

DENIED = "42501"


def roles(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the statements; change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Make the roles of least privilege and grant each what it does. Safe to run again.

    \b
    Examples:
      facet db roles
      facet db roles --dry-run | psql "$DATABASE"

    Six groups without a login: facet_scheduler, facet_worker, facet_consolidator, facet_operator,
    facet_readonly, and facet_migrate, which owns the tables. The user that runs this needs
    CREATEROLE the first time, never more. Then make a login of each, such as `CREATE ROLE ana LOGIN
    PASSWORD '…' IN ROLE facet_operator`, and name it in FACET_DATABASE_URL_SCHEDULER and so on.
    """
    engine = system.owner_engine()
    db.require_schema(engine)
    if dry_run:
        with transaction(engine) as tx:
            planned = _planned(tx)
        if json:
            emit({"statements": planned})
        else:
            typer.echo("\n".join(["BEGIN;", *(f"{one};" for one in planned), "COMMIT;"]))
        return
    try:
        with transaction(engine) as tx:
            absent = granted.missing(tx)
            before = granted.deviations(tx)
            for statement in granted.create(absent):
                tx.exec_driver_sql(statement)
            for statement in list(granted.hand_over(tx)):
                tx.exec_driver_sql(statement)
            granted.grant(tx)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != DENIED:
            raise
        raise NotNow(
            f"this user may not: {str(error.orig).strip().splitlines()[0]}",
            hint="`facet db roles --dry-run` prints what its administrator must run",
        ) from error
    if json:
        emit({"created": absent, "mended": before})
    else:
        say(f"roles made: {', '.join(absent)}" if absent else "the roles are there")
        say(f"{len(before)} privileges put right" if before else "each may do what it does")


def _planned(tx: Connection) -> list[str]:
    created = granted.create(granted.missing(tx))
    return [*created, *granted.hand_over(tx), *granted.grants(tx)]
