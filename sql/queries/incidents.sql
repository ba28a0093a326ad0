-- name: repeat_incident
-- Something that lasts was seen again: quietly. It counts on where it was away for longer than `gap_s`
-- or has happened `more` times since the last look, and to `times` where the look knows them all. One
-- that became worse is news again, acknowledged or not. No row: the key has no incident that lasts.
UPDATE incidents
   SET last_at = clock_timestamp(),
       count = greatest(CAST(:times AS bigint), count + CAST(:more AS bigint)
               + CASE WHEN last_at < now() - make_interval(secs => :gap_s) THEN 1 ELSE 0 END),
       text = :text,
       next_command = :next_command,
       severity = CAST(:severity AS text),
       state = CASE WHEN severity_rank(:severity) > severity_rank(severity) THEN 'open' ELSE state END,
       acked_at = CASE WHEN severity_rank(:severity) > severity_rank(severity) THEN NULL ELSE acked_at END,
       acked_by = CASE WHEN severity_rank(:severity) > severity_rank(severity) THEN NULL ELSE acked_by END,
       news = CASE WHEN severity_rank(:severity) > severity_rank(severity) THEN coalesce(news, 'worse')
                   ELSE news END
 WHERE state <> 'resolved' AND kind = :kind
   AND coalesce(feed, '') = coalesce(CAST(:feed AS text), '')
   AND coalesce(run_id::text, '') = coalesce(CAST(:run_id AS uuid)::text, '')
   AND coalesce(subject, '') = coalesce(CAST(:subject AS text), '')
RETURNING incident_id;

-- name: open_incident
-- No row: another look opened it just now.
INSERT INTO incidents (kind, feed, run_id, subject, severity, text, next_command, count)
VALUES (:kind, :feed, :run_id, :subject, :severity, :text, :next_command,
        greatest(CAST(:times AS bigint), CAST(:more AS bigint)))
ON CONFLICT (kind, coalesce(feed, ''), coalesce(run_id::text, ''), coalesce(subject, ''))
      WHERE state <> 'resolved' DO NOTHING
RETURNING incident_id;

-- name: resolve_incidents
-- Incidents of these kinds that no look has seen for `after_s`: over. One that nobody was told of is
-- told as passed. Returns them.
UPDATE incidents
   SET state = 'resolved', resolved_at = clock_timestamp(),
       news = CASE WHEN news IN ('opened', 'passed') THEN 'passed' ELSE 'resolved' END
 WHERE state <> 'resolved' AND kind = ANY(CAST(:kinds AS text[]))
   AND last_at < now() - make_interval(secs => :after_s)
RETURNING incident_id, kind, feed, run_id, subject;

-- name: acknowledge_incident
-- No row: it is not open.
UPDATE incidents
   SET state = 'acked', acked_at = now(), acked_by = :actor,
       news = CASE WHEN news IN ('opened', 'worse') THEN NULL ELSE news END
 WHERE incident_id = :incident_id AND state = 'open'
RETURNING incident_id;

-- name: incident
SELECT * FROM incidents WHERE incident_id = :incident_id;

-- name: list_incidents
-- Those that last first, of them the gravest; then the latest. `all`: with those that are over.
SELECT incident_id, kind, feed, run_id, subject, severity, state, text, next_command, count,
       first_at, last_at, acked_at, acked_by, resolved_at, news
  FROM incidents
 WHERE (:everything OR state <> 'resolved')
   AND (CAST(:feed AS text) IS NULL OR feed = :feed)
   AND (CAST(:kind AS text) IS NULL OR kind = :kind)
 ORDER BY state = 'resolved',
          CASE WHEN state <> 'resolved'
               THEN -severity_rank(severity) END,
          first_at DESC, incident_id DESC
 LIMIT :limit;

-- name: count_incidents
-- Those that last, and the gravest severity among them; NULL where there is none.
SELECT count(*) AS incidents,
       (array_agg(severity ORDER BY severity_rank(severity) DESC))[1] AS gravest_incident
  FROM incidents
 WHERE state <> 'resolved';

-- name: alerts_of_incident
-- Every message that told of an incident, with its latest attempt.
SELECT a.alert_id, a.batch, a.channel, a.kind, t.news, a.state, a.key, a.created_at, a.finished_at,
       a.fallback_of, w.state AS item_state, w.not_before, w.last_error
  FROM alert_incidents AS t
  JOIN alerts AS a USING (alert_id)
  LEFT JOIN work_items AS w ON w.item_id = a.item_id
 WHERE t.incident_id = :incident_id
 ORDER BY a.alert_id;

-- name: deliveries_of_incident
SELECT d.alert_id, d.channel, d.epoch, d.outcome, d.provider_id, d.answer, d.started_at, d.ended_at
  FROM deliveries AS d
  JOIN alert_incidents AS t USING (alert_id)
 WHERE t.incident_id = :incident_id
 ORDER BY d.alert_id, d.epoch;

-- name: messages_lately
-- How many times something was told within the last hour, and how long ago last; NULL: not.
SELECT count(DISTINCT batch) AS batches,
       extract(epoch FROM now() - max(created_at))::float8 AS last_s
  FROM alerts
 WHERE created_at > now() - interval '1 hour' AND kind <> 'test' AND fallback_of IS NULL;

-- name: take_news
-- Incidents with something to tell, the gravest first; each is taken by one caller. What is not
-- critical waits where `critical_only`.
SELECT incident_id, kind, feed, run_id, subject, severity, state, text, next_command, count, news,
       first_at, last_at, resolved_at
  FROM incidents
 WHERE news IS NOT NULL AND (NOT :critical_only OR severity = 'critical')
 ORDER BY severity_rank(severity) DESC, first_at, incident_id
   LIMIT :news_max
   FOR UPDATE;

-- name: news_told
UPDATE incidents SET news = NULL WHERE incident_id = ANY(CAST(:incident_ids AS bigint[]));

-- name: add_alert
-- A message to a channel and its work item. It carries the trace of the first run that it tells of.
WITH item AS (
    INSERT INTO work_items (kind, attempts_max, priority, traceparent)
    SELECT 'alert', :attempts_max, :priority,
           (SELECT traceparent FROM runs WHERE run_id = CAST(:run_id AS uuid))
    RETURNING item_id
)
INSERT INTO alerts (item_id, batch, channel, kind, severity, content, fallback_of)
SELECT item_id, :batch, :channel, :kind, :severity, CAST(:content AS jsonb), :fallback_of FROM item
RETURNING alert_id;

-- name: add_alert_incidents
INSERT INTO alert_incidents (alert_id, incident_id, news)
SELECT :alert_id, incident_id, news
  FROM unnest(CAST(:incident_ids AS bigint[]), CAST(:news AS text[])) AS told (incident_id, news);

-- name: add_test
-- A message sent by hand, with its outcome; no work item is behind it.
WITH told AS (
    INSERT INTO alerts (batch, key, channel, kind, severity, content, state, finished_at)
    VALUES (gen_random_uuid(), :key, :channel, 'test', 'info', CAST(:content AS jsonb), :state, now())
    RETURNING alert_id, channel
)
INSERT INTO deliveries (alert_id, epoch, channel, outcome, provider_id, answer, ended_at)
SELECT alert_id, 0, channel, :outcome, :provider_id, :answer, now() FROM told
RETURNING alert_id;

-- name: begin_delivery
-- The attempt is noted before it is made. No row: the claim is lost.
WITH held AS (
    SELECT item_id, epoch
      FROM work_items
     WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
       FOR UPDATE
), noted AS (
    INSERT INTO deliveries (alert_id, epoch, channel)
    SELECT a.alert_id, held.epoch, a.channel FROM held JOIN alerts AS a USING (item_id)
    RETURNING alert_id
)
SELECT a.alert_id, a.key, a.channel, a.content FROM noted JOIN alerts AS a USING (alert_id);

-- name: end_delivery
UPDATE deliveries
   SET outcome = :outcome, provider_id = :provider_id, answer = :answer, ended_at = now()
 WHERE alert_id = :alert_id AND epoch = :epoch
RETURNING alert_id;

-- name: alert_sent
-- Also one that was given up and is sent after all, by hand.
UPDATE alerts SET state = 'sent', finished_at = now() WHERE alert_id = :alert_id;

-- name: alerts_given_up
-- Messages whose work was buried or cancelled: failed. Returns them with what they said.
UPDATE alerts AS a
   SET state = 'failed', finished_at = now()
  FROM work_items AS w
 WHERE w.item_id = a.item_id AND a.state = 'due' AND w.state IN ('dead', 'cancelled')
RETURNING a.alert_id, a.batch, a.channel, a.kind, a.severity, a.content, w.last_error;

-- name: told_in_batch
-- Which channel was told of which incident at that time, and how that stands.
SELECT a.channel, a.state, array_agg(t.incident_id) AS incident_ids
  FROM alerts AS a
  JOIN alert_incidents AS t USING (alert_id)
 WHERE a.batch = :batch
 GROUP BY a.channel, a.state;
