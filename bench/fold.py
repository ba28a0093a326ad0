"""Folding offers: Facet's fold against one set-based statement, and against the way before.

    python -m bench.fold --offers 1000000

Every contender has its own copy of one database: same rows, same indexes, same durability. Three
folds follow each other: fresh, unchanged, and with another price for a tenth of the offers. The
set-based statement takes the same raw offers apart with SQL's own means, in batches of the same
size, with the rules as a CASE; it maps no spellings and writes neither price changes nor rejected
offers. The way before and dlt's merge take a sample, since they take so long; dlt only where it is
installed (`pip install --group bench`).
"""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import typer
from sqlalchemy import Engine, text

from bench import dlt_merge, legacy, offers, report, rules
from bench.databases import admin, connected, copied
from cli.embedded.servers import temporary_servers
from cli.output import say, table
from consolidator import rulesets
from consolidator.fold import fold_partition
from shared import db, ledger, queue, runs, telemetry
from shared.db import transaction
from shared.feeds import feed

PARTITION_OFFERS = 10_000
LEGACY_OFFERS_MAX = 20_000
DLT_OFFERS_MAX = 100_000
PHASES = ("fresh", "unchanged", "a tenth changed")

AIM_SET_BASED = 0.8  # of the set-based statement's offers a second
AIM_LEGACY = 20  # times those of the way before
AIM_DLT = 3  # times those of dlt's merge
AIM_TWO = (
    1.7  # times as fast as one process, where there is a core for each and one for each server
)
CORES_FOR_TWO = 4
AIM_RULES = 1.3  # times the seconds of 10 rules, for 200
AIM_MEMORY_MB = 300


class Landed(NamedTuple):
    """A run whose offers have landed and wait to be folded."""

    run_id: UUID
    values: list[dict[str, Any]]  # what a statement on each partition takes


Fold = Callable[[Engine, Landed], None]
Landing = Callable[[Engine], Landed]


def main(
    count: Annotated[int, typer.Option("--offers", min=PARTITION_OFFERS)] = 1_000_000,
    rules_wanted: Annotated[int, typer.Option("--rules", min=2)] = 10,
    partition_offers: Annotated[int, typer.Option(min=1)] = PARTITION_OFFERS,
) -> None:
    """Measure folding, print a table, and exit 1 where an aim is missed."""
    telemetry.configure(json=True, level=logging.WARNING)
    few, many = rules.brackets(rules_wanted), rules.brackets(200)
    statement = text(offers.set_based(few))
    found: dict[str, Any] = {"offers": count, "rules": rules_wanted}
    found["partition_offers"] = partition_offers
    landing = partial(_land, count=count, size=partition_offers)
    with temporary_servers(broker=False) as servers:
        url = str(servers.database_url)
        _prepare(url, count, few, many)
        with copied(url, "set_based") as engine:
            found["set_based_s"] = _phases(engine, landing, lambda e, a: _each(e, a, statement))
            wanted = _prices(engine)
        with copied(url, "one") as engine:
            found["facet_s"] = _phases(engine, landing, _fold)
            found["same_prices"] = _prices(engine) == wanted
            found["memory_mb"] = report.memory_mb()
        with copied(url, "two") as engine:
            found["two_processes_s"] = _two_at_work(engine, landing)
        with copied(url, "many") as engine:
            with transaction(engine) as tx:
                rulesets.activate(tx, 2, actor="bench", reason="200 rules")
            found["facet_200_rules_s"] = _phases(engine, landing, _fold, phases=1)
        with copied(url, "before") as engine:
            found["legacy_offers_per_s"] = _legacy(engine, min(count, LEGACY_OFFERS_MAX), few)
        found["dlt"] = dlt_merge.installed()
        if found["dlt"]:
            sample = min(count, DLT_OFFERS_MAX)
            with copied(url, "merged_by_dlt") as engine:
                took = dlt_merge.merge(engine, sample, few)
            found["dlt_offers_per_s"] = [round(sample / one) for one in took]
    raise SystemExit(_report(found))


def _prepare(url: str, count: int, few: list[rules.Bracket], many: list[rules.Bracket]) -> None:
    """A database with the offers' payloads and the two rulesets, the first of them active."""
    engine = connected(url)
    db.migrate(engine)
    with transaction(engine) as tx:
        say(f"making {count:,} offers")
        tx.execute(text(offers.PAYLOADS), {"offers": count})
        tx.execute(text("ALTER TABLE payloads ADD PRIMARY KEY (n)"))
        first = rulesets.add(tx, rules.as_file(few), source="few", author="bench")
        rulesets.activate(tx, first, actor="bench", reason="to begin with")
        rulesets.add(tx, rules.as_file(many), source="many", author="bench")
        tx.execute(text("INSERT INTO feeds (feed) VALUES ('nivoda-natural')"))
    engine.dispose()


def _phases(
    engine: Engine, landing: Landing, fold: Fold, *, phases: int = len(PHASES)
) -> list[float]:
    """The seconds of each phase; landing the offers does not count."""
    took = []
    for phase in PHASES[:phases]:
        if phase == "a tenth changed":
            with transaction(engine) as tx:
                tx.execute(text(offers.DEARER))
        landed = landing(engine)
        started = time.monotonic()
        fold(engine, landed)
        took.append(round(time.monotonic() - started, 2))
        with transaction(engine) as tx:
            tx.execute(text(offers.END), {"run_id": landed.run_id})
    return took


def _land(engine: Engine, *, count: int, size: int) -> Landed:
    with transaction(engine) as tx:
        run = tx.execute(text(offers.RUN)).one()
        runs.make_room(tx, run.landed_on)
        values = []
        for number in range(count // size):
            part = {"run_id": run.run_id, "landed_on": run.landed_on}
            ends = {"before": number * size, "last": (number + 1) * size}
            partition_id = tx.execute(
                text(offers.PARTITION), part | ends | {"number": number + 1, "size": size}
            ).scalar_one()
            values.append(part | {"partition_id": partition_id})
    url = engine.url.render_as_string(hide_password=False)
    admin(url, "VACUUM (ANALYZE) diamonds, raw_offers", database=str(engine.url.database))
    admin(url, "CHECKPOINT")
    return Landed(run.run_id, values)


def _each(engine: Engine, landed: Landed, statement: Any) -> None:
    """The yardstick: a statement a partition, each in its transaction."""
    for values in landed.values:
        with transaction(engine) as tx:
            tx.execute(statement, values)


def _fold(engine: Engine, _landed: Landed) -> None:
    """Everything that is due, one claim after another, as the consolidator does it."""
    with transaction(engine) as tx:
        due = tx.execute(text(offers.DUE)).all()
    for one in due:
        with transaction(engine) as tx:
            held = ledger.claim(
                tx, "fold", one.item_id, one.epoch, owner=queue.owner(), lease_s=600
            )
        if held is not None:  # else the other process has it
            fold_partition(held, engine=engine, feed=feed(held.feed))


def _two_at_work(engine: Engine, landing: Landing) -> float:
    """The seconds that two processes take together for the first fold, once both have started."""
    landed = landing(engine)
    url = engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(3)
    both = [context.Process(target=_fold_at, args=(url, landed, ready)) for _ in range(2)]
    for one in both:
        one.start()
    ready.wait(120)
    started = time.monotonic()
    for one in both:
        one.join()
    return round(time.monotonic() - started, 2)


def _fold_at(url: str, landed: Landed, ready: Any) -> None:
    telemetry.configure(json=True, level=logging.WARNING)
    engine = connected(url)
    with transaction(engine) as tx:
        rulesets.active(tx)
    ready.wait(120)
    _fold(engine, landed)


def _prices(engine: Engine) -> tuple[Any, ...]:
    """A sum over all prices and rules that two equal catalogues share."""
    statement = """
        SELECT count(*), sum(price_cents)::bigint,
               sum(hashtext(offer_id || rule || price_cents)::bigint)
          FROM diamonds"""
    with transaction(engine) as tx:
        return tuple(tx.execute(text(statement)).one())


def _legacy(engine: Engine, count: int, few: list[rules.Bracket]) -> float:
    with transaction(engine) as tx:
        tx.execute(text(legacy.TABLE), {"offers": count})
        tx.execute(text(legacy.KEY))
        run = tx.execute(text(offers.RUN)).one()
    started = time.monotonic()
    folded = legacy.fold(engine, run.run_id, few)
    return round(folded / (time.monotonic() - started), 1)


def _report(found: dict[str, Any]) -> int:
    count = found["offers"]
    pairs = list(zip(PHASES, found["set_based_s"], found["facet_s"], strict=True))
    found["ratios"] = [round(theirs / ours, 2) for _, theirs, ours in pairs]
    found["times_legacy"] = round(count / found["facet_s"][0] / found["legacy_offers_per_s"], 1)
    found["two_processes"] = round(found["facet_s"][0] / found["two_processes_s"], 2)
    if found["dlt"]:
        rates = [count / ours for ours in found["facet_s"][:2]]
        both = zip(rates, found["dlt_offers_per_s"], strict=True)
        found["times_dlt"] = [round(ours / theirs, 1) for ours, theirs in both]
    found["rules_200"] = round(found["facet_200_rules_s"][0] / found["facet_s"][0], 2)
    table(
        ("fold", "set-based, s", "Facet, s", "offers a second", "of the set-based"),
        [
            (phase, f"{theirs:.1f}", f"{ours:.1f}", round(count / ours), f"{theirs / ours:.2f}")
            for phase, theirs, ours in pairs
        ],
        right=("set-based, s", "Facet, s", "offers a second", "of the set-based"),
    )
    say(f"the way before: {found['legacy_offers_per_s']:,.0f} offers a second, fresh;")
    say(f"  Facet does {found['times_legacy']} times as many")
    if found["dlt"]:
        per_s, times = found["dlt_offers_per_s"], found["times_dlt"]
        say(
            f"dlt {found['dlt']} merges {per_s[0]:,} offers a second fresh, {per_s[1]:,} unchanged;"
        )
        say(f"  Facet does {times[0]} and {times[1]} times as many")
    else:
        say("dlt is not installed, so its merge is not compared: `pip install --group bench`")
    say(f"two processes are {found['two_processes']} times as fast as one, fresh")
    say(f"200 rules take {found['rules_200']} times as long as {found['rules']}, fresh")
    say(f"memory {found['memory_mb']} MB")
    met = (
        found["same_prices"]
        and min(found["ratios"]) >= AIM_SET_BASED
        and found["times_legacy"] >= AIM_LEGACY
        and min(found.get("times_dlt", [AIM_DLT])) >= AIM_DLT
        and (found["two_processes"] >= AIM_TWO or (os.cpu_count() or 1) < CORES_FOR_TWO)
        and found["rules_200"] <= AIM_RULES
        and found["memory_mb"] <= AIM_MEMORY_MB
    )
    return report.finish(found, aims_met=met)


if __name__ == "__main__":
    typer.run(main)
