"""What the shell completes: names of feeds and runs. Where nothing runs, nothing is offered."""

from typing import Annotated

import typer

from shared.errors import FacetError

RUNS_MAX = 30


def feeds(incomplete: str) -> list[str]:
    """Feeds whose name begins so."""
    from shared.feeds import known  # noqa: PLC0415  other completions need no adapters

    try:
        return [name for name in known() if name.startswith(incomplete)]
    except FacetError:
        return []


def runs(incomplete: str) -> list[tuple[str, str]]:
    """The latest runs whose id begins so, with what they are."""
    from cli import system  # noqa: PLC0415  the same
    from shared.db import transaction  # noqa: PLC0415
    from sql import query  # noqa: PLC0415

    try:
        with transaction(system.engine()) as tx:
            rows = (
                tx.execute(query("list_runs"), {"feed": None, "limit": RUNS_MAX}).mappings().all()
            )
    except FacetError:
        return []
    found = [(str(r["run_id"])[:8], f"{r['feed']}, {r['state']}") for r in rows]
    return [one for one in found if one[0].startswith(incomplete)]


Feed = Annotated[
    str, typer.Argument(help="The feed, such as `nivoda-natural`.", autocompletion=feeds)
]
