"""`facet stone …`: one stone, why it has its price, and every price it had."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import from_json
from sqlalchemy import Connection

from cli import system
from cli.output import BAD_USAGE, COULD_NOT, DONE, Json, data, emit, fail, money, say, table, text
from shared.db import transaction
from shared.errors import NotNow
from sql import query

if TYPE_CHECKING:
    from consolidator.pricing.explain import Explanation

CHANGES_SHOWN = 10

app = typer.Typer(no_args_is_help=True, help="Look at stones.")

Stone = Annotated[
    str,
    typer.Argument(help="Stone id, offer id, the supplier's stone id, or certificate number."),
]


@app.command()
def show(stone: Stone, json: Json = False) -> None:
    """One stone: what it is, its price, why it has it, and the latest prices it had.

    \b
    Examples:
      facet stone show 17
      facet stone show 2141438167
    """
    with transaction(system.engine()) as tx:
        found = find(tx, stone)
        changes = price_changes(tx, found["stone_id"], limit=CHANGES_SHOWN)
        why = explanation(tx, found)
    if json:
        emit(found | {"why": why.to_json(), "price_changes": changes})
        return
    table(("", ""), [(k.replace("_", " "), v) for k, v in found.items() if v is not None])
    say("")
    data.print(why.to_text(), markup=False)
    say("")
    draw(changes)


@app.command()
def history(
    stone: Stone,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest.")] = 100,
    json: Json = False,
) -> None:
    """Every change of one stone's price: when, from what to what, by which rule, and why.

    \b
    Examples:
      facet stone history 17
    """
    with transaction(system.engine()) as tx:
        changes = price_changes(tx, find(tx, stone)["stone_id"], limit=limit)
    if json:
        for change in changes:
            emit(change)
        return
    draw(changes)


@app.command()
def explain(
    stone: Annotated[str, typer.Argument(help="As for `show`; or - for a stone as JSON on stdin.")],
    ruleset: Annotated[
        str | None,
        typer.Option(help="Another one, by id or checksum; default: that which priced it."),
    ] = None,
    json: Json = False,
) -> None:
    """Why a stone has its price: each step of the chain, its rule, and what earlier rules missed.

    \b
    Examples:
      facet stone explain 17
      facet stone explain 17 --ruleset 4
      facet stone explain - < stone.json

    A stone on stdin need not exist; it is priced by the active ruleset unless another is named. It
    is one object such as {"kind": "natural", "carat": "1.01", "shape": "ROUND", "cost_cents":
    250000, "cost_currency": "USD"}. Exit 1 where it has no price.
    """
    from consolidator import rulesets  # noqa: PLC0415  half a second that other commands need not wait for

    given = read_stone() if stone == "-" else None
    with transaction(system.engine()) as tx:
        wanted = rulesets.find(tx, ruleset) if ruleset else None
        if given is not None:
            pricing = rulesets.load(tx, wanted) if wanted else rulesets.active(tx)
            why = pricing.explain(given)
        else:
            why = explanation(tx, find(tx, stone), wanted)
    if json:
        emit(why.to_json())
    else:
        data.print(why.to_text(), markup=False)
    raise SystemExit(DONE if why.refusal is None else COULD_NOT)


def read_stone() -> dict[str, Any]:
    """The one JSON object on stdin, or an error and out."""
    try:
        given = from_json(sys.stdin.read())
    except ValueError as error:
        fail(f"not readable as JSON: {error}", hint="`facet stone explain --help`", code=BAD_USAGE)
    if not isinstance(given, dict):
        fail("one JSON object is needed", hint="`facet stone explain --help`", code=BAD_USAGE)
    return given


def explanation(
    tx: Connection, found: dict[str, Any], ruleset_id: int | None = None
) -> "Explanation":
    """Why a stone has its price; with a ruleset, the price it would get now. Raises NotNow.

    A stone that a reprice refused is explained by what prices now: that refuses it.
    """
    from consolidator import rulesets  # noqa: PLC0415  half a second that other commands need not wait for
    from consolidator.pricing.fields import PRESENT_PRICE  # noqa: PLC0415  the same
    from shared.stone import STONE_COLUMNS  # noqa: PLC0415  the same

    values = {name: found[name] for name in ("feed", *STONE_COLUMNS)}
    if ruleset_id is None and found["off_sale_reason"] != "refused":
        # The price that was present before is not known any more; that price has passed its guards.
        made_by = rulesets.load_as_of(tx, found["ruleset_id"], found["rate_id"])
        return made_by.engine.explain(values)
    pricing = rulesets.load(tx, ruleset_id) if ruleset_id else rulesets.active(tx)
    if found["off_sale_reason"] != "delisted" and found["price_currency"] == pricing.currency:
        values[PRESENT_PRICE] = found["price_cents"]
    return pricing.explain(values)


def price_changes(tx: Connection, stone_id: int, *, limit: int) -> list[dict[str, Any]]:
    """The latest changes of a stone's price, in order."""
    values = {"stone_id": stone_id, "limit": limit}
    return [dict(row) for row in tx.execute(query("price_changes_of_stone"), values).mappings()]


def draw(changes: list[dict[str, Any]]) -> None:
    """Price changes as people read them, two lines each in 80 columns."""
    for c in changes:
        old = money(c["old_price_cents"], c["old_price_currency"] or c["price_currency"])
        new = money(c["new_price_cents"], c["price_currency"])
        cost = money(c["new_cost_cents"], c["cost_currency"])
        by = str(c["run_id"])[:8] if c["run_id"] else c["actor"]
        data.print(f"{text(c['changed_at'])}  {old} → {new}", markup=False)
        said = f"cost {cost}; {c['cause']}, by {by}; ruleset {c['ruleset_id']}: {c['rule']}"
        data.print(f"  {said}", markup=False)


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
