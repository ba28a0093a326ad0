-- name: open_reprice
-- A reprice of all stones, cut along their ids into batches of `batch_stones`, each with its work
-- item. Returns its id. No row: there are no stones. Fails where another is open. A stone that comes
-- later needs none: it is folded under what prices then.
WITH placed AS (
    SELECT stone_id, (row_number() OVER (ORDER BY stone_id) - 1) / :batch_stones AS number FROM diamonds
), ranges AS (
    SELECT number, min(stone_id) AS low, max(stone_id) + 1 AS high, count(*) AS stones
      FROM placed
     GROUP BY number
), opened AS (
    INSERT INTO reprices (cause, ruleset_id, actor, reason)
    SELECT :cause, :ruleset_id, :actor, :reason
     WHERE EXISTS (SELECT FROM ranges)
    RETURNING reprice_id
), items AS (
    INSERT INTO work_items (kind, attempts_max, traceparent)
    SELECT 'reprice', :attempts_max, :traceparent FROM ranges
    RETURNING item_id
), batches AS (
    INSERT INTO reprice_batches (item_id, reprice_id, stone_low, stone_high, stones)
    SELECT i.item_id, opened.reprice_id, r.low, r.high, r.stones
      FROM (SELECT item_id, row_number() OVER (ORDER BY item_id) - 1 AS number FROM items) AS i
      JOIN ranges AS r USING (number)
     CROSS JOIN opened
)
SELECT reprice_id FROM opened;

-- name: cancel_reprice
-- The open one. No row: none is.
UPDATE reprices
   SET state = 'cancelled', why_ended = :why_ended, finished_at = now()
 WHERE state = 'open'
RETURNING reprice_id;

-- name: cancel_reprice_items
-- Every batch that is not finished. A holder notices when it ends.
UPDATE work_items
   SET state = 'cancelled', owner = NULL, lease_until = NULL, finished_at = now()
 WHERE item_id IN (SELECT item_id FROM reprice_batches WHERE reprice_id = :reprice_id)
   AND finished_at IS NULL
RETURNING item_id;

-- name: close_reprices
-- End the reprice whose last work item has closed; failed where a batch was given up. Returns it.
UPDATE reprices AS r
   SET state = CASE WHEN dead.items = 0 THEN 'done' ELSE 'failed' END,
       why_ended = CASE WHEN dead.items > 0 THEN format('%s batches are dead letters', dead.items) END,
       finished_at = now()
  FROM reprices AS o
 CROSS JOIN LATERAL (
       SELECT count(*) AS items
         FROM reprice_batches AS b JOIN work_items AS w USING (item_id)
        WHERE b.reprice_id = o.reprice_id AND w.state = 'dead') AS dead
 WHERE r.reprice_id = o.reprice_id AND r.state = 'open'
   AND NOT EXISTS (SELECT FROM reprice_batches AS b JOIN work_items AS w USING (item_id)
                    WHERE b.reprice_id = o.reprice_id AND w.finished_at IS NULL)
RETURNING r.reprice_id, r.state, r.cause;

-- name: reopen_reprice
-- The reprice of a batch that is to be done after all: one that failed is open again, unless another is.
-- Whether it takes work now.
WITH reopened AS (
    UPDATE reprices AS r
       SET state = 'open', why_ended = NULL, finished_at = NULL
      FROM reprice_batches AS b
     WHERE b.item_id = :item_id AND r.reprice_id = b.reprice_id AND r.state = 'failed'
       AND NOT EXISTS (SELECT FROM reprices WHERE state = 'open')
    RETURNING r.reprice_id
)
SELECT r.reprice_id, r.state, r.state = 'open' OR EXISTS (SELECT FROM reopened) AS takes_work
  FROM reprice_batches AS b
  JOIN reprices AS r USING (reprice_id)
 WHERE b.item_id = :item_id;

-- name: reprice_batch
SELECT b.reprice_id, b.stone_low, b.stone_high, r.cause, r.actor
  FROM reprice_batches AS b
  JOIN reprices AS r USING (reprice_id)
 WHERE b.item_id = :item_id;

-- name: make_price_staging
-- Where a reprice copies its prices; empty at each commit. One a connection.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_prices (
    stone_id bigint, price_cents bigint, price_currency text, rule text, ruleset_id int, rate_id int,
    experiment text, arm text, refusal text
) ON COMMIT DELETE ROWS;

-- name: reprice_stones
-- Write the prices of a batch, a price change for every price that is another, and take off sale
-- what is refused; what was refused before and has a price now comes back. The caller holds the
-- stones. `stone_low` and `stone_high`: the batch's range. One row: what was done.
WITH written AS (
    UPDATE diamonds AS d
       SET price_cents = s.price_cents,
           price_currency = s.price_currency,
           rule = s.rule,
           ruleset_id = s.ruleset_id,
           rate_id = s.rate_id,
           experiment = s.experiment,
           arm = s.arm,
           previous_price_cents = d.price_cents,
           previous_price_currency = d.price_currency,
           previous_cost_cents = d.cost_cents,
           changed_at = CASE WHEN d.on_sale AND d.price_cents = s.price_cents
                                  AND d.price_currency = s.price_currency
                             THEN d.changed_at ELSE clock_timestamp() END,
           on_sale = true,
           off_sale_reason = NULL,
           off_sale_at = NULL
      FROM staged_prices AS s
     WHERE d.stone_id = s.stone_id AND s.refusal IS NULL
       AND d.stone_id >= :stone_low AND d.stone_id < :stone_high
    RETURNING d.stone_id, d.previous_price_cents, d.previous_price_currency, d.price_cents,
              d.price_currency,
              d.previous_cost_cents, d.cost_cents, d.cost_currency, d.ruleset_id, d.rule, d.rate_id,
              d.changed_at
), changes AS (
    INSERT INTO price_changes (stone_id, old_price_cents, old_price_currency, new_price_cents,
                               price_currency,
                               old_cost_cents, new_cost_cents, cost_currency, ruleset_id, rule,
                               rate_id, cause, reprice_id, actor, changed_at)
    SELECT stone_id, previous_price_cents, previous_price_currency, price_cents, price_currency,
           previous_cost_cents, cost_cents, cost_currency, ruleset_id, rule,
           rate_id, :cause, :reprice_id, :actor, changed_at
      FROM written
     WHERE previous_price_cents <> price_cents OR previous_price_currency <> price_currency
    RETURNING 1
), refused AS (
    UPDATE diamonds AS d
       SET on_sale = false, off_sale_reason = 'refused', off_sale_at = now(), changed_at = now()
      FROM staged_prices AS s
     WHERE d.stone_id = s.stone_id AND s.refusal IS NOT NULL
       AND d.stone_id >= :stone_low AND d.stone_id < :stone_high
    RETURNING 1
)
SELECT (SELECT count(*) FROM written) AS repriced,
       (SELECT count(*) FROM changes) AS price_changes,
       (SELECT count(*) FROM refused) AS refused;

-- name: batch_repriced
UPDATE reprice_batches
   SET repriced = :repriced, price_changes = :price_changes, refused = :refused, returned = :returned
 WHERE item_id = :item_id;

-- name: latest_reprices
-- The latest reprices with how far they are, the open one first. `elapsed_s`: since it was opened,
-- up to its end.
SELECT r.reprice_id, r.cause, r.ruleset_id, r.actor, r.reason, r.state, r.why_ended, r.opened_at,
       r.finished_at, b.batches, b.batches_done, b.stones, b.stones_done, b.dead, b.repriced,
       b.price_changes, b.refused, b.returned,
       extract(epoch FROM coalesce(r.finished_at, now()) - r.opened_at)::float8 AS elapsed_s
  FROM reprices AS r
 CROSS JOIN LATERAL (
       SELECT count(*) AS batches,
              count(*) FILTER (WHERE w.state = 'done') AS batches_done,
              coalesce(sum(b.stones), 0)::bigint AS stones,
              coalesce(sum(b.stones) FILTER (WHERE w.state = 'done'), 0)::bigint AS stones_done,
              count(*) FILTER (WHERE w.state = 'dead') AS dead,
              coalesce(sum(b.repriced), 0)::bigint AS repriced,
              coalesce(sum(b.price_changes), 0)::bigint AS price_changes,
              coalesce(sum(b.refused), 0)::bigint AS refused,
              coalesce(sum(b.returned), 0)::bigint AS returned
         FROM reprice_batches AS b
         JOIN work_items AS w USING (item_id)
        WHERE b.reprice_id = r.reprice_id) AS b
 ORDER BY r.reprice_id DESC
 LIMIT :limit;
