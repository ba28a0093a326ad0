"""`facet limit …`: how many requests a supplier's account may send, and how many it does."""

import getpass
from typing import Annotated, Any

import typer

from cli import suppliers, system
from cli.acts import Because, per_second
from cli.output import BAD_USAGE, Json, emit, fail, say, table
from cli.suppliers import Which
from shared import orders
from shared.db import transaction
from shared.limits import RATE_MIN, Limiter
from shared.orders import Orders

app = typer.Typer(no_args_is_help=True, help="Limits of suppliers' accounts: show, set.")


@app.command()
def show(
    which: Annotated[str | None, typer.Argument(help="An account or a feed; default: all.")] = None,
    json: Json = False,
) -> None:
    """What each account may send, what it may at present, and what it does.

    \b
    Examples:
      facet limit show
      facet limit show nivoda-natural --json

    `at present` is less than the limit after the supplier complained; it grows back in two minutes.
    """
    wanted = suppliers.known() if which is None else [suppliers.find(which)]
    known = suppliers.ordered()
    with suppliers.client() as client:
        rows = [_row(suppliers.limiter(client, one), one, known.get(one.name)) for one in wanted]
    if json:
        for row in rows:
            emit(row)
        return
    columns = ("account", "limit", "at present", "1 s", "1 min", "under way", "burst", "set by")
    table(
        columns,
        [
            (
                r["account"],
                _per_s(r["nominal_per_s"]),
                _per_s(r["rate_per_s"]),
                r["in_last_second"],
                r["in_last_minute"],
                f"{r['in_flight']}/{r['in_flight_max'] or '–'}",
                r["burst"],
                r["set_by"],
            )
            for r in rows
        ],
        right=columns[1:-1],
    )


def _row(limit: Limiter, account: suppliers.Account, order: Orders | None) -> dict[str, Any]:
    is_set = order is not None and (order.rate_per_s or order.burst or order.in_flight_max)
    return {
        "account": account.name,
        "feeds": account.feeds,
        **limit.standing()._asdict(),
        "setting_per_s": account.bounds.requests_per_s,
        "set_by": order.set_by if order and is_set else "settings",
    }


@app.command("set")
def set_limit(
    which: Which,
    rate: Annotated[str, typer.Argument(help="Such as 10/s or 300/min; `default`: the setting's.")],
    because: Because,
    burst: Annotated[
        int | None, typer.Option(min=1, help="Requests at once after a pause, within the rate.")
    ] = None,
    in_flight: Annotated[
        int | None, typer.Option(min=1, max=200, help="Requests under way at once.")
    ] = None,
    above: Annotated[
        bool, typer.Option("--above", help="Allow more than the setting, which the supplier gave.")
    ] = False,
    json: Json = False,
) -> None:
    """Set an account's limit for all processes, at once and without a restart, until set again.

    \b
    Examples:
      facet limit set nivoda 10/s --because "they asked us to go easy until Monday"
      facet limit set nivoda default --because "Monday"

    The feeds of an account share its limit. Kept in the database and audited.
    """
    account = suppliers.find(which)
    wanted = wanted_rate(rate)
    setting = account.bounds.requests_per_s
    if wanted is not None and setting is not None and wanted > setting and not above:
        fail(
            f"{wanted:g} a second is more than the {setting:g} of the settings",
            hint="--above, where the supplier allows it",
            code=BAD_USAGE,
        )
    with transaction(system.engine()) as tx:
        order = orders.set_limit(
            tx,
            account.name,
            rate_per_s=wanted,
            burst=burst,
            in_flight_max=in_flight,
            actor=getpass.getuser(),
            reason=because,
        )
    with suppliers.client() as client:
        told = suppliers.tell(client, order)
    now = wanted if wanted is not None else setting
    if json:
        emit({"account": account.name, "feeds": account.feeds, "rate_per_s": now, "told": told})
        return
    limit = "no limit" if now is None else f"{now:g} requests a second"
    say(f"{account.name} ({', '.join(account.feeds)}): {limit}")
    say(f"  next: `facet limit show {account.name}`")


def wanted_rate(text: str) -> float | None:
    """A rate as it is written, in requests a second; None for `default`. Ends the command where it
    is none or too little."""
    if text == "default":
        return None
    wanted = per_second(text)
    if wanted < RATE_MIN:
        fail(
            f"{text!r} is less than {RATE_MIN:g} a second",
            hint="to stop all calls: `facet breaker open ACCOUNT --because TEXT`",
            code=BAD_USAGE,
        )
    return wanted


def _per_s(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:.3g}/s"
