"""The `facet` command. Data on stdout, words on stderr; exit codes in cli/output.py."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import demo, heatmaps, rulesets, runs, simulated, stones, system
from cli.embedded.detached import spawn_detached, stop_running
from cli.embedded.home import home_dir, live_runtime
from cli.embedded.supervisor import Supervisor
from cli.output import Json, ago, emit, fail, say, table, text
from cli.system import Role
from shared import db, telemetry
from shared.db import transaction
from shared.errors import FacetError
from shared.settings import load
from sql import query

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Keeps a jeweller's catalogue in step with its suppliers: every stone they offer, "
    "priced by your rules, once.",
)
app.command()(demo.demo)
app.add_typer(runs.app, name="run")
app.add_typer(stones.app, name="stone")
app.add_typer(rulesets.app, name="ruleset")
app.add_typer(heatmaps.app, name="heatmap")
database = typer.Typer(no_args_is_help=True, help="The database's schema.")
app.add_typer(database, name="db")

Workers = Annotated[int, typer.Option(min=1, help="Partitions fetched at once.")]
Consolidators = Annotated[int, typer.Option(min=1, help="Partitions folded at once.")]


@app.command()
def up(
    simulator: Annotated[
        bool, typer.Option("--simulator", help="With the simulated supplier of the last demo.")
    ] = False,
    workers: Workers = 2,
    consolidators: Consolidators = 1,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, until SIGTERM; for systemd and the like.")
    ] = False,
) -> None:
    """Keep Facet running in the background: its servers and its processes.

    Does nothing where it runs already. FACET_DATABASE_URL and FACET_BROKER_URL name servers of
    your own instead of the embedded ones.
    """
    home = home_dir()
    words = ["--workers", str(workers), "--consolidators", str(consolidators)]
    words += ["--simulator"] if simulator else []
    if foreground:
        _run_in_foreground(home, simulator, workers, consolidators)
        return
    was_live = live_runtime(home) is not None
    spawn_detached(system.facet("up", "--foreground", *words), home=home)
    say(f"Facet {'was running already' if was_live else 'runs'} in {home}; `facet down` stops it")


def _run_in_foreground(home: Path, simulator: bool, workers: int, consolidators: int) -> None:
    telemetry.configure(json=not sys.stderr.isatty())
    with Supervisor(home, **system.embeds()) as supervisor:
        env = demo.servers(supervisor)
        if simulator:
            wanted = simulated.remembered(home) or demo.DEFAULT_STOCK
            simulated.start(supervisor, wanted)
            env |= simulated.account_of(home)
        env["FACET_FETCH_WORKERS"] = str(workers)
        engine = db.connect(load(env).database_url.get_secret_value())
        for line in system.prepare_database(engine, ruleset=None, actor="facet up"):
            say(line)
        engine.dispose()
        system.start_stages(supervisor, env, workers=workers, consolidators=consolidators)
        supervisor.run()


@app.command()
def down() -> None:
    """Stop what `facet up` started. Work that is held goes back to the ledger."""
    home = home_dir()
    say(f"Facet {'has stopped' if stop_running(home) else 'was not running'} in {home}")


@app.command()
def status(json: Json = False) -> None:
    """What runs, what is due, the latest run of each feed, what is on sale."""
    runtime = live_runtime(home_dir())
    with transaction(system.engine()) as tx:
        backlog = [dict(r) for r in tx.execute(query("backlog")).mappings()]
        catalogue = [dict(r) for r in tx.execute(query("catalogue_by_feed")).mappings()]
        latest = [dict(r) for r in tx.execute(query("latest_runs")).mappings()]
        dead = tx.execute(query("count_dead_letters")).scalar_one()
    processes = sorted(runtime.processes) if runtime else []
    if json:
        parts = {"processes": processes, "backlog": backlog, "runs": latest}
        emit(parts | {"catalogue": catalogue, "dead_letters": dead})
        return
    say(f"running in {home_dir()}: {', '.join(processes)}" if processes else "services by URL")
    table(
        ("feed", "run", "state", "opened", "reason"),
        [
            (r["feed"], str(r["run_id"])[:8], r["state"], ago(r["opened_at"]), r["reason"])
            for r in latest
        ],
    )
    table(
        ("feed", "on sale", "delisted", "withdrawn"),
        [(c["feed"], c["on_sale"], c["delisted"], c["withdrawn"]) for c in catalogue],
        right=("on sale", "delisted", "withdrawn"),
    )
    for row in backlog:
        say(f"{row['kind']}: {text(row['items'])} {row['state']}, oldest {row['oldest_s']:.0f} s")
    if dead:
        say(f"{dead} dead letters; `facet run show RUN` names them")


@app.command()
def serve(
    role: Annotated[str, typer.Argument(help="steward, scheduler, worker or consolidator.")],
    concurrency: Annotated[int, typer.Option(min=1, help="Pieces of work at once.")] = 1,
) -> None:
    """Be one of the pipeline's processes, until SIGTERM; what `facet up` starts several of."""
    known: dict[str, Role] = {name: name for name in system.ROLES}
    if role not in known:
        fail(f"there is no role {role!r}", hint=f"one of {', '.join(known)}", code=2)
    given = load()
    db.require_schema(db.connect(given.database_url.get_secret_value()))
    command = system.process(known[role], concurrency)
    os.execv(command[0], command)  # noqa: S606


@database.command()
def migrate(json: Json = False) -> None:
    """Bring the database to this release's schema. Safe to run again, and by several at once."""
    before, after = db.migrate(system.unchecked_engine())
    if json:
        emit({"before": before, "after": after})
    else:
        say(f"schema {after}" + (" already" if before == after else f", was {before or 'none'}"))


def main() -> None:
    """Run the command; every error of ours becomes one sentence and the next command."""
    telemetry.configure(json=not sys.stderr.isatty())
    try:
        app()
    except FacetError as error:
        fail(error)


if __name__ == "__main__":
    main()
