-- name: without_time_limit
-- For this transaction: reading everything takes as long as it takes.
SELECT set_config('statement_timeout', '0', true);

-- name: backup_facts
-- The snapshot for pg_dump, the server's version, and the roles that something is granted to.
SELECT pg_export_snapshot() AS snapshot,
       current_setting('server_version_num')::int / 10000 AS server_major,
       ARRAY(SELECT DISTINCT r.rolname::text
               FROM pg_class AS c
              CROSS JOIN LATERAL aclexplode(c.relacl) AS a
               JOIN pg_roles AS r ON r.oid = a.grantee
              WHERE c.relnamespace = 'public'::regnamespace
              ORDER BY 1) AS roles;

-- name: table_sums
SELECT name, rows, checksum FROM table_sums();

-- name: no_tables
SELECT NOT EXISTS (SELECT FROM pg_class
                    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v'));

-- name: others_connected
-- By the names they gave themselves.
SELECT coalesce(nullif(application_name, ''), usename, 'somebody') AS who
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND coalesce(backend_type, 'client backend') = 'client backend';

-- name: restore_facts
-- The server's version, and which of some roles it does not have.
SELECT current_setting('server_version_num')::int / 10000 AS server_major,
       ARRAY(SELECT r FROM unnest(CAST(:roles AS text[])) AS r
              WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r)) AS missing_roles;

-- name: cancel_open_runs
-- Runs that were open when the backup was made: the feed has moved on, so what they planned is not
-- read to its end. Their work is cancelled with them. Returns the runs.
WITH stopped AS (
    UPDATE runs SET state = 'cancelled', reason = :reason, finished_at = now(), replayed_at = NULL
     WHERE finished_at IS NULL
    RETURNING run_id
), items AS (
    UPDATE work_items AS w
       SET state = 'cancelled', owner = NULL, lease_until = NULL, finished_at = now()
      FROM stopped AS s
     WHERE w.run_id = s.run_id AND w.finished_at IS NULL
)
SELECT run_id FROM stopped;

-- name: free_all_items
-- All other work that is not finished, or may be replayed: nobody holds it, nobody was told of it,
-- and its epoch is above any that was given out since the backup, so that neither a holder of then
-- nor a message of then fits it. An attempt that was under way does not count. Returns the items.
UPDATE work_items AS w
   SET state = CASE WHEN w.state = 'held' THEN 'due' ELSE w.state END,
       attempts = w.attempts - CASE WHEN w.state = 'held' THEN 1 ELSE 0 END,
       epoch = w.epoch + 1000000, owner = NULL, lease_until = NULL, announced_at = NULL
 WHERE w.finished_at IS NULL OR w.state = 'dead'
RETURNING item_id;

-- name: skip_lost_ids
-- Ids that were given out since the backup are known elsewhere (messages, shops): none is given again.
SELECT setval(s.name::regclass, coalesce(pg_sequence_last_value(s.name::regclass), 0) + 1000000)
  FROM (VALUES (pg_get_serial_sequence('work_items', 'item_id')),
               (pg_get_serial_sequence('partitions', 'partition_id')),
               (pg_get_serial_sequence('diamonds', 'stone_id'))) AS s (name);

-- name: restore_done
UPDATE alembic_version SET version_num = :version;

-- name: forget_leaders
-- Whoever led then leads no more, also where it still runs.
UPDATE leaders SET epoch = epoch + 1000000, lease_until = now();
