-- The statements of the release at schema 0004, as they were sent to the database.
-- name: add_audit_event
-- Every hand-made change, in the transaction of the change itself.
INSERT INTO audit_events (actor, action, subject, reason, before, after)
VALUES (:actor, :action, :subject, :reason, CAST(:before AS jsonb), CAST(:after AS jsonb));

-- name: audit_of_ruleset
-- What people did with a ruleset, in order.
SELECT at, actor, action, reason, before, after
  FROM audit_events
 WHERE subject = :subject AND action LIKE 'ruleset.%'
 ORDER BY event_id;

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

-- name: add_check
-- What a check found. A run has one at most: where its plan is made again after a check that
-- stopped it, the new one takes the place of the old.
INSERT INTO feed_checks (feed, run_id, verdict, findings, mapping_version, requests)
VALUES (:feed, :run_id, :verdict, CAST(:findings AS jsonb), :mapping_version, :requests)
ON CONFLICT (run_id) DO UPDATE
   SET checked_at = now(),
       verdict = excluded.verdict,
       findings = excluded.findings,
       mapping_version = excluded.mapping_version,
       requests = feed_checks.requests + excluded.requests;

-- name: check_of_run
SELECT verdict FROM feed_checks WHERE run_id = :run_id;

-- name: latest_checks
-- The latest check of each feed, by hand or before a run.
SELECT DISTINCT ON (feed) feed, checked_at, verdict, findings
  FROM feed_checks
 ORDER BY feed, checked_at DESC;

-- name: list_feeds
-- One row for each of these feeds, in their order, whether it has ever run or not.
SELECT named.feed, known.watermark, known.paused_at, known.paused_reason,
       whole.run_id, whole.finished_at, found.verdict, found.checked_at, found.findings
  FROM unnest(CAST(:feeds AS text[])) WITH ORDINALITY AS named (feed, place)
  LEFT JOIN feeds AS known USING (feed)
  LEFT JOIN LATERAL (
       SELECT run_id, finished_at
         FROM runs
        WHERE feed = named.feed AND state = 'complete'
        ORDER BY finished_at DESC
        LIMIT 1) AS whole ON true
  LEFT JOIN LATERAL (
       SELECT verdict, checked_at, findings
         FROM feed_checks
        WHERE feed = named.feed
        ORDER BY checked_at DESC
        LIMIT 1) AS found ON true
 ORDER BY named.place;

-- name: add_item
-- A new piece of work and, by its empty announced_at, the intent to send its message.
INSERT INTO work_items (kind, run_id, partition_id, priority, attempts_max, traceparent)
VALUES (:kind, :run_id, :partition_id, :priority, :attempts_max, :traceparent)
RETURNING item_id;

-- name: announce_items
-- What is due and was not announced, or so long ago that its message must be lost: mark it as
-- announced and say so. At most `announced_max` of a kind wait in the broker; the highest priority
-- first. Two callers at once never get the same row. The caller commits after it has sent:
-- a crash in between only sends again.
WITH room AS (
    SELECT kind, greatest(:announced_max - count(*) FILTER (
               WHERE announced_at > now() - make_interval(secs => :again_s)), 0) AS places
      FROM work_items
     WHERE state = 'due' AND kind = :kind
     GROUP BY kind
), chosen AS (
    SELECT item_id
      FROM work_items
     WHERE state = 'due' AND kind = :kind AND not_before <= now()
       AND (announced_at IS NULL OR announced_at <= now() - make_interval(secs => :again_s))
     ORDER BY priority DESC, item_id
     LIMIT (SELECT places FROM room)
       FOR UPDATE SKIP LOCKED
)
UPDATE work_items AS w
   SET announced_at = now()
  FROM chosen
 WHERE w.item_id = chosen.item_id
RETURNING w.item_id, w.epoch, w.priority, w.traceparent;

-- name: claim_item
-- Take an item that is due. No row: someone else has it, it is not due yet, its attempts are used
-- up, or the message is an old one (its epoch has passed; where a lease ran out, the reaper makes
-- the item due again and a new message follows). Two callers never both get a row.
UPDATE work_items AS w
   SET state = 'held',
       epoch = w.epoch + 1,
       attempts = w.attempts + 1,
       owner = :owner,
       lease_until = now() + make_interval(secs => :lease_s)
 WHERE w.item_id = :item_id
   AND w.kind = :kind
   AND w.epoch = :epoch
   AND w.attempts < w.attempts_max
   AND w.state = 'due'
   AND w.not_before <= now()
RETURNING w.item_id, w.kind, w.run_id, w.partition_id, w.epoch, w.attempts, w.attempts_max, w.traceparent,
          (SELECT r.feed FROM runs AS r WHERE r.run_id = w.run_id) AS feed;

-- name: heartbeat_item
-- Lengthen the lease. `progress`: the work got on, so the attempts start anew. No row: the claim is lost.
UPDATE work_items
   SET lease_until = now() + make_interval(secs => :lease_s),
       attempts = CASE WHEN :progress THEN 1 ELSE attempts END
 WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
RETURNING item_id;

-- name: finish_item
-- Close the item as done. No row: the claim is lost.
UPDATE work_items
   SET state = 'done', owner = NULL, lease_until = NULL, finished_at = now(), last_error = NULL
 WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
RETURNING item_id;

-- name: attempts_of_item
-- How many attempts are used, this one included; holds the row until the transaction ends. No row:
-- the claim is lost.
SELECT attempts
  FROM work_items
 WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
   FOR UPDATE;

-- name: give_back_item
-- Make the item due again after `wait_s`. `refund`: the attempt does not count. No row: the claim is lost.
UPDATE work_items
   SET state = 'due', owner = NULL, lease_until = NULL, announced_at = NULL,
       not_before = now() + make_interval(secs => :wait_s),
       attempts = attempts - CASE WHEN :refund THEN 1 ELSE 0 END,
       last_error = coalesce(:error, last_error)
 WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
RETURNING item_id;

-- name: bury_item
-- Give the item up, with a dead letter, in one statement. No row: the claim is lost.
WITH buried AS (
    UPDATE work_items
       SET state = 'dead', owner = NULL, lease_until = NULL, finished_at = now(), last_error = :error
     WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
    RETURNING *
)
INSERT INTO dead_letters (item_id, kind, run_id, partition_id, reason, error, traceback,
                          attempts, epoch, traceparent, first_at)
SELECT item_id, kind, run_id, partition_id, :reason, :error, :traceback,
       attempts, epoch, traceparent, created_at
  FROM buried
RETURNING dead_letter_id;

-- name: bury_message
-- A message that cannot be read is kept with its bytes.
INSERT INTO dead_letters (reason, error, message, first_at)
VALUES ('bad_message', :error, :message, now())
RETURNING dead_letter_id;

-- name: reap_items
-- Leases that ran out: due again, at once; where the attempts are used up, dead with a dead letter.
-- Bounded; rows that a holder is just writing are left for the next round. Returns the items reaped.
WITH expired AS (
    SELECT item_id
      FROM work_items
     WHERE state = 'held' AND lease_until < now()
     ORDER BY lease_until
     LIMIT :batch
       FOR UPDATE SKIP LOCKED
), reaped AS (
    UPDATE work_items AS w
       SET state = CASE WHEN w.attempts < w.attempts_max THEN 'due' ELSE 'dead' END,
           finished_at = CASE WHEN w.attempts < w.attempts_max THEN NULL ELSE now() END,
           owner = NULL, lease_until = NULL, announced_at = NULL,
           last_error = 'its holder fell silent'
      FROM expired
     WHERE w.item_id = expired.item_id
    RETURNING w.*
), buried AS (
    INSERT INTO dead_letters (item_id, kind, run_id, partition_id, reason, error,
                              attempts, epoch, traceparent, first_at)
    SELECT item_id, kind, run_id, partition_id, 'worker_lost',
           format('%s holders fell silent one after another', attempts),
           attempts, epoch, traceparent, created_at
      FROM reaped
     WHERE state = 'dead'
)
SELECT item_id, kind, run_id, partition_id, epoch, attempts, state FROM reaped;

-- name: cancel_items
-- Everything of a run that is not finished. A holder notices at its next write.
UPDATE work_items
   SET state = 'cancelled', owner = NULL, lease_until = NULL, finished_at = now()
 WHERE run_id = :run_id AND finished_at IS NULL
RETURNING item_id;

-- name: backlog
-- Work not finished, by kind and state, with the age of the oldest that could have started.
SELECT kind, state, count(*) AS items,
       coalesce(extract(epoch FROM now() - min(not_before) FILTER (WHERE not_before <= now())), 0)::float8
           AS oldest_s
  FROM work_items
 WHERE finished_at IS NULL
 GROUP BY kind, state
 ORDER BY kind, state;

-- name: add_partition
-- The next number of its run.
INSERT INTO partitions (run_id, number, parent_id, sweep, slice, price_low, price_high, planned_offers,
                        estimated, saturated, next_offset)
SELECT :run_id, 1 + coalesce(max(number), 0), :parent_id, :sweep, CAST(:slice AS jsonb), :price_low,
       :price_high, :planned_offers, :estimated, :saturated, :next_offset
  FROM partitions
 WHERE run_id = :run_id
RETURNING partition_id;

-- name: add_heatmap
INSERT INTO heatmaps (run_id, feed, price_unit, total, buckets, calls, rounds, failed, estimated,
                      balance, probes, why_stopped, duration_ms)
VALUES (:run_id, :feed, :price_unit, :total, CAST(:buckets AS jsonb), :calls, :rounds, :failed,
        :estimated, :balance, CAST(:probes AS jsonb), :why_stopped, :duration_ms);

-- name: feed_was_asked
-- Whether a feed was asked about itself in the last so many days; the answers are in its heatmap.
SELECT EXISTS (
       SELECT 1
         FROM heatmaps
        WHERE feed = :feed
          AND made_at > now() - make_interval(days => :days)
          AND jsonb_exists(probes, 'changed_since'));

-- name: partition_to_fetch
-- What a worker needs of its partition, and where the one before it stopped.
SELECT p.partition_id, p.slice, p.planned_offers, p.estimated, p.saturated, p.next_offset, p.landed,
       r.landed_on
  FROM partitions AS p
  JOIN runs AS r USING (run_id)
 WHERE p.partition_id = :partition_id;

-- name: land_page
-- Move the partition one page on and lengthen the lease, in the transaction of the page's offers.
-- Returns when the page was asked for, by the database's clock. No row: the claim is lost. What
-- has landed is compared too, so that a page whose commit was in doubt cannot land again.
WITH held AS (
    UPDATE work_items
       SET lease_until = now() + make_interval(secs => :lease_s), attempts = 1
     WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
    RETURNING partition_id
)
UPDATE partitions AS p
   SET next_offset = :next_offset,
       pages = p.pages + 1,
       landed = p.landed + :landed,
       requests = p.requests + :requests,
       fetch_ms = p.fetch_ms + :elapsed_ms
  FROM held
 WHERE p.partition_id = held.partition_id AND p.landed = :landed_before
RETURNING now() - make_interval(secs => :age_ms / 1000.0) AS read_at;

-- name: partition_fetched
UPDATE partitions
   SET fetched_at = now(), requests = requests + :requests, fetch_ms = fetch_ms + :elapsed_ms
 WHERE partition_id = :partition_id;

-- name: partition_to_fold
SELECT p.partition_id, p.landed, r.run_id, r.feed, r.landed_on, r.opened_at,
       EXISTS (SELECT FROM runs AS later
                WHERE later.feed = r.feed AND later.opened_at > r.opened_at) AS overtaken
  FROM partitions AS p
  JOIN runs AS r USING (run_id)
 WHERE p.partition_id = :partition_id;

-- name: partition_folded
UPDATE partitions
   SET folded_at = now(), offers = :offers, inserted = :inserted, changed = :changed,
       unchanged = :unchanged, rejected = :rejected, price_changes = :price_changes,
       fold_ms = :fold_ms
 WHERE partition_id = :partition_id;

-- name: list_partitions
SELECT p.partition_id, p.number, p.slice, p.price_low, p.price_high, p.planned_offers, p.landed, p.offers, p.pages, p.requests,
       p.fetch_ms, p.fold_ms, p.fetched_at, p.folded_at,
       f.state AS fetch_state, f.attempts, f.last_error, o.state AS fold_state
  FROM partitions AS p
  LEFT JOIN work_items AS f ON f.partition_id = p.partition_id AND f.kind = 'fetch'
  LEFT JOIN work_items AS o ON o.partition_id = p.partition_id AND o.kind = 'fold'
 WHERE p.run_id = :run_id
 ORDER BY p.number;

-- name: run_to_plan
SELECT run_id, feed, kind, updated_from, opened_at FROM runs WHERE run_id = :run_id;

-- name: partition_to_cut
-- One that outgrew its plan, and on which finer axes the scan found every offer.
SELECT p.partition_id, p.slice, p.sweep, p.next_offset, r.landed_on, h.probes
  FROM partitions AS p
  JOIN runs AS r USING (run_id)
  LEFT JOIN heatmaps AS h USING (run_id)
 WHERE p.partition_id = :partition_id;

-- name: density
-- The catalogue's own density on the price axis: stones on sale by whole dollars per carat.
SELECT floor(cost_cents / (100 * carat))::bigint AS price, count(*)::bigint AS stones
  FROM diamonds
 WHERE feed = :feed AND on_sale
 GROUP BY 1
 ORDER BY 1;

-- name: heatmap
-- Of a run, or the latest of a feed.
SELECT run_id, feed, price_unit, total, buckets, calls, rounds, failed, estimated, balance,
       probes, why_stopped, duration_ms, made_at
  FROM heatmaps
 WHERE run_id = CAST(:run_id AS uuid) OR (CAST(:run_id AS uuid) IS NULL AND feed = :feed)
 ORDER BY made_at DESC
 LIMIT 1;

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

-- name: run_totals
-- What a run did. An offer on an edge that two partitions share landed twice and counts once.
SELECT coalesce(sum(p.landed), 0)::bigint AS landed,
       coalesce(sum(p.inserted + p.changed), 0)::bigint AS written,
       coalesce(sum(p.price_changes), 0)::bigint AS price_changes,
       coalesce(sum(p.requests), 0)::bigint
           + (SELECT scan_calls FROM runs WHERE run_id = :run_id) AS requests,
       count(*) FILTER (WHERE p.fetched_at IS NULL) AS unfetched,
       count(*) FILTER (WHERE p.fetched_at IS NOT NULL AND p.folded_at IS NULL) AS unfolded,
       count(*) AS partitions,
       (SELECT count(DISTINCT coalesce(r.offer_id, r.partition_id || '/' || r.position))
          FROM raw_offers AS r
         WHERE r.landed_on = :landed_on
           AND r.partition_id IN (SELECT partition_id FROM partitions WHERE run_id = :run_id)) AS offers,
       (SELECT count(DISTINCT coalesce(offer_id, partition_id || '/' || position))
          FROM rejected_offers WHERE run_id = :run_id) AS rejected
  FROM partitions AS p
 WHERE p.run_id = :run_id;

-- name: run_to_reconcile
SELECT r.run_id, r.feed, r.kind, r.state, r.landed_on, r.counted, r.opened_at, r.updated_from,
       s.run_id IS NOT NULL AS is_snapshot
  FROM runs AS r
  LEFT JOIN snapshots AS s USING (run_id)
 WHERE r.run_id = :run_id;

-- name: stones_on_sale
SELECT count(*) FROM diamonds WHERE feed = :feed AND on_sale;

-- name: miss_unseen
-- Count one more miss for every stone on sale, or refused by a reprice, that this run did not see,
-- and delist those that were missed often enough. One row: how many were missed and how many of them delisted. Only for
-- a full run whose counts add up.
WITH seen AS (
    SELECT DISTINCT offer_id
      FROM raw_offers
     WHERE landed_on = :landed_on AND offer_id IS NOT NULL
       AND partition_id IN (SELECT partition_id FROM partitions WHERE run_id = :run_id)
), missed AS (
    UPDATE diamonds AS d
       SET missed_runs = d.missed_runs + 1,
           on_sale = d.on_sale AND d.missed_runs + 1 < :delist_after_runs,
           off_sale_reason = CASE WHEN d.missed_runs + 1 >= :delist_after_runs THEN 'delisted'
                                  ELSE d.off_sale_reason END,
           off_sale_at = CASE WHEN d.missed_runs + 1 >= :delist_after_runs THEN now()
                              ELSE d.off_sale_at END,
           changed_at = now(),
           run_id = :run_id
     WHERE d.feed = :feed AND (d.on_sale OR d.off_sale_reason = 'refused')
       AND d.read_at < :opened_at
       AND NOT EXISTS (SELECT FROM seen WHERE seen.offer_id = d.offer_id)
    RETURNING d.off_sale_reason
)
SELECT count(*) AS missed, count(*) FILTER (WHERE off_sale_reason = 'delisted') AS delisted FROM missed;

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
    INSERT INTO work_items (kind, attempts_max)
    SELECT 'reprice', :attempts_max FROM ranges
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
                             THEN d.changed_at ELSE now() END,
           on_sale = true,
           off_sale_reason = NULL,
           off_sale_at = NULL
      FROM staged_prices AS s
     WHERE d.stone_id = s.stone_id AND s.refusal IS NULL
       AND d.stone_id >= :stone_low AND d.stone_id < :stone_high
    RETURNING d.stone_id, d.previous_price_cents, d.previous_price_currency, d.price_cents,
              d.price_currency,
              d.previous_cost_cents, d.cost_cents, d.cost_currency, d.ruleset_id, d.rule, d.rate_id
), changes AS (
    INSERT INTO price_changes (stone_id, old_price_cents, old_price_currency, new_price_cents,
                               price_currency,
                               old_cost_cents, new_cost_cents, cost_currency, ruleset_id, rule,
                               rate_id, cause, reprice_id, actor)
    SELECT stone_id, previous_price_cents, previous_price_currency, price_cents, price_currency,
           previous_cost_cents, cost_cents, cost_currency, ruleset_id, rule,
           rate_id, :cause, :reprice_id, :actor
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

-- name: active_ruleset
-- The one that prices now. No row: none was ever activated.
SELECT ruleset_id, name, checksum, source, variant_id FROM rulesets WHERE state = 'active';

-- name: ruleset_by_checksum
SELECT ruleset_id, state FROM rulesets WHERE checksum = :checksum;

-- name: ruleset_by_id
SELECT ruleset_id, name, checksum, source, state, variant_id
  FROM rulesets
 WHERE ruleset_id = :ruleset_id;

-- name: find_rulesets
-- By id, or by the beginning of the checksum; two rows are enough to know that it is ambiguous.
SELECT ruleset_id FROM rulesets
 WHERE ruleset_id = :ruleset_id OR starts_with(checksum, CAST(:prefix AS text))
 ORDER BY (ruleset_id = :ruleset_id) DESC, ruleset_id
 LIMIT 2;

-- name: ruleset
SELECT ruleset_id, name, checksum, state, variant_id, author, imported_at, activated_at, retired_at,
       source
  FROM rulesets
 WHERE ruleset_id = :ruleset_id;

-- name: add_ruleset
-- No row: the same content is there already.
INSERT INTO rulesets (name, checksum, source, author, variant_id)
VALUES (:name, :checksum, :source, :author, :variant_id)
ON CONFLICT (checksum) DO NOTHING
RETURNING ruleset_id;

-- name: lock_pricing
-- One change of what prices at a time, until the transaction ends; waits for whoever prices now.
SELECT pg_advisory_xact_lock(hashtext('facet.pricing'));

-- name: hold_pricing
-- Many may price at a time, and what prices does not change until their transactions end.
SELECT pg_advisory_xact_lock_shared(hashtext('facet.pricing'));

-- name: ruleset_before
-- The one that was active before the present one. No row: none was.
SELECT ruleset_id FROM rulesets WHERE state = 'retired' ORDER BY retired_at DESC LIMIT 1;

-- name: retire_active_ruleset
UPDATE rulesets SET state = 'retired', retired_at = now()
 WHERE state = 'active' AND ruleset_id <> :ruleset_id
RETURNING ruleset_id;

-- name: activate_ruleset
UPDATE rulesets SET state = 'active', activated_at = now(), retired_at = NULL
 WHERE ruleset_id = :ruleset_id AND state <> 'active'
RETURNING ruleset_id;

-- name: list_rulesets
SELECT ruleset_id, name, checksum, state, variant_id, author, imported_at, activated_at, retired_at
  FROM rulesets
 ORDER BY (state = 'active') DESC, ruleset_id DESC;

-- name: know_feed
-- A feed has a row from its first run on.
INSERT INTO feeds (feed) VALUES (:feed) ON CONFLICT (feed) DO NOTHING;

-- name: feed_state
SELECT feed, watermark, paused_at, paused_reason FROM feeds WHERE feed = :feed FOR UPDATE;

-- name: open_run
-- No row: a run of this feed is open already. Two callers never both get a row.
INSERT INTO runs (feed, kind, updated_from, traceparent)
VALUES (:feed, :kind, :updated_from, :traceparent)
ON CONFLICT (feed) WHERE finished_at IS NULL DO NOTHING
RETURNING run_id, landed_on;

-- name: open_run_of
SELECT run_id, state FROM runs WHERE feed = :feed AND finished_at IS NULL;

-- name: make_room
SELECT make_room(:day);

-- name: make_room_today
SELECT make_room((now() AT TIME ZONE 'UTC')::date);

-- name: run_fetching
-- The plan is written. No row: the run was cancelled meanwhile.
UPDATE runs
   SET state = 'fetching', fetching_at = now(), counted = :counted
 WHERE run_id = :run_id AND state = 'planning'
RETURNING run_id;

-- name: add_scan_calls
-- Requests that planned, cut or swept; those of pages stand with their partitions.
UPDATE runs SET scan_calls = scan_calls + :calls WHERE run_id = :run_id;

-- name: runs_to_sweep
-- Full runs that have read everything get their sweep item, once: the unique index sees to it when
-- two stewards ask at the same moment. Who read a snapshot read all of it at one moment, and sweeps
-- nothing. Returns the runs that got one.
INSERT INTO work_items (kind, run_id, attempts_max, priority, traceparent)
SELECT 'sweep', r.run_id, :attempts_max, 0, r.traceparent
  FROM runs AS r
 WHERE r.state = 'fetching' AND r.kind = 'full'
   AND NOT EXISTS (SELECT FROM snapshots AS s WHERE s.run_id = r.run_id)
   AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
ON CONFLICT (kind, run_id) WHERE partition_id IS NULL DO NOTHING
RETURNING run_id;

-- name: runs_to_reconcile
-- Runs whose last work item has closed, a full one's sweep included, get their reconcile item,
-- once. Returns the runs that got one.
INSERT INTO work_items (kind, run_id, attempts_max, priority, traceparent)
SELECT 'reconcile', r.run_id, :attempts_max, 0, r.traceparent
  FROM runs AS r
 WHERE r.state IN ('planning', 'fetching')
   AND NOT EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.finished_at IS NULL)
   AND (r.state = 'planning' OR r.kind <> 'full'
        OR EXISTS (SELECT FROM work_items AS w WHERE w.run_id = r.run_id AND w.kind = 'sweep')
        OR EXISTS (SELECT FROM snapshots AS s WHERE s.run_id = r.run_id))
ON CONFLICT (kind, run_id) WHERE partition_id IS NULL DO NOTHING
RETURNING run_id;

-- name: run_reconciling
UPDATE runs
   SET state = 'reconciling', reconciling_at = now()
 WHERE run_id = :run_id AND state IN ('planning', 'fetching', 'reconciling')
RETURNING run_id;

-- name: finish_run
-- No row: it is finished already.
UPDATE runs
   SET state = :state, reason = :reason, finished_at = now(),
       landed = :landed, offers = :offers, rejected = :rejected, written = :written,
       delisted = :delisted, price_changes = :price_changes, requests = :requests,
       recounted = :recounted
 WHERE run_id = :run_id AND finished_at IS NULL
RETURNING run_id;

-- name: cancel_run
-- From any open state. No row: it is finished already.
UPDATE runs
   SET state = 'cancelled', reason = :reason, finished_at = now()
 WHERE run_id = :run_id AND finished_at IS NULL
RETURNING run_id;

-- name: move_watermark
-- Only forward.
UPDATE feeds
   SET watermark = greatest(watermark, (SELECT opened_at FROM runs WHERE run_id = :run_id))
 WHERE feed = :feed;

-- name: run_by_prefix
-- Runs whose id starts so; two rows are enough to know that it is ambiguous.
SELECT run_id FROM runs WHERE run_id::text LIKE :prefix || '%' ORDER BY opened_at DESC LIMIT 2;

-- name: list_runs
SELECT run_id, feed, kind, state, reason, opened_at, finished_at, counted, landed, offers, written,
       rejected, delisted, price_changes, requests
  FROM runs
 WHERE (CAST(:feed AS text) IS NULL OR feed = :feed)
 ORDER BY opened_at DESC
 LIMIT :limit;

-- name: run_progress
-- Everything someone who watches a run wants to know, in one row. Times in seconds.
SELECT r.run_id, r.feed, r.kind, r.state, r.reason, r.opened_at, r.updated_from, r.finished_at,
       r.counted, r.recounted, r.offers, r.delisted,
       r.scan_calls, s.name AS snapshot, s.same_as, h.calls AS heatmap_calls,
       h.rounds AS scan_rounds, h.failed AS scan_failed, h.estimated AS scan_estimated,
       h.balance, h.why_stopped,
       c.verdict, c.findings,
       p.partitions, p.cut, p.swept, p.fetched, p.folded, p.planned_offers, p.landed, p.pages, p.largest,
       p.inserted, p.changed, p.unchanged, p.rejected, p.price_changes,
       r.scan_calls + p.requests AS requests,
       w.dead, w.open,
       extract(epoch FROM coalesce(r.fetching_at, r.finished_at, now()) - r.opened_at)::float8 AS plan_s,
       extract(epoch FROM coalesce(p.fetch_end, r.finished_at, now()) - r.fetching_at)::float8 AS fetch_s,
       extract(epoch FROM coalesce(p.fold_end, r.finished_at, now()) - r.fetching_at)::float8 AS fold_s,
       extract(epoch FROM coalesce(r.finished_at, now()) - r.reconciling_at)::float8 AS reconcile_s,
       extract(epoch FROM coalesce(r.finished_at, now()) - r.opened_at)::float8 AS elapsed_s
  FROM runs AS r
  LEFT JOIN heatmaps AS h ON h.run_id = r.run_id
  LEFT JOIN snapshots AS s ON s.run_id = r.run_id
  LEFT JOIN feed_checks AS c ON c.run_id = r.run_id
 CROSS JOIN LATERAL (
       SELECT count(*) AS partitions,
              count(*) FILTER (WHERE fetched_at IS NOT NULL) AS fetched,
              count(*) FILTER (WHERE folded_at IS NOT NULL) AS folded,
              coalesce(max(planned_offers), 0) AS largest,
              CASE WHEN bool_and(fetched_at IS NOT NULL) THEN max(fetched_at) END AS fetch_end,
              CASE WHEN bool_and(folded_at IS NOT NULL) THEN max(folded_at) END AS fold_end,
              coalesce(sum(planned_offers) FILTER (WHERE parent_id IS NULL AND NOT sweep), 0)::bigint
                  AS planned_offers,
              count(*) FILTER (WHERE parent_id IS NOT NULL) AS cut,
              count(*) FILTER (WHERE sweep) AS swept,
              coalesce(sum(landed), 0)::bigint AS landed,
              coalesce(sum(pages), 0)::bigint AS pages,
              coalesce(sum(requests), 0)::bigint AS requests,
              coalesce(sum(inserted), 0)::bigint AS inserted,
              coalesce(sum(changed), 0)::bigint AS changed,
              coalesce(sum(unchanged), 0)::bigint AS unchanged,
              coalesce(sum(rejected), 0)::bigint AS rejected,
              coalesce(sum(price_changes), 0)::bigint AS price_changes
         FROM partitions
        WHERE run_id = r.run_id) AS p
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE state = 'dead') AS dead,
              count(*) FILTER (WHERE finished_at IS NULL) AS open
         FROM work_items
        WHERE run_id = r.run_id) AS w
 WHERE r.run_id = :run_id;

-- name: dead_of_run
-- Why a run is not complete: its dead letters, the oldest first.
SELECT dead_letter_id, kind, partition_id, reason, error, attempts, buried_at
  FROM dead_letters
 WHERE run_id = :run_id AND settled_at IS NULL
 ORDER BY buried_at, dead_letter_id
 LIMIT :limit;

-- name: latest_runs
-- The latest run of each feed.
SELECT DISTINCT ON (feed) feed, run_id, kind, state, reason, opened_at, finished_at
  FROM runs
 ORDER BY feed, opened_at DESC;

-- name: count_dead_letters
SELECT count(*) FROM dead_letters WHERE settled_at IS NULL;

-- name: expect_snapshot
-- A run that will read everything at once. Nothing is swept after it.
INSERT INTO snapshots (run_id) VALUES (:run_id);

-- name: snapshot_of
-- What an earlier holder took, if any, and how the run's partitions stand, in their order; and the
-- database's clock, before anything is asked for.
SELECT s.checksum, r.feed, r.landed_on, now() AS asked_at,
       array_agg(p.partition_id ORDER BY p.number) AS partition_ids,
       array_agg(p.landed ORDER BY p.number) AS landed
  FROM snapshots AS s
  JOIN runs AS r USING (run_id)
  JOIN partitions AS p USING (run_id)
 WHERE s.run_id = :run_id
 GROUP BY s.checksum, r.feed, r.landed_on;

-- name: snapshot_taken
-- Write down what was taken, and whether the feed's latest complete run read the same.
UPDATE snapshots AS s
   SET name = :name, checksum = :checksum, size_bytes = :size_bytes, taken_at = :asked_at,
       same_as = (SELECT CASE WHEN o.checksum = :checksum THEN r.run_id END
                    FROM runs AS r
                    LEFT JOIN snapshots AS o USING (run_id)
                   WHERE r.feed = :feed AND r.state = 'complete'
                   ORDER BY r.opened_at DESC
                   LIMIT 1)
 WHERE s.run_id = :run_id
RETURNING same_as;

-- name: forget_landed
-- Another file than the one whose offers have landed: begin anew. Nothing of a run is folded before
-- all of its file has landed, so nobody has read what is deleted here.
WITH forgotten AS (
    DELETE FROM raw_offers AS r
     USING partitions AS p
     WHERE p.run_id = :run_id AND r.landed_on = :landed_on AND r.partition_id = p.partition_id
), emptied AS (
    UPDATE partitions SET landed = 0, pages = 0
     WHERE run_id = :run_id AND partition_id = :first_id
)
DELETE FROM partitions WHERE run_id = :run_id AND partition_id <> :first_id;

-- name: share_out
-- How many offers a run's partitions are going to hold, about.
UPDATE partitions SET planned_offers = :planned_offers, estimated = true WHERE run_id = :run_id;

-- name: land_offers
-- Move some partitions of a run on, in the transaction of their offers, and lengthen the lease.
-- Returns one row for each of them; fewer: the claim is lost, or what had landed is not what the
-- holder believed.
WITH held AS (
    UPDATE work_items
       SET lease_until = now() + make_interval(secs => :lease_s), attempts = 1
     WHERE item_id = :item_id AND epoch = :epoch AND state = 'held'
    RETURNING run_id
)
UPDATE partitions AS p
   SET landed = p.landed + x.landed, pages = p.pages + 1
  FROM held,
       unnest(CAST(:partition_ids AS bigint[]), CAST(:landed_before AS bigint[]),
              CAST(:landed AS bigint[])) AS x (partition_id, landed_before, landed)
 WHERE p.run_id = held.run_id AND p.partition_id = x.partition_id AND p.landed = x.landed_before
RETURNING p.partition_id;

-- name: snapshot_spent
-- What taking it cost stands with the run's first partition, which its fetch belongs to.
UPDATE partitions
   SET requests = requests + :requests, fetch_ms = fetch_ms + :elapsed_ms
 WHERE partition_id = :partition_id;

-- name: snapshot_landed
-- All its offers have landed: the run knows how many it holds, and its partitions can be folded.
WITH whole AS (
    UPDATE snapshots
       SET offers = (SELECT sum(landed) FROM partitions WHERE run_id = :run_id)
     WHERE run_id = :run_id
    RETURNING offers
), counted AS (
    UPDATE runs SET counted = whole.offers FROM whole WHERE run_id = :run_id
)
UPDATE partitions
   SET fetched_at = now(), planned_offers = landed, estimated = false
 WHERE run_id = :run_id
RETURNING partition_id, landed;

-- name: make_staging
-- Where a fold copies what it priced; empty at each commit. One a connection.
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

-- name: present_prices
-- What stones cost now, for the guards that look at it. Only in the shop's currency; one that was
-- delisted has no present price any more, one whose offer was refused still has.
SELECT offer_id, price_cents
  FROM diamonds
 WHERE feed = :feed AND offer_id = ANY(CAST(:offer_ids AS text[])) AND price_currency = :currency
   AND off_sale_reason IS DISTINCT FROM 'delisted';

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
      LEFT JOIN diamonds AS d ON d.feed = :feed AND d.offer_id = s.offer_id
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
        ruleset_id, rate_id, experiment, arm, mapping_version, read_at, run_id)
    SELECT :feed, offer_id, supplier_stone_id, kind, labgrown_type, treated, lab, certificate_number,
           certificate_url, shape, carat, color, fancy_color, fancy_intensity, fancy_overtone,
           clarity, cut, polish, symmetry, fluorescence, fluorescence_color, length_mm, width_mm,
           depth_mm, depth_percent, table_percent, girdle, culet, eye_clean, brown, green, milky,
           origin, supplier_id, supplier_name, availability, image_url, video_url,
           delivery_days_min, delivery_days_max, discount_bp, cost_cents, cost_currency,
           price_cents, price_currency, rule,
           ruleset_id, rate_id, experiment, arm, :mapping_version, read_at, :run_id
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
        changed_at = now(),
        on_sale = true,
        off_sale_reason = NULL,
        off_sale_at = NULL,
        missed_runs = 0
     WHERE d.read_at <= excluded.read_at
    RETURNING stone_id, xmax = 0 AS inserted, previous_price_cents, previous_price_currency, price_cents,
              price_currency,
              previous_cost_cents, cost_cents, cost_currency, ruleset_id, rule, rate_id
), changes AS (
    INSERT INTO price_changes (stone_id, old_price_cents, old_price_currency, new_price_cents,
                               price_currency,
                               old_cost_cents, new_cost_cents, cost_currency, ruleset_id, rule,
                               rate_id, cause, run_id, actor)
    SELECT stone_id, previous_price_cents, previous_price_currency, price_cents, price_currency,
           previous_cost_cents, cost_cents, cost_currency, ruleset_id, rule,
           rate_id, 'feed', :run_id, 'consolidator'
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
-- the same partition also holds a later, sound version of the offer, nor where the stone was written
-- from a later one, nor, `overtaken`, where `drop_overtaken` would drop it.
UPDATE diamonds AS d
   SET on_sale = false, off_sale_reason = 'rejected', off_sale_at = now(), changed_at = now(),
       run_id = :run_id, read_at = x.read_at
  FROM (SELECT offer_id, max(read_at) AS read_at
          FROM rejected_offers
         WHERE partition_id = :partition_id AND offer_id IS NOT NULL
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

