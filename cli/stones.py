"""`facet stone …`: one stone, and why it has its price."""

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from cli import system
from cli.output import Json, data, emit, money, say, table
from shared.db import transaction
from shared.errors import NotNow
from sql import query

app = typer.Typer(no_args_is_help=True, help="Look at stones.")

Stone = Annotated[
    str,
    typer.Argument(help="Stone id, offer id, the supplier's stone id, or certificate number."),
]


@app.command()
def show(stone: Stone, json: Json = False) -> None:
    """One stone: what it is, its price, why it has it, and every price it had."""
    from consolidator import rulesets  # noqa: PLC0415  half a second that other commands need not wait for
    from shared.stone import STONE_COLUMNS  # noqa: PLC0415  the same

    with transaction(system.engine()) as tx:
        found = find(tx, stone)
        values = {"stone_id": found["stone_id"]}
        changes = [dict(r) for r in tx.execute(query("price_changes_of_stone"), values).mappings()]
        ruleset = rulesets.load(tx, found["ruleset_id"])
    why = ruleset.engine.explain({name: found[name] for name in ("feed", *STONE_COLUMNS)})
    if json:
        emit(found | {"why": why.to_json(), "price_changes": changes})
        return
    table(("", ""), [(k.replace("_", " "), v) for k, v in found.items() if v is not None])
    say("")
    data.print(why.to_text(), markup=False)
    say("")
    table(
        ("changed", "price", "cost", "rule", "cause", "by"),
        [
            (
                c["changed_at"],
                money(c["new_price_cents"], c["price_currency"]),
                money(c["new_cost_cents"], c["cost_currency"]),
                f"{c['ruleset_id']}: {c['rule']}",
                c["cause"],
                str(c["run_id"])[:8] if c["run_id"] else c["actor"],
            )
            for c in changes
        ],
        right=("price", "cost"),
    )


def find(tx: Connection, wanted: str) -> dict[str, Any]:
    """The one stone of that id. Raises NotNow for none and for several."""
    number = int(wanted) if wanted.isdecimal() and len(wanted) < 19 else None
    values = {"id": wanted, "stone_id": number}
    rows = tx.execute(query("find_stones"), values).all()
    exact = [row for row in rows if row.stone_id == number] or rows
    if not exact:
        raise NotNow(f"there is no stone {wanted!r}", hint="`facet status`")
    if len(exact) > 1:
        ids = ", ".join(str(row.stone_id) for row in exact)
        raise NotNow(f"several stones are {wanted!r}", hint=f"one of `facet stone show {ids}`")
    return dict(tx.execute(query("stone"), {"stone_id": exact[0].stone_id}).mappings().one())
