"""What is different from one run to another."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from shared import runs
from shared.db import transaction
from tests.builders import FEED, insert_partition, open_run, rows
from tests.cli.inside import Facet


def ended_run(
    engine: Engine, *offers: str, minutes_ago: int, feed: str = FEED, **wanted: Any
) -> UUID:
    """A complete run that landed these offers, so long ago."""
    run_id = open_run(engine, feed)
    with transaction(engine) as tx:
        partition_id = insert_partition(tx, run_id)
        for position, offer in enumerate(offers):
            tx.execute(
                text("""INSERT INTO raw_offers
                        SELECT landed_on, :p, :n, :o, now(), '{}' FROM runs WHERE run_id = :r"""),
                {"p": partition_id, "n": position, "o": offer, "r": run_id},
            )
        values = {"p": partition_id, "r": run_id, "m": minutes_ago, "n": len(offers)}
        values |= {"delisted": 0, "rejected": 0} | wanted
        tx.execute(text("UPDATE partitions SET landed = :n WHERE partition_id = :p"), values)
        tx.execute(
            text("""UPDATE runs
                       SET state = 'complete', offers = :n, rejected = :rejected,
                           delisted = :delisted,
                           opened_at = now() - make_interval(mins => :m),
                           finished_at = now() - make_interval(mins => :m - 1)
                     WHERE run_id = :r"""),
            values,
        )
    return run_id


def priced(
    engine: Engine, offer: str, *prices: tuple[int | None, int, int], feed: str = FEED
) -> None:
    """A stone, and its price changes: (before, after, minutes ago)."""
    with transaction(engine) as tx:
        runs.make_room(tx, tx.execute(text("SELECT (now() - interval '1 day')::date")).scalar_one())
        ruleset_id = tx.execute(text("SELECT min(ruleset_id) FROM rulesets")).scalar_one()
        stone_id = tx.execute(
            text("""INSERT INTO diamonds (feed, offer_id, kind, shape, carat, cost_cents,
                           cost_currency, price_cents, price_currency, ruleset_id, rule,
                           mapping_version, read_at, run_id)
                    VALUES (:feed, :offer, 'natural', 'ROUND', 1, 1, 'USD', :price, 'USD', :ruleset,
                            'a rule', 1, now(), gen_random_uuid())
                    RETURNING stone_id"""),
            {"feed": feed, "offer": offer, "price": prices[-1][1], "ruleset": ruleset_id},
        ).scalar_one()
        for before, after, minutes in prices:
            tx.execute(
                text("""INSERT INTO price_changes (stone_id, changed_at, old_price_cents,
                               new_price_cents, price_currency, new_cost_cents, cost_currency,
                               ruleset_id, rule, cause, actor)
                        VALUES (:s, now() - make_interval(secs => 60 * :m), :b, :a, 'USD', 1, 'USD',
                                :r, 'a rule', 'feed', 'ana')"""),
                {"s": stone_id, "m": minutes, "b": before, "a": after, "r": ruleset_id},
            )


def test_the_same_stones_at_the_same_prices_are_the_same(
    engine: Engine, facet_inside: Facet
) -> None:
    first = ended_run(engine, "a", "b", minutes_ago=60)
    second = ended_run(engine, "b", "a", minutes_ago=30)
    priced(engine, "a", (None, 100, 90))
    done = facet_inside("run", "diff", str(first)[:8], str(second)[:8])
    assert done.code == 0, done.err
    assert "0 stones added, 0 removed" in done.err
    assert "0 prices changed" in done.err


def test_stones_and_prices_that_differ_are_named_whichever_run_is_named_first(
    engine: Engine, facet_inside: Facet
) -> None:
    first = ended_run(engine, "a", "b", "c", minutes_ago=60)
    second = ended_run(engine, "b", "c", "d", "e", minutes_ago=30)
    priced(engine, "b", (None, 100, 90), (100, 150, 40), (150, 120, 35))
    priced(engine, "c", (None, 100, 90), (100, 70, 40), (70, 100, 35))  # back to where it was
    priced(engine, "d", (None, 100, 35))  # new: added, not changed
    priced(engine, "e", (None, 100, 90), (100, 50, 10))  # after both
    priced(engine, "x", (None, 100, 90), (100, 50, 40), feed="nivoda-labgrown")
    done = facet_inside("run", "diff", str(second), str(first), "--json")
    assert done.code == 1, done.err
    (found,) = done.json
    assert found["runs"] == [str(first), str(second)]
    assert (found["added"], found["removed"]) == (2, 1)
    assert (found["some_added"], found["some_removed"]) == (["d", "e"], ["a"])
    assert (found["prices_changed"], found["prices_risen"], found["prices_fallen"]) == (1, 1, 0)
    (change,) = found["changes"]
    assert (change["offer_id"], change["before_cents"], change["after_cents"]) == ("b", 100, 120)
    assert found["counts"]["landed"] == [3, 4]
    shown = facet_inside("run", "diff", str(first), str(second))
    assert shown.code == 1
    assert re.search(r"1\.00 USD +1\.20 USD", shown.out)
    few = facet_inside("run", "diff", str(first), str(second), "--limit", "0", "--json").json[0]
    assert (few["prices_changed"], few["changes"], few["some_added"]) == (1, [], [])


def test_a_run_that_rejected_other_offers_is_different(engine: Engine, facet_inside: Facet) -> None:
    first = ended_run(engine, "a", minutes_ago=60)
    second = ended_run(engine, "a", minutes_ago=30, rejected=1)
    with transaction(engine) as tx:
        tx.execute(
            text("""UPDATE partitions SET fetched_at = now(), folded_at = now(), offers = 1,
                           rejected = 1 WHERE run_id = :r"""),
            {"r": second},
        )
    assert facet_inside("run", "diff", str(first), str(second)).code == 1


def test_raw_offers_that_are_gone_leave_added_and_removed_unknown(
    engine: Engine, facet_inside: Facet
) -> None:
    first = ended_run(engine, "a", minutes_ago=60)
    second = ended_run(engine, "a", minutes_ago=30)
    with transaction(engine) as tx:
        tx.execute(text("DELETE FROM raw_offers"))
    done = facet_inside("run", "diff", str(first), str(second))
    assert "unknown" in done.err
    assert facet_inside("run", "diff", str(first), str(second), "--json").json[0]["added"] is None


def test_what_cannot_be_compared_is_no_difference(engine: Engine, facet_inside: Facet) -> None:
    first = ended_run(engine, "a", minutes_ago=60)
    other = ended_run(engine, "a", minutes_ago=30, feed="nivoda-labgrown")
    still_open = open_run(engine)
    for pair, sentence in (
        ((first, other), "two feeds"),
        ((first, still_open), "is still planning"),
        ((first, first), "the same as itself"),
        ((first, "zz"), "no run starts"),
    ):
        done = facet_inside("run", "diff", *map(str, pair))
        assert (done.code, sentence in done.err) == (2, True), done.err
        assert "next:" in done.err
    assert len(rows(engine, "SELECT 1 FROM runs")) == 3
