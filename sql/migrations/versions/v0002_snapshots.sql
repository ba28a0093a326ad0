-- What a run of a snapshot feed read: everything at once, taken when the run's fetch began.
CREATE TABLE snapshots (
    run_id     uuid PRIMARY KEY REFERENCES runs,
    name       text,  -- what was taken, for people; NULL until it was
    checksum   text,  -- of what it says: two with the same say the same
    size_bytes bigint,
    taken_at   timestamptz,  -- before it was asked for
    offers     bigint,  -- in it; NULL until all have landed
    same_as    uuid REFERENCES runs,  -- the latest complete run that read the very same
    CONSTRAINT taken_whole CHECK
        ((checksum IS NULL) = (name IS NULL) AND (checksum IS NULL) = (size_bytes IS NULL)
         AND (checksum IS NULL) = (taken_at IS NULL)),
    CONSTRAINT landed_after_taken CHECK (offers IS NULL OR checksum IS NOT NULL)
);
