"""`facet run diff`: what is different from one run of a feed to a later one."""

from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
from sqlalchemy import Connection

from cli import completing, system
from cli.output import BAD_USAGE, DIFFERENT, SAME, Json, emit, fail, money, say, table, text
from shared import runs
from shared.db import transaction
from shared.errors import FacetError
from sql import query

COUNTS = (
    *("state", "kind", "counted", "landed", "offers", "rejected", "inserted", "changed"),
    *("unchanged", "delisted", "price_changes", "requests"),
)
RESULTS = ("state", "offers", "rejected")  # the others say how a run came to its result

Run = Annotated[
    str, typer.Argument(help="A run's id, or its beginning.", autocompletion=completing.runs)
]


def diff(
    run_a: Run,
    run_b: Run,
    limit: Annotated[int, typer.Option(min=0, help="Show at most so many stones of a kind.")] = 10,
    json: Json = False,
) -> None:
    """Compare two ended runs of a feed: counts, stones added and removed, prices changed.

    \b
    Examples:
      facet run diff 9a271c73 d0ac29f2
      facet run diff 9a27 d0ac --json --limit 1000

    The earlier run goes first, whichever is named first. A price is compared as it was at the end
    of each run, whatever changed it. Exit 0: the same stones at the same prices, and ended alike;
    1: different; 2: they cannot be compared.
    """
    try:
        with transaction(system.engine()) as tx:
            found = compare(tx, run_a, run_b, limit=limit)
    except FacetError as error:
        fail(error, code=BAD_USAGE)
    if json:
        emit(found)
    else:
        show(found)
    raise SystemExit(SAME if found["same"] else DIFFERENT)


def compare(tx: Connection, run_a: str, run_b: str, *, limit: int) -> dict[str, Any]:
    """The differences. Raises NotNow; ends the command where two runs cannot be compared."""
    ids = {runs.find(tx, run_a), runs.find(tx, run_b)}
    if len(ids) < 2:
        _refuse("a run is the same as itself", "`facet run list` for another one")
    pair = sorted((_row(tx, run_id) for run_id in ids), key=lambda row: row["opened_at"])
    first, second = pair
    if first["feed"] != second["feed"]:
        _refuse(
            f"{first['feed']} and {second['feed']} are two feeds",
            f"`facet run list --feed {first['feed']}`",
        )
    for row in pair:
        if row["finished_at"] is None:
            short = str(row["run_id"])[:8]
            _refuse(f"run {short} is still {row['state']}", f"`facet run watch {short}`")
    offers = _offers(tx, first["run_id"], second["run_id"], limit)
    values = {"first": first["run_id"], "second": second["run_id"], "feed": first["feed"]}
    # One row at least: it has the counts.
    moved = tx.execute(query("diff_prices"), values | {"limit": max(limit, 1)}).mappings().all()
    counted = ("stones", "risen", "fallen")
    prices = {name: moved[0][name] if moved else 0 for name in counted}
    counts = {name: [first[name], second[name]] for name in COUNTS}
    alike = all(first[name] == second[name] for name in RESULTS) and not second["delisted"]
    return {
        "feed": first["feed"],
        "runs": [str(row["run_id"]) for row in pair],
        "same": alike and not prices["stones"] and not offers["added"] and not offers["removed"],
        "counts": counts,
        **offers,
        "prices_changed": prices["stones"],
        "prices_risen": prices["risen"],
        "prices_fallen": prices["fallen"],
        "changes": [
            {name: value for name, value in row.items() if name not in counted}
            for row in moved[:limit]
        ],
    }


def _offers(tx: Connection, first: UUID, second: UUID, limit: int) -> dict[str, Any]:
    """What only one of the two saw; None where the raw offers of one are gone."""
    for run_id in (first, second):
        seen = tx.execute(query("run_seen"), {"run_id": run_id}).one()
        if seen.kept < seen.landed:
            return dict.fromkeys(("added", "removed", "some_added", "some_removed"))
    values = {"first": first, "second": second, "limit": limit}
    sides = {row.added: row for row in tx.execute(query("diff_offers"), values)}
    return {
        "added": sides[True].offers if True in sides else 0,
        "removed": sides[False].offers if False in sides else 0,
        "some_added": sides[True].some or [] if True in sides else [],
        "some_removed": sides[False].some or [] if False in sides else [],
    }


def show(found: dict[str, Any]) -> None:
    """The differences, for people."""
    first, second = (one[:8] for one in found["runs"])
    say(f"{found['feed']}, from run {first} to run {second}")
    rows = [(name.replace("_", " "), *pair) for name, pair in found["counts"].items()]
    table(("", first, second), rows, right=(first, second))
    if found["added"] is None:
        say("added and removed: unknown, the raw offers of one of them are gone by now")
    else:
        rows = [("added", offer) for offer in found["some_added"]]
        rows += [("removed", offer) for offer in found["some_removed"]]
        if rows:
            table(("", "offer"), rows)
        say(f"{found['added']:,} stones added, {found['removed']:,} removed")
    if found["changes"]:
        table(
            ("stone", "before", "after", "rule"),
            [
                (
                    str(one["stone_id"]),
                    money(one["before_cents"], one["before_currency"]),
                    money(one["after_cents"], one["after_currency"]),
                    one["rule"],
                )
                for one in found["changes"]
            ],
            right=("before", "after"),
        )
    say(
        f"{text(found['prices_changed'])} prices changed: {found['prices_risen']:,} risen, "
        f"{found['prices_fallen']:,} fallen"
    )


def _row(tx: Connection, run_id: UUID) -> dict[str, Any]:
    row = tx.execute(query("run_progress"), {"run_id": run_id}).mappings().one()
    return dict(row)


def _refuse(problem: str, hint: str) -> NoReturn:
    fail(problem, hint=hint, code=BAD_USAGE)
