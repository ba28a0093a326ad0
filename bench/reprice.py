"""Repricing the whole catalogue: Facet's batches against one UPDATE with the rules as a CASE.

    python -m bench.reprice --stones 1000000

Both run on a copy of one database: same rows, same indexes, same durability, one process. The
UPDATE writes no audit row and holds every stone until it ends; a second one, for comparison, also
writes the price changes. Beside each, and once alone, a reader asks for single stones; how long it
waits is measured.
"""

import logging
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import typer
from sqlalchemy import Engine, text

from bench import report, rules
from bench.databases import admin, connected, copied
from cli.embedded.servers import temporary_servers
from cli.output import say, table
from consolidator import rulesets
from consolidator.reprice import reprice_batch
from shared import db, ledger, queue, telemetry
from shared.db import transaction

AIM_RATIO = 0.5  # of the UPDATE's stones a second
AIM_TRANSACTION_S = 2.0
AIM_MEMORY_MB = 300
READ_PAUSE_S = 0.002
ALONE_S = 5

FILL = """
    INSERT INTO diamonds (feed, offer_id, supplier_stone_id, kind, lab, certificate_number,
        certificate_url, shape, carat, color, clarity, cut, polish, symmetry, fluorescence,
        length_mm, width_mm, depth_mm, depth_percent, table_percent, origin, supplier_id,
        supplier_name, availability, image_url, video_url, delivery_days_min, delivery_days_max,
        discount_bp, cost_cents, cost_currency, price_cents, price_currency, ruleset_id, rule,
        mapping_version, read_at, run_id)
    SELECT 'bench', 'DIAMOND/' || md5(n::text), md5(n::text), s.kind, 'GIA', (10000000 + n)::text,
           'https://certificates.example/' || n, 'ROUND', 1.01, 'G', 'VS1', 'EX', 'EX', 'EX',
           'NONE', 6.41, 6.44, 3.97, 61.8, 57, 'BOTSWANA', (n % 300)::text, 'supplier ' || n % 300,
           'AVAILABLE', 'https://images.example/' || md5(n::text), NULL, 3, 7, -3500, s.cost_cents,
           'USD', {price}, 'USD', 1, {rule}, 1, now(), gen_random_uuid()
      FROM (SELECT n, CASE WHEN n % 2 = 0 THEN 'natural' ELSE 'labgrown' END AS kind,
                   (5000 * power(400, (n::bigint * 7919 % 1000003) / 1000003.0))::bigint
                       AS cost_cents
              FROM generate_series(1, :stones) AS n) AS s
"""
UPDATE = """
    UPDATE diamonds AS d
       SET price_cents = {price}, rule = {rule}, ruleset_id = 2,
           previous_price_cents = d.price_cents, previous_cost_cents = d.cost_cents,
           changed_at = now()
"""
WITH_AUDIT = """
    WITH written AS ({update} RETURNING *)
    INSERT INTO price_changes (stone_id, old_price_cents, new_price_cents, price_currency,
        old_cost_cents, new_cost_cents, cost_currency, ruleset_id, rule, cause, reprice_id, actor)
    SELECT stone_id, previous_price_cents, price_cents, price_currency, previous_cost_cents,
           cost_cents, cost_currency, ruleset_id, rule, 'reprice', 1, 'bench'
      FROM written WHERE previous_price_cents <> price_cents
"""


class Reads(NamedTuple):
    """How long a reader waited for single stones, in milliseconds."""

    reads: int
    p50_ms: float
    p99_ms: float
    longest_ms: float


def main(
    stones: Annotated[int, typer.Option(min=1_000, help="In the catalogue.")] = 1_000_000,
    count: Annotated[int, typer.Option("--rules", min=2, help="Of each ruleset.")] = 20,
) -> None:
    """Measure repricing, print a table, and exit 1 where an aim is missed."""
    telemetry.configure(json=True, level=logging.WARNING)
    before, after = rules.brackets(count), rules.brackets(count, dearer=5)
    with temporary_servers(broker=False) as servers:
        url = _prepared(str(servers.database_url), stones, before, after)
        found: dict[str, Any] = {"stones": stones, "rules": count}
        with copied(url, "bare") as engine:
            found["reads_alone"] = _beside(engine, lambda: time.sleep(ALONE_S))[1]
            update = partial(_run, engine, _update(after))
            found["update_s"], found["reads_beside_update"] = _beside(engine, update)
            wanted = _prices(engine)
        with copied(url, "audited") as engine:
            update = partial(_run, engine, WITH_AUDIT.format(update=_update(after)))
            found["update_with_audit_s"], _ = _beside(engine, update)
        with copied(url, "batches") as engine:
            took: list[float] = []
            work = partial(_facet, engine, took)
            found["facet_s"], found["reads_beside_facet"] = _beside(engine, work)
            found["same_prices"] = _prices(engine) == wanted
        found |= {
            "activation_s": took[0],
            "batches": len(took) - 1,
            "longest_batch_s": max(took[1:]),
            "memory_mb": report.memory_mb(),
        }
    raise SystemExit(_report(found))


def _prepared(
    url: str, stones: int, before: list[rules.Bracket], after: list[rules.Bracket]
) -> str:
    """A database with the stones priced by the first ruleset, and the second as a draft."""
    engine = connected(url)
    db.migrate(engine)
    with transaction(engine) as tx:
        first = rulesets.add(tx, rules.as_file(before), source="before", author="bench")
        rulesets.activate(tx, first, actor="bench", reason="to begin with")
        rulesets.add(tx, rules.as_file(after), source="after", author="bench")
        price, rule = rules.as_case(before, "s")
        say(f"writing {stones:,} stones")
        tx.execute(text(FILL.format(price=price, rule=rule)), {"stones": stones})
    admin(url, "VACUUM (ANALYZE) diamonds", database=str(engine.url.database))
    engine.dispose()
    return url


def _update(after: list[rules.Bracket]) -> str:
    price, rule = rules.as_case(after, "d")
    return UPDATE.format(price=price, rule=rule)


def _run(engine: Engine, statement: str) -> None:
    with transaction(engine) as tx:
        tx.execute(text(statement))


def _prices(engine: Engine) -> tuple[Any, ...]:
    """A sum over all prices and rules that two equal catalogues share."""
    statement = """
        SELECT count(*), sum(price_cents)::bigint,
               sum(hashtext(offer_id || rule || price_cents)::bigint)
          FROM diamonds"""
    with transaction(engine) as tx:
        return tuple(tx.execute(text(statement)).one())


def _facet(engine: Engine, took: list[float]) -> None:
    """Activate the second ruleset and do every batch; `took`: the seconds of each transaction."""
    started = time.monotonic()
    with transaction(engine) as tx:
        rulesets.activate(tx, 2, actor="bench", reason="a bench")
    took.append(time.monotonic() - started)
    while True:
        with transaction(engine) as tx:
            due = ledger.announce(tx, "reprice", again_s=0, announced_max=64)
        if not due:
            return
        for one in due:
            with transaction(engine) as tx:
                held = ledger.claim(
                    tx, "reprice", one.item_id, one.epoch, owner=queue.owner(), lease_s=60
                )
            started = time.monotonic()
            if held is not None:
                reprice_batch(held, engine=engine)
            took.append(time.monotonic() - started)


def _beside(engine: Engine, work: Callable[[], None]) -> tuple[float, Reads]:
    """The seconds that `work` takes, and what a reader in a process of its own meets meanwhile."""
    context = multiprocessing.get_context("spawn")
    stop, ready = context.Event(), context.Event()
    answers = context.Queue()
    address = engine.url.render_as_string(hide_password=False)
    reader = context.Process(target=_read, args=(address, ready, stop, answers), daemon=True)
    reader.start()
    ready.wait(60)
    started = time.monotonic()
    try:
        work()
        took_s = time.monotonic() - started
    finally:
        stop.set()
    ms = sorted(1000 * one for one in answers.get(timeout=60))
    reader.join(60)
    p50, p99 = ms[len(ms) // 2], ms[len(ms) * 99 // 100]
    return took_s, Reads(len(ms), round(p50, 2), round(p99, 2), round(ms[-1], 1))


def _read(address: str, ready: Any, stop: Any, answers: Any) -> None:
    engine = db.connect(address)
    statement = text("SELECT * FROM diamonds WHERE stone_id = :id")
    draw = random.Random(os.getpid())
    waited: list[float] = []
    with engine.connect() as connection:
        last = connection.execute(text("SELECT max(stone_id) FROM diamonds")).scalar_one()
        ready.set()
        while not stop.is_set():
            started = time.monotonic()
            connection.execute(statement, {"id": draw.randint(1, last)}).one()
            connection.commit()
            waited.append(time.monotonic() - started)
            threading.Event().wait(READ_PAUSE_S)
    answers.put(waited)


def _report(found: dict[str, Any]) -> int:
    stones = found["stones"]
    found["ratio"] = round(found["update_s"] / found["facet_s"], 2)
    found["ratio_to_audited"] = round(found["update_with_audit_s"] / found["facet_s"], 2)
    table(
        ("what", "s", "stones a second", "of the update"),
        [
            (name, f"{s:.1f}", round(stones / s), f"{found['update_s'] / s:.2f}")
            for name, s in (
                ("one UPDATE with a CASE", found["update_s"]),
                ("the same with price changes", found["update_with_audit_s"]),
                ("Facet, in batches", found["facet_s"]),
            )
        ],
        right=("s", "stones a second", "of the update"),
    )
    alone, update, beside = (
        found[f"reads_{when}"].p99_ms for when in ("alone", "beside_update", "beside_facet")
    )
    say(f"activation {found['activation_s']:.2f} s, then {found['batches']} batches")
    say(f"longest batch {found['longest_batch_s']:.2f} s; memory {found['memory_mb']} MB")
    say(f"reading one stone, p99: {alone} ms alone, {update} beside the UPDATE, {beside} beside us")
    found |= {name: one._asdict() for name, one in found.items() if isinstance(one, Reads)}
    longest = max(found["activation_s"], found["longest_batch_s"])
    met = (
        found["same_prices"]
        and found["ratio"] >= AIM_RATIO
        and longest <= AIM_TRANSACTION_S
        and found["memory_mb"] <= AIM_MEMORY_MB
    )
    return report.finish(found, aims_met=met)


if __name__ == "__main__":
    typer.run(main)
