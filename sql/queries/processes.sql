-- name: beat_process
-- A process says that it lives; the first time, and after its row was forgotten, who it is.
-- Returns when it was asked to leave.
INSERT INTO processes AS p (process_id, role, host, pid, concurrency, release, owners)
VALUES (:process_id, :role, :host, :pid, :concurrency, :release, ARRAY[CAST(:owner AS uuid)])
ON CONFLICT (process_id) DO UPDATE SET seen_at = now()
RETURNING p.drain_at;

-- name: add_owner
-- A child of a process is called so in claims. The latest are kept: children come and go.
UPDATE processes
   SET owners = (array_append(owners, CAST(:owner AS uuid)))[greatest(1, cardinality(owners) + 2 - :kept):]
 WHERE process_id = :process_id;

-- name: process_ended
UPDATE processes SET ended_at = now(), seen_at = now() WHERE process_id = :process_id;

-- name: list_processes
-- Who works and what each holds: `beat_s`, seconds since it said that it lives, by the database's
-- clock. Those that have ended only where asked for.
SELECT p.process_id, p.role, p.host, p.pid, p.concurrency, p.release, p.started_at, p.seen_at,
       p.drain_at, p.ended_at, extract(epoch FROM now() - p.seen_at)::float8 AS beat_s,
       coalesce(w.items, 0) AS items, w.kinds, w.oldest_s
  FROM processes AS p
  LEFT JOIN LATERAL (
       SELECT count(*) AS items, string_agg(DISTINCT kind, ', ' ORDER BY kind) AS kinds,
              extract(epoch FROM now() - min(announced_at))::float8 AS oldest_s
         FROM work_items
        WHERE state = 'held' AND owner = ANY (p.owners)) AS w ON true
 WHERE :ended OR p.ended_at IS NULL
 ORDER BY array_position(ARRAY['steward', 'scheduler', 'worker', 'consolidator'], p.role), p.host,
          p.started_at;

-- name: drain_processes
-- Ask processes to leave; each hears it with its next word. Returns those that were not asked before.
UPDATE processes
   SET drain_at = now()
 WHERE process_id = ANY (CAST(:process_ids AS uuid[])) AND ended_at IS NULL AND drain_at IS NULL
RETURNING process_id;

-- name: forget_processes
-- Those that ended or fell silent days ago.
DELETE FROM processes WHERE seen_at < now() - make_interval(days => :days);
