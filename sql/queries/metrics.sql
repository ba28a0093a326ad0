-- name: metric_work
-- Open work by kind: what is due and for how long the oldest could have started, what is held, whose
-- lease ran out, what was tried before.
SELECT kind,
       count(*) FILTER (WHERE state = 'due') AS due,
       count(*) FILTER (WHERE state = 'held') AS held,
       count(*) FILTER (WHERE state = 'held' AND lease_until < now()) AS expired,
       count(*) FILTER (WHERE state = 'due' AND attempts > 0) AS retrying,
       max(attempts) AS attempts_max,
       coalesce(extract(epoch FROM now() - min(not_before) FILTER (
           WHERE state = 'due' AND not_before <= now())), 0)::float8 AS oldest_due_s,
       count(*) FILTER (WHERE state = 'due' AND not_before <= now() AND announced_at IS NULL)
           AS unannounced
  FROM work_items
 WHERE finished_at IS NULL
 GROUP BY kind;

-- name: metric_dead_letters
SELECT coalesce(kind, 'message') AS kind, reason, count(*) AS letters
  FROM dead_letters
 WHERE settled_at IS NULL
 GROUP BY 1, 2;

-- name: metric_feeds
-- Each feed's latest run: how far it is, and how long its partitions took, in milliseconds.
SELECT f.feed, f.paused_at IS NOT NULL AS paused,
       extract(epoch FROM now() - f.watermark)::float8 AS watermark_age_s,
       extract(epoch FROM now() - whole.finished_at)::float8 AS complete_age_s,
       r.state, coalesce(r.scan_calls, 0) + p.requests AS requests,
       p.landed, p.offers, p.rejected, p.written, p.price_changes, p.fetch_ms, p.fold_ms
  FROM feeds AS f
  LEFT JOIN LATERAL (
       SELECT run_id, state, scan_calls
         FROM runs
        WHERE feed = f.feed
        ORDER BY opened_at DESC
        LIMIT 1) AS r ON true
  LEFT JOIN LATERAL (
       SELECT finished_at
         FROM runs
        WHERE feed = f.feed AND state = 'complete'
        ORDER BY opened_at DESC
        LIMIT 1) AS whole ON true
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(requests), 0)::bigint AS requests,
              coalesce(sum(landed), 0)::bigint AS landed,
              coalesce(sum(offers), 0)::bigint AS offers,
              coalesce(sum(rejected), 0)::bigint AS rejected,
              coalesce(sum(inserted + changed), 0)::bigint AS written,
              coalesce(sum(price_changes), 0)::bigint AS price_changes,
              coalesce(array_agg(fetch_ms) FILTER (WHERE fetched_at IS NOT NULL), '{}') AS fetch_ms,
              coalesce(array_agg(fold_ms) FILTER (WHERE folded_at IS NOT NULL), '{}') AS fold_ms
         FROM partitions
        WHERE run_id = r.run_id) AS p
 ORDER BY f.feed;

-- name: connections_there
-- Who is connected to the server, by the names that clients give themselves; ours begin with facet/.
SELECT coalesce(application_name, '') AS name, count(*) AS connections
  FROM pg_stat_activity
 WHERE backend_type = 'client backend'
 GROUP BY 1;

-- name: connections_room
-- How many connections the server takes from those who are no superusers.
SELECT sum(CASE WHEN name = 'max_connections' THEN setting::int ELSE -setting::int END)::int
  FROM pg_settings
 WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections');
