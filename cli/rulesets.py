"""`facet ruleset …`: what prices the stones."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from cli import system
from cli.output import BAD_USAGE, Json, ago, emit, fail, say, table
from shared.db import transaction
from sql import query

app = typer.Typer(no_args_is_help=True, help="Pricing rules: activate, list.")


@app.command()
def activate(
    file: Annotated[Path, typer.Argument(help="A ruleset file; see docs/pricing.md.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")],
    json: Json = False,
) -> None:
    """Check a ruleset file, keep it, and price by it from the next fold on."""
    from consolidator import rulesets  # noqa: PLC0415  half a second that other commands need not wait for

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {file}: {error}", hint="name a readable ruleset file", code=BAD_USAGE)
    with transaction(system.engine()) as tx:
        actor = getpass.getuser()
        ruleset_id = rulesets.add(tx, text, source=str(file), author=actor)
        changed = rulesets.activate(tx, ruleset_id, actor=actor, reason=reason)
    if json:
        emit({"ruleset_id": ruleset_id, "activated": changed})
    else:
        say(f"ruleset {ruleset_id} {'is active now' if changed else 'was active already'}")


@app.command("list")
def list_rulesets(json: Json = False) -> None:
    """All rulesets, the active one first."""
    with transaction(system.engine()) as tx:
        rows = tx.execute(query("list_rulesets")).mappings().all()
    if json:
        for row in rows:
            emit(dict(row))
        return
    table(
        ("id", "name", "state", "imported", "author"),
        [
            (r["ruleset_id"], r["name"], r["state"], ago(r["imported_at"]), r["author"])
            for r in rows
        ],
    )
