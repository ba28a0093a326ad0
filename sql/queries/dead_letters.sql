-- name: list_dead_letters
-- Dead letters that fit, the oldest first; those that somebody settled only where asked for. NULL: no
-- matter. `since_s`: given up in so many seconds. `after`: only above that id, to go through many.
SELECT d.dead_letter_id, d.kind, d.reason, d.error, d.attempts, r.feed, d.run_id, d.partition_id,
       p.number AS partition, d.item_id, d.traceparent, d.first_at, d.buried_at AS last_at,
       d.settled_at, d.settled_how
  FROM dead_letters AS d
  LEFT JOIN runs AS r USING (run_id)
  LEFT JOIN partitions AS p ON p.partition_id = d.partition_id
 WHERE (:settled OR d.settled_at IS NULL)
   AND d.dead_letter_id > :after
   AND (CAST(:reason AS text) IS NULL OR d.reason = :reason)
   AND (CAST(:kind AS text) IS NULL OR d.kind = :kind)
   AND (CAST(:feed AS text) IS NULL OR r.feed = :feed)
   AND (CAST(:run_id AS uuid) IS NULL OR d.run_id = :run_id)
   AND (CAST(:since_s AS float8) IS NULL OR d.buried_at >= now() - make_interval(secs => :since_s))
 ORDER BY d.dead_letter_id
 LIMIT :limit;

-- name: count_matching_letters
-- How many of the same fit.
SELECT count(*)
  FROM dead_letters AS d
  LEFT JOIN runs AS r USING (run_id)
 WHERE (:settled OR d.settled_at IS NULL)
   AND d.dead_letter_id > :after
   AND (CAST(:reason AS text) IS NULL OR d.reason = :reason)
   AND (CAST(:kind AS text) IS NULL OR d.kind = :kind)
   AND (CAST(:feed AS text) IS NULL OR r.feed = :feed)
   AND (CAST(:run_id AS uuid) IS NULL OR d.run_id = :run_id)
   AND (CAST(:since_s AS float8) IS NULL OR d.buried_at >= now() - make_interval(secs => :since_s));

-- name: dead_letter
-- Everything about one. `message` is what came, where it was a message; `item_state` and `run_state`
-- how things stand now.
SELECT d.dead_letter_id, d.kind, d.reason, d.error, d.attempts, r.feed, d.run_id, r.state AS run_state,
       d.partition_id, p.number AS partition, d.item_id, w.state AS item_state, d.epoch,
       d.traceparent, d.first_at, d.buried_at AS last_at, d.settled_at, d.settled_how, d.payload,
       d.message, d.traceback
  FROM dead_letters AS d
  LEFT JOIN runs AS r USING (run_id)
  LEFT JOIN partitions AS p ON p.partition_id = d.partition_id
  LEFT JOIN work_items AS w ON w.item_id = d.item_id
 WHERE d.dead_letter_id = :dead_letter_id;

-- name: letter_to_settle
-- Holds the letter until the transaction ends, so that of two who settle it at once the second sees
-- that it is settled. `kept`: the raw offers of its run are still there. No row: there is none.
SELECT d.dead_letter_id, d.item_id, d.kind, d.reason, d.error, d.attempts, d.run_id, d.partition_id,
       d.settled_at, d.settled_how, r.feed, r.state AS run_state, r.reason AS run_reason,
       r.finished_at IS NOT NULL AS run_finished, r.finished_at AS run_finished_at,
       r.fetching_at IS NOT NULL AS run_planned,
       w.state AS item_state,
       r.run_id IS NULL OR to_regclass('raw_offers_' || to_char(r.landed_on, 'YYYYMMDD')) IS NOT NULL
           AS kept
  FROM dead_letters AS d
  LEFT JOIN runs AS r USING (run_id)
  LEFT JOIN work_items AS w ON w.item_id = d.item_id
 WHERE d.dead_letter_id = :dead_letter_id
   FOR UPDATE OF d;

-- name: settle_letter
-- No row: it is settled already. One that was discarded may be replayed after all.
UPDATE dead_letters
   SET settled_at = now(), settled_how = :how
 WHERE dead_letter_id = :dead_letter_id
   AND (settled_at IS NULL OR (settled_how = 'discarded' AND :how = 'replayed'))
RETURNING dead_letter_id;

-- name: audit_of_letter
SELECT at, actor, action, reason, before, after
  FROM audit_events
 WHERE subject = :subject AND action LIKE 'dead-letter.%'
 ORDER BY event_id;

-- name: letter_of_item
-- The latest dead letter of a piece of work that gave up.
SELECT dead_letter_id FROM dead_letters WHERE item_id = :item_id ORDER BY dead_letter_id DESC LIMIT 1;
