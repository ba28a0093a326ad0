"""`facet rate …`: the exchange rates that prices are made with."""

import getpass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from cli import system
from cli.acts import Because
from cli.output import BAD_USAGE, Json, ago, emit, fail, say, table
from shared.db import transaction
from sql import query

app = typer.Typer(no_args_is_help=True, help="Exchange rates: set, list.")

Currency = Annotated[str, typer.Argument(help="Three capital letters, such as EUR.")]


@app.command("set")
def set_rate(
    currency: Currency,
    rate: Annotated[str, typer.Argument(help="What one unit is worth in the shop's currency.")],
    source: Annotated[str, typer.Option(help="Who says so, such as `ECB reference rate`.")],
    reason: Because,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day of the source; default: today, UTC."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only preview what it would do to the prices.")
    ] = False,
    json: Json = False,
) -> None:
    """Keep a rate as the present one, and reprice the stones by it.

    It goes before the rate of a ruleset's file, also of later rulesets.

    \b
    Examples:
      facet rate set EUR 1.1527 --source "ECB reference rate" --because "weekly update"
      facet rate set EUR 1.1527 --source ECB --because "to see" --dry-run
    """
    from cli.repricing import show_preview  # noqa: PLC0415
    from consolidator import rates, rulesets  # noqa: PLC0415  half a second that others need not wait for
    from consolidator.preview import preview  # noqa: PLC0415  the same

    worth = decimal(rate)
    day = as_of.date() if as_of else datetime.now(UTC).date()
    if day > datetime.now(UTC).date():
        fail(f"{day} is yet to come", hint="--as-of the day of the source", code=BAD_USAGE)
    engine = system.engine()
    with transaction(engine) as tx:
        active = rulesets.active(tx)
        dated = rates.checked(
            currency, worth, shop_currency=active.currency, as_of=day, source=source
        )
        if dry_run:
            active = rulesets.load(tx, active.ruleset_id, {currency: dated})
    if dry_run:
        show_preview(preview(engine, active), json=json)
        return
    with transaction(engine) as tx:
        rate_id = rates.set_rate(
            tx,
            currency,
            worth,
            shop_currency=active.currency,
            as_of=day,
            source=source,
            actor=getpass.getuser(),
            reason=reason,
        )
    if json:
        emit({"rate_id": rate_id, "currency": currency, "set": rate_id is not None})
    elif rate_id is None:
        say(f"1 {currency} was {worth} {active.currency} already")
    else:
        say(f"1 {currency} is {worth} {active.currency} now")
        say("  next: `facet ruleset status`")


@app.command("list")
def list_rates(
    currency: Annotated[str | None, typer.Option(help="Only of this currency.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 20,
    json: Json = False,
) -> None:
    """Every rate there was, the latest first. Those of ruleset files are not among them.

    \b
    Examples:
      facet rate list
      facet rate list --currency EUR --limit 100 --json
    """
    with transaction(system.engine()) as tx:
        values = {"currency": currency, "limit": limit}
        rows = tx.execute(query("list_rates"), values).mappings().all()
    if json:
        for row in rows:
            emit(dict(row))
        return
    table(
        ("id", "1", "is worth", "as of", "source", "set", "by", "now"),
        [
            (
                r["rate_id"],
                r["currency"],
                f"{r['rate'].normalize():f} {r['shop_currency']}",
                r["as_of"],
                r["source"],
                ago(r["set_at"]),
                r["set_by"],
                "yes" if r["present"] else "",
            )
            for r in rows
        ],
        right=("is worth",),
    )


def decimal(given: str) -> Decimal:
    """A number as it is written, or an error and out."""
    try:
        return Decimal(given)
    except InvalidOperation:
        fail(f"{given!r} is no number", hint="such as 1.1527", code=BAD_USAGE)
