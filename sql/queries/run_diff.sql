-- name: run_seen
-- How many offers a run landed, and how many of their raw rows are still there. One whose detail was
-- dropped landed what its own row says.
SELECT coalesce(sum(p.landed), (SELECT landed FROM runs WHERE run_id = :run_id), 0)::bigint AS landed,
       (SELECT count(*)
          FROM raw_offers AS o
          JOIN partitions AS q USING (partition_id)
         WHERE q.run_id = :run_id AND o.landed_on = (SELECT landed_on FROM runs WHERE run_id = :run_id))
           AS kept
  FROM partitions AS p
 WHERE p.run_id = :run_id;

-- name: diff_offers
-- Offers that only one of two runs saw: how many, and the first few by their id. Of two runs whose
-- raw offers are still there.
WITH first AS (
    SELECT DISTINCT o.offer_id
      FROM raw_offers AS o
      JOIN partitions AS p USING (partition_id)
     WHERE p.run_id = :first AND o.offer_id IS NOT NULL
       AND o.landed_on = (SELECT landed_on FROM runs WHERE run_id = :first)
), second AS (
    SELECT DISTINCT o.offer_id
      FROM raw_offers AS o
      JOIN partitions AS p USING (partition_id)
     WHERE p.run_id = :second AND o.offer_id IS NOT NULL
       AND o.landed_on = (SELECT landed_on FROM runs WHERE run_id = :second)
), apart AS (
    SELECT coalesce(first.offer_id, second.offer_id) AS offer_id, first.offer_id IS NULL AS added
      FROM first
      FULL JOIN second USING (offer_id)
     WHERE first.offer_id IS NULL OR second.offer_id IS NULL
)
SELECT added, count(*) AS offers, (array_agg(offer_id ORDER BY offer_id))[1 : CAST(:limit AS int)] AS some
  FROM apart
 GROUP BY added;

-- name: diff_prices
-- Stones whose price at the end of one run is another than at the end of an earlier one, the largest
-- change first; `stones`, `risen` and `fallen` count all of them. New stones are not among them.
WITH walk AS (
    SELECT c.stone_id,
           (array_agg(c.old_price_cents ORDER BY c.changed_at))[1] AS before_cents,
           (array_agg(coalesce(c.old_price_currency, c.price_currency) ORDER BY c.changed_at))[1]
               AS before_currency,
           (array_agg(c.new_price_cents ORDER BY c.changed_at DESC))[1] AS after_cents,
           (array_agg(c.price_currency ORDER BY c.changed_at DESC))[1] AS after_currency,
           (array_agg(c.rule ORDER BY c.changed_at DESC))[1] AS rule
      FROM price_changes AS c
     WHERE c.changed_at > (SELECT finished_at FROM runs WHERE run_id = :first)
       AND c.changed_at <= (SELECT finished_at FROM runs WHERE run_id = :second)
     GROUP BY c.stone_id
)
SELECT w.stone_id, d.offer_id, w.before_cents, w.before_currency, w.after_cents, w.after_currency, w.rule,
       count(*) OVER () AS stones,
       count(*) FILTER (WHERE w.after_cents > w.before_cents) OVER () AS risen,
       count(*) FILTER (WHERE w.after_cents < w.before_cents) OVER () AS fallen
  FROM walk AS w
  JOIN diamonds AS d USING (stone_id)
 WHERE d.feed = :feed AND w.before_cents IS NOT NULL
   AND (w.before_cents, w.before_currency) IS DISTINCT FROM (w.after_cents, w.after_currency)
 ORDER BY abs(w.after_cents - w.before_cents)::numeric / w.before_cents DESC, w.stone_id
 LIMIT :limit;
