"""Runs followed to their end: bars with the time left on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from cli.output import (
    CANCELLED,
    COULD_NOT,
    DONE,
    NOT_COMPLETE,
    TIME_OVER,
    emit,
    fail,
    say,
    text,
    words,
)
from shared.db import transaction
from shared.errors import BrokerUnavailable, NotNow
from shared.limits import Limiter
from sql import query

ENDED = ("complete", "partial", "failed", "cancelled")
WATCH_PAUSE_S = 0.5
LANDED_STEP = 10_000  # offers between two lines about one that is still fetching
ETA_AFTER = 0.03  # of the work; before, nobody can tell


def progress(engine: Engine, run_id: UUID) -> dict[str, Any]:
    """Everything about a run, in one row. Raises NotNow."""
    with transaction(engine) as tx:
        row = tx.execute(query("run_progress"), {"run_id": run_id}).mappings().one_or_none()
    if row is None:
        raise NotNow(f"there is no run {run_id}", hint="`facet run list`")
    return dict(row)


def follow(
    engine: Engine,
    run_ids: list[UUID],
    *,
    json: bool = False,
    used: Limiter | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    timeout_s: float | None = None,
) -> int:
    """Show runs until all have ended; returns the exit code. Ctrl-C leaves them running.

    used         whose requests to show beside its limit
    meanwhile    called between two looks, such as a supervisor's tick
    timeout_s    look no longer than that; None: to the end
    """
    show = _Drawn(used) if words.is_terminal else _Lines(used)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    late = False
    try:
        with show:
            while True:
                rows = [progress(engine, run_id) for run_id in run_ids]
                show.update(rows)
                if all(row["state"] in ENDED for row in rows):
                    break
                late = deadline is not None and time.monotonic() >= deadline
                if late:
                    break
                meanwhile()
                time.sleep(WATCH_PAUSE_S)
    except KeyboardInterrupt:
        fail("stopped watching", hint=f"`facet run watch {str(run_ids[0])[:8]}`", code=130)
    for row in rows:
        if json:
            emit(row)
        else:
            say(sentence(row))
    if late:
        hint = f"`facet run watch {str(run_ids[0])[:8]}`"
        fail(f"no end within {timeout_s:g} s; the run goes on", hint=hint, code=TIME_OVER)
    return code_of({row["state"] for row in rows})


def code_of(states: set[str]) -> int:
    """The exit code for runs that ended so."""
    for state, code in (
        ("failed", COULD_NOT),
        ("cancelled", CANCELLED),
        ("partial", NOT_COMPLETE),
    ):
        if state in states:
            return code
    return DONE


def sentence(row: dict[str, Any]) -> str:
    """How a run stands, in one line."""
    what = f"run {str(row['run_id'])[:8]} of {row['feed']}: {row['state']}"
    if row["reason"]:
        return f"{what}: {row['reason']}"
    if row["same_as"]:
        what += f" (the same file as run {str(row['same_as'])[:8]} read)"
    if row["note"]:
        what += f" ({row['note']})"
    return (
        f"{what}, {text(row['offers'])} offers, {text(row['written'])} stones written, "
        f"{text(row['delisted'])} delisted, {text(row['rejected'])} rejected, "
        f"{row['elapsed_s']:.1f} s"
    )


def done_share(row: dict[str, Any]) -> float:
    """How much of a run is done, from 0 to 1: nearly all of its time is reading."""
    if row["state"] in ENDED:
        return 1.0
    planned = row["planned_offers"]
    return min(0.99, row["landed"] / planned) if planned else 0.0


def time_left(row: dict[str, Any]) -> str:
    """How long it will still take at the pace so far, in words; a dash while nobody can tell."""
    share = done_share(row)
    if row["state"] != "fetching" or share < ETA_AFTER or not row["fetch_s"]:
        return "–"
    left_s = row["fetch_s"] * (1 - share) / share
    return str(timedelta(seconds=round(left_s)))


def requests_used(limiter: Limiter | None) -> str:
    """How much of the limit is in use right now, in words; empty where nobody can tell."""
    if limiter is None:
        return ""
    try:
        now = limiter.standing()
    except BrokerUnavailable:
        return "limiter: no answer"
    limit = f"limit {now.nominal_per_s:g} a second" if now.nominal_per_s else "no limit"
    if now.nominal_per_s and now.rate_per_s and now.rate_per_s < now.nominal_per_s:
        limit += f", cut to {now.rate_per_s:.1f} since the supplier complained"
    return f"{now.in_last_second} in the last second, {limit}"


def bars(rows: list[dict[str, Any]]) -> Table:
    """A line and a bar for each run."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name in ("feed", "state", "", "landed", "folded", "requests", "s", "left"):
        drawn.add_column(name, justify="left" if name in {"feed", "state", ""} else "right")
    for r in rows:
        parts = f"/{r['partitions']}" if r["partitions"] else ""
        state = f"{r['scan_calls']} counts" if r["state"] == "planning" else r["state"]
        bar = ProgressBar(total=1.0, completed=done_share(r), width=12)
        figures = (text(r["landed"]), f"{text(r['folded'])}{parts}", text(r["requests"]))
        drawn.add_row(
            r["feed"], state, bar, *figures, f"{r['elapsed_s']:.0f}", time_left(r), style=None
        )
    return drawn


class _Drawn:
    """The live picture on a terminal: one line a run, and the limit."""

    def __init__(self, used: Limiter | None) -> None:
        self._used = used
        self._live = Live(console=words, refresh_per_second=4)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, rows: list[dict[str, Any]]) -> None:
        used = Text(f"requests: {requests_used(self._used)}", style="dim") if self._used else ""
        self._live.update(Group(bars(rows), used))


class _Lines:
    """Off a terminal: a line where something has moved."""

    def __init__(self, used: Limiter | None) -> None:
        self._used = used
        self._shown: dict[UUID, tuple[Any, ...]] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["pruned_at"] is not None:
                continue  # long over: how it was read is not known any more
            landed = row["landed"] // LANDED_STEP
            mark = (row["state"], row["partitions"], row["fetched"], row["folded"], landed)
            if self._shown.get(row["run_id"]) == mark:
                continue
            self._shown[row["run_id"]] = mark
            used = f" ({requests_used(self._used)})" if self._used else ""
            say(
                f"{row['feed']}: {row['state']}, {row['scan_calls']} counts, "
                f"fetched {row['fetched']}/{row['partitions']} partitions, "
                f"landed {row['landed']:,}/{row['planned_offers']:,} offers, "
                f"folded {row['folded']}/{row['partitions']}; "
                f"{row['requests']:,} requests{used}"
            )
