"""The way of the pipeline before this one: rows claimed by an update, priced one by one in Python,
and upserted in chunks of a hundred."""

import json
from typing import Any

from sqlalchemy import Engine, text

from bench import rules
from bench.offers import COLUMNS
from shared.db import transaction

CLAIM_ROWS = 2_000
CHUNK_ROWS = 100

TABLE = """
    CREATE TABLE legacy_raw AS
    SELECT n AS id, payload, NULL::timestamptz AS claimed_at, NULL::timestamptz AS done_at
      FROM payloads WHERE n <= :offers"""
KEY = "ALTER TABLE legacy_raw ADD PRIMARY KEY (id)"
CLAIM = """
    UPDATE legacy_raw SET claimed_at = now()
     WHERE id IN (SELECT id FROM legacy_raw WHERE claimed_at IS NULL
                   ORDER BY id LIMIT :rows FOR UPDATE SKIP LOCKED)
    RETURNING id, payload"""
DONE = "UPDATE legacy_raw SET done_at = now() WHERE id = ANY(:ids)"

NAMES = ("offer_id", *COLUMNS, "price_cents", "price_currency", "rule")


def upsert(rows: int) -> str:
    """The statement for a chunk of so many rows."""
    lines = (", ".join(f":{name}_{n}" for name in NAMES) for n in range(rows))
    values = ", ".join(f"('nivoda-natural', {line}, 1, 1, now(), :run_id)" for line in lines)
    sets = ", ".join(f"{name} = excluded.{name}" for name in NAMES[1:])
    names = ", ".join(NAMES)
    return f"""
        INSERT INTO diamonds (feed, {names}, ruleset_id, mapping_version, read_at, run_id)
        VALUES {values}
        ON CONFLICT (feed, offer_id) DO UPDATE SET {sets}, changed_at = now()"""


def fold(engine: Engine, run_id: Any, found: list[rules.Bracket]) -> int:
    """Fold everything in `legacy_raw`; returns how many offers."""
    folded = 0
    while True:
        with transaction(engine) as tx:
            claimed = tx.execute(text(CLAIM), {"rows": CLAIM_ROWS}).all()
        if not claimed:
            return folded
        stones = [stone(row.payload, found) for row in claimed]
        for start in range(0, len(stones), CHUNK_ROWS):
            chunk = stones[start : start + CHUNK_ROWS]
            values = {f"{k}_{n}": v for n, one in enumerate(chunk) for k, v in one.items()}
            with transaction(engine) as tx:
                tx.execute(text(upsert(len(chunk))), values | {"run_id": run_id})
        with transaction(engine) as tx:
            tx.execute(text(DONE), {"ids": [row.id for row in claimed]})
        folded += len(stones)


def stone(payload: Any, found: list[rules.Bracket]) -> dict[str, Any]:
    """One offer as a row of the catalogue."""
    offer = payload if isinstance(payload, dict) else json.loads(payload)
    diamond = offer["diamond"]
    certificate, supplier = diamond["certificate"], diamond["supplier"]
    delivery = diamond["delivery_time"]
    parts = {"o": offer, "d": diamond, "c": certificate, "s": supplier, "t": delivery}
    row: dict[str, Any] = {"offer_id": offer["id"], "price_currency": "USD"}
    for name, said in COLUMNS.items():
        part, _, key = said.partition(".")
        row[name] = parts[part][key.strip('"')] if key and part in parts else None
    origin = diamond["mine_of_origin"] or certificate["country_of_origin"]
    row |= {"kind": "natural", "cost_currency": "USD", "origin": origin}
    for number, one in enumerate(found):
        high = one.high_cents
        if one.kind == "natural" and one.low_cents <= offer["price"] < (high or offer["price"] + 1):
            row["price_cents"] = (offer["price"] * (100 + one.percent) + 50) // 100
            row["rule"] = f"bracket {number}"
            break
    return row
