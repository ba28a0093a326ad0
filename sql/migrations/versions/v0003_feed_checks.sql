-- What a check of a supplier's contract found: before each run, and by hand.
CREATE TABLE feed_checks (
    check_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feed            text NOT NULL REFERENCES feeds,
    run_id          uuid REFERENCES runs,  -- NULL: by hand
    checked_at      timestamptz NOT NULL DEFAULT now(),
    verdict         text NOT NULL,
    findings        jsonb NOT NULL,  -- each: what, drift, harm, says; the worst first
    mapping_version int NOT NULL,  -- of the adapter that was compared
    requests        int NOT NULL,
    CONSTRAINT known_verdict CHECK (verdict IN ('compatible', 'degraded', 'incompatible')),
    CONSTRAINT one_check_a_run UNIQUE (run_id)
);
CREATE INDEX feed_checks_by_feed ON feed_checks (feed, checked_at DESC);

-- The supplier's closing count, where a run read fewer offers than were counted when it was planned.
ALTER TABLE runs ADD COLUMN recounted bigint;
