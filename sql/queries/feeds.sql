-- name: pause_feed
-- No row: it is paused already.
UPDATE feeds
   SET paused_at = now(), paused_reason = :reason
 WHERE feed = :feed AND paused_at IS NULL
RETURNING feed;

-- name: resume_feed
-- No row: it is not paused.
UPDATE feeds
   SET paused_at = NULL, paused_reason = NULL
 WHERE feed = :feed AND paused_at IS NOT NULL
RETURNING feed;

-- name: announce_feed_anew
-- Messages of a paused feed were dropped by whoever got them; its work is announced again at once.
-- Returns the items.
UPDATE work_items AS w
   SET announced_at = NULL
  FROM runs AS r
 WHERE r.run_id = w.run_id AND r.feed = :feed AND r.finished_at IS NULL AND w.state = 'due'
RETURNING w.item_id;

-- name: feed_work
-- Open work of a feed that asks its supplier, by state.
SELECT count(*) FILTER (WHERE w.state = 'due') AS due, count(*) FILTER (WHERE w.state = 'held') AS held
  FROM runs AS r
  JOIN work_items AS w USING (run_id)
 WHERE r.feed = :feed AND r.finished_at IS NULL AND w.finished_at IS NULL
   AND w.kind IN ('plan', 'fetch', 'cut', 'sweep');
