-- name: feeds_with_slots
-- Feeds of which a slot has come or waits, the longest due first.
SELECT feed
  FROM (SELECT feed, min(next_at) AS since FROM schedules WHERE next_at <= now() GROUP BY feed
         UNION ALL
        SELECT feed, min(slot) FROM schedule_slots WHERE state = 'waiting' GROUP BY feed) AS due
 GROUP BY feed
 ORDER BY min(since);

-- name: lock_feed_to_serve
-- No row: another steward is at it, or the feed is unknown. Held until the transaction ends.
SELECT feed, now() AS present FROM feeds WHERE feed = :feed FOR UPDATE SKIP LOCKED;

-- name: schedules_due
SELECT feed, kind, cron, time_zone, missed, next_at
  FROM schedules
 WHERE feed = :feed AND next_at <= now()
 ORDER BY kind;

-- name: add_slot
-- No row: another steward was first.
INSERT INTO schedule_slots (feed, kind, slot, state, reason, missed, decided_at)
VALUES (:feed, :kind, :slot, :state, :reason, :missed, CASE WHEN :state = 'waiting' THEN NULL ELSE now() END)
ON CONFLICT (feed, kind, slot) DO NOTHING
RETURNING slot;

-- name: overtake_slots
-- Slots that still wait when a later one comes are given up for it. Returns them.
UPDATE schedule_slots
   SET state = 'skipped', decided_at = now(), reason = :reason
 WHERE feed = :feed AND kind = :kind AND state = 'waiting' AND slot < :before
RETURNING slot;

-- name: move_schedule
UPDATE schedules SET next_at = :next_at WHERE feed = :feed AND kind = :kind;

-- name: waiting_slots
-- In the order in which they are served: full ones first.
SELECT s.feed, s.kind, s.slot, d.missed
  FROM schedule_slots AS s
  JOIN schedules AS d USING (feed, kind)
 WHERE s.feed = :feed AND s.state = 'waiting'
 ORDER BY s.kind, s.slot;

-- name: slot_started
UPDATE schedule_slots
   SET state = 'started', run_id = :run_id, reason = NULL, decided_at = now()
 WHERE feed = :feed AND kind = :kind AND slot = :slot AND state = 'waiting';

-- name: slot_skipped
UPDATE schedule_slots
   SET state = 'skipped', reason = :reason, decided_at = now()
 WHERE feed = :feed AND kind = :kind AND slot = :slot AND state = 'waiting';

-- name: slot_waits
UPDATE schedule_slots
   SET reason = :reason
 WHERE feed = :feed AND kind = :kind AND slot = :slot AND state = 'waiting' AND reason <> :reason;

-- name: get_schedule
SELECT cron, time_zone, missed, next_at FROM schedules WHERE feed = :feed AND kind = :kind FOR UPDATE;

-- name: set_schedule
INSERT INTO schedules (feed, kind, cron, time_zone, missed, next_at, set_by)
VALUES (:feed, :kind, :cron, :time_zone, :missed, :next_at, :actor)
ON CONFLICT (feed, kind) DO UPDATE
   SET cron = excluded.cron, time_zone = excluded.time_zone, missed = excluded.missed,
       next_at = excluded.next_at, set_by = excluded.set_by, set_at = now();

-- name: remove_schedule
DELETE FROM schedules WHERE feed = :feed AND kind = :kind RETURNING feed;

-- name: list_schedules
-- Every schedule, with what became of its latest slot and whether its feed is paused.
SELECT d.feed, d.kind, d.cron, d.time_zone, d.missed, d.next_at, d.set_by, d.set_at,
       f.paused_at, f.paused_reason,
       s.slot AS last_slot, s.state AS last_state, s.reason AS last_reason, s.run_id AS last_run
  FROM schedules AS d
  JOIN feeds AS f USING (feed)
  LEFT JOIN LATERAL (
       SELECT slot, state, reason, run_id
         FROM schedule_slots
        WHERE feed = d.feed AND kind = d.kind
        ORDER BY slot DESC
        LIMIT 1) AS s ON true
 WHERE CAST(:feed AS text) IS NULL OR d.feed = :feed
 ORDER BY d.feed, d.kind;

-- name: list_slots
-- What became of the slots, the latest first.
SELECT s.feed, s.kind, s.slot, s.state, s.reason, s.missed, s.seen_at, s.decided_at, s.run_id,
       r.state AS run_state
  FROM schedule_slots AS s
  LEFT JOIN runs AS r USING (run_id)
 WHERE CAST(:feed AS text) IS NULL OR s.feed = :feed
 ORDER BY s.slot DESC, s.feed, s.kind
 LIMIT :limit;

-- name: present_time
SELECT now();
