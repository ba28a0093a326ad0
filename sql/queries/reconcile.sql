-- name: run_totals
-- What a run did. An offer on an edge that two partitions share landed twice and counts once.
SELECT coalesce(sum(p.landed), 0)::bigint AS landed,
       coalesce(sum(p.inserted + p.changed), 0)::bigint AS written,
       coalesce(sum(p.price_changes), 0)::bigint AS price_changes,
       coalesce(sum(p.requests), 0)::bigint
           + (SELECT scan_calls FROM runs WHERE run_id = :run_id) AS requests,
       count(*) FILTER (WHERE p.fetched_at IS NULL) AS unfetched,
       count(*) FILTER (WHERE p.fetched_at IS NOT NULL AND p.folded_at IS NULL) AS unfolded,
       count(*) AS partitions,
       (SELECT count(DISTINCT coalesce(r.offer_id, r.partition_id || '/' || r.position))
          FROM raw_offers AS r
         WHERE r.landed_on = :landed_on
           AND r.partition_id IN (SELECT partition_id FROM partitions WHERE run_id = :run_id)) AS offers,
       (SELECT count(DISTINCT coalesce(offer_id, partition_id || '/' || position))
          FROM rejected_offers WHERE run_id = :run_id) AS rejected
  FROM partitions AS p
 WHERE p.run_id = :run_id;

-- name: run_to_reconcile
SELECT r.run_id, r.feed, r.kind, r.state, r.reason, r.note, r.landed_on, r.counted, r.recounted,
       r.opened_at, r.updated_from, r.finished_at, r.replayed_at, r.pruned_at, s.run_id IS NOT NULL AS is_snapshot,
       EXISTS (SELECT FROM runs AS later
                WHERE later.feed = r.feed AND later.opened_at > r.opened_at) AS overtaken
  FROM runs AS r
  LEFT JOIN snapshots AS s USING (run_id)
 WHERE r.run_id = :run_id;

-- name: folds_of_run
-- Its last claims, in the order they ended: what a reconciliation follows from.
SELECT w.item_id, w.epoch
  FROM partitions AS p
  JOIN work_items AS w USING (partition_id)
 WHERE p.run_id = :run_id AND w.kind = 'fold' AND w.state = 'done'
 ORDER BY w.finished_at, w.item_id;

-- name: stones_on_sale
SELECT count(*) FROM diamonds WHERE feed = :feed AND on_sale;

-- name: last_complete
-- The latest complete full run of a feed before this one. No row: there was none.
SELECT run_id, offers
  FROM runs
 WHERE feed = :feed AND kind = 'full' AND state = 'complete' AND opened_at < :opened_at
 ORDER BY opened_at DESC
 LIMIT 1;

-- name: run_accounts
-- Where the offers of each partition of a run are, in the order of their numbers. `read`: different
-- offers, by id, one without an id by its place. `folded` of these are stones, `rejected` are
-- rejected offers and nothing else, `lost` neither, though their partition is folded. The states are
-- those of the partition's pieces of work; `dead`: one of them gave up. Reads all that the run landed.
WITH landed AS (
    SELECT DISTINCT r.partition_id, coalesce(r.offer_id, '/' || r.position) AS name, r.offer_id,
           x.position IS NOT NULL AS rejected
      FROM raw_offers AS r
      LEFT JOIN rejected_offers AS x USING (partition_id, position)
     WHERE r.landed_on = :landed_on
       AND r.partition_id IN (SELECT partition_id FROM partitions WHERE run_id = :run_id)
), offers AS (
    SELECT partition_id, name, offer_id, bool_and(rejected) AS rejected
      FROM landed
     GROUP BY partition_id, name, offer_id
), placed AS (
    SELECT o.partition_id, count(*) AS read,
           count(*) FILTER (WHERE o.rejected) AS rejected,
           count(*) FILTER (WHERE NOT o.rejected AND d.offer_id IS NOT NULL) AS stones
      FROM offers AS o
      LEFT JOIN diamonds AS d ON d.feed = :feed AND d.offer_id = o.offer_id
     GROUP BY o.partition_id
), work AS (
    SELECT partition_id,
           max(state) FILTER (WHERE kind = 'fetch') AS fetch,
           max(state) FILTER (WHERE kind = 'fold') AS fold,
           max(state) FILTER (WHERE kind = 'cut') AS cut,
           bool_or(state = 'dead') AS dead
      FROM work_items
     WHERE run_id = :run_id AND partition_id IS NOT NULL
     GROUP BY partition_id
)
SELECT p.partition_id, p.number, p.parent_id, p.sweep, p.planned_offers, p.estimated, p.recounted,
       p.landed, p.fetched_at IS NOT NULL AS fetched, p.folded_at IS NOT NULL AS folded,
       p.offers AS offers_then, p.rejected AS rejected_then,
       coalesce(l.read, 0) AS read, coalesce(l.rejected, 0) AS rejected, coalesce(l.stones, 0) AS stones,
       w.fetch, w.fold, w.cut, coalesce(w.dead, false) AS dead
  FROM partitions AS p
  LEFT JOIN placed AS l USING (partition_id)
  LEFT JOIN work AS w USING (partition_id)
 WHERE p.run_id = :run_id
 ORDER BY p.number;

-- name: raw_offers_kept
-- Whether the raw offers of a run's day are still there.
SELECT to_regclass('raw_offers_' || to_char(landed_on, 'YYYYMMDD')) IS NOT NULL
  FROM runs WHERE run_id = :run_id;

-- name: join_by_hash
-- Until the transaction ends. What landed a moment ago has no statistics yet, and row by row the
-- statements that look at all of it take ten times as long.
SELECT set_config('enable_nestloop', 'off', true);

-- name: offers_of_run
-- Different offers that a run read; one on an edge that two partitions share counts once.
SELECT count(DISTINCT coalesce(r.offer_id, r.partition_id || '/' || r.position))
  FROM raw_offers AS r
 WHERE r.landed_on = :landed_on
   AND r.partition_id IN (SELECT partition_id FROM partitions WHERE run_id = :run_id);

-- name: lost_of_run
-- Offers that a run landed and folded, and that are neither a stone nor a rejected offer. There are
-- none, unless something is wrong; what a later run overtook aside.
SELECT count(*)
  FROM raw_offers AS r
  JOIN partitions AS p USING (partition_id)
 WHERE p.run_id = :run_id AND p.folded_at IS NOT NULL AND r.landed_on = :landed_on
   AND NOT EXISTS (SELECT FROM diamonds AS d WHERE d.feed = :feed AND d.offer_id = r.offer_id)
   AND NOT EXISTS (SELECT FROM rejected_offers AS x
                    WHERE x.partition_id = r.partition_id AND x.position = r.position);

-- name: miss_unseen
-- Count one more miss for every stone on sale, or refused by a reprice, that this run did not see,
-- and delist those that were missed often enough. One row: how many were missed and how many of them delisted. Only for
-- a full run whose counts add up. Locked in the order in which folds and reprices lock, before
-- anything is written, so that the three never wait for each other in a ring.
WITH seen AS (
    SELECT DISTINCT offer_id
      FROM raw_offers
     WHERE landed_on = :landed_on AND offer_id IS NOT NULL
       AND partition_id IN (SELECT partition_id FROM partitions WHERE run_id = :run_id)
), unseen AS MATERIALIZED (
    SELECT d.stone_id
      FROM diamonds AS d
     WHERE d.feed = :feed AND (d.on_sale OR d.off_sale_reason = 'refused')
       AND d.read_at < :opened_at
       AND NOT EXISTS (SELECT FROM seen WHERE seen.offer_id = d.offer_id)
     ORDER BY d.offer_id
       FOR NO KEY UPDATE OF d
), missed AS (
    UPDATE diamonds AS d
       SET missed_runs = d.missed_runs + 1,
           on_sale = d.on_sale AND d.missed_runs + 1 < :delist_after_runs,
           off_sale_reason = CASE WHEN d.missed_runs + 1 >= :delist_after_runs THEN 'delisted'
                                  ELSE d.off_sale_reason END,
           off_sale_at = CASE WHEN d.missed_runs + 1 >= :delist_after_runs THEN now()
                              ELSE d.off_sale_at END,
           changed_at = now(),
           run_id = :run_id
      FROM unseen
     WHERE d.stone_id = unseen.stone_id
    RETURNING d.off_sale_reason
)
SELECT count(*) AS missed, count(*) FILTER (WHERE off_sale_reason = 'delisted') AS delisted FROM missed;
