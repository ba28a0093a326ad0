-- name: count_rejected
-- How many offers are rejected for which reason, by feed. Here as below, a filter that is NULL
-- filters nothing; `since_s`: rejected in the last so many seconds.
SELECT feed, reason, count(*) AS offers, count(DISTINCT run_id) AS runs, max(rejected_at) AS latest_at
  FROM rejected_offers
 WHERE (CAST(:feed AS text) IS NULL OR feed = :feed)
   AND (CAST(:reason AS text) IS NULL OR reason = :reason)
   AND (CAST(:run_id AS uuid) IS NULL OR run_id = :run_id)
   AND (CAST(:since_s AS float8) IS NULL OR rejected_at > now() - make_interval(secs => :since_s))
 GROUP BY feed, reason
 ORDER BY offers DESC, feed, reason;

-- name: list_rejected
-- The latest first.
SELECT partition_id, position, run_id, feed, offer_id, reason, detail, read_at, rejected_at
  FROM rejected_offers
 WHERE (CAST(:feed AS text) IS NULL OR feed = :feed)
   AND (CAST(:reason AS text) IS NULL OR reason = :reason)
   AND (CAST(:run_id AS uuid) IS NULL OR run_id = :run_id)
   AND (CAST(:since_s AS float8) IS NULL OR rejected_at > now() - make_interval(secs => :since_s))
 ORDER BY rejected_at DESC, partition_id, position
 LIMIT :limit;

-- name: rejected_offer
-- One by its place, or the latest ones of an offer id.
SELECT partition_id, position, run_id, feed, offer_id, reason, detail, read_at, rejected_at, payload
  FROM rejected_offers
 WHERE (partition_id = CAST(:partition_id AS bigint) AND position = CAST(:position AS int))
    OR offer_id = CAST(:offer_id AS text)
 ORDER BY rejected_at DESC, partition_id, position
 LIMIT 10;

-- name: rejected_partitions
-- The partitions that hold rejected offers, and what folding them again would come to: `overtaken`,
-- a later full run of the feed is complete and knows better; `gone`, the raw offers are no longer
-- kept; `open`, the fold is due, held or dead and sees to them by itself; `ready`.
SELECT x.partition_id, x.offers, r.run_id, r.feed,
       CASE WHEN EXISTS (SELECT FROM runs AS later
                          WHERE later.feed = r.feed AND later.opened_at > r.opened_at
                            AND later.kind = 'full' AND later.state = 'complete') THEN 'overtaken'
            WHEN NOT EXISTS (SELECT FROM raw_offers AS o
                              WHERE o.landed_on = r.landed_on AND o.partition_id = x.partition_id)
                 THEN 'gone'
            WHEN w.state <> 'done' THEN 'open'
            ELSE 'ready' END AS state
  FROM (SELECT partition_id, run_id, count(*) AS offers
          FROM rejected_offers
         WHERE (CAST(:feed AS text) IS NULL OR feed = :feed)
           AND (CAST(:reason AS text) IS NULL OR reason = :reason)
           AND (CAST(:run_id AS uuid) IS NULL OR run_id = :run_id)
           AND (CAST(:since_s AS float8) IS NULL OR rejected_at > now() - make_interval(secs => :since_s))
         GROUP BY partition_id, run_id) AS x
  JOIN runs AS r USING (run_id)
  JOIN work_items AS w ON w.partition_id = x.partition_id AND w.kind = 'fold'
 ORDER BY x.partition_id;

-- name: fold_again
-- Make the finished folds of some partitions due again, in the order of their ids. Two callers at
-- once make each of them due once. Returns the partitions.
WITH chosen AS (
    SELECT item_id
      FROM work_items
     WHERE kind = 'fold' AND state = 'done' AND partition_id = ANY(CAST(:partition_ids AS bigint[]))
     ORDER BY item_id
       FOR UPDATE
)
UPDATE work_items AS w
   SET state = 'due', attempts = 0, not_before = now(), announced_at = NULL, finished_at = NULL
  FROM chosen
 WHERE w.item_id = chosen.item_id
RETURNING w.partition_id;
