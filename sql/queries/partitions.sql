-- name: add_partition
-- The next number of its run.
INSERT INTO partitions (run_id, number, parent_id, sweep, slice, price_low, price_high, planned_offers,
                        estimated, saturated, next_offset)
SELECT :run_id, 1 + coalesce(max(number), 0), :parent_id, :sweep, CAST(:slice AS jsonb), :price_low,
       :price_high, :planned_offers, :estimated, :saturated, :next_offset
  FROM partitions
 WHERE run_id = :run_id
RETURNING partition_id;

-- name: add_heatmap
INSERT INTO heatmaps (run_id, feed, price_unit, total, buckets, calls, rounds, failed, estimated,
                      balance, probes, why_stopped, duration_ms)
VALUES (:run_id, :feed, :price_unit, :total, CAST(:buckets AS jsonb), :calls, :rounds, :failed,
        :estimated, :balance, CAST(:probes AS jsonb), :why_stopped, :duration_ms);

-- name: feed_was_asked
-- Whether a feed was asked about itself in the last so many days; the answers are in its heatmap.
SELECT EXISTS (
       SELECT 1
         FROM heatmaps
        WHERE feed = :feed
          AND made_at > now() - make_interval(days => :days)
          AND jsonb_exists(probes, 'changed_since'));

-- name: partition_to_fetch
-- What a worker needs of its partition, and where the one before it stopped.
SELECT p.partition_id, p.slice, p.planned_offers, p.estimated, p.saturated, p.next_offset, p.landed,
       r.landed_on
  FROM partitions AS p
  JOIN runs AS r USING (run_id)
 WHERE p.partition_id = :partition_id;

-- name: land_page
-- Move the partition one page on, lengthen the lease and take the page's offers in. Each was asked for
-- `age_ms` ago. Returns how many partitions moved; 0: the claim is lost. What has landed is compared
-- too, so that a page whose commit was in doubt cannot land again.
WITH held AS (
    UPDATE work_items
       SET lease_until = now() + make_interval(secs => :lease_s), attempts = 1
     WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
    RETURNING partition_id
), moved AS (
    UPDATE partitions AS p
       SET next_offset = :next_offset,
           pages = p.pages + 1,
           landed = p.landed + :landed,
           requests = p.requests + :requests,
           fetch_ms = p.fetch_ms + :elapsed_ms
      FROM held
     WHERE p.partition_id = held.partition_id AND p.landed = :landed_before
    RETURNING p.partition_id, now() - make_interval(secs => :age_ms / 1000.0) AS read_at
), taken_in AS (
    INSERT INTO raw_offers (landed_on, partition_id, position, offer_id, read_at, payload)
    SELECT :landed_on, moved.partition_id, :landed_before + o.place - 1, o.offer_id, moved.read_at,
           convert_from(o.payload, 'UTF8')::json
      FROM moved
     CROSS JOIN unnest(CAST(:offer_ids AS text[]), CAST(:payloads AS bytea[]))
           WITH ORDINALITY AS o (offer_id, payload, place)
)
SELECT count(*) FROM moved;

-- name: partition_fetched
UPDATE partitions
   SET fetched_at = now(), requests = requests + :requests, fetch_ms = fetch_ms + :elapsed_ms,
       recounted = :recounted
 WHERE partition_id = :partition_id;

-- name: partition_to_fold
SELECT p.partition_id, p.landed, r.run_id, r.feed, r.landed_on, r.opened_at,
       EXISTS (SELECT FROM runs AS later
                WHERE later.feed = r.feed AND later.opened_at > r.opened_at) AS overtaken
  FROM partitions AS p
  JOIN runs AS r USING (run_id)
 WHERE p.partition_id = :partition_id;

-- name: partition_folded
UPDATE partitions
   SET folded_at = now(), offers = :offers, inserted = :inserted, changed = :changed,
       unchanged = :unchanged, rejected = :rejected, price_changes = :price_changes,
       fold_ms = :fold_ms
 WHERE partition_id = :partition_id;

-- name: list_partitions
SELECT p.partition_id, p.number, p.slice, p.price_low, p.price_high, p.planned_offers, p.landed, p.offers, p.pages, p.requests,
       p.fetch_ms, p.fold_ms, p.fetched_at, p.folded_at,
       f.state AS fetch_state, f.attempts, f.last_error, o.state AS fold_state
  FROM partitions AS p
  LEFT JOIN work_items AS f ON f.partition_id = p.partition_id AND f.kind = 'fetch'
  LEFT JOIN work_items AS o ON o.partition_id = p.partition_id AND o.kind = 'fold'
 WHERE p.run_id = :run_id
 ORDER BY p.number;

-- name: partitions_of_run
-- How each partition of a run stands, in the order of their numbers. `state` is that of the latest of
-- its pieces of work that is not done: waiting (to be fetched), fetching, fetched (to be folded),
-- folding, cutting, done, dead, cancelled. `item_id`: of the piece that gave up or is under way.
WITH work AS (
    SELECT DISTINCT ON (partition_id) partition_id, item_id, kind, state, attempts, attempts_max,
           last_error, owner, lease_until, not_before
      FROM work_items
     WHERE run_id = :run_id AND partition_id IS NOT NULL
     ORDER BY partition_id, (state = 'dead') DESC, (state = 'held') DESC, (state = 'due') DESC,
              item_id DESC
)
SELECT s.*
  FROM (SELECT p.partition_id, p.number, p.price_low, p.price_high, p.parent_id, p.sweep,
               p.planned_offers, p.landed, p.next_offset, p.pages,
               w.item_id, w.kind, w.attempts, w.attempts_max, w.last_error, w.owner,
               CASE WHEN w.state = 'held' AND w.kind = 'fetch' THEN 'fetching'
                    WHEN w.state = 'held' AND w.kind = 'fold' THEN 'folding'
                    WHEN w.kind = 'cut' AND w.state IN ('held', 'due') THEN 'cutting'
                    WHEN w.state = 'due' AND w.kind = 'fetch' THEN 'waiting'
                    WHEN w.state = 'due' THEN 'fetched'
                    WHEN w.state IS NULL AND p.fetched_at IS NULL THEN 'waiting'
                    WHEN w.state IS NULL THEN 'fetched'
                    ELSE w.state END AS state
          FROM partitions AS p
          LEFT JOIN work AS w USING (partition_id)
         WHERE p.run_id = :run_id) AS s
 WHERE CAST(:states AS text[]) IS NULL OR s.state = ANY(CAST(:states AS text[]))
 ORDER BY s.number;

-- name: dead_items_of_partition
-- What of a partition's work gave up, in the order in which it is to be done.
SELECT w.item_id, w.kind, w.run_id, p.number, p.next_offset
  FROM partitions AS p
  LEFT JOIN work_items AS w ON w.partition_id = p.partition_id AND w.state = 'dead'
 WHERE p.partition_id = :partition_id
 ORDER BY w.item_id;

-- name: short_partitions
-- Those that listed far fewer offers than were planned, with the supplier's count at their end.
SELECT number, planned_offers, recounted, landed
  FROM partitions
 WHERE run_id = :run_id AND recounted IS NOT NULL
 ORDER BY number;

-- name: run_to_plan
SELECT run_id, feed, kind, updated_from, opened_at FROM runs WHERE run_id = :run_id;

-- name: partition_to_cut
-- One that outgrew its plan, and on which finer axes the scan found every offer.
SELECT p.partition_id, p.slice, p.sweep, p.next_offset, r.landed_on, h.probes
  FROM partitions AS p
  JOIN runs AS r USING (run_id)
  LEFT JOIN heatmaps AS h USING (run_id)
 WHERE p.partition_id = :partition_id;

-- name: density
-- The catalogue's own density on the price axis: stones on sale by whole dollars per carat.
SELECT floor(cost_cents / (100 * carat))::bigint AS price, count(*)::bigint AS stones
  FROM diamonds
 WHERE feed = :feed AND on_sale
 GROUP BY 1
 ORDER BY 1;

-- name: heatmap
-- Of a run, or the latest of a feed.
SELECT run_id, feed, price_unit, total, buckets, calls, rounds, failed, estimated, balance,
       probes, why_stopped, duration_ms, made_at
  FROM heatmaps
 WHERE run_id = CAST(:run_id AS uuid) OR (CAST(:run_id AS uuid) IS NULL AND feed = :feed)
 ORDER BY made_at DESC
 LIMIT 1;
