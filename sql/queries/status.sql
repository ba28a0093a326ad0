-- name: status_feeds
-- Each feed that ever ran or is to run: its latest run, how fresh its last complete one is, and when
-- the next one starts by itself.
SELECT f.feed, f.watermark, f.paused_at, f.paused_reason,
       r.run_id, r.kind, r.state, r.reason, r.opened_at, r.finished_at,
       extract(epoch FROM now() - whole.opened_at)::float8 AS stale_s, next.next_at
  FROM feeds AS f
  LEFT JOIN LATERAL (
       SELECT * FROM runs WHERE feed = f.feed ORDER BY opened_at DESC LIMIT 1) AS r ON true
  LEFT JOIN LATERAL (
       SELECT opened_at
         FROM runs
        WHERE feed = f.feed AND state = 'complete'
        ORDER BY opened_at DESC
        LIMIT 1) AS whole ON true
  LEFT JOIN LATERAL (
       SELECT min(next_at) AS next_at FROM schedules WHERE feed = f.feed) AS next ON true
 WHERE r.run_id IS NOT NULL OR next.next_at IS NOT NULL OR f.paused_at IS NOT NULL
 ORDER BY f.feed;

-- name: dead_by_reason
SELECT reason, coalesce(kind, 'message') AS kind, count(*) AS letters, min(buried_at) AS first_at,
       max(buried_at) AS last_at
  FROM dead_letters
 WHERE settled_at IS NULL
 GROUP BY reason, kind
 ORDER BY letters DESC, reason, kind;

-- name: open_runs
SELECT run_id FROM runs WHERE finished_at IS NULL ORDER BY opened_at;

-- name: partition_states
-- Partitions of open runs by how far they are, and those that are being fetched, the latest first.
SELECT r.feed, p.number, p.planned_offers, p.landed, w.state, w.attempts, w.last_error,
       extract(epoch FROM w.lease_until - now())::float8 AS lease_s
  FROM runs AS r
  JOIN partitions AS p USING (run_id)
  JOIN work_items AS w USING (partition_id)
 WHERE r.finished_at IS NULL AND w.kind = 'fetch' AND w.state IN ('held', 'dead')
 ORDER BY w.state, r.feed, p.number
 LIMIT :limit;
