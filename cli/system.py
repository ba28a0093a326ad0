"""What every command stands on: where Facet runs, its settings, its database, its processes."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from sqlalchemy import Engine

from cli.embedded.home import Runtime, home_dir, live_runtime
from cli.embedded.supervisor import Supervisor
from cli.simulated import account_of
from shared import db
from shared.db import transaction
from shared.errors import NotNow
from shared.settings import Settings, load
from sql import query

Role = Literal["steward", "scheduler", "worker", "consolidator"]
ROLES: tuple[Role, ...] = get_args(Role)

# Which Celery application serves a role, and which kinds of work it takes.
CELERY: dict[Role, tuple[str, str]] = {
    "scheduler": ("scheduler.tasks", "plan,cut,sweep"),
    "worker": ("worker.tasks", "fetch"),
    "consolidator": ("consolidator.tasks", "fold,reconcile"),
}
EXAMPLE_RULESET = Path(__file__).parents[1] / "docs" / "examples" / "ruleset.yaml"


@cache
def settings() -> Settings:
    """The settings of what runs: the environment's, completed by what `facet up` started.

    Raises BadSettings, and NotNow where neither names a database and nothing runs.
    """
    named = {"FACET_DATABASE_URL", "FACET_BROKER_URL"} <= os.environ.keys()
    runtime = live_runtime(home_dir())
    if runtime is None and not named:
        raise NotNow(
            f"nothing runs in {home_dir()}; FACET_DATABASE_URL and FACET_BROKER_URL are not set",
            hint="`facet up`",
        )
    return load(environment(runtime))


def environment(runtime: Runtime | None) -> dict[str, str]:
    """The settings that a launch stands for, where the environment does not say otherwise."""
    if runtime is None:
        return {}
    found = {
        "FACET_DATABASE_URL": runtime.database_url,
        "FACET_BROKER_URL": runtime.broker_url,
        "FACET_REDIS_URL": runtime.redis_url,
    }
    if "simulator" in runtime.processes:
        found |= account_of(home_dir())
    return {name: value for name, value in found.items() if value and name not in os.environ}


def engine() -> Engine:
    """The database of what runs. Raises OldSchema, DatabaseUnavailable."""
    made = unchecked_engine()
    db.require_schema(made)
    return made


@cache
def unchecked_engine() -> Engine:
    """The same, whatever its schema."""
    return db.connect(settings().database_url.get_secret_value())


def embeds() -> dict[str, bool]:
    """Which servers are ours to start: those that no setting names."""
    return {
        "database": "FACET_DATABASE_URL" not in os.environ,
        "broker": "FACET_BROKER_URL" not in os.environ,
    }


def facet(*words: str) -> list[str]:
    """The command line that runs `facet WORDS` with this very installation."""
    return [sys.executable, "-m", "cli.main", *words]


def process(role: Role, concurrency: int) -> list[str]:
    """The command line of a role's process."""
    if role == "steward":
        return [sys.executable, "-m", "scheduler.steward"]
    application, queues = CELERY[role]
    return [
        *(sys.executable, "-m", "celery", "--app", application, "worker"),
        *("--queues", queues, "--concurrency", str(concurrency)),
        *("--hostname", f"{role}-{os.getpid()}@%h", "--loglevel", "WARNING"),
        *("--without-gossip", "--without-mingle"),
    ]


def start_stages(
    supervisor: Supervisor, env: Mapping[str, str], *, workers: int, consolidators: int
) -> None:
    """Start the pipeline's processes under a supervisor whose servers are up."""
    sizes = {"consolidator": consolidators, "worker": workers}
    for role in reversed(ROLES):
        supervisor.start_process(role, process(role, sizes.get(role, 1)), env)


def prepare_database(made: Engine, *, ruleset: Path | None, actor: str) -> Sequence[str]:
    """Migrate, and see to an active ruleset; returns what was done, a sentence each.

    ruleset    activated; None: the example, and only where none is active yet
    """
    from consolidator import rulesets  # noqa: PLC0415  half a second that other commands need not wait for

    done = []
    before, after = db.migrate(made)
    if before != after:
        done.append(f"database migrated from {before or 'nothing'} to {after}")
    with transaction(made) as tx:
        if ruleset is None and tx.execute(query("active_ruleset")).first() is not None:
            return done
        path = ruleset or EXAMPLE_RULESET
        ruleset_id = rulesets.add(
            tx, path.read_text(encoding="utf-8"), source=str(path), author=actor
        )
        reason = "asked for on the command line" if ruleset else "the example, to begin with"
        if rulesets.activate(tx, ruleset_id, actor=actor, reason=reason):
            done.append(f"ruleset {ruleset_id} ({path.name}) is active")
    return done
