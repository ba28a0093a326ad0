"""`facet rejected …`: the offers that became no stone, and folding them again after a fix."""

import getpass
import re
from typing import Annotated, Any

import typer

from cli import system
from cli.acts import Because
from cli.output import BAD_USAGE, Json, ago, data, emit, fail, say, table, text
from consolidator.rejected import Wanted
from consolidator.rejected import fold_again as make_due
from consolidator.rejected import plan as plan_of
from shared import runs
from shared.db import transaction
from shared.errors import NotNow
from sql import query

UNITS_S = {"s": 1, "min": 60, "m": 60, "h": 3_600, "d": 86_400}
PARTITIONS_MAX = 1_000

app = typer.Typer(no_args_is_help=True, help="Offers that became no stone, and why.")

Feed = Annotated[str | None, typer.Option(help="Only of this feed.")]
Word = Annotated[
    str | None,
    typer.Option("--rejected-as", help="Only for this reason, a word such as `no_price`."),
]
Run = Annotated[str | None, typer.Option(help="Only of this run; its id or the beginning of it.")]
Since = Annotated[str | None, typer.Option(help="Only the last 30min, 2h, 3d …")]


@app.command("list")
def list_(
    feed: Feed = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", "--rejected-as", help="Only this one, such as `no_price`."),
    ] = None,
    run: Run = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many offers, the latest.")] = 20,
    counts: Annotated[
        bool, typer.Option("--counts", help="How many for each reason, and no offer.")
    ] = False,
    json: Json = False,
) -> None:
    """How many offers are rejected for which reason, then the latest of them.

    \b
    Examples:
      facet rejected list
      facet rejected list --counts --since 1d
      facet rejected list --feed nivoda-natural --rejected-as no_price --json

    With --json one offer a line, or with --counts one reason and feed a line.
    """
    with transaction(system.engine()) as tx:
        wanted = _wanted(feed, reason, runs.find(tx, run) if run else None, since)
        by_reason = [dict(r) for r in tx.execute(query("count_rejected"), wanted).mappings()]
        listed = tx.execute(query("list_rejected"), wanted | {"limit": 0 if counts else limit})
        offers = [dict(r) for r in listed.mappings()]
    if json:
        for one in by_reason if counts else offers:
            emit(one if counts else {"id": _name(one), **one})
        return
    table(
        ("reason", "feed", "offers", "runs", "latest"),
        [(r["reason"], r["feed"], r["offers"], r["runs"], ago(r["latest_at"])) for r in by_reason],
        right=("offers", "runs"),
    )
    if not by_reason:
        say("no offer is rejected that this asks for")
    for one in offers:
        data.print(f"\n{_name(one)}  {one['reason']}  {one['offer_id'] or 'no id'}", markup=False)
        data.print(f"  {one['detail']}", markup=False)
        said = f"{one['feed']}, run {str(one['run_id'])[:8]}, {text(one['rejected_at'])}"
        data.print(f"  {said}", markup=False)


@app.command()
def show(
    offer: Annotated[
        str, typer.Argument(help="As `facet rejected list` names it, such as 12:340; or offer id.")
    ],
    json: Json = False,
) -> None:
    """One rejected offer with what the supplier sent; by its offer id, the latest rejection.

    \b
    Examples:
      facet rejected show 12:340
      facet rejected show 12:340 --json | jq .payload
    """
    place = re.fullmatch(r"([0-9]{1,18}):([0-9]{1,9})", offer)
    values = {
        "partition_id": int(place[1]) if place else None,
        "position": int(place[2]) if place else None,
        "offer_id": None if place else offer,
    }
    with transaction(system.engine()) as tx:
        found = [dict(r) for r in tx.execute(query("rejected_offer"), values).mappings()]
    if not found:
        fail(NotNow(f"no rejected offer {offer!r}", hint="`facet rejected list`"))
    one = {"id": _name(found[0]), **found[0]}
    if json:
        emit(one)
        return
    payload = one.pop("payload")
    table(("", ""), [(k.replace("_", " "), v if k == "id" else text(v)) for k, v in one.items()])
    data.print()
    data.print_json(data=payload)
    if len(found) > 1:
        say(f"rejected before as well: {', '.join(_name(row) for row in found[1:])}")


@app.command()
def fold_again(
    reason: Because,
    feed: Feed = None,
    rejected_as: Word = None,
    run: Run = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many partitions.")] = PARTITIONS_MAX,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be folded; change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Fold partitions with rejected offers again, after the mapping, the rules or rates are mended.

    \b
    Examples:
      facet rejected fold-again --rejected-as no_rule --because "rule for pears" --dry-run
      facet rejected fold-again --rejected-as no_rule --since 1d --because "rule for pears"

    Queues their folds; consolidators do them. What is sound already is not written again, and
    nothing that a later run has read is overwritten.
    """
    with transaction(system.engine()) as tx:
        found = runs.find(tx, run) if run else None
        wanted = Wanted(**_wanted(feed, rejected_as, found, since))
        planned = plan_of(tx, wanted, partitions_max=limit)
        due: list[int] = []
        if planned.partition_ids and not dry_run:
            due = make_due(tx, wanted, planned, actor=getpass.getuser(), reason=reason)
    if json:
        emit({"dry_run": dry_run, "due": due, **planned._asdict()})
        return
    what = f"{planned.offers:,} rejected offers in {len(planned.partition_ids):,} partitions"
    say(f"{'would fold again' if dry_run else 'to be folded again'}: {what}")
    for offers, why in (
        (planned.left, f"in further partitions, beyond --limit {limit}"),
        (planned.overtaken, "left alone: a later full run is complete and knows better"),
        (planned.gone, "left alone: their raw offers are no longer kept"),
        (planned.open, "left alone: their fold is not done yet"),
    ):
        if offers:
            say(f"  {offers:,} {why}")


def _wanted(feed: str | None, reason: str | None, run: Any, since: str | None) -> dict[str, Any]:
    since_s = None if since is None else _seconds(since)
    return {"feed": feed, "reason": reason, "run_id": run, "since_s": since_s}


def _seconds(said: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|m|h|d)", said)
    if found is None:
        fail(f"{said!r} is no length of time", hint="such as `--since 2h`", code=BAD_USAGE)
    return float(found[1]) * UNITS_S[found[2]]


def _name(row: dict[str, Any]) -> str:
    return f"{row['partition_id']}:{row['position']}"
