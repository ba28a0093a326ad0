-- name: add_item
-- A new piece of work and, by its empty announced_at, the intent to send its message.
INSERT INTO work_items (kind, run_id, partition_id, priority, attempts_max, traceparent)
VALUES (:kind, :run_id, :partition_id, :priority, :attempts_max, :traceparent)
RETURNING item_id;

-- name: announce_items
-- What is due and was not announced, or so long ago that its message must be lost: mark it as
-- announced and say so. At most `announced_max` of a kind wait in the broker; the highest priority
-- first. Two callers at once never get the same row. The caller commits after it has sent:
-- a crash in between only sends again.
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
-- up, or the message is an old one (its epoch has passed; where a lease ran out, the reaper makes
-- the item due again and a new message follows). Two callers never both get a row.
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
                          attempts, epoch, traceparent, first_at)
SELECT item_id, kind, run_id, partition_id, :reason, :error, :traceback,
       attempts, epoch, traceparent, created_at
  FROM buried
RETURNING dead_letter_id;

-- name: bury_message
-- A message that cannot be read is kept with its bytes.
INSERT INTO dead_letters (reason, error, message, first_at)
VALUES ('bad_message', :error, :message, now())
RETURNING dead_letter_id;

-- name: reap_items
-- Leases that ran out: due again, at once; where the attempts are used up, dead with a dead letter.
-- Bounded; rows that a holder is just writing are left for the next round. Returns the items reaped.
WITH expired AS (
    SELECT item_id
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
           last_error = 'its holder fell silent'
      FROM expired
     WHERE w.item_id = expired.item_id
    RETURNING w.*
), buried AS (
    INSERT INTO dead_letters (item_id, kind, run_id, partition_id, reason, error,
                              attempts, epoch, traceparent, first_at)
    SELECT item_id, kind, run_id, partition_id, 'worker_lost',
           format('%s holders fell silent one after another', attempts),
           attempts, epoch, traceparent, created_at
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

-- name: backlog
-- Work not finished, by kind and state, with the age of the oldest that could have started.
SELECT kind, state, count(*) AS items,
       coalesce(extract(epoch FROM now() - min(not_before) FILTER (WHERE not_before <= now())), 0)::float8
           AS oldest_s
  FROM work_items
 WHERE finished_at IS NULL
 GROUP BY kind, state
 ORDER BY kind, state;
