-- When the work first failed, or its holder fell silent; NULL: never.
ALTER TABLE work_items ADD COLUMN first_failed_at timestamptz;

-- `first_at` and `buried_at` are when it failed first and last; a message's, when it came first and
-- last, and its `attempts` how often.
ALTER TABLE dead_letters
    ADD COLUMN payload jsonb,  -- what the work was to do and how far it was; of a message, its headers
    ADD COLUMN digest bytea,  -- of a message and its error: the same again are the same letter
    DROP CONSTRAINT known_reason,
    ADD CONSTRAINT known_reason CHECK (reason IN
        ('permanent', 'attempts', 'worker_lost', 'bug', 'bad_message', 'unknown_task'));
UPDATE dead_letters SET digest = sha256(message || convert_to(error, 'UTF8')) WHERE message IS NOT NULL;
-- Of messages that were the same, the last one stands for all.
UPDATE dead_letters AS d
   SET settled_at = now(), settled_how = 'discarded'
 WHERE d.item_id IS NULL AND d.settled_at IS NULL
   AND EXISTS (SELECT FROM dead_letters AS later
                WHERE later.item_id IS NULL AND later.settled_at IS NULL AND later.digest = d.digest
                  AND later.dead_letter_id > d.dead_letter_id);
ALTER TABLE dead_letters
    ADD CONSTRAINT message_has_digest CHECK ((message IS NULL) = (digest IS NULL));
CREATE UNIQUE INDEX one_open_letter_an_item ON dead_letters (item_id) WHERE settled_at IS NULL;
CREATE UNIQUE INDEX one_open_letter_a_message ON dead_letters (digest) WHERE settled_at IS NULL;
CREATE INDEX dead_letters_by_run ON dead_letters (run_id);

-- What a piece of work was to do, for whoever reads its dead letter. Whoever may bury a piece of
-- work need not be allowed to read all of this.
CREATE FUNCTION work_payload(wanted bigint) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'run', r.kind, 'updated_from', r.updated_from,
               'slice', p.slice, 'planned_offers', p.planned_offers, 'landed', p.landed,
               'next_offset', p.next_offset,
               'stone_low', b.stone_low, 'stone_high', b.stone_high,
               'ruleset_id', CASE WHEN w.kind IN ('fold', 'reprice')
                                  THEN (SELECT ruleset_id FROM rulesets WHERE state = 'active') END))
      FROM work_items AS w
      LEFT JOIN runs AS r ON r.run_id = w.run_id
      LEFT JOIN partitions AS p ON p.partition_id = w.partition_id
      LEFT JOIN reprice_batches AS b ON b.item_id = w.item_id
     WHERE w.item_id = wanted
$$;

-- The supplier's count of a partition at its end, where it listed fewer offers than were planned.
ALTER TABLE partitions ADD COLUMN recounted bigint;

ALTER TABLE runs
    ADD COLUMN replayed_at timestamptz,  -- some of its work was replayed since it was last reconciled
    ADD COLUMN note text,  -- what a reader should know of a run that is complete
    ADD CONSTRAINT complete_takes_no_replay CHECK
        (replayed_at IS NULL OR state NOT IN ('complete', 'cancelled'));
CREATE INDEX runs_replayed ON runs (run_id) WHERE replayed_at IS NOT NULL;

-- Who does what only one process at a time should do. A lease by the database's clock, as of work:
-- an advisory lock would not survive a pooler that hands each transaction another connection.
CREATE TABLE leaders (
    name        text PRIMARY KEY,
    owner       uuid NOT NULL,
    epoch       bigint NOT NULL DEFAULT 1,  -- grows with each change of the leader
    led_since   timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL
);
