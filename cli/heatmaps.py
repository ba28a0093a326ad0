"""`facet heatmap …`: what a scan measured, how it was cut, and how two of them differ."""

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from cli import picture, system
from cli.output import BAD_USAGE, DIFFERENT, SAME, Json, ago, data, emit, fail, say, table, text
from shared import runs
from shared.db import transaction
from shared.errors import FacetError, NotNow
from shared.feeds import FEEDS
from sql import query

app = typer.Typer(no_args_is_help=True, help="The measured density of a feed, and its cuts.")

Which = Annotated[str, typer.Argument(help="A feed (its latest heatmap), or a run's id.")]


@app.command()
def show(
    which: Which,
    svg: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the picture to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """Draw a heatmap with its partitions.

    \b
    Examples:
      facet heatmap show nivoda-natural
      facet heatmap show 3f2a90c1 --svg heatmap.svg
    """
    with transaction(system.engine()) as tx:
        found = find(tx, which)
    cuts = [p["price_low"] for p in found["partitions"] if p["price_low"]]
    if json:
        emit(found)
        return
    title = f"{found['feed']}, run {str(found['run_id'])[:8]}: {text(found['total'])} offers"
    if svg is not None:
        drawn = picture.svg(found["buckets"], cuts, title=title, unit=found["price_unit"])
        svg.write_text(drawn, encoding="utf-8")
        say(f"{svg} is written")
        return
    say(f"{title}, {ago(found['made_at'])}")
    data.print(picture.terminal(found["buckets"], cuts), markup=False, soft_wrap=True)
    say(
        f"{found['price_unit']}; {len(found['partitions'])} partitions, {found['calls']} calls in "
        f"{found['rounds']} rounds, {found['failed']} failed, {found['estimated']} estimated, "
        f"heaviest worker {text(found['balance'])} × the mean, {found['duration_ms'] / 1000:.1f} s"
    )
    if found["why_stopped"] != "even":
        say(f"stopped: {found['why_stopped']}")
    if found["probes"]:
        told = ", ".join(f"{name} {text(answer)}" for name, answer in found["probes"].items())
        say(f"the feed about itself: {told}")


@app.command()
def diff(a: Which, b: Which, json: Json = False) -> None:
    """How the density of two heatmaps differs, from the first to the second.

    \b
    Examples:
      facet heatmap diff 3f2a90c1 77e01b4d
      facet heatmap diff 3f2a90c1 nivoda-natural --json

    Exit 0: the same density; 1: another; 2: they cannot be compared.
    """
    try:
        with transaction(system.engine()) as tx:
            first, second = find(tx, a), find(tx, b)
    except FacetError as error:
        fail(error, code=BAD_USAGE)
    changes = differences(first["buckets"], second["buckets"])
    code = DIFFERENT if any(change["change"] for change in changes) else SAME
    if json:
        for change in changes:
            emit(change)
        raise SystemExit(code)
    table(
        ("from", "to", "before", "after", "change"),
        [
            (c["low"], c["high"], round(c["before"]), round(c["after"]), f"{c['change']:+,.0f}")
            for c in changes
        ],
        right=("from", "to", "before", "after", "change"),
    )
    total = (second["total"] or 0) - (first["total"] or 0)
    say(f"{text(first['total'])} offers, then {text(second['total'])}: {total:+,}")
    raise SystemExit(code)


def find(tx: Connection, which: str) -> dict[str, Any]:
    """A heatmap with its partitions. Raises NotNow where there is none."""
    feed = which if which in FEEDS else None
    run_id = None if feed else runs.find(tx, which)
    values = {"feed": feed, "run_id": run_id}
    row = tx.execute(query("heatmap"), values).mappings().one_or_none()
    if row is None:
        raise NotNow(f"there is no heatmap of {which}", hint=f"`facet run start {feed or 'FEED'}`")
    parts = tx.execute(query("list_partitions"), {"run_id": row["run_id"]}).mappings()
    return dict(row) | {
        "buckets": [tuple(bucket) for bucket in row["buckets"]],
        "partitions": [dict(part) for part in parts],
    }


def differences(
    first: list[picture.Bucket], second: list[picture.Bucket], *, steps: int = 20
) -> list[dict[str, Any]]:
    """Offers before and after in stretches of equal width on the logarithmic axis.

    Within a bucket offers count as spread evenly, so small changes inside wide buckets blur.
    """
    over = picture.axis(sorted([*first, *second], key=lambda b: (b[0], b[1] or 0)), steps)
    before, after = picture.columns(first, over), picture.columns(second, over)
    return [
        {
            "low": round(over.value(n)),
            "high": round(over.value(n + 1)),
            "before": before[n],
            "after": after[n],
            "change": after[n] - before[n],
        }
        for n in range(steps)
        if before[n] or after[n]
    ]
