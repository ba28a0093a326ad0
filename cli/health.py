"""How Facet stands, gathered once: what `facet status` prints and `facet top` draws."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Engine

from cli import suppliers, workers
from cli.breakers import look as look_at_breaker
from cli.embedded.home import home_dir, live_runtime
from cli.output import ago, span
from shared.db import transaction
from shared.errors import BadSettings, BrokerUnavailable
from shared.ledger import KINDS
from shared.presence import SILENT_S
from sql import query


class Section(NamedTuple):
    """A table for people."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    right: Sequence[str] = ()


def gather(engine: Engine) -> dict[str, Any]:
    """Everything. A Redis that is away costs the accounts and nothing else."""
    runtime = live_runtime(home_dir())
    with transaction(engine) as tx:

        def rows(name: str) -> list[dict[str, Any]]:
            return [dict(row) for row in tx.execute(query(name)).mappings()]

        found = {
            "processes": sorted(runtime.processes) if runtime else [],
            "backlog": rows("backlog"),
            "runs": rows("latest_runs"),
            "feeds": rows("status_feeds"),
            "catalogue": rows("catalogue_by_feed"),
            "checks": rows("latest_checks"),
            "dead_letters": tx.execute(query("count_dead_letters")).scalar_one(),
            "dead_by_reason": rows("dead_by_reason"),
            **rows("count_incidents")[0],
        }
    found["lag_s"] = {
        kind: max(
            (r["oldest_s"] for r in found["backlog"] if r["kind"] == kind and r["state"] == "due"),
            default=0.0,
        )
        for kind in KINDS
    }
    found["workers"] = workers.look(engine)
    found["accounts"], found["accounts_error"] = _accounts()
    return found


def _accounts() -> tuple[list[dict[str, Any]], str | None]:
    """Limit and breaker of each account that was ever used, and why that is not known."""
    found = []
    try:
        orders = suppliers.ordered()
        with suppliers.client() as client:
            for one in suppliers.known():
                standing = suppliers.limiter(client, one).standing()
                breaker = look_at_breaker(suppliers.breaker(client, one), one, orders.get(one.name))
                if standing.total or breaker["state"] != "closed":
                    found.append(standing._asdict() | breaker)
    except (BrokerUnavailable, BadSettings) as error:
        return [], str(error)
    return found, None


def sections(found: dict[str, Any]) -> list[Section]:
    """The tables, in the order in which one asks."""
    made = [
        Section(
            "feeds",
            ("feed", "latest run", "state", "opened", "complete", "next"),
            [
                (
                    f["feed"] + (" (paused)" if f["paused_at"] else ""),
                    str(f["run_id"])[:8] if f["run_id"] else None,
                    f["state"],
                    ago(f["opened_at"]),
                    span(f["stale_s"]) + (" ago" if f["stale_s"] is not None else ""),
                    f["next_at"].astimezone().strftime("%a %H:%M") if f["next_at"] else None,
                )
                for f in found["feeds"]
            ],
        ),
        Section(
            "catalogue",
            ("feed", "on sale", "delisted", "withdrawn"),
            [(c["feed"], c["on_sale"], c["delisted"], c["withdrawn"]) for c in found["catalogue"]],
            ("on sale", "delisted", "withdrawn"),
        ),
        backlog(found),
        budget(found),
        dead_letters(found),
        team(found),
    ]
    return [one for one in made if one.rows]


def backlog(found: dict[str, Any]) -> Section:
    """Work not finished, by kind: how much waits and for how long the oldest has."""
    counts = {(r["kind"], r["state"]): r["items"] for r in found["backlog"]}
    kinds = [kind for kind in KINDS if any(one == kind for one, _ in counts)]
    rows = [
        (
            kind,
            counts.get((kind, "due"), 0),
            span(found["lag_s"][kind]),
            counts.get((kind, "held"), 0),
        )
        for kind in kinds
    ]
    return Section("work", ("work", "due", "oldest", "held"), rows, ("due", "oldest", "held"))


def budget(found: dict[str, Any]) -> Section:
    """What accounts use of their limits, and their breakers."""
    rows = [
        (
            a["account"],
            f"{a['in_last_second']} of {a['rate_per_s']:g}/s"
            if a["rate_per_s"]
            else a["in_last_second"],
            a["in_last_minute"],
            f"{a['in_flight']}/{a['in_flight_max'] or '–'}",
            a["retries_left"],
            a["state"],
        )
        for a in found["accounts"]
    ]
    columns = ("account", "requests", "minute", "under way", "retries", "breaker")
    return Section("accounts", columns, rows, columns[1:-1])


def dead_letters(found: dict[str, Any]) -> Section:
    """Dead letters by reason and kind."""
    rows = [
        (d["reason"], d["kind"], d["letters"], ago(d["first_at"]), ago(d["last_at"]))
        for d in found["dead_by_reason"]
    ]
    return Section("dead", ("dead letters", "kind", "", "first", "last"), rows, ("",))


def team(found: dict[str, Any]) -> Section:
    """Processes alive by role, and what they hold."""
    rows = []
    for role in dict.fromkeys(one["role"] for one in found["workers"]):
        here = [one for one in found["workers"] if one["role"] == role]
        silent = sum(one["state"] == "silent" for one in here)
        holds = sum(one["items"] for one in here)
        rows.append((role, len(here) - silent, silent, holds))
    columns = ("role", "alive", "silent", "holds")
    return Section("processes", columns, rows, columns[1:])


def remarks(found: dict[str, Any]) -> list[str]:
    """What wants a person, each with the next command."""
    said = []
    for feed in found["feeds"]:
        if feed["reason"] and feed["state"] != "cancelled":
            said.append(f"{feed['feed']}, run {str(feed['run_id'])[:8]}: {feed['reason']}")
        if feed["paused_at"]:
            said.append(
                f"{feed['feed']} is paused: {feed['paused_reason']}; "
                f"`facet feed resume {feed['feed']} --because TEXT`"
            )
    said += [
        f"{row['feed']} is {row['verdict']}; `facet feed check {row['feed']}` says why"
        for row in found["checks"]
        if row["verdict"] != "compatible"
    ]
    said += [
        f"{one['account']} is {one['state']}"
        + (f": {one['stopped_reason']}" if one["stopped_reason"] else "")
        + f"; `facet breaker show {one['account']}`"
        for one in found["accounts"]
        if one["state"] != "closed"
    ]
    if found["accounts_error"]:
        said.append(f"limits and breakers: {found['accounts_error']}")
    if found["dead_letters"]:
        many = f"{found['dead_letters']:,} dead letter{'' if found['dead_letters'] == 1 else 's'}"
        said.append(f"{many}; `facet dead-letter list` names them")
    if found["incidents"]:
        many = f"{found['incidents']:,} incident{'' if found['incidents'] == 1 else 's'}"
        said.append(f"{many} last, the gravest: {found['gravest_incident']}; `facet alert list`")
    here = {one["role"] for one in found["workers"] if one["state"] != "silent"}
    waits = [kind for kind, lag_s in found["lag_s"].items() if lag_s > SILENT_S]
    if not here and found["backlog"]:
        said.append("work waits and nobody works; `facet up`, or `facet serve ROLE`")
    elif waits:
        said.append(f"{', '.join(waits)} waits for over {SILENT_S:g} s; `facet worker list`")
    if silent := [one for one in found["workers"] if one["state"] == "silent"]:
        said.append(f"{len(silent)} processes fell silent; `facet worker list`")
    return said
