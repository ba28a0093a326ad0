"""The planted bugs: each a small edit that must apply exactly once, and who is to catch it."""

from typing import NamedTuple

MACHINE = "machine"

LEDGER = "sql/queries/ledger.sql"
STONES = "sql/queries/stones.sql"
REPRICES = "sql/queries/reprices.sql"
FENCE = "WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'"


class Edit(NamedTuple):
    path: str
    old: str
    new: str


class Mutant(NamedTuple):
    name: str
    detectors: tuple[str, ...]  # asked in turn until one catches it
    edits: tuple[Edit, ...]


def mutant(name: str, detectors: str | tuple[str, ...], *edits: tuple[str, str, str]) -> Mutant:
    asked = (detectors,) if isinstance(detectors, str) else detectors
    return Mutant(name, asked, tuple(Edit(*one) for one in edits))


def unfenced(statement: str, then: str) -> tuple[str, str, str]:
    """The edit that takes the fence from the one statement that goes on with `then`."""
    return LEDGER, f"{statement}{FENCE}{then}", f"{statement}WHERE item_id = :item_id{then}"


CLEAN = ("quiet::0", "flush::0")  # rounds in which runs end complete

MUTANTS = (
    mutant(
        "a fold acknowledged before its work",
        "point:fold.before_commit:0",
        (
            "consolidator/fold.py",
            '    with transaction(engine, "fold") as tx:\n        ledger.finish(tx, held)\n',
            (
                "    with transaction(engine) as tx:\n        ledger.finish(tx, held)\n"
                '    with transaction(engine, "fold") as tx:\n'
            ),
        ),
    ),
    mutant(
        "a plan acknowledged before its work",
        "point:plan.before_commit:0",
        (
            "scheduler/plan.py",
            '    with transaction(engine, "plan") as tx:\n        ledger.finish(tx, held)\n',
            (
                "    with transaction(engine) as tx:\n        ledger.finish(tx, held)\n"
                '    with transaction(engine, "plan") as tx:\n'
            ),
        ),
    ),
    mutant(
        "a partition acknowledged before its fold is queued",
        "point:partition_end.before_commit:0",
        (
            "worker/fetch.py",
            (
                '    with transaction(engine, "partition_end") as tx:\n'
                "        ledger.finish(tx, held)\n"
            ),
            (
                "    with transaction(engine) as tx:\n        ledger.finish(tx, held)\n"
                '    with transaction(engine, "partition_end") as tx:\n'
            ),
        ),
    ),
    mutant(
        "the offset in another transaction than its page",
        tuple(f"point:page.after_commit:{number}" for number in (2, 0, 1, 3)),
        (
            "worker/fetch.py",
            (
                '        if cursor(tx).execute(plain("land_page"), values).fetchone() != (1,):\n'
                '            raise ClaimLost(f"fetch item {held.item_id}, epoch {held.epoch}")\n'
            ),
            (
                '        values |= {"offer_ids": [], "payloads": []}\n'
                '        if cursor(tx).execute(plain("land_page"), values).fetchone() != (1,):\n'
                '            raise ClaimLost(f"fetch item {held.item_id}, epoch {held.epoch}")\n'
                "    with transaction(engine) as tx:\n"
                '        names = "landed_on, partition_id, position, offer_id, payload, read_at"\n'
                "        with cursor(tx).copy(f'COPY raw_offers ({names}) FROM STDIN') as copy:\n"
                "            for n, offer in enumerate(fresh, start=reading.landed):\n"
                "                said = offer.offer_id, offer.payload.decode(), datetime.now(UTC)\n"
                "                copy.write_row((part.landed_on, part.partition_id, n, *said))\n"
            ),
        ),
        (
            "worker/fetch.py",
            "from datetime import date\n",
            "from datetime import UTC, date, datetime\n",
        ),
    ),
    mutant(
        "a page without a fence",
        MACHINE,
        (
            "sql/queries/partitions.sql",
            "     WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'\n",
            "     WHERE item_id = :item_id AND state <> 'cancelled'\n",
        ),
    ),
    mutant(
        "a page that lands again when its commit was in doubt",
        MACHINE,
        (
            "sql/queries/partitions.sql",
            " AND p.landed = :landed_before\n    RETURNING p.partition_id, now()",
            "\n    RETURNING p.partition_id, now()",
        ),
    ),
    mutant(
        "a finish without a fence",
        MACHINE,
        (
            LEDGER,
            "finished_at = now(), last_error = NULL\n " + FENCE,
            "finished_at = now(), last_error = NULL\n WHERE item_id = :item_id",
        ),
    ),
    mutant(
        "a heartbeat without a fence",
        MACHINE,
        (
            LEDGER,
            "THEN 1 ELSE attempts END\n " + FENCE,
            "THEN 1 ELSE attempts END\n WHERE item_id = :item_id AND state = 'held'",
        ),
    ),
    mutant(
        "a give-back without a fence",
        MACHINE,
        (
            LEDGER,
            "coalesce(:error, last_error)\n " + FENCE,
            "coalesce(:error, last_error)\n WHERE item_id = :item_id AND state = 'held'",
        ),
        (
            LEDGER,
            "SELECT attempts\n  FROM work_items\n " + FENCE,
            "SELECT attempts\n  FROM work_items\n WHERE item_id = :item_id AND state = 'held'",
        ),
    ),
    mutant(
        "a burial without a fence",
        MACHINE,
        (
            LEDGER,
            "finished_at = now(), last_error = :error\n     " + FENCE,
            "finished_at = now(), last_error = :error\n     WHERE item_id = :item_id",
        ),
    ),
    mutant("an epoch that stays", MACHINE, (LEDGER, "epoch = w.epoch + 1", "epoch = w.epoch")),
    mutant(
        "a claim by a message of an earlier epoch",
        MACHINE,
        (LEDGER, "   AND w.epoch = :epoch\n", "   AND w.epoch >= :epoch\n"),
    ),
    mutant(
        "a claim of what another holds",
        MACHINE,
        (LEDGER, "   AND w.state = 'due'\n", "   AND w.state IN ('due', 'held')\n"),
    ),
    mutant(
        "a claim before its time",
        MACHINE,
        (LEDGER, "   AND w.not_before <= now()\n   AND (w.kind NOT", "   AND (w.kind NOT"),
    ),
    mutant(
        "no sweeper",
        (MACHINE, "flush::0"),
        (
            LEDGER,
            (
                "       AND (announced_at IS NULL OR announced_at <= now() - "
                "make_interval(secs => :again_s))\n"
            ),
            "       AND (announced_at IS NULL OR :again_s < 0)\n",
        ),
    ),
    mutant(
        "no reaper",
        ("point:page.after_commit:0",),
        (
            "scheduler/steward.py",
            "moved = reap(engine) + close_runs(engine)",
            "moved = close_runs(engine)",
        ),
    ),
    mutant(
        "a reaper that does not look at the lease",
        (MACHINE,),
        (LEDGER, "WHERE state = 'held' AND lease_until < now()\n", "WHERE state = 'held'\n"),
    ),
    mutant(
        "a lease by the worker's clock",
        ("clock::0", "clock::1"),
        (
            "shared/ledger.py",
            '"owner": owner, "lease_s": lease_s}',
            '"owner": owner, "lease_s": lease_s, "clock": time.time()}',
        ),
        ("shared/ledger.py", "import random\n", "import random\nimport time\n"),
        (
            LEDGER,
            "       owner = :owner,\n       lease_until = now() + make_interval(secs => :lease_s)",
            (
                "       owner = :owner,\n"
                "       lease_until = to_timestamp(:clock) + make_interval(secs => :lease_s)"
            ),
        ),
    ),
    mutant(
        "a give-back that uses up an attempt",
        MACHINE,
        (LEDGER, "attempts - CASE WHEN :refund THEN 1 ELSE 0 END", "attempts"),
    ),
    mutant(
        "a failure that uses up no attempt",
        MACHINE,
        (LEDGER, "CASE WHEN :refund THEN 1 ELSE 0 END", "1"),
    ),
    mutant(
        "a dead letter of the reaper lost",
        MACHINE,
        (
            LEDGER,
            "      FROM reaped\n     WHERE state = 'dead'\n",
            "      FROM reaped\n     WHERE false\n",
        ),
    ),
    mutant(
        "a run closed while its work is open",
        CLEAN,
        (
            "sql/queries/runs.sql",
            (
                " WHERE r.finished_at IS NULL AND r.state IN ('planning', 'fetching')\n"
                "   AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id "
                "AND w.finished_at IS NULL)\n"
            ),
            " WHERE r.finished_at IS NULL AND r.state IN ('planning', 'fetching')\n",
        ),
    ),
    mutant(
        "an audit row lost",
        CLEAN,
        (
            STONES,
            (
                "     WHERE previous_price_cents IS DISTINCT FROM price_cents\n"
                "        OR previous_price_currency IS DISTINCT FROM price_currency\n"
            ),
            (
                "     WHERE (previous_price_cents IS DISTINCT FROM price_cents\n"
                "        OR previous_price_currency IS DISTINCT FROM price_currency)\n"
                "       AND stone_id % 7 > 0\n"
            ),
        ),
    ),
    mutant(
        "a price change where nothing changes",
        CLEAN,
        (
            STONES,
            (
                "     WHERE previous_price_cents IS DISTINCT FROM price_cents\n"
                "        OR previous_price_currency IS DISTINCT FROM price_currency\n"
            ),
            "",
        ),
    ),
    mutant(
        "an upsert that leaves what is there",
        CLEAN,
        (
            STONES,
            "     WHERE d.read_at <= excluded.read_at\n    RETURNING stone_id",
            "     WHERE d.stone_id % 5 > 0\n    RETURNING stone_id",
        ),
    ),
    mutant(
        "money in floats",
        CLEAN,
        (
            "consolidator/pricing/amounts.py",
            "    whole = np.floor_divide(cents, bottom)\n",
            (
                "    return np.asarray(cents.astype(np.float32) * top / bottom, np.int64)\n"
                "    whole = np.floor_divide(cents, bottom)\n"
            ),
        ),
    ),
    mutant(
        "a rounding that is off by one",
        CLEAN,
        (
            "consolidator/pricing/amounts.py",
            "np.where(past == 0, 0, step - past)",
            "np.where(past == 0, 0, step - past - 1)",
        ),
    ),
    mutant(
        "a stone that a complete run did not see stays on sale",
        (*CLEAN, "kill::1"),
        (
            "consolidator/reconcile.py",
            '            if run.kind == "full":\n                delisted =',
            '            if run.kind == "none":\n                delisted =',
        ),
    ),
    mutant(
        "delisting from a partial run",
        "partial::0",
        (
            "consolidator/reconcile.py",
            "        elif standing.newest:\n",
            "        if standing.newest:\n",
        ),
    ),
    mutant(
        "a watermark moved by a partial run",
        "partial::0",
        (
            "consolidator/reconcile.py",
            "        runs.finish(\n            tx,\n",
            (
                '        keys = {"feed": run.feed, "run_id": run.run_id}\n'
                '        tx.execute(query("move_watermark"), keys)\n'
                "        runs.finish(\n            tx,\n"
            ),
        ),
    ),
    mutant(
        "a partial run called complete",
        "partial::0",
        (
            "consolidator/reconcile.py",
            "(tx, run, counts, counted, lost, empty_below_share)\n        state",
            "(tx, run, counts, counted, lost, empty_below_share) and None\n        state",
        ),
    ),
    mutant(
        "an older offer that overwrites a newer one",
        ("replay-late::0", "replay-late::1", "replay-late::2"),
        ("consolidator/fold.py", "    if part.overtaken:\n", "    if False:\n"),
        (
            STONES,
            "     WHERE d.read_at <= excluded.read_at\n    RETURNING stone_id",
            "    RETURNING stone_id",
        ),
    ),
    mutant(
        "two rulesets side by side",
        ("activate::0", "activate::1"),
        (
            "consolidator/rulesets.py",
            "    return _priced_by(tx, row)\n\n\ndef load(",
            (
                "    return _priced_by(tx, _first.setdefault(0, row))\n\n\n"
                "_first: dict[int, object] = {}\n\n\ndef load("
            ),
        ),
    ),
    mutant(
        "a reprice that leaves out a stone of each batch",
        ("activate::0", "activate::1"),
        (
            REPRICES,
            "     WHERE d.stone_id = s.stone_id AND s.refusal IS NULL\n",
            "     WHERE d.stone_id = s.stone_id AND s.refusal IS NULL AND d.stone_id % 50 > 0\n",
        ),
    ),
    mutant(
        "an offer of each page skipped",
        CLEAN,
        (
            "worker/reading.py",
            "return [o for o in page.offers if",
            "return [o for o in page.offers[1:] if",
        ),
    ),
    mutant(
        "a message that cannot be read thrown away",
        "bad-messages::0",
        (
            "shared/ledger.py",
            'return int(tx.execute(query("bury_message"), values).scalar_one())',
            'return 0 if values else int(tx.execute(query("bury_message"), values).scalar_one())',
        ),
    ),
)
