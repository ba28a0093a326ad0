-- name: add_item
-- A new piece of work and, by its empty announced_at, the intent to send its message.
INSERT INTO work_items (kind, run_id, partition_id, priority, attempts_max, traceparent)
VALUES (:kind, :run_id, :partition_id, :priority, :attempts_max, :traceparent)
RETURNING item_id;

-- name: announce_items
-- What is due and was not announced, or so long ago that its message must be lost: mark it as
-- announced and say so. At most `announced_max` of a kind wait in the broker; the highest priority
-- first. What would ask the supplier of a paused feed waits. Two callers at once never get the same
-- row. The caller commits after it has sent: a crash in between only sends again.
WITH room AS (
    SELECT kind, greatest(:announced_max - count(*) FILTER (
               WHERE announced_at > now() - make_interval(secs => :again_s)), 0) AS places
      FROM work_items
     WHERE state = 'due' AND kind = :kind
     GROUP BY kind
), chosen AS (
    SELECT item_id
      FROM work_items
     WHERE state = 'due' AND kind = :kind AND not_before <= now()
       AND (announced_at IS NULL OR announced_at <= now() - make_interval(secs => :again_s))
       AND (kind NOT IN ('plan', 'fetch', 'cut', 'sweep')
            OR run_id <> ALL (ARRAY(SELECT r.run_id
                                      FROM runs AS r
                                      JOIN feeds AS f USING (feed)
                                     WHERE r.finished_at IS NULL AND f.paused_at IS NOT NULL)))
     ORDER BY priority DESC, item_id
     LIMIT (SELECT places FROM room)
       FOR UPDATE SKIP LOCKED
)
UPDATE work_items AS w
   SET announced_at = now()
  FROM chosen
 WHERE w.item_id = chosen.item_id
RETURNING w.item_id, w.epoch, w.priority, w.traceparent;

-- name: claim_item
-- Take an item that is due. No row: someone else has it, it is not due yet, its attempts are used
-- up, it would ask the supplier of a paused feed, or the message is an old one (its epoch has passed;
-- where a lease ran out, the reaper makes the item due again and a new message follows). Two callers
-- never both get a row.
UPDATE work_items AS w
   SET state = 'held',
       epoch = w.epoch + 1,
       attempts = w.attempts + 1,
       owner = :owner,
       lease_until = now() + make_interval(secs => :lease_s)
 WHERE w.item_id = :item_id
   AND w.kind = :kind
   AND w.epoch = :epoch
   AND w.attempts < w.attempts_max
   AND w.state = 'due'
   AND w.not_before <= now()
   AND (w.kind NOT IN ('plan', 'fetch', 'cut', 'sweep')
        OR NOT EXISTS (SELECT
                         FROM runs AS r
                         JOIN feeds AS f USING (feed)
                        WHERE r.run_id = w.run_id AND f.paused_at IS NOT NULL))
RETURNING w.item_id, w.kind, w.run_id, w.partition_id, w.epoch, w.attempts, w.attempts_max, w.traceparent,
          (SELECT r.feed FROM runs AS r WHERE r.run_id = w.run_id) AS feed;

-- name: heartbeat_item
-- Lengthen the lease. `progress`: the work got on, so the attempts start anew. No row: the claim is lost.
UPDATE work_items
   SET lease_until = now() + make_interval(secs => :lease_s),
       attempts = CASE WHEN :progress THEN 1 ELSE attempts END
 WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
RETURNING item_id;

-- name: finish_item
-- Close the item as done. No row: the claim is lost.
UPDATE work_items
   SET state = 'done', owner = NULL, lease_until = NULL, finished_at = now(), last_error = NULL
 WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
RETURNING item_id;

-- name: attempts_of_item
-- How many attempts are used, this one included; holds the row until the transaction ends. No row:
-- the claim is lost.
SELECT attempts
  FROM work_items
 WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
   FOR UPDATE;

-- name: give_back_item
-- Make the item due again after `wait_s`. `refund`: the attempt does not count. No row: the claim is lost.
UPDATE work_items
   SET state = 'due', owner = NULL, lease_until = NULL, announced_at = NULL,
       not_before = now() + make_interval(secs => :wait_s),
       attempts = attempts - CASE WHEN :refund THEN 1 ELSE 0 END,
       first_failed_at = CASE WHEN :refund THEN first_failed_at ELSE coalesce(first_failed_at, now()) END,
       last_error = coalesce(:error, last_error)
 WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
RETURNING item_id;

-- name: bury_item
-- Give the item up, with a dead letter, in one statement. No row: the claim is lost.
WITH buried AS (
    UPDATE work_items
       SET state = 'dead', owner = NULL, lease_until = NULL, finished_at = now(), last_error = :error
     WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
    RETURNING *
)
INSERT INTO dead_letters (item_id, kind, run_id, partition_id, reason, error, traceback,
                          attempts, epoch, traceparent, first_at, payload)
SELECT item_id, kind, run_id, partition_id, :reason, :error, :traceback,
       attempts, epoch, traceparent, coalesce(first_failed_at, now()), work_payload(item_id)
  FROM buried
RETURNING dead_letter_id;

-- name: bury_message
-- A message that cannot be read, or names a task nobody knows, is kept with its bytes. The same bytes
-- with the same error are the same letter, until somebody settles it: it counts how often they came.
INSERT INTO dead_letters AS d (reason, error, message, digest, kind, payload, attempts, first_at)
VALUES (:reason, :error, :message,
        sha256(CAST(:message AS bytea) || convert_to(CAST(:error AS text), 'UTF8')),
        :kind, CAST(:payload AS jsonb), 1, now())
ON CONFLICT (digest) WHERE settled_at IS NULL DO UPDATE
   SET attempts = d.attempts + 1, buried_at = now()
RETURNING dead_letter_id;

-- name: reap_items
-- Leases that ran out: due again, at once; where the attempts are used up, dead with a dead letter.
-- Bounded; rows that a holder is just writing are left for the next round. Returns the items reaped.
WITH expired AS (
    SELECT item_id, nullif(last_error, 'its holder fell silent') AS error_before
      FROM work_items
     WHERE state = 'held' AND lease_until < now()
     ORDER BY lease_until
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), reaped AS (
    UPDATE work_items AS w
       SET state = CASE WHEN w.attempts < w.attempts_max THEN 'due' ELSE 'dead' END,
           finished_at = CASE WHEN w.attempts < w.attempts_max THEN NULL ELSE now() END,
           owner = NULL, lease_until = NULL, announced_at = NULL,
           first_failed_at = coalesce(w.first_failed_at, now()),
           last_error = 'its holder fell silent'
      FROM expired
     WHERE w.item_id = expired.item_id
    RETURNING w.*, expired.error_before
), buried AS (
    INSERT INTO dead_letters (item_id, kind, run_id, partition_id, reason, error,
                              attempts, epoch, traceparent, first_at, payload)
    SELECT item_id, kind, run_id, partition_id, 'worker_lost',
           format('its holder fell silent, in the last of %s attempts', attempts)
               || coalesce('; before that: ' || error_before, ''),
           attempts, epoch, traceparent, first_failed_at, work_payload(item_id)
      FROM reaped
     WHERE state = 'dead'
)
SELECT item_id, kind, run_id, partition_id, epoch, attempts, state FROM reaped;

-- name: cancel_items
-- Everything of a run that is not finished. A holder notices at its next write.
UPDATE work_items
   SET state = 'cancelled', owner = NULL, lease_until = NULL, finished_at = now()
 WHERE run_id = :run_id AND finished_at IS NULL
RETURNING item_id;

-- name: item_of_claim
-- What became of a claim whose commit was in doubt, or why a message claims nothing. No row: there is
-- no such item.
SELECT state, epoch, owner, kind FROM work_items WHERE item_id = :item_id;

-- name: claim_in_doubt
-- The claim that a holder made while the connection broke, if it was made; a commit that is still
-- under way is waited for. No row: it was not made.
SELECT w.item_id, w.kind, w.run_id, w.partition_id, w.epoch, w.attempts, w.attempts_max, w.traceparent,
       (SELECT r.feed FROM runs AS r WHERE r.run_id = w.run_id) AS feed
  FROM work_items AS w
 WHERE w.item_id = :item_id AND w.kind = :kind AND w.epoch = :epoch + 1
   AND w.state = 'held' AND w.owner = :owner
   FOR UPDATE OF w;

-- name: list_leases
-- What is held, the lease that ends first before the others. `left_s` is below zero where it ran out.
SELECT w.item_id, w.kind, w.run_id, r.feed, w.partition_id, w.owner, w.epoch, w.attempts, w.attempts_max,
       w.lease_until, extract(epoch FROM w.lease_until - now())::float8 AS left_s
  FROM work_items AS w
  LEFT JOIN runs AS r USING (run_id)
 WHERE w.state = 'held' AND (NOT :expired OR w.lease_until < now())
 ORDER BY w.lease_until, w.item_id
 LIMIT :limit;

-- name: lease_to_release
-- Holds the row. No row: there is no such item.
SELECT item_id, kind, run_id, partition_id, state, owner, epoch, attempts, lease_until
  FROM work_items
 WHERE item_id = :item_id
   FOR UPDATE;

-- name: release_item
-- Take the item from its holder, who changes nothing more: due at once, and its attempt is not held
-- against it. No row: it is not held, or by another claim than that one.
UPDATE work_items
   SET state = 'due', owner = NULL, lease_until = NULL, announced_at = NULL, not_before = now(),
       attempts = attempts - 1, last_error = :error
 WHERE item_id = :item_id AND state = 'held' AND epoch = :epoch
RETURNING item_id;

-- name: revive_item
-- Make an item that gave up due again, with all its attempts. A late holder of it still changes
-- nothing: it is due and not held, and the next claim raises its epoch. No row: it did not give up.
UPDATE work_items
   SET state = 'due', attempts = 0, not_before = now(), announced_at = NULL, finished_at = NULL,
       first_failed_at = NULL
 WHERE item_id = :item_id AND state = 'dead'
RETURNING item_id;

-- name: lead
-- Become the leader, or stay it. No row: another one leads and its lease runs. Of two callers at once
-- one gets a row.
INSERT INTO leaders AS l (name, owner, lease_until)
VALUES (:name, :owner, now() + make_interval(secs => :lease_s))
ON CONFLICT (name) DO UPDATE
   SET owner = excluded.owner,
       epoch = l.epoch + CASE WHEN l.owner = excluded.owner THEN 0 ELSE 1 END,
       led_since = CASE WHEN l.owner = excluded.owner THEN l.led_since ELSE now() END,
       lease_until = excluded.lease_until
 WHERE l.owner = excluded.owner OR l.lease_until < now()
RETURNING epoch;

-- name: resign
-- Let the next one lead at once.
UPDATE leaders SET lease_until = now() - interval '1 second' WHERE name = :name AND owner = :owner;

-- name: backlog
-- Work not finished, by kind and state, with the age of the oldest that could have started.
SELECT kind, state, count(*) AS items,
       coalesce(extract(epoch FROM now() - min(not_before) FILTER (WHERE not_before <= now())), 0)::float8
           AS oldest_s
  FROM work_items
 WHERE finished_at IS NULL
 GROUP BY kind, state
 ORDER BY kind, state;

-- name: unannounced_kinds
-- Kinds of which some work is due for longer than `overdue_s`, while none of it was announced within
-- that time: whoever should announce it, does not. No row: all is well, or nothing is due.
SELECT kind
  FROM work_items
 WHERE state = 'due'
 GROUP BY kind
HAVING min(not_before) < now() - make_interval(secs => :overdue_s)
   AND coalesce(max(announced_at), '-infinity') < now() - make_interval(secs => :overdue_s)
 ORDER BY kind;
