-- The story of one run, for `facet run show`: each statement returns what happened to it, and when.

-- name: run_began
-- When it passed through its states, and which slot of a schedule started it, if one did.
SELECT r.feed, r.kind, r.state, r.reason, r.note, r.opened_at, r.fetching_at, r.reconciling_at,
       r.finished_at, r.counted, r.scan_calls, r.offers, r.written, r.delisted, r.rejected,
       r.traceparent, r.pruned_at, s.slot, c.checked_at, c.verdict,
       (SELECT count(*) FROM partitions AS p WHERE p.run_id = r.run_id AND p.parent_id IS NULL
                                               AND NOT p.sweep) AS planned
  FROM runs AS r
  LEFT JOIN schedule_slots AS s ON s.feed = r.feed AND s.kind = r.kind AND s.run_id = r.run_id
  LEFT JOIN feed_checks AS c ON c.run_id = r.run_id
 WHERE r.run_id = :run_id;

-- name: steps_of_run
-- How many partitions were read and folded, and of how many offers, in each time between two of the
-- given ones, which are in order.
SELECT 'fetched' AS event, max(fetched_at) AS at, count(*) AS partitions, sum(landed)::bigint AS offers
  FROM partitions
 WHERE run_id = :run_id AND fetched_at IS NOT NULL
 GROUP BY width_bucket(fetched_at, CAST(:cuts AS timestamptz[]))
 UNION ALL
SELECT 'folded', max(folded_at), count(*), sum(offers)::bigint
  FROM partitions
 WHERE run_id = :run_id AND folded_at IS NOT NULL
 GROUP BY width_bucket(folded_at, CAST(:cuts AS timestamptz[]));

-- name: letters_of_run
-- What gave up, also where that was settled since; the earliest.
SELECT d.dead_letter_id, d.kind, p.number AS partition, d.payload, d.reason, d.error, d.attempts,
       d.buried_at
  FROM dead_letters AS d
  LEFT JOIN partitions AS p USING (partition_id)
 WHERE d.run_id = :run_id
 ORDER BY d.buried_at, d.dead_letter_id
 LIMIT :limit;

-- name: acts_on_run
-- What people did with it: to itself, its dead letters, its leases, its incidents; and to its feed as
-- long as it went on.
SELECT e.at, e.actor, e.action, e.subject, e.reason, e.before
  FROM audit_events AS e
  JOIN runs AS r ON r.run_id = :run_id
 WHERE (e.action LIKE 'run.%' AND e.subject = r.run_id::text)
    OR (e.action LIKE 'dead-letter.%'
        AND e.subject IN (SELECT dead_letter_id::text FROM dead_letters WHERE run_id = r.run_id))
    OR (e.action = 'lease.release'
        AND e.subject IN (SELECT item_id::text FROM work_items WHERE run_id = r.run_id))
    OR (e.action = 'alert.ack'
        AND e.subject IN (SELECT 'incident ' || incident_id FROM incidents WHERE run_id = r.run_id))
    OR (e.action LIKE 'feed.%' AND e.subject = r.feed
        AND e.at BETWEEN r.opened_at AND coalesce(r.finished_at, now()))
 ORDER BY e.event_id
 LIMIT :limit;

-- name: incidents_of_run
SELECT incident_id, kind, subject, severity, text, first_at, resolved_at
  FROM incidents
 WHERE run_id = :run_id
 ORDER BY incident_id
 LIMIT :limit;

-- name: alerts_of_run
-- Messages that told of its incidents, and how that ended.
SELECT a.alert_id, a.channel, a.state, coalesce(a.finished_at, a.created_at) AS at,
       array_agg(i.kind ORDER BY i.incident_id) AS kinds,
       array_agg(t.news ORDER BY i.incident_id) AS news,
       array_agg(i.incident_id ORDER BY i.incident_id) AS incident_ids
  FROM incidents AS i
  JOIN alert_incidents AS t USING (incident_id)
  JOIN alerts AS a USING (alert_id)
 WHERE i.run_id = :run_id
 GROUP BY a.alert_id
 ORDER BY a.alert_id
 LIMIT :limit;
