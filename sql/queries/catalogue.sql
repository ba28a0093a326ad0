-- name: find_stones
-- By stone id, offer id, the supplier's stone id or certificate number; three rows are enough to
-- know that it is ambiguous.
SELECT stone_id, feed, offer_id
  FROM diamonds
 WHERE stone_id = :stone_id OR offer_id IN (:id, 'DIAMOND/' || :id) OR certificate_number = :id
 ORDER BY on_sale DESC, stone_id
 LIMIT 3;

-- name: stone
SELECT * FROM diamonds WHERE stone_id = :stone_id;

-- name: price_changes_of_stone
-- The latest, in order.
SELECT changed_at, old_price_cents, old_price_currency, new_price_cents, price_currency,
       old_cost_cents, new_cost_cents,
       cost_currency, ruleset_id, rule, rate_id, cause, run_id, reprice_id, actor
  FROM (SELECT * FROM price_changes
         WHERE stone_id = :stone_id
         ORDER BY changed_at DESC
         LIMIT :limit) AS latest
 ORDER BY changed_at;

-- name: catalogue_by_feed
SELECT feed, count(*) FILTER (WHERE on_sale) AS on_sale,
       count(*) FILTER (WHERE off_sale_reason = 'delisted') AS delisted,
       count(*) FILTER (WHERE off_sale_reason IN ('rejected', 'refused')) AS withdrawn
  FROM diamonds
 GROUP BY feed
 ORDER BY feed;

-- name: sample_stones
-- Five stones on sale of each kind, spread over its prices.
SELECT * FROM (
    SELECT DISTINCT ON (kind, tile) kind, stone_id, shape, carat, color, clarity, lab, cost_cents,
           cost_currency, price_cents, price_currency, rule
      FROM (SELECT *, ntile(5) OVER (PARTITION BY kind ORDER BY price_cents, stone_id) AS tile
              FROM catalogue) AS tiles
     ORDER BY kind, tile, stone_id) AS ten
 ORDER BY kind DESC, price_cents;
