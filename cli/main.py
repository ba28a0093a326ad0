"""The `facet` command. Data on stdout, words on stderr; exit codes in cli/output.py."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import (
    alerts,
    backup,
    breakers,
    dead_letters,
    demo,
    doctor,
    feeds,
    heatmaps,
    leases,
    limits,
    metrics,
    partitions,
    probe,
    rates,
    rejected,
    repricing,
    retention,
    roles,
    rulesets,
    runs,
    schedules,
    shells,
    simulated,
    status,
    stones,
    system,
    top,
    workers,
)
from cli.acts import ask_nobody
from cli.embedded.detached import spawn_detached, stop_running
from cli.embedded.home import home_dir, live_runtime
from cli.embedded.supervisor import Supervisor
from cli.output import EXIT_CODES, Json, be_plain, emit, fail, say
from cli.system import Role
from shared import db, telemetry
from shared.errors import FacetError
from shared.settings import load

ABOUT = """Keeps a jeweller's catalogue in step with its suppliers: every stone they offer, priced
by your rules, once.

\b
Examples:
  facet demo                                 the whole path once, in the foreground
  facet up; facet run start nivoda-natural --wait
  facet status --watch
  facet schedule set nivoda-natural "0 3 * * *" --because "each night"

Data goes to stdout and words to stderr; --json prints one object a line. NO_COLOR is obeyed.
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=ABOUT,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(demo.demo)
app.command()(status.status)
app.command()(top.top)
app.command()(shells.completion)
app.command()(doctor.doctor)
app.command("metrics")(metrics.serve_metrics)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(probe.health)
app.add_typer(runs.app, name="run")
app.add_typer(partitions.app, name="partition")
app.add_typer(dead_letters.app, name="dead-letter")
app.add_typer(leases.app, name="lease")
app.add_typer(feeds.app, name="feed")
app.add_typer(stones.app, name="stone")
app.add_typer(rejected.app, name="rejected")
app.add_typer(rulesets.app, name="ruleset")
rulesets.app.command()(repricing.preview)
rulesets.app.command()(repricing.rollback)
rulesets.app.command()(repricing.status)
rulesets.app.command()(repricing.reprice)
rulesets.app.command()(repricing.cancel)
rulesets.app.command()(repricing.report)
app.add_typer(rates.app, name="rate")
app.add_typer(schedules.app, name="schedule")
app.add_typer(workers.app, name="worker")
app.add_typer(limits.app, name="limit")
app.add_typer(breakers.app, name="breaker")
app.add_typer(heatmaps.app, name="heatmap")
app.add_typer(retention.app, name="retention")
app.add_typer(alerts.app, name="alert")
database = typer.Typer(no_args_is_help=True, help="The database's schema and roles.")
app.add_typer(database, name="db")
database.command()(roles.roles)

Workers = Annotated[int, typer.Option(min=1, help="Partitions fetched at once.")]
Consolidators = Annotated[int, typer.Option(min=1, help="Partitions folded at once.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"facet {shells.release()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say it and leave."),
    ] = False,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Tables as lines with tabs, for other programs; may stand anywhere."
        ),
    ] = False,
    no_input: Annotated[
        bool,
        typer.Option("--no-input", help="Ask nobody: fail instead; may stand anywhere."),
    ] = False,
) -> None:
    """What holds for every command."""


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
    json: Json = False,
) -> None:
    """Keep Facet running in the background: its servers and its processes.

    \b
    Examples:
      facet up
      facet up --workers 4 --consolidators 2
      facet up --simulator; facet run start nivoda-natural --wait
      facet up --foreground

    Does nothing where it runs already. Its data is in FACET_HOME. FACET_DATABASE_URL and
    FACET_BROKER_URL name servers of your own instead of the embedded ones.
    """
    home = home_dir()
    words = ["--workers", str(workers), "--consolidators", str(consolidators)]
    words += ["--simulator"] if simulator else []
    if foreground:
        _run_in_foreground(home, simulator, workers, consolidators)
        return
    was_live = live_runtime(home) is not None
    spawn_detached(system.facet("up", "--foreground", *words), home=home)
    if json:
        emit({"home": home, "started": not was_live})
        return
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
        engine = system.engine_of(load(env), "migrate")
        for line in system.prepare_database(engine, ruleset=None, actor="facet up"):
            say(line)
        engine.dispose()
        system.start_stages(supervisor, env, workers=workers, consolidators=consolidators)
        supervisor.run()


@app.command()
def down(json: Json = False) -> None:
    """Stop what `facet up` started. Work that is held goes back to the ledger.

    \b
    Examples:
      facet down

    Does nothing where nothing runs. A fetch stops at its next page and goes on from there after the
    next `facet up`; no attempt is used up.
    """
    home = home_dir()
    stopped = stop_running(home)
    if json:
        emit({"home": home, "stopped": stopped})
        return
    say(f"Facet {'has stopped' if stopped else 'was not running'} in {home}")


@app.command()
def serve(
    role: Annotated[str, typer.Argument(help="steward, scheduler, worker or consolidator.")],
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Pieces of work at once; default 1, of a worker 2."),
    ] = None,
) -> None:
    """Be one of the pipeline's processes, until SIGTERM; what `facet up` starts several of.

    \b
    Examples:
      facet serve steward
      facet serve worker --concurrency 4

    For containers, systemd and further machines: all processes of one Facet name the same
    FACET_DATABASE_URL and FACET_BROKER_URL. On SIGTERM it finishes or gives back what it holds,
    and exits 0.
    """
    known: dict[str, Role] = {name: name for name in system.ROLES}
    if role not in known:
        fail(f"there is no role {role!r}", hint=f"one of {', '.join(known)}", code=2)
    given = load()
    db.require_schema(system.engine_of(given, system.STAGES[known[role]]))
    wanted = concurrency or system.CONCURRENCY.get(known[role], 1)
    for name in system.OTHER_URLS:
        os.environ.pop(name, None)  # of other roles: none of its business
    os.environ.update(system.own_settings(given, known[role], wanted))
    command = system.process(known[role], wanted)
    os.execv(command[0], command)  # noqa: S606


@database.command()
def migrate(json: Json = False) -> None:
    """Bring the database to this release's schema. Safe to run again, and by several at once.

    \b
    Examples:
      facet db migrate
      facet db migrate --json

    Processes of the release before may go on meanwhile: docs/upgrade.md. Needs the owner's login,
    FACET_DATABASE_URL_MIGRATE where roles are in use.
    """
    before, after = db.migrate(system.owner_engine())
    if json:
        emit({"before": before, "after": after})
    else:
        say(f"schema {after}" + (" already" if before == after else f", was {before or 'none'}"))


def main() -> None:
    """Run the command; every error of ours becomes one sentence and the next command."""
    telemetry.configure(json=not sys.stderr.isatty(), level=logging.WARNING)
    for word, obey in {"--plain": be_plain, "--no-input": ask_nobody}.items():
        if word in sys.argv:
            sys.argv.remove(word)
            obey()
    try:
        app()
    except FacetError as error:
        fail(error)


if __name__ == "__main__":
    main()
