-- name: know_feed
-- A feed has a row from its first run on.
INSERT INTO feeds (feed) VALUES (:feed) ON CONFLICT (feed) DO NOTHING;

-- name: feed_state
SELECT feed, watermark, paused_at, paused_reason FROM feeds WHERE feed = :feed FOR UPDATE;

-- name: open_run
-- No row: a run of this feed is open already. Two callers never both get a row.
INSERT INTO runs (feed, kind, updated_from, traceparent)
VALUES (:feed, :kind, :updated_from, :traceparent)
ON CONFLICT (feed) WHERE finished_at IS NULL DO NOTHING
RETURNING run_id, landed_on;

-- name: open_run_of
SELECT run_id, state FROM runs WHERE feed = :feed AND finished_at IS NULL;

-- name: make_room
SELECT make_room(:day);

-- name: run_fetching
-- The plan is written. No row: the run was cancelled meanwhile.
UPDATE runs
   SET state = 'fetching', fetching_at = now(), counted = :counted
 WHERE run_id = :run_id AND state = 'planning'
RETURNING run_id;

-- name: add_scan_calls
-- Requests that planned, cut or swept; those of pages stand with their partitions.
UPDATE runs SET scan_calls = scan_calls + :calls WHERE run_id = :run_id;

-- name: runs_to_sweep
-- Full runs that have read everything get their sweep item, once: the unique index sees to it when
-- two stewards ask at the same moment. Returns the runs that got one.
INSERT INTO work_items (kind, run_id, attempts_max, priority, traceparent)
SELECT 'sweep', r.run_id, :attempts_max, 0, r.traceparent
  FROM runs AS r
 WHERE r.state = 'fetching' AND r.kind = 'full'
   AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
ON CONFLICT (kind, run_id) WHERE partition_id IS NULL DO NOTHING
RETURNING run_id;

-- name: runs_to_reconcile
-- Runs whose last work item has closed, a full one's sweep included, get their reconcile item,
-- once. Returns the runs that got one.
INSERT INTO work_items (kind, run_id, attempts_max, priority, traceparent)
SELECT 'reconcile', r.run_id, :attempts_max, 0, r.traceparent
  FROM runs AS r
 WHERE r.state IN ('planning', 'fetching')
   AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
   AND (r.state = 'planning' OR r.kind <> 'full'
        OR EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.kind = 'sweep'))
ON CONFLICT (kind, run_id) WHERE partition_id IS NULL DO NOTHING
RETURNING run_id;

-- name: run_reconciling
UPDATE runs
   SET state = 'reconciling', reconciling_at = now()
 WHERE run_id = :run_id AND state IN ('planning', 'fetching', 'reconciling')
RETURNING run_id;

-- name: finish_run
-- No row: it is finished already.
UPDATE runs
   SET state = :state, reason = :reason, finished_at = now(),
       landed = :landed, offers = :offers, rejected = :rejected, written = :written,
       delisted = :delisted, price_changes = :price_changes, requests = :requests
 WHERE run_id = :run_id AND finished_at IS NULL
RETURNING run_id;

-- name: cancel_run
-- From any open state. No row: it is finished already.
UPDATE runs
   SET state = 'cancelled', reason = :reason, finished_at = now()
 WHERE run_id = :run_id AND finished_at IS NULL
RETURNING run_id;

-- name: move_watermark
-- Only forward.
UPDATE feeds
   SET watermark = greatest(watermark, (SELECT opened_at FROM runs WHERE run_id = :run_id))
 WHERE feed = :feed;

-- name: run_by_prefix
-- Runs whose id starts so; two rows are enough to know that it is ambiguous.
SELECT run_id FROM runs WHERE run_id::text LIKE :prefix || '%' ORDER BY opened_at DESC LIMIT 2;

-- name: list_runs
SELECT run_id, feed, kind, state, reason, opened_at, finished_at, counted, landed, offers, written,
       rejected, delisted, price_changes, requests
  FROM runs
 WHERE (CAST(:feed AS text) IS NULL OR feed = :feed)
 ORDER BY opened_at DESC
 LIMIT :limit;

-- name: run_progress
-- Everything someone who watches a run wants to know, in one row. Times in seconds.
SELECT r.run_id, r.feed, r.kind, r.state, r.reason, r.opened_at, r.updated_from, r.finished_at,
       r.counted, r.offers, r.delisted,
       r.scan_calls, h.calls AS heatmap_calls,
       h.rounds AS scan_rounds, h.failed AS scan_failed, h.estimated AS scan_estimated,
       h.balance, h.why_stopped,
       p.partitions, p.cut, p.swept, p.fetched, p.folded, p.planned_offers, p.landed, p.pages, p.largest,
       p.inserted, p.changed, p.unchanged, p.rejected, p.price_changes,
       r.scan_calls + p.requests AS requests,
       w.dead, w.open,
       extract(epoch FROM coalesce(r.fetching_at, r.finished_at, now()) - r.opened_at)::float8 AS plan_s,
       extract(epoch FROM coalesce(p.fetch_end, r.finished_at, now()) - r.fetching_at)::float8 AS fetch_s,
       extract(epoch FROM coalesce(p.fold_end, r.finished_at, now()) - r.fetching_at)::float8 AS fold_s,
       extract(epoch FROM coalesce(r.finished_at, now()) - r.reconciling_at)::float8 AS reconcile_s,
       extract(epoch FROM coalesce(r.finished_at, now()) - r.opened_at)::float8 AS elapsed_s
  FROM runs AS r
  LEFT JOIN heatmaps AS h ON h.run_id = r.run_id
 CROSS JOIN LATERAL (
       SELECT count(*) AS partitions,
              count(*) FILTER (WHERE fetched_at IS NOT NULL) AS fetched,
              count(*) FILTER (WHERE folded_at IS NOT NULL) AS folded,
              coalesce(max(planned_offers), 0) AS largest,
              CASE WHEN bool_and(fetched_at IS NOT NULL) THEN max(fetched_at) END AS fetch_end,
              CASE WHEN bool_and(folded_at IS NOT NULL) THEN max(folded_at) END AS fold_end,
              coalesce(sum(planned_offers) FILTER (WHERE parent_id IS NULL AND NOT sweep), 0)::bigint
                  AS planned_offers,
              count(*) FILTER (WHERE parent_id IS NOT NULL) AS cut,
              count(*) FILTER (WHERE sweep) AS swept,
              coalesce(sum(landed), 0)::bigint AS landed,
              coalesce(sum(pages), 0)::bigint AS pages,
              coalesce(sum(requests), 0)::bigint AS requests,
              coalesce(sum(inserted), 0)::bigint AS inserted,
              coalesce(sum(changed), 0)::bigint AS changed,
              coalesce(sum(unchanged), 0)::bigint AS unchanged,
              coalesce(sum(rejected), 0)::bigint AS rejected,
              coalesce(sum(price_changes), 0)::bigint AS price_changes
         FROM partitions
        WHERE run_id = r.run_id) AS p
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE state = 'dead') AS dead,
              count(*) FILTER (WHERE finished_at IS NULL) AS open
         FROM work_items
        WHERE run_id = r.run_id) AS w
 WHERE r.run_id = :run_id;

-- name: dead_of_run
-- Why a run is not complete: its dead letters, the oldest first.
SELECT dead_letter_id, kind, partition_id, reason, error, attempts, buried_at
  FROM dead_letters
 WHERE run_id = :run_id AND settled_at IS NULL
 ORDER BY buried_at, dead_letter_id
 LIMIT :limit;

-- name: latest_runs
-- The latest run of each feed.
SELECT DISTINCT ON (feed) feed, run_id, kind, state, reason, opened_at, finished_at
  FROM runs
 ORDER BY feed, opened_at DESC;

-- name: count_dead_letters
SELECT count(*) FROM dead_letters WHERE settled_at IS NULL;
