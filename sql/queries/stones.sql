-- name: make_staging
-- Where a fold copies what it priced of a chunk; empty at each commit. One a connection.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_stones (
    position int,
    read_at timestamptz,
    offer_id text, supplier_stone_id text, kind text, labgrown_type text, treated boolean, lab text,
    certificate_number text, certificate_url text, shape text, carat numeric(10, 3), color text,
    fancy_color text, fancy_intensity text, fancy_overtone text, clarity text, cut text, polish
    text, symmetry text, fluorescence text, fluorescence_color text, length_mm numeric(10, 3),
    width_mm numeric(10, 3), depth_mm numeric(10, 3), depth_percent numeric(10, 3), table_percent
    numeric(10, 3), girdle text, culet text, eye_clean text, brown text, green text, milky text,
    origin text, supplier_id text, supplier_name text, availability text, image_url text, video_url
    text, delivery_days_min bigint, delivery_days_max bigint, discount_bp bigint, cost_cents bigint,
    cost_currency text,
    price_cents bigint, price_currency text, rule text,
    ruleset_id int, rate_id int, experiment text, arm text
) ON COMMIT DELETE ROWS;

-- name: clear_staging
TRUNCATE staged_stones;

-- name: chunks_by_offer_id
-- The positions of a partition's raw offers in chunks of about one size, at most :chunk_offers unless
-- one id came more often; in the order of the ids, those without one last. All of one id are in one.
WITH placed AS (
    SELECT position, count(*) OVER () AS offers,
           count(*) OVER (ORDER BY offer_id, CASE WHEN offer_id IS NULL THEN position END) AS upto
      FROM raw_offers
     WHERE landed_on = :landed_on AND partition_id = :partition_id
), cut AS (
    SELECT position, (upto - 1) * ceil(offers::numeric / :chunk_offers)::bigint / offers AS chunk
      FROM placed
)
SELECT array_agg(position ORDER BY position)
  FROM cut
 GROUP BY chunk
 ORDER BY chunk;

-- name: look_up_by_key
-- For this transaction: offers are looked up by their key, whatever the statistics say. Of a catalogue
-- that has only just begun to fill they say that it is empty, and a fold read all of it for each offer.
SELECT set_config('enable_seqscan', 'off', true);

-- name: present_prices
-- What stones cost now, for the guards that look at it. Only in the shop's currency; one that was
-- delisted has no present price any more, one whose offer was refused still has.
SELECT offer_id, price_cents
  FROM diamonds
 WHERE feed = :feed AND offer_id = ANY(CAST(:offer_ids AS text[])) AND price_currency = :currency
   AND off_sale_reason IS DISTINCT FROM 'delisted';

-- name: count_staged
-- Different offers, by id.
SELECT count(DISTINCT offer_id) FROM staged_stones;

-- name: drop_overtaken
-- Of a fold that comes after a later run of its feed has begun: take out the offers that the later
-- run has read, whose version is the newer; and all of them where a later full run is complete,
-- since what that one did not see is gone.
DELETE FROM staged_stones AS s
 WHERE EXISTS (SELECT FROM runs AS later
                WHERE later.feed = :feed AND later.opened_at > :opened_at
                  AND later.kind = 'full' AND later.state = 'complete')
    OR s.offer_id IN (
       SELECT r.offer_id
         FROM raw_offers AS r
         JOIN partitions AS p USING (partition_id)
         JOIN runs AS later ON later.run_id = p.run_id
        WHERE later.feed = :feed AND later.opened_at > :opened_at
          AND r.landed_on >= :landed_on AND r.landed_on = later.landed_on);

-- name: lock_stones
-- Where rejected offers of a chunk may take stones off sale, which is a second write beside
-- `upsert_stones`: lock those and the staged ones before either, in the order in which everybody locks.
-- Whatever is on sale now: another fold may put it back on sale before ours gets there. Otherwise
-- nothing is locked.
WITH leaving AS (
    SELECT d.offer_id
      FROM rejected_offers AS x
      JOIN diamonds AS d ON d.feed = :feed AND d.offer_id = x.offer_id
     WHERE x.partition_id = :partition_id AND x.position = ANY(CAST(:positions AS int[]))
), wanted AS (
    SELECT offer_id FROM leaving
     UNION
    SELECT offer_id FROM staged_stones WHERE EXISTS (SELECT FROM leaving)
)
SELECT d.stone_id
  FROM diamonds AS d
  JOIN wanted USING (offer_id)
 WHERE d.feed = :feed
 ORDER BY d.offer_id
   FOR NO KEY UPDATE OF d;

-- name: upsert_stones
-- Write what is new or changed, and a price change for every price that is another; stones that are
-- the same are not touched, not even locked. In the order of the offer ids, so that two folds never
-- wait for each other in a ring. An offer read before the one that a stone was written from changes
-- nothing. A stone that was off sale comes back. One row: what was done.
WITH latest AS (
    SELECT DISTINCT ON (offer_id) *
      FROM staged_stones
     ORDER BY offer_id, read_at DESC, position DESC
), fresh AS (
    SELECT s.*
      FROM latest AS s
      LEFT JOIN LATERAL (
           -- LIMIT: a look into the index for each offer. Without it a fold may read all stones, to
           -- compare them with its few thousand.
           SELECT * FROM diamonds WHERE feed = :feed AND offer_id = s.offer_id LIMIT 1) AS d ON true
     WHERE d.offer_id IS NULL
        OR (d.read_at <= s.read_at
            AND (NOT d.on_sale OR d.missed_runs > 0 OR ROW(
            d.supplier_stone_id, d.kind, d.labgrown_type, d.treated, d.lab, d.certificate_number,
            d.certificate_url, d.shape, d.carat, d.color, d.fancy_color, d.fancy_intensity,
            d.fancy_overtone, d.clarity, d.cut, d.polish, d.symmetry, d.fluorescence,
            d.fluorescence_color, d.length_mm, d.width_mm, d.depth_mm, d.depth_percent,
            d.table_percent, d.girdle, d.culet, d.eye_clean, d.brown, d.green, d.milky, d.origin,
            d.supplier_id, d.supplier_name, d.availability, d.image_url, d.video_url,
            d.delivery_days_min, d.delivery_days_max, d.discount_bp, d.cost_cents, d.cost_currency,
            d.price_cents, d.price_currency, d.rule, d.ruleset_id, d.rate_id, d.experiment, d.arm,
            d.mapping_version
            ) IS DISTINCT FROM ROW(
            s.supplier_stone_id, s.kind, s.labgrown_type, s.treated, s.lab, s.certificate_number,
            s.certificate_url, s.shape, s.carat, s.color, s.fancy_color, s.fancy_intensity,
            s.fancy_overtone, s.clarity, s.cut, s.polish, s.symmetry, s.fluorescence,
            s.fluorescence_color, s.length_mm, s.width_mm, s.depth_mm, s.depth_percent,
            s.table_percent, s.girdle, s.culet, s.eye_clean, s.brown, s.green, s.milky, s.origin,
            s.supplier_id, s.supplier_name, s.availability, s.image_url, s.video_url,
            s.delivery_days_min, s.delivery_days_max, s.discount_bp, s.cost_cents, s.cost_currency,
            s.price_cents, s.price_currency, s.rule, s.ruleset_id, s.rate_id, s.experiment, s.arm,
            :mapping_version)))
), written AS (
    INSERT INTO diamonds AS d (
        feed, offer_id, supplier_stone_id, kind, labgrown_type, treated, lab, certificate_number,
        certificate_url, shape, carat, color, fancy_color, fancy_intensity, fancy_overtone, clarity,
        cut, polish, symmetry, fluorescence, fluorescence_color, length_mm, width_mm, depth_mm,
        depth_percent, table_percent, girdle, culet, eye_clean, brown, green, milky, origin,
        supplier_id, supplier_name, availability, image_url, video_url, delivery_days_min,
        delivery_days_max, discount_bp, cost_cents, cost_currency, price_cents, price_currency, rule,
        ruleset_id, rate_id, experiment, arm, mapping_version, read_at, run_id, changed_at)
    SELECT :feed, offer_id, supplier_stone_id, kind, labgrown_type, treated, lab, certificate_number,
           certificate_url, shape, carat, color, fancy_color, fancy_intensity, fancy_overtone,
           clarity, cut, polish, symmetry, fluorescence, fluorescence_color, length_mm, width_mm,
           depth_mm, depth_percent, table_percent, girdle, culet, eye_clean, brown, green, milky,
           origin, supplier_id, supplier_name, availability, image_url, video_url,
           delivery_days_min, delivery_days_max, discount_bp, cost_cents, cost_currency,
           price_cents, price_currency, rule,
           ruleset_id, rate_id, experiment, arm, :mapping_version, read_at, :run_id, clock_timestamp()
      FROM fresh
     ORDER BY offer_id
    ON CONFLICT (feed, offer_id) DO UPDATE SET
        supplier_stone_id = excluded.supplier_stone_id,
        kind = excluded.kind,
        labgrown_type = excluded.labgrown_type,
        treated = excluded.treated,
        lab = excluded.lab,
        certificate_number = excluded.certificate_number,
        certificate_url = excluded.certificate_url,
        shape = excluded.shape,
        carat = excluded.carat,
        color = excluded.color,
        fancy_color = excluded.fancy_color,
        fancy_intensity = excluded.fancy_intensity,
        fancy_overtone = excluded.fancy_overtone,
        clarity = excluded.clarity,
        cut = excluded.cut,
        polish = excluded.polish,
        symmetry = excluded.symmetry,
        fluorescence = excluded.fluorescence,
        fluorescence_color = excluded.fluorescence_color,
        length_mm = excluded.length_mm,
        width_mm = excluded.width_mm,
        depth_mm = excluded.depth_mm,
        depth_percent = excluded.depth_percent,
        table_percent = excluded.table_percent,
        girdle = excluded.girdle,
        culet = excluded.culet,
        eye_clean = excluded.eye_clean,
        brown = excluded.brown,
        green = excluded.green,
        milky = excluded.milky,
        origin = excluded.origin,
        supplier_id = excluded.supplier_id,
        supplier_name = excluded.supplier_name,
        availability = excluded.availability,
        image_url = excluded.image_url,
        video_url = excluded.video_url,
        delivery_days_min = excluded.delivery_days_min,
        delivery_days_max = excluded.delivery_days_max,
        discount_bp = excluded.discount_bp,
        cost_cents = excluded.cost_cents,
        cost_currency = excluded.cost_currency,
        price_cents = excluded.price_cents,
        price_currency = excluded.price_currency,
        rule = excluded.rule,
        ruleset_id = excluded.ruleset_id,
        rate_id = excluded.rate_id,
        experiment = excluded.experiment,
        arm = excluded.arm,
        mapping_version = excluded.mapping_version,
        read_at = excluded.read_at,
        run_id = excluded.run_id,
        previous_price_cents = d.price_cents,
        previous_price_currency = d.price_currency,
        previous_cost_cents = d.cost_cents,
        changed_at = clock_timestamp(),  -- once the stone is ours: so its changes are in their order
        on_sale = true,
        off_sale_reason = NULL,
        off_sale_at = NULL,
        missed_runs = 0
     WHERE d.read_at <= excluded.read_at
    RETURNING stone_id, xmax = 0 AS inserted, previous_price_cents, previous_price_currency, price_cents,
              price_currency,
              previous_cost_cents, cost_cents, cost_currency, ruleset_id, rule, rate_id, changed_at
), changes AS (
    INSERT INTO price_changes (stone_id, old_price_cents, old_price_currency, new_price_cents,
                               price_currency,
                               old_cost_cents, new_cost_cents, cost_currency, ruleset_id, rule,
                               rate_id, cause, run_id, actor, changed_at)
    SELECT stone_id, previous_price_cents, previous_price_currency, price_cents, price_currency,
           previous_cost_cents, cost_cents, cost_currency, ruleset_id, rule,
           rate_id, 'feed', :run_id, 'consolidator', changed_at
      FROM written
     WHERE previous_price_cents IS DISTINCT FROM price_cents
        OR previous_price_currency IS DISTINCT FROM price_currency
    RETURNING 1
)
SELECT (SELECT count(*) FROM latest) AS offers,
       (SELECT count(*) FROM written WHERE inserted) AS inserted,
       (SELECT count(*) FROM written WHERE NOT inserted) AS changed,
       (SELECT count(*) FROM changes) AS price_changes;

-- name: forget_rejected
-- A partition folded again rejects anew.
DELETE FROM rejected_offers WHERE partition_id = :partition_id;

-- name: add_rejected
-- The raw offer itself is the payload that is kept.
INSERT INTO rejected_offers (partition_id, position, run_id, feed, offer_id, reason, detail, read_at, payload)
SELECT r.partition_id, r.position, :run_id, :feed, coalesce(r.offer_id, x.offer_id), x.reason, x.detail,
       r.read_at, r.payload
  FROM unnest(CAST(:positions AS int[]), CAST(:offer_ids AS text[]), CAST(:reasons AS text[]),
              CAST(:details AS text[])) AS x (position, offer_id, reason, detail)
  JOIN raw_offers AS r ON r.landed_on = :landed_on AND r.partition_id = :partition_id
                      AND r.position = x.position;

-- name: withdraw_rejected
-- A stone whose offer can no longer be read or priced is taken off sale at once: its old price may
-- be wrong. So is one that a reprice refused: it is no longer a matter of the rules alone. Not where
-- the same chunk also holds a later, sound version of the offer, nor where the stone was written
-- from a later one, nor, `overtaken`, where `drop_overtaken` would drop it.
UPDATE diamonds AS d
   SET on_sale = false, off_sale_reason = 'rejected', off_sale_at = now(), changed_at = now(),
       run_id = :run_id, read_at = x.read_at
  FROM (SELECT offer_id, max(read_at) AS read_at
          FROM rejected_offers
         WHERE partition_id = :partition_id AND position = ANY(CAST(:positions AS int[]))
           AND offer_id IS NOT NULL
         GROUP BY offer_id
         ORDER BY offer_id) AS x
 WHERE d.feed = :feed AND d.offer_id = x.offer_id AND d.read_at <= x.read_at
   AND (d.on_sale OR d.off_sale_reason = 'refused')
   AND NOT EXISTS (SELECT FROM staged_stones AS s
                    WHERE s.offer_id = x.offer_id AND s.read_at >= x.read_at)
   AND NOT (:overtaken AND (
       EXISTS (SELECT FROM runs AS later
                WHERE later.feed = :feed AND later.opened_at > :opened_at
                  AND later.kind = 'full' AND later.state = 'complete')
       OR x.offer_id IN (
          SELECT r.offer_id
            FROM raw_offers AS r
            JOIN partitions AS p USING (partition_id)
            JOIN runs AS later ON later.run_id = p.run_id
           WHERE later.feed = :feed AND later.opened_at > :opened_at
             AND r.landed_on >= :landed_on AND r.landed_on = later.landed_on)));
