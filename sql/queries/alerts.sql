-- What the watch looks at: each condition is one statement that returns what is wrong now, and no row
-- where nothing is. `rows_max` bounds it; who gets so many knows that there may be more.

-- name: runs_in_trouble
-- Runs that failed or are partial and that nothing has made good since: a complete full run makes
-- good all before it, a complete incremental one only incremental ones.
SELECT r.run_id, r.feed, r.kind, r.state, r.reason, r.opened_at
  FROM feeds AS f
 CROSS JOIN LATERAL (
       SELECT (SELECT c.opened_at FROM runs AS c
                WHERE c.feed = f.feed AND c.state = 'complete' AND c.kind = 'full'
                ORDER BY c.opened_at DESC LIMIT 1) AS whole_at,
              (SELECT c.opened_at FROM runs AS c
                WHERE c.feed = f.feed AND c.state = 'complete'
                ORDER BY c.opened_at DESC LIMIT 1) AS any_at
       OFFSET 0) AS good  -- looked up once a feed, not once a run
 CROSS JOIN LATERAL (
       SELECT *
         FROM runs
        WHERE feed = f.feed AND state IN ('failed', 'partial')
          AND opened_at > coalesce(good.whole_at, '-infinity')
          AND (kind = 'full' OR opened_at > coalesce(good.any_at, '-infinity'))
        ORDER BY opened_at DESC
        LIMIT :rows_max) AS r
 ORDER BY r.opened_at DESC
 LIMIT :rows_max;

-- name: unsettled_dead_letters
-- Dead letters that nobody replayed or discarded, by run; those of alerts speak through their channel.
SELECT r.feed, d.run_id, count(*) AS letters,
       string_agg(DISTINCT coalesce(d.kind, 'message'), ', ') AS kinds,
       (array_agg(d.error ORDER BY d.dead_letter_id DESC))[1] AS error
  FROM dead_letters AS d
  LEFT JOIN runs AS r ON r.run_id = d.run_id
 WHERE d.settled_at IS NULL AND d.kind IS DISTINCT FROM 'alert'
 GROUP BY r.feed, d.run_id
 ORDER BY max(d.buried_at) DESC
 LIMIT :rows_max;

-- name: breakers_open
-- Breakers that are not closed, and those that opened a moment ago and have closed again.
SELECT account, state, opened, lately, opened_at
  FROM breakers
 WHERE state <> 'closed' OR opened_at > now() - make_interval(secs => :lately_s)
 ORDER BY account
 LIMIT :rows_max;

-- name: drifted_feeds
-- Feeds whose latest check, by hand or before a run, found a contract that is not the adapter's.
SELECT c.feed, c.verdict, c.findings
  FROM feeds AS f
 CROSS JOIN LATERAL (
       SELECT feed, verdict, findings
         FROM feed_checks
        WHERE feed = f.feed
        ORDER BY checked_at DESC
        LIMIT 1) AS c
 WHERE c.verdict <> 'compatible'
 ORDER BY c.feed
 LIMIT :rows_max;

-- name: leases_running_out
-- One row where `items_min` leases or more ran out within the window.
SELECT sum(items)::bigint AS items, string_agg(DISTINCT kind, ', ') AS kinds
  FROM lapsed_leases
 WHERE minute > now() - make_interval(secs => :window_s)
HAVING sum(items) >= :items_min
 LIMIT :rows_max;

-- name: folds_waiting
-- Feeds of which more than `partitions_max` partitions are read and not folded.
SELECT r.feed, count(*) AS partitions,
       extract(epoch FROM now() - min(w.created_at))::float8 AS oldest_s
  FROM work_items AS w
  JOIN runs AS r USING (run_id)
 WHERE w.kind = 'fold' AND w.state = 'due'
 GROUP BY r.feed
HAVING count(*) > :partitions_max
 ORDER BY r.feed
 LIMIT :rows_max;

-- name: prices_moving
-- Feeds whose latest measured run changed or moved far more prices than the bounds allow. A run with
-- under `offers_min` offers says nothing.
SELECT m.run_id, m.feed, m.offers, m.changed, m.jumped, m.jump
  FROM feeds AS f
 CROSS JOIN LATERAL (
       SELECT * FROM price_moves WHERE feed = f.feed ORDER BY measured_at DESC LIMIT 1) AS m
 WHERE m.offers >= :offers_min
   AND (m.changed > m.offers * CAST(:changed_share AS float8)
        OR m.jumped > m.offers * CAST(:jumped_share AS float8))
 ORDER BY m.feed
 LIMIT :rows_max;

-- name: reprice_moving
-- The latest measured reprice, where it moved far more prices than the bound allows. How many changed
-- says nothing: to change all is what a reprice is for. One of under `stones_min` stones is left out.
SELECT reprice_id, cause, reason, stones, changed, jumped, jump
  FROM (SELECT reprice_id, cause, reason, measured_stones AS stones, changed_stones AS changed,
               jumped_stones AS jumped, jump
          FROM reprices
         WHERE measured_at IS NOT NULL
         ORDER BY reprice_id DESC
         LIMIT 1) AS latest
 WHERE stones >= :stones_min AND jumped > stones * CAST(:jumped_share AS float8)
 LIMIT :rows_max;

-- name: nobody_looked
-- One row for a while after a time in which no steward looked, though none had said that it stops.
SELECT silent_from, silent_until,
       extract(epoch FROM silent_until - silent_from)::float8 AS silent_s
  FROM watch_marks
 WHERE silent_until > now() - make_interval(secs => :told_s)
 LIMIT :rows_max;

-- name: nobody_claims
-- Kinds of work of which some has been due for `silent_s` while at every look since nobody held any.
SELECT u.kind, count(*) AS items,
       extract(epoch FROM now() - min(greatest(w.not_before, w.created_at)))::float8 AS oldest_s
  FROM unclaimed_kinds AS u
  JOIN work_items AS w ON w.kind = u.kind AND w.state = 'due' AND w.not_before <= now()
 WHERE u.since <= now() - make_interval(secs => :silent_s)
 GROUP BY u.kind
HAVING min(greatest(w.not_before, w.created_at)) <= now() - make_interval(secs => :silent_s)
 ORDER BY u.kind
 LIMIT :rows_max;

-- name: connections_near
-- One row where so large a share of the connections that the server allows is in use.
SELECT used, most
  FROM (SELECT count(*) AS used,
               current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true)::int, 0) AS most
          FROM pg_stat_activity
         WHERE backend_type = 'client backend') AS connections
 WHERE used >= most * CAST(:share AS float8)
 LIMIT :rows_max;

-- name: database_large
-- One row where the database has outgrown the bound.
SELECT size_bytes
  FROM (SELECT pg_database_size(current_database()) AS size_bytes) AS measured
 WHERE size_bytes > :bytes_max
 LIMIT :rows_max;

-- name: channels_failing
-- Channels whose latest message was given up.
SELECT a.channel, a.alert_id, d.answer
  FROM unnest(CAST(:channels AS text[])) AS named (channel)
 CROSS JOIN LATERAL (
       SELECT channel, alert_id, state
         FROM alerts
        WHERE channel = named.channel AND state <> 'due'
        ORDER BY finished_at DESC, alert_id DESC
        LIMIT 1) AS a
  LEFT JOIN LATERAL (
       SELECT answer FROM deliveries WHERE alert_id = a.alert_id ORDER BY epoch DESC LIMIT 1) AS d ON true
 WHERE a.state = 'failed'
 LIMIT :rows_max;

-- What it remembers between two looks.

-- name: bound_look
-- No statement of a look takes longer; only until the transaction ends.
SELECT set_config('statement_timeout', CAST(:timeout_ms AS text), true);

-- name: begin_look
-- Whether this look is ours: one at a time, and not sooner after the last than `pause_s`. Notes the
-- time in which nobody looked, where that was longer than `silent_s` and nobody had said that he stops.
WITH mine AS (
    SELECT 1 AS only_one WHERE pg_try_advisory_xact_lock(hashtext('facet.watch'))
)
INSERT INTO watch_marks AS m (looked_at)
SELECT clock_timestamp() FROM mine
ON CONFLICT (the_one) DO UPDATE
   SET looked_at = clock_timestamp(),
       stopped = false,
       silent_from = CASE WHEN NOT m.stopped AND m.looked_at < now() - make_interval(secs => :silent_s)
                          THEN m.looked_at ELSE m.silent_from END,
       silent_until = CASE WHEN NOT m.stopped AND m.looked_at < now() - make_interval(secs => :silent_s)
                           THEN clock_timestamp() ELSE m.silent_until END
 WHERE m.looked_at <= now() - make_interval(secs => :pause_s)
RETURNING looked_at;

-- name: end_looking
-- A steward stops and says so: that nobody looks now is meant.
UPDATE watch_marks SET stopped = true;

-- name: note_unclaimed
-- Which kinds have work due and nobody who holds any. A kind not seen for `gap_s` begins anew.
WITH quiet AS (
    SELECT DISTINCT w.kind
      FROM work_items AS w
     WHERE w.state = 'due' AND w.not_before <= now()
       AND NOT EXISTS (SELECT FROM work_items AS h
                        WHERE h.state = 'held' AND h.kind = w.kind AND h.lease_until > now())
), claimed AS (
    DELETE FROM unclaimed_kinds WHERE kind NOT IN (SELECT kind FROM quiet)
)
INSERT INTO unclaimed_kinds AS u (kind)
SELECT kind FROM quiet
ON CONFLICT (kind) DO UPDATE
   SET seen_at = now(),
       since = CASE WHEN u.seen_at < now() - make_interval(secs => :gap_s) THEN now() ELSE u.since END;

-- name: note_breaker
-- How a breaker stands in Redis. `opened` goes on counting where Redis has forgotten. Returns how it
-- stood before, NULL for one never seen, and how often it has opened since.
WITH before AS (
    SELECT state, openings FROM breakers WHERE account = :account
), since AS (
    SELECT CAST(:openings AS bigint)
           - coalesce((SELECT openings FROM before WHERE openings <= :openings), 0) AS times
), written AS (
    INSERT INTO breakers AS b (account, state, openings, opened, lately, opened_at)
    SELECT :account, :state, CAST(:openings AS bigint), since.times, since.times,
           CASE WHEN CAST(:openings AS bigint) > 0 THEN now() - make_interval(secs => :open_s) END
      FROM since
    ON CONFLICT (account) DO UPDATE
       SET state = excluded.state,
           openings = excluded.openings,
           opened = b.opened + excluded.lately,
           lately = excluded.lately,
           opened_at = coalesce(excluded.opened_at, b.opened_at),
           seen_at = now()
)
SELECT (SELECT state FROM before) AS before, since.times FROM since;

-- name: note_lapses
-- Leases of a kind that just ran out.
INSERT INTO lapsed_leases AS l (minute, kind, items)
VALUES (date_trunc('minute', now()), :kind, :items)
ON CONFLICT (minute, kind) DO UPDATE SET items = l.items + excluded.items;

-- name: forget_lapses
DELETE FROM lapsed_leases WHERE minute < now() - interval '1 day';

-- name: run_to_measure
-- The latest ended run of a feed whose prices were not measured yet.
SELECT r.run_id, r.feed, r.opened_at, r.finished_at, r.offers
  FROM feeds AS f
 CROSS JOIN LATERAL (
       SELECT run_id, feed, opened_at, finished_at, offers
         FROM runs
        WHERE feed = f.feed AND state IN ('complete', 'partial') AND offers IS NOT NULL
        ORDER BY opened_at DESC
        LIMIT 1) AS r
 WHERE NOT EXISTS (SELECT FROM price_moves AS m WHERE m.run_id = r.run_id)
 LIMIT 1;

-- name: measure_prices
-- How many stones of a run had another price before, and how many by more than `jump` of it.
INSERT INTO price_moves (run_id, feed, offers, changed, jumped, jump)
SELECT CAST(:run_id AS uuid), :feed, :offers, count(*),
       count(*) FILTER (WHERE p.old_price_currency IS NOT DISTINCT FROM p.price_currency
                          AND abs(p.new_price_cents - p.old_price_cents)
                              > p.old_price_cents * CAST(:jump AS float8)),
       CAST(:jump AS float8)
  FROM price_changes AS p
 WHERE p.run_id = CAST(:run_id AS uuid) AND p.old_price_cents IS NOT NULL
   AND p.changed_at BETWEEN :opened_at AND :finished_at
ON CONFLICT (run_id) DO NOTHING
RETURNING changed, jumped;

-- name: reprice_to_measure
-- The latest ended reprice, unless it was measured since it ended. One that failed may end again.
SELECT reprice_id, opened_at, finished_at
  FROM (SELECT * FROM reprices WHERE finished_at IS NOT NULL ORDER BY reprice_id DESC LIMIT 1) AS latest
 WHERE measured_at IS NULL OR measured_at < finished_at;

-- name: measure_reprice
-- How many stones a reprice gave another price, and how many by more than `jump` of the one before.
-- Shares are of the stones that it came to. Waits for nobody: measured twice is measured the same.
UPDATE reprices AS r
   SET measured_at = now(),
       measured_stones = m.stones, changed_stones = m.changed, jumped_stones = m.jumped, jump = m.jump
  FROM (SELECT (SELECT coalesce(sum(b.stones), 0)
                  FROM reprice_batches AS b
                 WHERE b.reprice_id = :reprice_id AND b.repriced IS NOT NULL) AS stones,
               count(*) AS changed,
               count(*) FILTER (WHERE p.old_price_currency IS NOT DISTINCT FROM p.price_currency
                                  AND abs(p.new_price_cents - p.old_price_cents)
                                      > p.old_price_cents * CAST(:jump AS float8)) AS jumped,
               CAST(:jump AS float8) AS jump
          FROM price_changes AS p
         WHERE p.reprice_id = :reprice_id AND p.changed_at BETWEEN :opened_at AND :finished_at) AS m
 WHERE r.reprice_id = :reprice_id AND r.finished_at = :finished_at
RETURNING r.changed_stones AS changed, r.jumped_stones AS jumped;
