"""`facet breaker …`: whether an account's supplier is called at all."""

import getpass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli import suppliers, system
from cli.acts import Because, seconds
from cli.output import Json, emit, say, span, table
from cli.suppliers import Which
from shared import orders
from shared.breaker import Breaker
from shared.db import transaction
from shared.orders import Orders

app = typer.Typer(no_args_is_help=True, help="Breakers of suppliers' accounts: show, open, close.")


@app.command()
def show(
    which: Annotated[str | None, typer.Argument(help="An account or a feed; default: all.")] = None,
    json: Json = False,
) -> None:
    """Whether each account's supplier is called; who stopped it and why.

    \b
    Examples:
      facet breaker show
      facet breaker show nivoda --json

    `open` by itself: it failed too often in a row, and one call tries again after the cooldown.
    `stopped`: by hand.
    """
    wanted = suppliers.known() if which is None else [suppliers.find(which)]
    known = suppliers.ordered()
    with suppliers.client() as client:
        rows = [look(suppliers.breaker(client, one), one, known.get(one.name)) for one in wanted]
    if json:
        for row in rows:
            emit(row)
        return
    table(
        ("account", "state", "since", "opened", "feeds"),
        [
            (
                r["account"],
                r["state"],
                span(r["since_s"]),
                f"{r['openings']} times",
                ", ".join(r["feeds"]),
            )
            for r in rows
        ],
    )
    for row in rows:
        if row["stopped_reason"]:
            say(
                f"{row['account']} was stopped by {row['set_by']}: {row['stopped_reason']}; "
                f"`facet breaker close {row['account']} --because TEXT` lets it go on"
            )


def look(breaker: Breaker, account: suppliers.Account, order: Orders | None) -> dict[str, Any]:
    """How an account's breaker stands. Raises BrokerUnavailable."""
    state, stop = breaker.state(), breaker.stopped()
    since_s = state.open_s if state.name != "closed" else None
    by_hand = stop is not None and order is not None and order.stopped_at is not None
    if by_hand and order and order.stopped_at:
        since_s = (datetime.now(UTC) - order.stopped_at).total_seconds()
    return {
        "account": account.name,
        "feeds": account.feeds,
        "state": "stopped" if stop else state.name,
        "since_s": since_s,
        "openings": state.openings,
        "failures_max": account.bounds.breaker_failures,
        "cooldown_s": account.bounds.breaker_cooldown_s,
        "stopped_reason": stop.reason if stop else None,
        "stopped_until": order.stopped_until if by_hand and order else None,
        "set_by": order.set_by if by_hand and order else None,
    }


@app.command("open")
def open_breaker(
    which: Which,
    because: Because,
    for_: Annotated[
        str | None,
        typer.Option("--for", help="Such as 30min or 2h; default: until it is closed by hand."),
    ] = None,
    json: Json = False,
) -> None:
    """Stop every call to a supplier, in all processes, from the next call on.

    \b
    Examples:
      facet breaker open nivoda --because "they are migrating" --for 2h
      facet breaker open nivoda-natural --because "wrong account"

    Work waits meanwhile and uses up no attempts. Kept in the database and audited.
    """
    account = suppliers.find(which)
    for_s = None if for_ is None else seconds(for_)
    with transaction(system.engine()) as tx:
        _, order = orders.stop(
            tx, account.name, for_s=for_s, actor=getpass.getuser(), reason=because
        )
    with suppliers.client() as client:
        told = suppliers.tell(client, order)
    if json:
        emit({"account": account.name, "state": "stopped", "for_s": for_s, "told": told})
        return
    say(
        f"{account.name} ({', '.join(account.feeds)}) is not called {'' if for_ else 'any more'}"
        + (f"for {for_}" if for_ else "")
    )
    say(f"  next: `facet breaker close {account.name} --because TEXT`")


@app.command()
def close(which: Which, because: Because, json: Json = False) -> None:
    """Let a supplier be called again, whether it was stopped by hand or the breaker opened itself.

    \b
    Examples:
      facet breaker close nivoda --because "they are back"

    Waiting work goes on within ten seconds. Audited.
    """
    account = suppliers.find(which)
    with suppliers.client() as client:
        breaker = suppliers.breaker(client, account)
        before = breaker.state()
        with transaction(system.engine()) as tx:
            was, order = orders.go_on(
                tx,
                account.name,
                breaker=before.name,
                actor=getpass.getuser(),
                reason=because,
            )
        told = suppliers.tell(client, order)
        breaker.close()
    was_stopped = was.stopped_reason is not None
    if json:
        emit(
            {
                "account": account.name,
                "state": "closed",
                "was_stopped": was_stopped,
                "was": before.name,
                "told": told,
            }
        )
        return
    said = "stopped by hand" if was_stopped else before.name
    say(f"{account.name} ({', '.join(account.feeds)}) is called again; it was {said}")
