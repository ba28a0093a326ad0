"""`facet doctor`: is everything as it must be, and which command mends what is not."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import redis
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from sqlalchemy import Engine

from cli import system
from cli.embedded.home import home_dir, live_runtime
from cli.output import COULD_NOT, DONE, NOT_COMPLETE, Json, ago, emit, say, table, text
from shared import db, feeds
from shared.accounts import Account, accounts
from shared.db import transaction
from shared.errors import BrokerUnavailable, FacetError, OldSchema
from shared.ledger import Kind
from shared.settings import Settings
from sql import query, roles

Level = Literal["ok", "warning", "problem"]

RELEASE_MIN = 150_000  # PostgreSQL 15
SKEW_S_TOLD, SKEW_S_MAX = 2.0, 30.0
DEAF_S_MIN = 60.0  # due so long though announced again and again: nobody listens
SILENT_S = 30.0  # a steward takes back what lapsed at its next look, four times a second
FULL_SHARE = 0.85  # of the server's connections
DISK_FREE_TOLD, DISK_FREE_MIN = 0.10, 0.03
CHECK_DAYS_MAX = 7
ANSWER_S = 5

MEND_POOLS = "lower FACET_POOL_SIZE, or raise max_connections: docs/connections.md"


class Finding(NamedTuple):
    """What one check found, and what to do about it."""

    check: str
    level: Level
    says: str
    mend: str = ""  # a command, or a setting; nothing where all is well


class Patient(NamedTuple):
    """What is looked at."""

    given: Settings
    engine: Engine
    home: Path
    embedded: bool  # the database is ours, and one user is all it has


def doctor(json: Json = False) -> None:
    """Look at everything Facet stands on; each finding comes with the command that mends it.

    \b
    Examples:
      facet doctor
      facet doctor --json | jq 'select(.level != "ok")'

    Database, schema, broker, limiter, clock, work that nobody claims, processes, connections,
    roles, disks, the feeds' contracts. Changes nothing and asks no supplier. Exit 0 all is well, 3
    something needs attention, 1 something does not work.
    """
    runtime = live_runtime(home_dir())
    given = system.settings()
    engine = system.unchecked_engine()
    embedded = runtime is not None and runtime.database_url is not None
    found = list(examine(Patient(given, engine, home_dir(), embedded)))
    if json:
        for one in found:
            emit(one._asdict())
    else:
        marks: dict[Level, str] = {"ok": "ok", "warning": "look", "problem": "WRONG"}
        table(("check", "", "finding"), [(f.check, marks[f.level], f.says) for f in found])
        for one in found:
            if one.mend:
                say(f"  {one.check}: {one.mend}")
    worst = max((get_args(Level).index(one.level) for one in found), default=0)
    raise SystemExit((DONE, NOT_COMPLETE, COULD_NOT)[worst])


def examine(patient: Patient) -> Iterator[Finding]:
    """Every check. Where the database does not answer, what needs it is left out."""
    try:
        yield from database(patient)
    except FacetError as error:
        yield Finding("database", "problem", str(error), error.hint.replace("`facet doctor`", ""))
        yield from broker(patient)
        yield from limiter(patient)
        yield from disk(patient)
        return
    try:
        db.require_schema(patient.engine)
    except OldSchema as error:
        yield Finding("schema", "problem", str(error), error.hint)
        after: tuple[Callable[[Patient], Iterator[Finding]], ...] = (broker, limiter, connections)
    else:
        yield Finding("schema", "ok", f"at {db.versions()[-1]}, as this release needs")
        after = (broker, limiter, work, processes, connections, access, contracts)
    for check in (*after, disk):
        yield from check(patient)


def database(
    patient: Patient, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[Finding]:
    """Does it answer, is it recent enough, and does its clock agree with ours. Raises as
    `transaction`."""
    with transaction(patient.engine) as tx:
        tx.execute(query("database_name"))  # connected: what comes now is one way and back
        before = now()
        row = tx.execute(query("server_now")).one()
        after = now()
    took_s = (after - before).total_seconds()
    says = f"answers in {1000 * took_s:.0f} ms, {row.bytes / 2**20:,.0f} MB"
    if row.release < RELEASE_MIN:
        yield Finding(
            "database",
            "problem",
            f"PostgreSQL {row.release // 10_000}: 15 or later is needed",
            "name a later server in FACET_DATABASE_URL",
        )
    else:
        yield Finding("database", "ok", f"PostgreSQL {row.release // 10_000} {says}")
    room = patient.given.database_disk_bytes
    if room is not None:
        says = f"the database has {row.bytes / 2**30:,.1f} of {room / 2**30:,.1f} GB of its disk"
        yield _room(1 - row.bytes / room, says)
    skew_s = abs((row.now - (before + (after - before) / 2)).total_seconds()) - took_s / 2
    level: Level = "problem" if skew_s > SKEW_S_MAX else "warning"
    if skew_s > SKEW_S_TOLD:
        yield Finding(
            "clock",
            level,
            f"this host and the database are {skew_s:,.0f} s apart; leases do not care, times "
            "in logs do",
            "`timedatectl set-ntp true` on the one that is wrong",
        )
    else:
        yield Finding("clock", "ok", "this host and the database agree")


def broker(patient: Patient) -> Iterator[Finding]:
    """Does it answer, and does it keep what it is given."""
    url = patient.given.broker_url.get_secret_value()
    hint = "`facet up`" if patient.embedded else "start it, or mend FACET_BROKER_URL"
    if url.startswith(("redis://", "rediss://", "unix://")):
        yield from _redis("broker", url, hint)
        return
    try:
        with Connection(url, connect_timeout=ANSWER_S) as connection:  # type: ignore[no-untyped-call]
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=ANSWER_S)
    except (OSError, OperationalError) as error:
        yield Finding("broker", "problem", f"does not answer: {_first_line(error)}", hint)
        return
    yield Finding("broker", "ok", "answers")


def limiter(patient: Patient) -> Iterator[Finding]:
    """Does it answer, is a limit cut, is a breaker open."""
    try:
        url = patient.given.redis()
    except FacetError as error:
        yield Finding("limiter", "problem", str(error), error.hint)
        return
    if url != patient.given.broker_url.get_secret_value():
        hint = "`facet up`" if patient.embedded else "start it, or mend FACET_REDIS_URL"
        yield from _redis("limiter", url, hint)
    client = redis.Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
    try:
        for account in accounts(patient.given, client):
            yield _account(account)
    except BrokerUnavailable as error:
        hint = "`facet up`" if patient.embedded else "start it, or mend FACET_REDIS_URL"
        yield Finding("limiter", "problem", str(error), hint)
    finally:
        client.close()


def _account(account: Account) -> Finding:
    used, state = account.limiter.used(), account.breaker.state()
    name, nominal = account.limiter.key, account.limiter.rate_per_s
    if state.name != "closed":
        says = f"the breaker of {name} is {state.name} since {state.open_s:,.0f} s"
        return Finding("limiter", "problem", says, "`facet breaker show`")
    if nominal and used.rate_per_s and used.rate_per_s < nominal:
        says = f"{name} complained: {used.rate_per_s:.1f} of {nominal:g} requests a second"
        return Finding("limiter", "warning", says, "`facet limit show`")
    limit = f"{nominal:g} requests a second" if nominal else "no limit"
    return Finding("limiter", "ok", f"{name}: {limit}, {used.in_flight} under way")


def _redis(check: str, url: str, hint: str) -> Iterator[Finding]:
    """Does it answer, and keep what it is given."""
    client = redis.Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
    try:
        client.ping()
        policy = _setting(client, "maxmemory-policy")
        kept = _setting(client, "appendonly")
    except redis.RedisError as error:
        yield Finding(check, "problem", f"does not answer: {_first_line(error)}", hint)
        return
    finally:
        client.close()
    if policy not in {"noeviction", None}:
        yield Finding(
            check,
            "problem",
            f"forgets when its memory is full (maxmemory-policy {policy}): limits would not hold",
            "`redis-cli config set maxmemory-policy noeviction`",
        )
    elif kept == "no":
        yield Finding(
            check,
            "warning",
            "forgets all when it restarts (appendonly no): work is only delayed",
            "`redis-cli config set appendonly yes`",
        )
    else:
        yield Finding(check, "ok", "answers, and keeps what it is given")


def _setting(client: "redis.Redis", name: str) -> str | None:
    """None where a hosted server does not tell."""
    try:
        told: Any = client.config_get(name)
    except redis.ResponseError:
        return None
    found = {_plain(key): _plain(value) for key, value in told.items()}
    return found.get(name)


def work(patient: Patient) -> Iterator[Finding]:
    """Is due work announced, and claimed; are lapsed leases taken back."""
    with transaction(patient.engine) as tx:
        rows = tx.execute(query("metric_work")).all()
        silent = tx.execute(query("silent_leases"), {"silent_s": SILENT_S}).scalar_one()
    found = []
    start = "`facet up`" if patient.embedded else "`facet serve steward`"
    if silent:
        says = f"{silent} leases ran out over {SILENT_S:.0f} s ago: no steward takes them back"
        found.append(Finding("steward", "problem", says, start))
    late_s = max(DEAF_S_MIN, 2 * patient.given.announce_again_s)
    for row in rows:
        if row.oldest_due_s < late_s:
            continue
        if row.unannounced:
            says = f"{row.kind} work is due for {row.oldest_due_s:,.0f} s and not announced"
            found.append(Finding("steward", "problem", says, start))
        elif not row.held:
            says = f"{row.due} of {row.kind} due for {row.oldest_due_s:,.0f} s, nobody claims any"
            role = _role_of(row.kind)
            mend = "`facet up`" if patient.embedded else f"`facet serve {role}`"
            found.append(Finding(role, "problem", says, mend))
    if not any(one.check == "steward" for one in found):
        due = sum(row.due for row in rows)
        found.append(Finding("work", "ok", f"{due:,} due, {sum(r.held for r in rows):,} held"))
    yield from found


def processes(patient: Patient) -> Iterator[Finding]:
    """Is somebody of each role at work; without due work nobody would be missed."""
    with transaction(patient.engine) as tx:
        rows = tx.execute(query("list_processes"), {"ended": False}).all()
    alive = [row.role for row in rows if row.beat_s <= SILENT_S]
    missing = [role for role in system.ROLES if role not in alive]
    if missing:
        says = f"at work is no {', no '.join(missing)}"
        mend = "`facet up`" if patient.embedded else f"`facet serve {missing[0]}`"
        yield Finding("processes", "warning", says, mend)
    else:
        yield Finding("processes", "ok", f"{len(alive)} at work, of every role")


def _role_of(kind: Kind) -> str:
    """The role whose processes do work of a kind; a steward where no Celery process does."""
    served = (role for role, (_, kinds) in system.CELERY.items() if kind in kinds.split(","))
    return next(served, "steward")


def connections(patient: Patient) -> Iterator[Finding]:
    """Does what all processes may open fit into what the server takes."""
    with transaction(patient.engine) as tx:
        room = int(tx.execute(query("connections_room")).scalar_one())
        there = {
            str(row.name): int(row.connections) for row in tx.execute(query("connections_there"))
        }
    ours = {name for name in there if name.startswith("facet/")}
    might = sum(_most(name, there[name]) for name in ours)
    others = sum(count for name, count in there.items() if name not in ours)
    says = f"{len(ours)} processes may open {might}, others have {others}; the server takes {room}"
    if might + others > room:
        yield Finding("connections", "problem", says, MEND_POOLS)
    elif sum(there.values()) > FULL_SHARE * room:
        says = f"{sum(there.values())} of {room} are open"
        yield Finding("connections", "warning", says, MEND_POOLS)
    else:
        yield Finding("connections", "ok", says)


def _most(name: str, open_now: int) -> int:
    """What a process may open, from the end of its name; see `db.application_name`."""
    most = name.rpartition("/")[2]
    return max(int(most) if most.isdigit() else 0, open_now)


def access(patient: Patient) -> Iterator[Finding]:
    """Are the roles of least privilege there, and as they are meant."""
    with transaction(patient.engine) as tx:
        used = roles.in_use(tx)
        wrong = roles.deviations(tx)
        server = tx.execute(query("server_now")).one()
    if patient.embedded:
        yield Finding("roles", "ok", "the embedded database has one user")
    elif not used:
        says = f"every process may do everything: there is no {roles.role_of('worker')} here"
        yield Finding("roles", "warning", says, "`facet db roles`")
    elif wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        yield Finding("roles", "problem", f"{wrong[0]}{more}", "`facet db roles`")
    elif server.superuser:
        says = f"FACET_DATABASE_URL logs in as {server.user_name}, a superuser"
        yield Finding("roles", "warning", says, "name a login in facet_operator")
    else:
        yield Finding("roles", "ok", "each may do what it does and no more")


def disk(patient: Patient) -> Iterator[Finding]:
    """Is there room where the embedded servers are, and in the folders that are watched."""
    watched = [Path(folder) for folder in patient.given.disks()]
    for folder in dict.fromkeys([patient.home, *watched]):
        try:
            usage = shutil.disk_usage(folder)
        except OSError as error:
            if folder in watched:
                says = f"{folder} cannot be looked at: {error.strerror}"
                yield Finding("disk", "warning", says, "mend FACET_WATCH_DISKS")
            continue
        says = f"{usage.free / 2**30:,.1f} GB free ({usage.free / usage.total:.0%}) at {folder}"
        yield _room(usage.free / usage.total, says)


def _room(free_share: float, says: str) -> Finding:
    if free_share >= DISK_FREE_TOLD:
        return Finding("disk", "ok", says)
    level: Level = "problem" if free_share < DISK_FREE_MIN else "warning"
    return Finding("disk", level, says, "`facet retention plan`")


def contracts(patient: Patient) -> Iterator[Finding]:
    """What the last checks of the suppliers found; of feeds that were ever asked."""
    with transaction(patient.engine) as tx:
        rows = tx.execute(query("list_feeds"), {"feeds": list(feeds.known())}).all()
    found = [finding for row in rows for finding in _contract(row)]
    yield from found or [Finding("feeds", "ok", "every contract was kept when last looked at")]


def _contract(row: Any) -> Iterator[Finding]:
    check = f"`facet feed check {row.feed}`"
    if row.paused_at is not None:
        says = f"{row.feed} is paused: {row.paused_reason}"
        yield Finding("feeds", "warning", says, f"`facet feed resume {row.feed} --because TEXT`")
    if row.verdict in {"degraded", "incompatible"}:
        level: Level = "problem" if row.verdict == "incompatible" else "warning"
        yield Finding("feeds", level, f"{row.feed} is {row.verdict}", check)
    elif row.checked_at is not None and row.paused_at is None:
        age = datetime.now(UTC) - row.checked_at
        if age.days >= CHECK_DAYS_MAX:
            says = f"{row.feed} was last looked at {ago(row.checked_at)}"
            yield Finding("feeds", "warning", says, check)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _plain(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else text(value)
