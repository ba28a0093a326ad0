-- name: present_rates
-- The latest rate of each currency into the shop's.
SELECT DISTINCT ON (currency) rate_id, currency, shop_currency, rate, as_of, source, set_by, set_at
  FROM rates
 WHERE shop_currency = :shop_currency
 ORDER BY currency, rate_id DESC;

-- name: rate_by_id
SELECT rate_id, currency, rate, as_of, source FROM rates WHERE rate_id = :rate_id;

-- name: add_rate
INSERT INTO rates (currency, shop_currency, rate, as_of, source, set_by)
VALUES (:currency, :shop_currency, :rate, :as_of, :source, :set_by)
RETURNING rate_id;

-- name: list_rates
-- Every rate there was, the latest first; `present`: the one that counts now.
SELECT rate_id, currency, shop_currency, rate, as_of, source, set_by, set_at,
       rate_id = max(rate_id) OVER (PARTITION BY shop_currency, currency) AS present
  FROM rates
 WHERE CAST(:currency AS text) IS NULL OR currency = :currency
 ORDER BY rate_id DESC
 LIMIT :limit;
