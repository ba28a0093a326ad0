"""What must hold once a world is idle, each as one statement that returns no row.

The first column of a row that is returned says what is wrong with what.
"""

from typing import Literal, NamedTuple

Class = Literal["lost", "duplicated", "wrong", "unexpected"]


class Invariant(NamedTuple):
    name: str
    kind: Class
    statement: str


INVARIANTS = (
    Invariant(
        "a live lease after the end",
        "unexpected",
        "SELECT format('%s item %s', kind, item_id) FROM work_items WHERE state = 'held'",
    ),
    Invariant(
        "work that is not finished",
        "lost",
        """
        SELECT format('%s item %s is %s', kind, item_id, state)
          FROM work_items WHERE finished_at IS NULL""",
    ),
    Invariant(
        "an epoch that did not go up by one with a claim, and only then",
        "duplicated",
        """
        SELECT format('%s item %s: %s at %s to %s at %s', kind, item_id, old_state, old_epoch,
                      new_state, new_epoch)
          FROM faults.item_log
         WHERE new_epoch - old_epoch <> CASE WHEN old_state = 'due' AND new_state = 'held'
                                             THEN 1 ELSE 0 END""",
    ),
    Invariant(
        "work that was finished twice, and not replayed in between",
        "duplicated",
        """
        SELECT format('%s item %s', kind, item_id)
          FROM faults.item_log
         GROUP BY kind, item_id
        HAVING count(*) FILTER (WHERE new_state = 'done')
               > 1 + count(*) FILTER (WHERE old_state IN ('done', 'dead') AND new_state = 'due')""",
    ),
    Invariant(
        "a page that landed while nobody held its partition, or that moved it back",
        "duplicated",
        """
        SELECT format('partition %s: %s to %s while %s', partition_id, old_landed, new_landed,
                      state)
          FROM faults.page_log
         WHERE state <> 'held' OR new_landed < old_landed""",
    ),
    Invariant(
        "a place of a partition that holds no offer, or offers beyond its count",
        "lost",
        """
        SELECT format('partition %s: landed %s, %s offers up to place %s', p.partition_id, p.landed,
                      r.offers, r.last)
          FROM partitions AS p
         CROSS JOIN LATERAL (SELECT count(*) AS offers, coalesce(max(position), -1) AS last
                               FROM raw_offers AS r WHERE r.partition_id = p.partition_id) AS r
         WHERE r.offers <> p.landed OR r.last <> p.landed - 1""",
    ),
    Invariant(
        "an offer that landed twice in one partition",
        "duplicated",
        """
        SELECT format('%s in partition %s', offer_id, partition_id)
          FROM raw_offers AS r
          JOIN partitions AS p USING (partition_id)
          JOIN runs USING (run_id)
         WHERE r.offer_id IS NOT NULL AND runs.run_id = :run
         GROUP BY offer_id, partition_id, r.payload::text HAVING count(*) > 1""",
    ),
    Invariant(
        "a partition of a complete run that was not folded",
        "lost",
        """
        SELECT format('partition %s', partition_id)
          FROM partitions JOIN runs USING (run_id)
         WHERE runs.state = 'complete' AND folded_at IS NULL""",
    ),
    Invariant(
        "an offer that a complete run read and that is neither stone nor rejected",
        "lost",
        """
        SELECT format('%s of run %s', r.offer_id, runs.run_id)
          FROM raw_offers AS r
          JOIN partitions AS p USING (partition_id)
          JOIN runs USING (run_id)
         WHERE runs.run_id = :run AND runs.state = 'complete'
           AND NOT EXISTS (SELECT FROM diamonds AS d
                            WHERE d.feed = runs.feed AND d.offer_id = r.offer_id)
           AND NOT EXISTS (SELECT FROM rejected_offers AS x
                            WHERE x.partition_id = r.partition_id AND x.position = r.position)""",
    ),
    Invariant(
        "a run whose partitions do not add up to it",
        "wrong",
        """
        SELECT format('run %s', run_id)
          FROM runs
          JOIN (SELECT run_id, sum(landed) AS landed, sum(price_changes) AS price_changes,
                       sum(inserted + changed) AS written, bool_and(folded_at IS NOT NULL) AS folded
                  FROM partitions GROUP BY run_id) AS p USING (run_id)
         WHERE state = 'complete'
           AND (runs.landed, runs.price_changes, runs.written)
               IS DISTINCT FROM (p.landed, p.price_changes, p.written)""",
    ),
    Invariant(
        "price changes that a run counted and did not write, or the reverse",
        "wrong",
        """
        SELECT format('run %s: %s counted, %s there', run_id, runs.price_changes, count(c.run_id))
          FROM runs LEFT JOIN price_changes AS c USING (run_id)
         WHERE state = 'complete'
         GROUP BY run_id, runs.price_changes HAVING count(c.run_id) <> runs.price_changes""",
    ),
    Invariant(
        "a stone whose price changes do not lead from nothing to its present price",
        "lost",
        """
        SELECT format('%s: %s, its last change says %s', d.offer_id, d.price_cents,
                      c.new_price_cents)
          FROM diamonds AS d
          LEFT JOIN LATERAL (SELECT new_price_cents, price_currency FROM price_changes AS c
                              WHERE c.stone_id = d.stone_id ORDER BY changed_at DESC LIMIT 1) AS c
                 ON true
         WHERE (d.price_cents, d.price_currency)
               IS DISTINCT FROM (c.new_price_cents, c.price_currency)""",
    ),
    Invariant(
        "a price change that does not begin where the one before it ended",
        "lost",
        """
        SELECT format('stone %s at %s', stone_id, changed_at)
          FROM (SELECT *, lag(new_price_cents) OVER walk AS before,
                       lag(price_currency) OVER walk AS currency_before
                  FROM price_changes
                WINDOW walk AS (PARTITION BY stone_id ORDER BY changed_at)) AS w
         WHERE (old_price_cents, old_price_currency) IS DISTINCT FROM (before, currency_before)""",
    ),
    Invariant(
        "a price change that changes nothing",
        "duplicated",
        """
        SELECT format('stone %s at %s', stone_id, changed_at)
          FROM price_changes
         WHERE old_price_cents = new_price_cents AND old_price_currency = price_currency""",
    ),
    Invariant(
        "a price change that does not say where it comes from",
        "wrong",
        """
        SELECT format('stone %s at %s', stone_id, changed_at)
          FROM price_changes
         WHERE (cause = 'feed') <> (run_id IS NOT NULL) OR ruleset_id IS NULL OR rule IS NULL""",
    ),
    Invariant(
        "a watermark that a run moved which is not complete",
        "wrong",
        """
        SELECT format('%s', f.feed)
          FROM feeds AS f
         WHERE f.watermark IS DISTINCT FROM (SELECT max(opened_at) FROM runs AS r
                                              WHERE r.feed = f.feed AND r.state = 'complete')""",
    ),
    Invariant(
        "a stone that was delisted by a run which is not complete",
        "wrong",
        """
        SELECT format('%s by run %s, %s', d.offer_id, r.run_id, r.state)
          FROM diamonds AS d JOIN runs AS r USING (run_id)
         WHERE d.off_sale_reason = 'delisted' AND r.state <> 'complete'""",
    ),
    Invariant(
        "work that was given up and has not exactly one dead letter of its present death",
        "lost",
        """
        SELECT format('%s item %s: %s letters', kind, item_id, letters)
          FROM (SELECT w.kind, w.item_id, w.state, count(d.item_id) AS letters
                  FROM work_items AS w
                  LEFT JOIN dead_letters AS d ON d.item_id = w.item_id AND d.settled_at IS NULL
                 GROUP BY w.item_id) AS x
         WHERE letters <> CASE WHEN state = 'dead' THEN 1 ELSE 0 END""",
    ),
)
