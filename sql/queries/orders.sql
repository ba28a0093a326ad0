-- name: list_orders
-- Everything that was ever ordered for an account; one whose time is over is of no effect.
SELECT account, rate_per_s, burst, in_flight_max, stopped_at, stopped_until, stopped_reason, set_by,
       set_at
  FROM account_orders
 ORDER BY account;

-- name: know_account
-- The orders of an account, a row without any at first; held until the transaction ends.
INSERT INTO account_orders AS o (account, set_by)
VALUES (:account, :actor)
ON CONFLICT (account) DO UPDATE SET account = o.account
RETURNING account, rate_per_s, burst, in_flight_max, stopped_at, stopped_until, stopped_reason, set_by,
          set_at;

-- name: order_limit
-- After `know_account`. A part that is null is the settings'.
UPDATE account_orders
   SET rate_per_s = :rate_per_s, burst = :burst, in_flight_max = :in_flight_max, set_by = :actor,
       set_at = now()
 WHERE account = :account
RETURNING account, rate_per_s, burst, in_flight_max, stopped_at, stopped_until, stopped_reason, set_by,
          set_at;

-- name: order_stop
-- After `know_account`. Without `for_s`: until somebody takes it back.
UPDATE account_orders
   SET stopped_at = now(), stopped_until = now() + make_interval(secs => CAST(:for_s AS float8)),
       stopped_reason = :reason, set_by = :actor, set_at = now()
 WHERE account = :account
RETURNING account, rate_per_s, burst, in_flight_max, stopped_at, stopped_until, stopped_reason, set_by,
          set_at;

-- name: order_go_on
-- After `know_account`.
UPDATE account_orders
   SET stopped_at = NULL, stopped_until = NULL, stopped_reason = NULL, set_by = :actor, set_at = now()
 WHERE account = :account
RETURNING account, rate_per_s, burst, in_flight_max, stopped_at, stopped_until, stopped_reason, set_by,
          set_at;
