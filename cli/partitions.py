"""`facet partition …`: the partitions of a run, and trying again those that gave up."""

import getpass
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from cli import story, system
from cli.acts import DryRun, why
from cli.output import BAD_USAGE, COULD_NOT, DONE, Json, data, emit, fail, say, table
from shared import dead_letters, runs
from shared.db import transaction
from shared.errors import NotNow
from sql import query

app = typer.Typer(no_args_is_help=True, help="Partitions of a run: list them, retry what gave up.")

STATES = (
    *("waiting", "fetching", "fetched", "folding", "cutting", "done", "dead", "cancelled"),
)  # fmt: skip
States = Annotated[
    list[str] | None, typer.Option("--state", help=f"Only these: {', '.join(STATES)}.")
]


@app.command("list")
def list_partitions(
    run: Annotated[str, typer.Argument(help="A run's id, or its beginning.")],
    state: States = None,
    json: Json = False,
) -> None:
    """The partitions of a run in their order: what was planned, what landed, how each stands.

    \b
    Examples:
      facet partition list 9a271c73
      facet partition list 9a27 --state dead --state waiting --json
    """
    with transaction(system.engine()) as tx:
        found = in_states(tx, run, state)
        if not found and story.was_pruned(tx, runs.find(tx, run)):
            say(f"none of run {run} is left: {story.PRUNED}")
    if json:
        for part in found:
            emit(part)
        return
    columns = ("part", "id", "price", "state", "planned", "landed", "pages", "tries")
    table(
        columns,
        [
            (
                part["number"],
                part["partition_id"],
                span(part),
                part["state"],
                part["planned_offers"],
                part["landed"],
                part["pages"],
                part["attempts"],
            )
            for part in found
        ],
        right=("part", "id", *columns[4:]),
    )
    for part in found:
        if part["state"] == "dead":
            at = f" at offset {part['next_offset']:,}" if part["kind"] == "fetch" else ""
            said = f"partition {part['number']}: {part['kind']} gave up{at}: {part['last_error']}"
            data.print(said, markup=False)
    if any(part["state"] == "dead" for part in found):
        say(f"  next: `facet partition retry --run {run} --state dead --because TEXT`")


@app.command()
def retry(
    partitions: Annotated[
        list[int] | None, typer.Argument(help="Ids of partitions; or none, and --run.")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="All of this run that gave up, by its id or beginning.")
    ] = None,
    state: Annotated[
        str, typer.Option(help="With --run; `dead` is the only state to be retried.")
    ] = "dead",
    because: Annotated[
        str | None,
        typer.Option(
            "--because", "--reason", help="Why; kept in the audit. Needed, except with --dry-run."
        ),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Try again what gave up of some partitions, from the offset that was committed.

    \b
    Examples:
      facet partition retry --run 9a271c73 --state dead --dry-run
      facet partition retry --run 9a27 --because "the supplier is back"
      facet partition retry 4711 4712 --because "the supplier is back"

    Exit 0 where all go on, 1 where some could not, each with its reason.
    """
    if bool(partitions) == (run is not None):
        fail("ids of partitions, or --run: one of the two", hint="`--run RUN`", code=BAD_USAGE)
    if state != "dead":
        fail(f"what is {state} goes on by itself", hint="--state dead", code=BAD_USAGE)
    reason, engine = why(because, dry_run=dry_run), system.engine()
    if run is not None:
        with transaction(engine) as tx:
            partitions = [part["partition_id"] for part in in_states(tx, run, ["dead"])]
    left = 0
    for partition_id in partitions or ():
        try:
            with transaction(engine) as tx:
                done = retry_partition(tx, partition_id, because=reason, dry_run=dry_run)
        except NotNow as error:
            left += 1
            say(f"partition {partition_id}: {error}")
            continue
        for item in done:
            if json:
                emit(item)
            else:
                at = f" at offset {item['next_offset']:,}" if item["kind"] == "fetch" else ""
                verb = "would go on" if dry_run else "goes on"
                say(f"partition {item['number']} ({partition_id}): its {item['kind']} {verb}{at}")
    if not partitions:
        say("nothing of it gave up")
    raise SystemExit(COULD_NOT if left else DONE)


def retry_partition(
    tx: Connection, partition_id: int, *, because: str, dry_run: bool
) -> list[dict[str, Any]]:
    """Replay the dead letters of a partition; returns what goes on. Raises NotNow."""
    rows = tx.execute(query("dead_items_of_partition"), {"partition_id": partition_id}).mappings()
    found = [dict(row) for row in rows]
    if not found:
        raise NotNow(f"there is no partition {partition_id}")
    dead = [item for item in found if item["item_id"] is not None]
    if not dead:
        raise NotNow("nothing of it gave up")
    for item in dead:
        letter = dead_letters.letter_of(tx, item["item_id"])
        if letter is None:
            raise NotNow(f"its {item['kind']} gave up without a dead letter")
        item["dead_letter_id"] = letter
        if not dry_run:
            dead_letters.replay(tx, letter, actor=getpass.getuser(), because=because)
    return dead


def in_states(tx: Connection, run: str, states: list[str] | None) -> list[dict[str, Any]]:
    """The partitions of a run that are in one of some states; None: all."""
    for state in states or ():
        if state not in STATES:
            fail(f"there is no state {state!r}", hint=f"one of {', '.join(STATES)}", code=BAD_USAGE)
    values = {"run_id": runs.find(tx, run), "states": states or None}
    return [dict(row) for row in tx.execute(query("partitions_of_run"), values).mappings()]


def span(part: dict[str, Any]) -> str:
    """The range on the price axis, the high end not in it."""
    if part["price_low"] is None:
        return "sweep" if part["sweep"] else "–"
    high = "" if part["price_high"] is None else f"{part['price_high']:,}"
    return f"{part['price_low']:,}–{high}" + (" sweep" if part["sweep"] else "")
