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
SELECT run_id, state, kind FROM runs WHERE feed = :feed AND finished_at IS NULL;

-- name: make_room
SELECT make_room(:day);

-- name: make_room_today
SELECT make_room((now() AT TIME ZONE 'UTC')::date);

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
-- two stewards ask at the same moment. Who read a snapshot read all of it at one moment, and sweeps
-- nothing. Returns the runs that got one.
INSERT INTO work_items (kind, run_id, attempts_max, priority, traceparent)
SELECT 'sweep', r.run_id, :attempts_max, 0, r.traceparent
  FROM runs AS r
 WHERE r.finished_at IS NULL AND r.state = 'fetching' AND r.kind = 'full'
   AND NOT EXISTS (SELECT FROM snapshots AS s WHERE s.run_id = r.run_id)
   AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
ON CONFLICT (kind, run_id) WHERE partition_id IS NULL DO NOTHING
RETURNING run_id;

-- name: runs_to_reconcile
-- Runs whose last work item has closed, a full one's sweep included, get their reconcile item,
-- once. Returns the runs that got one.
INSERT INTO work_items (kind, run_id, attempts_max, priority, traceparent)
SELECT 'reconcile', r.run_id, :attempts_max, 0, r.traceparent
  FROM runs AS r
 WHERE r.finished_at IS NULL AND r.state IN ('planning', 'fetching')
   AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
   AND (r.state = 'planning' OR r.kind <> 'full'
        OR EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.kind = 'sweep')
        OR EXISTS (SELECT FROM snapshots AS s WHERE s.run_id = r.run_id))
ON CONFLICT (kind, run_id) WHERE partition_id IS NULL DO NOTHING
RETURNING run_id;

-- name: runs_to_sweep_again
-- Full runs, ended and replayed since, that have read a partition after their sweep: an offer may have
-- moved meanwhile from where it was not read yet to where it was. Their sweep is due once more, as soon
-- as nothing else is. Returns the runs; of two stewards at once one gets a row.
WITH swept AS (
    UPDATE work_items AS s
       SET state = 'due', attempts = 0, not_before = now(), announced_at = NULL, finished_at = NULL
      FROM runs AS r
     WHERE r.replayed_at IS NOT NULL AND r.finished_at IS NOT NULL AND r.kind = 'full'
       AND s.run_id = r.run_id AND s.kind = 'sweep' AND s.state IN ('done', 'dead')
       AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
       AND EXISTS (SELECT FROM partitions AS p
                    WHERE p.run_id = r.run_id AND NOT p.sweep AND p.fetched_at > s.finished_at)
    RETURNING s.item_id, s.run_id
), settled AS (
    UPDATE dead_letters SET settled_at = now(), settled_how = 'replayed'
     WHERE item_id IN (SELECT item_id FROM swept) AND settled_at IS NULL
)
SELECT run_id FROM swept;

-- name: runs_to_reconcile_again
-- Runs, ended and replayed since, whose replayed work has closed, and which need not be swept again:
-- their reconciliation is due once more. Returns the runs; of two stewards at once one gets a row.
WITH again AS (
    UPDATE work_items AS c
       SET state = 'due', attempts = 0, not_before = now(), announced_at = NULL, finished_at = NULL
      FROM runs AS r
     WHERE r.replayed_at IS NOT NULL AND r.finished_at IS NOT NULL
       AND c.run_id = r.run_id AND c.kind = 'reconcile' AND c.state IN ('done', 'dead')
       AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
       AND NOT EXISTS (
           SELECT FROM work_items AS s
             JOIN partitions AS p ON p.run_id = s.run_id AND NOT p.sweep AND p.fetched_at > s.finished_at
            WHERE r.kind = 'full' AND s.run_id = r.run_id AND s.kind = 'sweep')
    RETURNING c.item_id, c.run_id
), settled AS (
    UPDATE dead_letters SET settled_at = now(), settled_how = 'replayed'
     WHERE item_id IN (SELECT item_id FROM again) AND settled_at IS NULL
)
SELECT run_id FROM again;

-- name: close_given_up
-- Runs whose reconciliation itself gave up end here, since nobody else would end them: a feed with an
-- open run takes no other. Returns them.
UPDATE runs AS r
   SET state = CASE WHEN r.counted IS NULL AND p.landed = 0 THEN 'failed' ELSE 'partial' END,
       reason = 'reconcile gave up: ' || coalesce(c.last_error, 'no error was kept'),
       finished_at = now(),
       landed = p.landed, rejected = p.rejected, written = p.written, delisted = 0,
       price_changes = p.price_changes, requests = r.scan_calls + p.requests
  FROM work_items AS c
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(landed), 0)::bigint AS landed,
              coalesce(sum(rejected), 0)::bigint AS rejected,
              coalesce(sum(inserted + changed), 0)::bigint AS written,
              coalesce(sum(price_changes), 0)::bigint AS price_changes,
              coalesce(sum(requests), 0)::bigint AS requests
         FROM partitions WHERE run_id = c.run_id) AS p
 WHERE c.run_id = r.run_id AND c.kind = 'reconcile' AND c.state = 'dead' AND r.finished_at IS NULL
   AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
RETURNING r.run_id, r.state, r.reason;

-- name: run_replayed
-- Some of its work is due again: once that has closed, the run is reconciled anew. No row: it is
-- complete or cancelled, and takes nothing more.
UPDATE runs SET replayed_at = now()
 WHERE run_id = :run_id AND state NOT IN ('complete', 'cancelled')
RETURNING run_id;

-- name: lock_run
-- Held until the transaction ends: whoever replays some of its work waits.
SELECT state, replayed_at FROM runs WHERE run_id = :run_id FOR UPDATE;

-- name: run_standing
-- How much of its work is not finished, and whether no run of its feed was opened later. The caller
-- holds run and feed, so that neither changes.
SELECT (SELECT count(*) FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL) AS open,
       NOT EXISTS (SELECT FROM runs AS later
                    WHERE later.feed = r.feed AND later.opened_at > r.opened_at) AS newest
  FROM runs AS r
 WHERE r.run_id = :run_id;

-- name: lock_feed
SELECT feed FROM feeds WHERE feed = :feed FOR NO KEY UPDATE;

-- name: run_reconciling
UPDATE runs
   SET state = 'reconciling', reconciling_at = now()
 WHERE run_id = :run_id AND state IN ('planning', 'fetching', 'reconciling')
RETURNING run_id;

-- name: finish_run
-- No row: it is finished already. One that is partial or failed is finished anew where some of its
-- work was replayed. `replayed`: some of that is still to be done.
UPDATE runs
   SET state = :state, reason = :reason, note = :note, finished_at = now(),
       landed = :landed, offers = :offers, rejected = :rejected, written = :written,
       delisted = :delisted, price_changes = :price_changes, requests = :requests,
       recounted = :recounted, replayed_at = CASE WHEN :replayed THEN replayed_at END
 WHERE run_id = :run_id
   AND (finished_at IS NULL OR (replayed_at IS NOT NULL AND state IN ('partial', 'failed')))
RETURNING run_id;

-- name: cancel_run
-- From any open state. No row: it is finished already.
UPDATE runs
   SET state = 'cancelled', reason = :reason, finished_at = now(), replayed_at = NULL
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
-- Everything someone who watches a run wants to know, in one row. Times in seconds. Of a run whose
-- detail was dropped, what its own row has, and NULL for the rest.
SELECT r.run_id, r.feed, r.kind, r.state, r.reason, r.note, r.opened_at, r.updated_from, r.finished_at,
       r.replayed_at, r.pruned_at, r.counted, r.recounted, r.recounted - r.counted AS drift, r.offers, r.delisted,
       r.scan_calls, s.name AS snapshot, s.same_as, h.calls AS heatmap_calls,
       h.rounds AS scan_rounds, h.failed AS scan_failed, h.estimated AS scan_estimated,
       h.balance, h.why_stopped,
       c.verdict, c.findings,
       p.partitions, p.cut, p.swept, p.fetched, p.folded, p.planned_offers,
       coalesce(p.landed, r.landed) AS landed, p.pages, p.largest,
       p.inserted, p.changed, p.unchanged, coalesce(p.inserted + p.changed, r.written) AS written,
       coalesce(p.rejected, r.rejected) AS rejected,
       coalesce(p.price_changes, r.price_changes) AS price_changes,
       coalesce(r.scan_calls + p.requests, r.requests) AS requests,
       w.dead, w.open,
       extract(epoch FROM coalesce(r.fetching_at, r.finished_at, now()) - r.opened_at)::float8 AS plan_s,
       extract(epoch FROM coalesce(p.fetch_end, r.finished_at, now()) - r.fetching_at)::float8 AS fetch_s,
       extract(epoch FROM coalesce(p.fold_end, r.finished_at, now()) - r.fetching_at)::float8 AS fold_s,
       extract(epoch FROM coalesce(r.finished_at, now()) - r.reconciling_at)::float8 AS reconcile_s,
       extract(epoch FROM coalesce(r.finished_at, now()) - r.opened_at)::float8 AS elapsed_s
  FROM runs AS r
  LEFT JOIN heatmaps AS h ON h.run_id = r.run_id
  LEFT JOIN snapshots AS s ON s.run_id = r.run_id
  LEFT JOIN feed_checks AS c ON c.run_id = r.run_id
  LEFT JOIN LATERAL (
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
        WHERE run_id = r.run_id) AS p ON r.pruned_at IS NULL
  LEFT JOIN LATERAL (
       SELECT count(*) FILTER (WHERE state = 'dead') AS dead,
              count(*) FILTER (WHERE finished_at IS NULL) AS open
         FROM work_items
        WHERE run_id = r.run_id) AS w ON r.pruned_at IS NULL
 WHERE r.run_id = :run_id;

-- name: dead_of_run
-- Why a run is not complete: the latest dead letter of each piece of its work that gave up, the oldest
-- first. One that was discarded is among them: its work was not done all the same.
SELECT *
  FROM (SELECT DISTINCT ON (d.item_id) d.dead_letter_id, d.kind, d.partition_id, d.reason, d.error,
               d.attempts, d.buried_at, d.settled_how
          FROM work_items AS w
          JOIN dead_letters AS d USING (item_id)
         WHERE w.run_id = :run_id AND w.state = 'dead'
         ORDER BY d.item_id, d.dead_letter_id DESC) AS latest
 ORDER BY buried_at, dead_letter_id
 LIMIT :limit;

-- name: latest_runs
-- The latest run of each feed.
SELECT DISTINCT ON (feed) feed, run_id, kind, state, reason, opened_at, finished_at
  FROM runs
 ORDER BY feed, opened_at DESC;

-- name: count_dead_letters
SELECT count(*) FROM dead_letters WHERE settled_at IS NULL;
