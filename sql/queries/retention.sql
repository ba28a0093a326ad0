-- name: raw_offer_days
-- Each day's raw offers: how large, and the feeds that need them. Days on which a run is open are
-- needed by it. In order.
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day,
       pg_total_relation_size(c.oid) AS bytes,
       greatest(c.reltuples, 0)::bigint AS rows,
       (SELECT string_agg(DISTINCT r.feed, ', ')
          FROM runs AS r
         WHERE r.landed_on = to_date(right(c.relname, 8), 'YYYYMMDD')
           AND NOT EXISTS (SELECT FROM spent_runs AS s WHERE s.run_id = r.run_id)) AS needed_by
  FROM pg_inherits AS i
  JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'raw_offers'::regclass
 ORDER BY 1;

-- name: price_change_months
-- Each month's price changes: how large. In order.
SELECT to_date(right(c.relname, 6), 'YYYYMM') AS day,
       pg_total_relation_size(c.oid) AS bytes,
       greatest(c.reltuples, 0)::bigint AS rows,
       NULL::text AS needed_by
  FROM pg_inherits AS i
  JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'price_changes'::regclass
 ORDER BY 1;

-- name: drop_raw_offers
SELECT drop_raw_offers(:day, CAST(:expected AS bigint));

-- name: drop_price_changes
SELECT drop_price_changes(:day);

-- name: patience_with_locks
-- For this transaction: rather fail, and come again, than make the pipeline queue behind us.
SELECT set_config('lock_timeout', :patience, true);

-- name: today
SELECT (now() AT TIME ZONE 'UTC')::date;

-- name: raw_offers_to_archive
-- A day's raw offers in their order, some at a time, with the run that read them.
SELECT o.landed_on, r.feed, r.run_id::text AS run_id, o.partition_id, o.position, o.offer_id, o.read_at,
       o.payload::text AS payload
  FROM raw_offers AS o
  LEFT JOIN partitions AS p USING (partition_id)
  LEFT JOIN runs AS r USING (run_id)
 WHERE o.landed_on = :day AND (o.partition_id, o.position) > (:after_partition, :after_position)
 ORDER BY o.partition_id, o.position
 LIMIT :batch;

-- name: note_archive
-- A day archived again replaces what was known of it.
INSERT INTO archives (day, url, files, rows, bytes)
VALUES (:day, :url, :files, :rows, :bytes)
ON CONFLICT (day) DO UPDATE
   SET url = excluded.url, files = excluded.files, rows = excluded.rows, bytes = excluded.bytes,
       verified_at = now();

-- name: list_archives
SELECT day, url, files, rows, bytes, verified_at FROM archives ORDER BY day;

-- name: old_rejected_offers
-- Rejected offers of spent runs: how many are older than `keep_days`, how many came in a week.
SELECT count(*) FILTER (WHERE o.rejected_at < now() - make_interval(days => :keep_days)
                          AND o.run_id IN (SELECT run_id FROM spent_runs)) AS old,
       count(*) AS rows, count(*) FILTER (WHERE o.rejected_at > now() - interval '7 days') AS of_week
  FROM rejected_offers AS o;

-- name: take_rejected_offers
-- A batch of them, the runs that ended first. Returns how many; none: there is no more.
WITH chosen AS (
    SELECT o.partition_id, o.position
      FROM spent_runs AS s
      JOIN rejected_offers AS o USING (run_id)
     WHERE s.pruned_at IS NULL AND o.rejected_at < now() - make_interval(days => :keep_days)
     ORDER BY s.finished_at
     LIMIT :batch
       FOR UPDATE OF o SKIP LOCKED
), taken AS (
    DELETE FROM rejected_offers AS o USING chosen AS c
     WHERE o.partition_id = c.partition_id AND o.position = c.position
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: old_dead_letters
-- Dead letters that were settled longer than `keep_days` ago. Unsettled ones stay.
SELECT count(*) FILTER (WHERE settled_at < now() - make_interval(days => :keep_days)) AS old,
       count(*) AS rows, count(*) FILTER (WHERE buried_at > now() - interval '7 days') AS of_week
  FROM dead_letters;

-- name: take_dead_letters
-- A batch of them. Returns how many.
WITH chosen AS (
    SELECT dead_letter_id
      FROM dead_letters
     WHERE settled_at < now() - make_interval(days => :keep_days)
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM dead_letters AS d USING chosen AS c WHERE d.dead_letter_id = c.dead_letter_id
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: old_heatmaps
-- Heatmaps of spent runs; the latest of a feed stays.
SELECT count(*) FILTER (WHERE h.made_at < now() - make_interval(days => :keep_days)
                          AND h.run_id IN (SELECT run_id FROM spent_runs)
                          AND h.heatmap_id <> l.latest) AS old,
       count(*) AS rows, count(*) FILTER (WHERE h.made_at > now() - interval '7 days') AS of_week
  FROM heatmaps AS h
  JOIN (SELECT feed, max(heatmap_id) AS latest FROM heatmaps GROUP BY feed) AS l USING (feed);

-- name: take_heatmaps
-- A batch of them. Returns how many.
WITH chosen AS (
    SELECT h.heatmap_id
      FROM heatmaps AS h
     WHERE h.made_at < now() - make_interval(days => :keep_days)
       AND h.run_id IN (SELECT run_id FROM spent_runs)
       AND h.heatmap_id NOT IN (SELECT max(heatmap_id) FROM heatmaps GROUP BY feed)
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM heatmaps AS h USING chosen AS c WHERE h.heatmap_id = c.heatmap_id
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: old_feed_checks
-- Checks of a supplier's contract; the latest of a feed stays.
SELECT count(*) FILTER (WHERE c.checked_at < now() - make_interval(days => :keep_days)
                          AND c.check_id <> l.latest) AS old,
       count(*) AS rows, count(*) FILTER (WHERE c.checked_at > now() - interval '7 days') AS of_week
  FROM feed_checks AS c
  JOIN (SELECT feed, max(check_id) AS latest FROM feed_checks GROUP BY feed) AS l USING (feed);

-- name: take_feed_checks
-- A batch of them. Returns how many.
WITH chosen AS (
    SELECT check_id
      FROM feed_checks
     WHERE checked_at < now() - make_interval(days => :keep_days)
       AND check_id NOT IN (SELECT max(check_id) FROM feed_checks GROUP BY feed)
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM feed_checks AS f USING chosen AS c WHERE f.check_id = c.check_id
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: old_run_detail
-- Work items of spent runs that ended longer than `keep_days` ago. A run keeps its detail as long as
-- raw offers of its day or a dead letter of it are there.
SELECT count(*) FILTER (WHERE o.run_id IS NOT NULL) AS old,
       count(*) AS rows, count(*) FILTER (WHERE w.created_at > now() - interval '7 days') AS of_week
  FROM work_items AS w
  LEFT JOIN (SELECT s.run_id
               FROM spent_runs AS s
              WHERE s.pruned_at IS NULL
                AND s.finished_at < now() - make_interval(days => :keep_days)
                AND to_regclass(format('raw_offers_%s', to_char(s.landed_on, 'YYYYMMDD'))) IS NULL
                AND NOT EXISTS (SELECT FROM dead_letters AS d WHERE d.run_id = s.run_id)) AS o
    USING (run_id);

-- name: take_run_detail
-- The detail of some of these runs, those that ended first: work items, partitions, rejected offers.
-- The run's row stays, and says when. Returns how many work items; `runs` of 0: there is no more.
WITH chosen AS (
    SELECT r.run_id
      FROM runs AS r
     WHERE r.pruned_at IS NULL AND r.finished_at < now() - make_interval(days => :keep_days)
       AND r.run_id IN (SELECT run_id FROM spent_runs)
       AND to_regclass(format('raw_offers_%s', to_char(r.landed_on, 'YYYYMMDD'))) IS NULL
       AND NOT EXISTS (SELECT FROM dead_letters AS d WHERE d.run_id = r.run_id)
     ORDER BY r.finished_at
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), pruned AS (
    UPDATE runs AS r SET pruned_at = now() FROM chosen AS c WHERE r.run_id = c.run_id
    RETURNING 1
), items AS (
    DELETE FROM work_items AS w USING chosen AS c WHERE w.run_id = c.run_id
    RETURNING 1
), offers AS (
    DELETE FROM rejected_offers AS o USING chosen AS c WHERE o.run_id = c.run_id
), parts AS (
    DELETE FROM partitions AS p USING chosen AS c WHERE p.run_id = c.run_id
)
SELECT (SELECT count(*) FROM pruned) AS runs, (SELECT count(*) FROM items) AS items;

-- name: old_reprices
-- Work items of reprices that ended longer than `keep_days` ago; the latest reprice keeps its own.
SELECT count(*) FILTER (WHERE r.finished_at < now() - make_interval(days => :keep_days)
                          AND r.reprice_id <> (SELECT max(reprice_id) FROM reprices)
                          AND NOT EXISTS (SELECT FROM dead_letters AS d WHERE d.item_id = b.item_id))
           AS old,
       count(*) AS rows, count(*) FILTER (WHERE r.opened_at > now() - interval '7 days') AS of_week
  FROM reprice_batches AS b
  JOIN reprices AS r USING (reprice_id);

-- name: take_reprices
-- A batch of them. The reprice's row stays. Returns how many.
WITH chosen AS (
    SELECT b.item_id
      FROM reprices AS r
      JOIN reprice_batches AS b USING (reprice_id)
     WHERE r.finished_at < now() - make_interval(days => :keep_days)
       AND r.reprice_id <> (SELECT max(reprice_id) FROM reprices)
       AND NOT EXISTS (SELECT FROM dead_letters AS d WHERE d.item_id = b.item_id)
     LIMIT :batch
       FOR UPDATE OF b SKIP LOCKED
), batches AS (
    DELETE FROM reprice_batches AS b USING chosen AS c WHERE b.item_id = c.item_id
), taken AS (
    DELETE FROM work_items AS w USING chosen AS c WHERE w.item_id = c.item_id
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: old_alerts
-- Messages that were sent or failed longer than `keep_days` ago; one under a dead letter stays.
SELECT count(*) FILTER (WHERE a.finished_at < now() - make_interval(days => :keep_days)
                          AND NOT EXISTS (SELECT FROM dead_letters AS d WHERE d.item_id = a.item_id))
           AS old,
       count(*) AS rows, count(*) FILTER (WHERE a.created_at > now() - interval '7 days') AS of_week
  FROM alerts AS a;

-- name: take_alerts
-- A batch of them, with their deliveries and work items. Returns how many.
WITH chosen AS (
    SELECT a.alert_id, a.item_id
      FROM alerts AS a
     WHERE a.finished_at < now() - make_interval(days => :keep_days)
       AND NOT EXISTS (SELECT FROM dead_letters AS d WHERE d.item_id = a.item_id)
     ORDER BY a.alert_id
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM alerts AS a USING chosen AS c WHERE a.alert_id = c.alert_id
    RETURNING 1
), items AS (
    DELETE FROM work_items AS w USING chosen AS c
     WHERE w.item_id = c.item_id AND w.finished_at IS NOT NULL
)
SELECT count(*) FROM taken;

-- name: old_incidents
-- Incidents that were over, and told, longer than `keep_days` ago.
SELECT count(*) FILTER (WHERE resolved_at < now() - make_interval(days => :keep_days)
                          AND news IS NULL) AS old,
       count(*) AS rows, count(*) FILTER (WHERE first_at > now() - interval '7 days') AS of_week
  FROM incidents;

-- name: take_incidents
-- A batch of them. Returns how many.
WITH chosen AS (
    SELECT incident_id
      FROM incidents
     WHERE resolved_at < now() - make_interval(days => :keep_days) AND news IS NULL
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM incidents AS i USING chosen AS c WHERE i.incident_id = c.incident_id
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: old_price_moves
-- What runs did to prices, measured longer than `keep_days` ago; the latest of a feed stays.
SELECT count(*) FILTER (WHERE m.measured_at < now() - make_interval(days => :keep_days)
                          AND m.measured_at < l.latest) AS old,
       count(*) AS rows, count(*) FILTER (WHERE m.measured_at > now() - interval '7 days') AS of_week
  FROM price_moves AS m
  JOIN (SELECT feed, max(measured_at) AS latest FROM price_moves GROUP BY feed) AS l USING (feed);

-- name: take_price_moves
-- A batch of them. Returns how many.
WITH chosen AS (
    SELECT m.run_id
      FROM price_moves AS m
     WHERE m.measured_at < now() - make_interval(days => :keep_days)
       AND m.measured_at < (SELECT max(measured_at) FROM price_moves WHERE feed = m.feed)
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM price_moves AS m USING chosen AS c WHERE m.run_id = c.run_id
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: old_slots
-- Slots of schedules that were decided longer than `keep_days` ago; one that waits stays.
SELECT count(*) FILTER (WHERE decided_at < now() - make_interval(days => :keep_days)) AS old,
       count(*) AS rows, count(*) FILTER (WHERE seen_at > now() - interval '7 days') AS of_week
  FROM schedule_slots;

-- name: take_slots
-- A batch of them. Returns how many.
WITH chosen AS (
    SELECT feed, kind, slot
      FROM schedule_slots
     WHERE decided_at < now() - make_interval(days => :keep_days)
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM schedule_slots AS s USING chosen AS c
     WHERE s.feed = c.feed AND s.kind = c.kind AND s.slot = c.slot
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: old_retentions
-- Records of retention that began longer than `keep_days` ago; the latest stays.
SELECT count(*) FILTER (WHERE began_at < now() - make_interval(days => :keep_days)
                          AND retention_id < (SELECT max(retention_id) FROM retentions)) AS old,
       count(*) AS rows, count(*) FILTER (WHERE began_at > now() - interval '7 days') AS of_week
  FROM retentions;

-- name: take_retentions
-- A batch of them. Returns how many.
WITH chosen AS (
    SELECT retention_id
      FROM retentions
     WHERE began_at < now() - make_interval(days => :keep_days)
       AND retention_id < (SELECT max(retention_id) FROM retentions)
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM retentions AS r USING chosen AS c WHERE r.retention_id = c.retention_id
    RETURNING 1
)
SELECT count(*) FROM taken;

-- name: table_bytes
-- The size of each table, those of its indexes and of its parts included; the largest first.
SELECT t.relname AS name, sum(pg_total_relation_size(coalesce(i.inhrelid, t.oid)))::bigint AS bytes
  FROM pg_class AS t
  LEFT JOIN pg_inherits AS i ON i.inhparent = t.oid
 WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p') AND NOT t.relispartition
 GROUP BY t.relname
 ORDER BY bytes DESC, name;

-- name: earlier_sizes
-- The oldest sizes within a month, and how long ago that was; no row: none was taken yet.
SELECT sizes, extract(epoch FROM now() - finished_at)::float8 / 86400 AS days
  FROM retentions
 WHERE sizes IS NOT NULL AND finished_at BETWEEN now() - interval '31 days' AND now() - interval '1 day'
 ORDER BY finished_at
 LIMIT 1;

-- name: begin_retention
-- Take the present slot: that of today, once its hour has come. No row: it is not time yet, it is
-- done, or someone does it. One whose holder fell silent is taken over. Two callers never both get
-- a row.
INSERT INTO retentions (slot, lease_until)
SELECT (now() AT TIME ZONE 'UTC')::date, now() + make_interval(secs => :lease_s)
 WHERE (now() AT TIME ZONE 'UTC')::time >= CAST(:at AS time)
ON CONFLICT (slot) DO UPDATE
   SET lease_until = excluded.lease_until
 WHERE retentions.finished_at IS NULL AND retentions.lease_until < now()
RETURNING retention_id;

-- name: begin_retention_by_hand
INSERT INTO retentions (lease_until)
VALUES (now() + make_interval(secs => :lease_s))
RETURNING retention_id;

-- name: beat_retention
UPDATE retentions SET lease_until = now() + make_interval(secs => :lease_s)
 WHERE retention_id = :retention_id;

-- name: finish_retention
UPDATE retentions
   SET finished_at = now(), removed = CAST(:removed AS jsonb), sizes = CAST(:sizes AS jsonb), error = NULL
 WHERE retention_id = :retention_id;

-- name: fail_retention
-- Its slot is taken again when the lease has run out.
UPDATE retentions SET error = :error WHERE retention_id = :retention_id;

-- name: latest_retention
-- The last one, done or not; no row: there was none.
SELECT retention_id, slot, began_at, finished_at, removed, error
  FROM retentions ORDER BY retention_id DESC LIMIT 1;

-- name: database_bytes
SELECT pg_database_size(current_database());
