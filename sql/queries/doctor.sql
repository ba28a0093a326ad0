-- name: server_now
-- The server's clock, its release as a number, who we are there, and how large the database is.
SELECT clock_timestamp() AS now, current_setting('server_version_num')::int AS release,
       current_user::text AS user_name,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       pg_database_size(current_database()) AS bytes;

-- name: silent_leases
-- Leases that ran out so long ago that a steward would have taken them back.
SELECT count(*) FROM work_items
 WHERE state = 'held' AND lease_until < now() - make_interval(secs => :silent_s);
