"""`facet demo`: the whole path once, in the foreground, against the simulated supplier."""

import getpass
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import redis
import typer
from sqlalchemy import Engine

from cli import following, simulated, system
from cli.embedded.home import home_dir
from cli.embedded.supervisor import Supervisor
from cli.output import Json, emit, money, say, table
from shared import runs
from shared.db import transaction
from shared.limits import Limiter
from shared.settings import Settings, is_named, load
from sql import query

FEEDS = ("nivoda-natural", "nivoda-labgrown")
DEFAULT_STOCK = simulated.Simulated(natural=5_000, labgrown=5_000, seed=1)


def demo(
    natural: Annotated[
        int, typer.Option(min=0, max=1_500_000, help="Natural stones.")
    ] = DEFAULT_STOCK.natural,
    labgrown: Annotated[
        int, typer.Option(min=0, max=1_500_000, help="Lab-grown stones.")
    ] = DEFAULT_STOCK.labgrown,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed makes the same stock.")
    ] = DEFAULT_STOCK.seed,
    limit: Annotated[
        float, typer.Option(min=0, help="Requests a second to the supplier; 0: no limit.")
    ] = 25,
    workers: Annotated[int, typer.Option(min=1, help="Partitions fetched at once.")] = 2,
    ruleset: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Price by this file.")
    ] = None,
    json: Json = False,
) -> None:
    """Ingest the simulated supplier to the end and show the result; leaves nothing running.

    A second demo is a second run: it writes only what the supplier changed meanwhile.

    \b
    Examples:
      facet demo --natural 50000 --labgrown 50000 --limit 0
    """
    home = home_dir()
    wanted, another = simulated.next_step(home, natural, labgrown, seed)
    with Supervisor(home, **system.embeds()) as supervisor:
        env = servers(supervisor)
        supplier = simulated.start(supervisor, wanted)
        env |= simulated.account_of(home)
        env |= {"FACET_NIVODA_REQUESTS_PER_S": str(limit), "FACET_FETCH_WORKERS": str(workers)}
        if another:
            say("the demo's supplier is another one now: what it does not offer will be delisted")
            env["FACET_EMPTY_BELOW_SHARE"] = "0"
        settings = load(env)
        engine = system.engine_of(settings, "migrate")
        for line in system.prepare_database(engine, ruleset=ruleset, actor=getpass.getuser()):
            say(line)
        system.start_stages(supervisor, env, workers=workers, consolidators=1)
        supervisor.ready()
        say(
            f"simulated supplier: {natural:,} natural and {labgrown:,} lab-grown stones, "
            f"seed {seed}, step {supplier.time}; data in {home}"
        )
        run_ids = []
        for feed in FEEDS:
            with transaction(engine) as tx:
                run_ids.append(runs.start(tx, feed).run_id)
        code = following.follow(engine, run_ids, used=_used(settings), meanwhile=supervisor.tick)
        result = summary(engine, run_ids, supervisor)
        if not json:
            show(engine, result)
        engine.dispose()
    if json:
        emit(result)
    else:
        say("nothing is left running; `facet up` keeps it running, then `facet stone show ID`")
    raise SystemExit(code)


def summary(engine: Engine, run_ids: list[UUID], supervisor: Supervisor) -> dict[str, Any]:
    """What the demo's runs did together; seconds of the slower run of each stage."""
    rows = [following.progress(engine, run_id) for run_id in run_ids]
    with transaction(engine) as tx:
        catalogue = tx.execute(query("catalogue_by_feed")).mappings().all()
    counts = ("counted", "landed", "offers", "inserted", "changed", "unchanged", "rejected")
    sums = {name: sum(row[name] or 0 for row in rows) for name in counts}
    later = ("delisted", "price_changes", "requests", "scan_calls", "partitions")
    sums |= {name: sum(row[name] or 0 for row in rows) for name in later}
    stages = ("plan", "fetch", "fold", "reconcile", "elapsed")
    return sums | {
        "stones": sum(row["on_sale"] for row in catalogue),
        "states": {row["feed"]: row["state"] for row in rows},
        "seconds": {
            stage.replace("elapsed", "total"): round(max(r[f"{stage}_s"] or 0 for r in rows), 2)
            for stage in stages
        },
        "peak_memory_mb": {name: round(peak.mb, 1) for name, peak in supervisor.memory().items()},
    }


def show(engine: Engine, result: Mapping[str, Any]) -> None:
    """The summary and ten priced stones, for people."""
    names = [
        *("counted", "landed", "stones", "inserted", "changed", "unchanged", "rejected"),
        *("delisted", "price_changes", "requests"),
    ]
    table(("", ""), [(name.replace("_", " "), result[name]) for name in names], right=("",))
    parts = ", ".join(f"{stage} {value:.1f}" for stage, value in result["seconds"].items())
    say(f"seconds: {parts}")
    parts = ", ".join(f"{name} {mb:.0f}" for name, mb in result["peak_memory_mb"].items())
    say(f"peak memory of the largest process, MB: {parts}")
    with transaction(engine) as tx:
        stones = tx.execute(query("sample_stones")).mappings().all()
    table(
        ("id", "kind", "stone", "cost", "price", "rule"),
        [
            (
                str(s["stone_id"]),
                s["kind"],
                f"{s['carat']:.2f} {s['shape']} {s['color']} {s['clarity']}",
                money(s["cost_cents"], s["cost_currency"]),
                money(s["price_cents"], s["price_currency"]),
                s["rule"],
            )
            for s in stones
        ],
        right=("cost", "price"),
    )


def servers(supervisor: Supervisor) -> dict[str, str]:
    """The settings that reach a supervisor's embedded servers, and have their disk watched."""
    urls = {
        "FACET_DATABASE_URL": supervisor.servers.database_url,
        "FACET_BROKER_URL": supervisor.servers.broker_url,
        "FACET_REDIS_URL": supervisor.servers.redis_url,
    }
    found = {name: url for name, url in urls.items() if url}
    if not is_named("FACET_WATCH_DISKS"):
        found["FACET_WATCH_DISKS"] = f"{supervisor.home},{tempfile.gettempdir()}"
    return found


def _used(settings: Settings) -> Limiter:
    client = redis.Redis.from_url(settings.redis(), socket_timeout=5)
    account = settings.supplier("nivoda-natural")
    return Limiter(
        client, account.account, rate_per_s=account.requests_per_s, wait_s_max=account.wait_s_max
    )
