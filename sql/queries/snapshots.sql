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
