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
from shared.settings import Settings, is_named, load
from sql import query

Role = Literal["steward", "scheduler", "worker", "consolidator"]
ROLES: tuple[Role, ...] = get_args(Role)

# Which Celery application serves a role, and which kinds of work it takes.
CELERY: dict[Role, tuple[str, str]] = {
    "scheduler": ("scheduler.tasks", "plan,cut,sweep"),
    "worker": ("worker.tasks", "fetch"),
    "consolidator": ("consolidator.tasks", "fold,reconcile,reprice"),
}
# A worker waits for its supplier nearly all the time: its partitions share one process, one login
# and one set of connections. Folding needs a processor for each.
POOL: dict[Role, str] = {"scheduler": "prefork", "worker": "threads", "consolidator": "prefork"}
# A partition at its beginning or end leaves the limit to another one.
CONCURRENCY: dict[Role, int] = {"worker": 2}
# As whom a role's processes log in; a steward opens runs, as a scheduler plans them.
STAGES: dict[Role, str] = {
    "steward": "scheduler",
    "scheduler": "scheduler",
    "worker": "worker",
    "consolidator": "consolidator",
}
OTHER_URLS = tuple(
    f"FACET_DATABASE_URL_{stage}"
    for stage in ("SCHEDULER", "WORKER", "CONSOLIDATOR", "READONLY", "MIGRATE")
)
EXAMPLE_RULESET = Path(__file__).parents[1] / "docs" / "examples" / "ruleset.yaml"


@cache
def settings() -> Settings:
    """The settings of what runs: the environment's, completed by what `facet up` started.

    Raises BadSettings, and NotNow where neither names a database and nothing runs.
    """
    named = is_named("FACET_DATABASE_URL") and is_named("FACET_BROKER_URL")
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
    return {name: value for name, value in found.items() if value and not is_named(name)}


def engine() -> Engine:
    """The database of what runs. Raises OldSchema, DatabaseUnavailable."""
    made = unchecked_engine()
    db.require_schema(made)
    return made


@cache
def unchecked_engine() -> Engine:
    """The same, whatever its schema."""
    return engine_of(settings())


@cache
def owner_engine() -> Engine:
    """The same, as who may change the schema, where a login of its own is named for that."""
    return engine_of(settings(), "migrate")


def engine_of(given: Settings, stage: str | None = None) -> Engine:
    """The database as a stage's own login sees it; as everybody's where none is named for it."""
    return db.connect(
        url_of(given, stage),
        statement_timeout_s=given.statement_timeout_s,
        pool_timeout_s=given.pool_timeout_s,
        pooled=given.database_pooled,
    )


def url_of(given: Settings, stage: str | None) -> str:
    """A stage's database URL: a secret."""
    own = getattr(given, f"database_url_{stage}") if stage else None
    return str((own or given.database_url).get_secret_value())


def own_settings(given: Settings, role: Role, concurrency: int) -> dict[str, str]:
    """What a process of a role is told besides: its own login, and a pool that fits its threads."""
    told = {"FACET_DATABASE_URL": url_of(given, STAGES[role])}
    if not is_named("FACET_POOL_SIZE"):
        told["FACET_POOL_SIZE"] = str(pool_size(role, concurrency))
    return told


def pool_size(role: Role, concurrency: int) -> int:
    """Connections that a process of a role keeps: one for each of its threads that works.

    A pool of processes has one such thread in each. docs/connections.md has the sum.
    """
    return concurrency if POOL.get(role) == "threads" else 1


def embeds() -> dict[str, bool]:
    """Which servers are ours to start: those that no setting names."""
    return {
        "database": not is_named("FACET_DATABASE_URL"),
        "broker": not is_named("FACET_BROKER_URL"),
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
        *("--pool", POOL[role]),
        *("--hostname", f"{role}-{os.getpid()}@%h", "--loglevel", "WARNING"),
        *("--without-gossip", "--without-mingle"),
    ]


def start_stages(
    supervisor: Supervisor, env: Mapping[str, str], *, workers: int, consolidators: int
) -> None:
    """Start the pipeline's processes under a supervisor whose servers are up."""
    given = load(env)
    sizes = {"consolidator": consolidators, "worker": workers}
    for role in reversed(ROLES):
        size = sizes.get(role, 1)
        told = {**env, **own_settings(given, role, size)}
        supervisor.start_process(role, process(role, size), told)


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
