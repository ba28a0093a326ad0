-- name: add_check
-- What a check found. A run has one at most: where its plan is made again after a check that
-- stopped it, the new one takes the place of the old.
INSERT INTO feed_checks (feed, run_id, verdict, findings, mapping_version, requests)
VALUES (:feed, :run_id, :verdict, CAST(:findings AS jsonb), :mapping_version, :requests)
ON CONFLICT (run_id) DO UPDATE
   SET checked_at = now(),
       verdict = excluded.verdict,
       findings = excluded.findings,
       mapping_version = excluded.mapping_version,
       requests = feed_checks.requests + excluded.requests;

-- name: check_of_run
SELECT verdict FROM feed_checks WHERE run_id = :run_id;

-- name: latest_checks
-- The latest check of each feed, by hand or before a run.
SELECT DISTINCT ON (feed) feed, checked_at, verdict, findings
  FROM feed_checks
 ORDER BY feed, checked_at DESC;

-- name: list_feeds
-- One row for each of these feeds, in their order, whether it has ever run or not.
SELECT named.feed, known.watermark, known.paused_at, known.paused_reason,
       whole.run_id, whole.finished_at, found.verdict, found.checked_at, found.findings
  FROM unnest(CAST(:feeds AS text[])) WITH ORDINALITY AS named (feed, place)
  LEFT JOIN feeds AS known USING (feed)
  LEFT JOIN LATERAL (
       SELECT run_id, finished_at
         FROM runs
        WHERE feed = named.feed AND state = 'complete'
        ORDER BY finished_at DESC
        LIMIT 1) AS whole ON true
  LEFT JOIN LATERAL (
       SELECT verdict, checked_at, findings
         FROM feed_checks
        WHERE feed = named.feed
        ORDER BY checked_at DESC
        LIMIT 1) AS found ON true
 ORDER BY named.place;
