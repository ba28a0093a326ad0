"""`facet lease …`: what is held by whom, and taking it from a holder that is known to be dead."""

import getpass
from typing import Annotated

import typer

from cli import system
from cli.acts import Because, DryRun
from cli.output import Json, emit, say, table
from shared import leases
from shared.db import transaction

app = typer.Typer(no_args_is_help=True, help="What is held by whom; release what nobody works on.")


@app.command("list")
def list_leases(
    expired: Annotated[
        bool, typer.Option("--expired", help="Only leases that ran out and were not reaped yet.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    json: Json = False,
) -> None:
    """Work that is held, the lease that ends first before the others.

    \b
    Examples:
      facet lease list
      facet lease list --expired --json
    """
    with transaction(system.engine()) as tx:
        found = leases.held(tx, expired=expired, limit=limit)
    if json:
        for lease in found:
            emit(lease)
        return
    columns = ("item", "kind", "feed", "run", "part", "owner", "tries", "lease left")
    table(
        columns,
        [
            (
                lease["item_id"],
                lease["kind"],
                lease["feed"],
                str(lease["run_id"])[:8] if lease["run_id"] else None,
                lease["partition_id"],
                str(lease["owner"])[:8],
                f"{lease['attempts']}/{lease['attempts_max']}",
                f"{lease['left_s']:.0f} s" if lease["left_s"] >= 0 else "ran out",
            )
            for lease in found
        ],
        right=("item", "part", "tries", "lease left"),
    )
    if expired and found:
        say("  next: a steward reaps these within seconds; does one run? `facet status`")


@app.command()
def release(
    item: Annotated[int, typer.Argument(help="A work item's id, as `facet lease list` shows it.")],
    because: Because,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take a piece of work from its holder: it is due at once, and the attempt does not count.

    \b
    Examples:
      facet lease release 4711 --because "its host is gone"
      facet lease release 4711 --because "its host is gone" --dry-run

    A holder that is alive after all changes nothing more. Nobody has to do this: a lease that runs
    out is reaped by itself.
    """
    with transaction(system.engine()) as tx:
        if dry_run:
            before = leases.look(tx, item)
        else:
            before = leases.release(tx, item, actor=getpass.getuser(), because=because)
    if json:
        emit(before | {"released": not dry_run})
        return
    did = "would be" if dry_run else "is"
    say(f"{before['kind']} item {item} {did} taken from {str(before['owner'])[:8]} and due at once")
