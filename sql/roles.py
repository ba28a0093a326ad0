"""Who may do what: six roles of the database, each granted what its processes do and no more.

They are groups without a login; whoever logs in is put into one of them (docs/connections.md). The
table below is the whole of it. A test tries every cell, and fails for a table without a line.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, get_args

from sqlalchemy import Connection

from sql import query

Stage = Literal["scheduler", "worker", "consolidator", "operator", "readonly"]
STAGES: tuple[Stage, ...] = get_args(Stage)

OWNER = "facet_migrate"  # owns everything, and alone may change what there is
SCHEMA = "public"

# S select, I insert, U update, D delete; U(column) of that column only. `readonly` and `operator`
# may read everything besides. Stewards are of `scheduler`.
Cells = Mapping[Stage, str]

TABLES: dict[str, Cells] = {
    "alembic_version": {"scheduler": "S", "worker": "S", "consolidator": "S"},
    "schema_serves": {"scheduler": "S", "worker": "S", "consolidator": "S"},
    # the ledger
    "work_items": {"scheduler": "SIUD", "worker": "SIU", "consolidator": "SIU", "operator": "IUD"},
    "dead_letters": {
        "scheduler": "SIUD",
        "worker": "SIU",
        "consolidator": "SIU",
        "operator": "IUD",
    },
    "leaders": {"scheduler": "SIUD"},
    # runs
    "feeds": {"scheduler": "SIU", "worker": "S", "consolidator": "SU(watermark)", "operator": "IU"},
    "runs": {"scheduler": "SIU", "worker": "SU(counted)", "consolidator": "SU", "operator": "IU"},
    "heatmaps": {"scheduler": "SID", "operator": "D"},
    "feed_checks": {"scheduler": "SIUD", "operator": "IUD"},
    "partitions": {
        "scheduler": "SIUD",
        "worker": "SIUD",
        "consolidator": "SU",
        "operator": "UD",
    },
    "snapshots": {"scheduler": "SID", "worker": "SU", "consolidator": "S", "operator": "D"},
    "raw_offers": {"scheduler": "S", "worker": "SID", "consolidator": "S"},
    "rejected_offers": {"scheduler": "SD", "consolidator": "SID", "operator": "D"},
    # the catalogue
    "diamonds": {"scheduler": "S", "consolidator": "SIU"},
    "catalogue": {},
    "price_changes": {"scheduler": "S", "consolidator": "SI"},
    "rulesets": {"scheduler": "S", "consolidator": "S", "operator": "IU"},
    "rates": {"consolidator": "S", "operator": "I"},
    "reprices": {"scheduler": "SU", "consolidator": "S", "operator": "IU"},
    "reprice_batches": {"scheduler": "SD", "consolidator": "SU", "operator": "ID"},
    # what people did; nobody takes it back
    "audit_events": {"scheduler": "I", "operator": "I"},
    # what wants a person
    "incidents": {"scheduler": "SIUD", "operator": "IUD"},
    "alerts": {"scheduler": "SIUD", "operator": "IUD"},
    "alert_incidents": {"scheduler": "SIUD", "operator": "IUD"},
    "deliveries": {"scheduler": "SIUD", "operator": "IUD"},
    "watch_marks": {"scheduler": "SIUD"},
    "unclaimed_kinds": {"scheduler": "SIUD"},
    "breakers": {"scheduler": "SIUD"},
    "lapsed_leases": {"scheduler": "SIUD"},
    "price_moves": {"scheduler": "SIUD"},
    # operation
    "schedules": {"scheduler": "SIUD", "operator": "IUD"},
    "schedule_slots": {"scheduler": "SIUD", "operator": "IUD"},
    "processes": {"scheduler": "SIUD", "worker": "SIU", "consolidator": "SIU", "operator": "UD"},
    "account_orders": {
        "scheduler": "SIUD",
        "worker": "S",
        "consolidator": "S",
        "operator": "IUD",
    },
    "archives": {"scheduler": "SIUD", "operator": "IUD"},
    "retentions": {"scheduler": "SIUD", "operator": "IUD"},
    "spent_runs": {"scheduler": "S"},
}

# Functions that do more than their caller may; everything else may be called by anybody.
FUNCTIONS: dict[str, tuple[Stage, ...]] = {
    "make_room": ("scheduler", "operator"),
    "drop_raw_offers": ("scheduler", "operator"),
    "drop_price_changes": ("scheduler", "operator"),
    "work_payload": ("scheduler", "worker", "consolidator", "operator"),
}

READERS: tuple[Stage, ...] = ("operator", "readonly")
VERBS = {"S": "SELECT", "I": "INSERT", "U": "UPDATE", "D": "DELETE"}


class Privilege(NamedTuple):
    """One cell's part: may `role` do `verb` on `table`, on one column only where it is named."""

    role: str
    table: str
    verb: str
    column: str | None


def role_of(stage: Stage) -> str:
    """What the database calls it."""
    return f"facet_{stage}"


def names() -> tuple[str, ...]:
    """All six."""
    return (*(role_of(stage) for stage in STAGES), OWNER)


def privileges(table: str) -> Iterator[Privilege]:
    """What the roles may do with a table; nothing for one without a line but by those who read
    everything."""
    cells = TABLES.get(table, {})
    for stage in STAGES:
        cell = cells.get(stage, "")
        if stage in READERS:
            cell = f"S{cell}"
        yield from _read(role_of(stage), table, cell)


def missing(tx: Connection) -> list[str]:
    """The roles that are not there."""
    there = set(tx.execute(query("roles_there"), {"names": list(names())}).scalars())
    return [name for name in names() if name not in there]


def owns_schema(tx: Connection) -> bool:
    """Whether the schema was handed to the role that owns it, and we may act as it."""
    return bool(tx.execute(query("schema_is_owned"), {"owner": OWNER}).scalar())


def create(absent: list[str]) -> Iterator[str]:
    """Statements that make roles. Whoever runs them needs CREATEROLE."""
    for name in absent:
        yield f"CREATE ROLE {name} NOLOGIN"


def hand_over(tx: Connection) -> Iterator[str]:
    """Statements that make the owner's role the owner of all there is, and let us be of it."""
    database = tx.execute(query("database_name")).scalar_one()
    everyone = ", ".join(names())
    yield f"GRANT {OWNER} TO CURRENT_USER"
    yield f'GRANT CONNECT ON DATABASE "{database}" TO {everyone}'
    yield f'GRANT TEMPORARY ON DATABASE "{database}" TO {role_of("consolidator")}, {OWNER}'
    yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {everyone}"
    yield f"GRANT CREATE ON SCHEMA {SCHEMA} TO {OWNER}"
    for kind, name in tx.execute(query("objects_of_others"), {"owner": OWNER}):
        yield f"ALTER {kind} {name} OWNER TO {OWNER}"


def grants(tx: Connection) -> Iterator[str]:
    """Statements that take everything from the five and give them what stands above."""
    everyone = ", ".join(role_of(stage) for stage in STAGES)
    tables = [str(name) for name in tx.execute(query("tables_there")).scalars()]
    for table in tables:
        yield f"REVOKE ALL ON {SCHEMA}.{table} FROM PUBLIC, {everyone}"
        for one in privileges(table):
            column = f" ({one.column})" if one.column else ""
            yield f"GRANT {one.verb}{column} ON {SCHEMA}.{table} TO {one.role}"
    yield f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {role_of('readonly')}"
    for signature, name in tx.execute(query("functions_there"), {"names": list(FUNCTIONS)}):
        callers = ", ".join(role_of(stage) for stage in FUNCTIONS[name])
        yield f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC, {everyone}"
        yield f"GRANT EXECUTE ON FUNCTION {signature} TO {callers}"


def grant(tx: Connection) -> None:
    """Give each role what it is to have. Only the owner of the tables can."""
    for statement in list(grants(tx)):
        tx.exec_driver_sql(statement)


def in_use(tx: Connection) -> bool:
    """Whether anything here was ever granted to the roles; they may be another database's."""
    return not missing(tx) and bool(_granted(tx))


def deviations(tx: Connection) -> list[str]:
    """Where the database grants something else than stands above, a sentence each; empty where the
    roles are not in use."""
    if not in_use(tx):
        return []
    granted = _granted(tx)
    tables = tx.execute(query("tables_there")).scalars()
    wanted = {one for table in tables for one in privileges(table)}
    found = [f"{one.role} lacks {_words(one)}" for one in wanted - granted]
    return sorted(found + [f"{one.role} has {_words(one)}" for one in granted - wanted])


def _granted(tx: Connection) -> set[Privilege]:
    rows = tx.execute(query("privileges_granted"), {"names": list(names()[:-1])})
    return {Privilege(row.role, row.table_name, row.verb, row.column_name) for row in rows}


def _read(role: str, table: str, cell: str) -> Iterator[Privilege]:
    rest = cell
    while rest:
        verb, rest = VERBS[rest[0]], rest[1:]
        column = None
        if rest.startswith("("):
            column, _, rest = rest[1:].partition(")")
        yield Privilege(role, table, verb, column)


def _words(one: Privilege) -> str:
    column = f" ({one.column})" if one.column else ""
    return f"{one.verb}{column} on {one.table}"
