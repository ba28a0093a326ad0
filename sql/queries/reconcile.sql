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
SELECT run_id, feed, kind, state, landed_on, counted, opened_at, updated_from
  FROM runs WHERE run_id = :run_id;

-- name: stones_on_sale
SELECT count(*) FROM diamonds WHERE feed = :feed AND on_sale;

-- name: miss_unseen
-- Count one more miss for every stone on sale that this run did not see, and delist those that
-- were missed often enough. One row: how many were missed and how many of them delisted. Only for
-- a full run whose counts add up.
WITH seen AS (
    SELECT DISTINCT offer_id
      FROM raw_offers
     WHERE landed_on = :landed_on AND offer_id IS NOT NULL
       AND partition_id IN (SELECT partition_id FROM partitions WHERE run_id = :run_id)
), missed AS (
    UPDATE diamonds AS d
       SET missed_runs = d.missed_runs + 1,
           on_sale = d.missed_runs + 1 < :delist_after_runs,
           off_sale_reason = CASE WHEN d.missed_runs + 1 >= :delist_after_runs THEN 'delisted' END,
           off_sale_at = CASE WHEN d.missed_runs + 1 >= :delist_after_runs THEN now() END,
           changed_at = now(),
           run_id = :run_id
     WHERE d.feed = :feed AND d.on_sale AND d.read_at < :opened_at
       AND NOT EXISTS (SELECT FROM seen WHERE seen.offer_id = d.offer_id)
    RETURNING d.on_sale
)
SELECT count(*) AS missed, count(*) FILTER (WHERE NOT on_sale) AS delisted FROM missed;
