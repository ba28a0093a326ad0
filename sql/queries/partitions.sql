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

-- name: partition_to_fetch
-- What a worker needs of its partition, and where the one before it stopped.
SELECT p.partition_id, p.slice, p.planned_offers, p.saturated, p.next_offset, p.landed, r.landed_on
  FROM partitions AS p
  JOIN runs AS r USING (run_id)
 WHERE p.partition_id = :partition_id;

-- name: land_page
-- Move the partition one page on and lengthen the lease, in the transaction of the page's offers.
-- Returns when the page was asked for, by the database's clock. No row: the claim is lost. What
-- has landed is compared too, so that a page whose commit was in doubt cannot land again.
WITH held AS (
    UPDATE work_items
       SET lease_until = now() + make_interval(secs => :lease_s), attempts = 1
     WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
    RETURNING partition_id
)
UPDATE partitions AS p
   SET next_offset = :next_offset,
       pages = p.pages + 1,
       landed = p.landed + :landed,
       requests = p.requests + :requests,
       fetch_ms = p.fetch_ms + :elapsed_ms
  FROM held
 WHERE p.partition_id = held.partition_id AND p.landed = :landed_before
RETURNING now() - make_interval(secs => :elapsed_ms / 1000.0) AS read_at;

-- name: partition_fetched
UPDATE partitions
   SET fetched_at = now(), requests = requests + :requests, fetch_ms = fetch_ms + :elapsed_ms
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
       why_stopped, duration_ms, made_at
  FROM heatmaps
 WHERE run_id = CAST(:run_id AS uuid) OR (CAST(:run_id AS uuid) IS NULL AND feed = :feed)
 ORDER BY made_at DESC
 LIMIT 1;
