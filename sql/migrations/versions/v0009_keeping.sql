-- When the detail of a run (its work items, partitions, rejected offers) was dropped; the row stays.
ALTER TABLE runs ADD COLUMN pruned_at timestamptz;
CREATE INDEX runs_unpruned ON runs (finished_at) WHERE pruned_at IS NULL AND finished_at IS NOT NULL;

-- Dropping a run's detail, and looking at one run among very many, must not read the others.
CREATE INDEX work_items_by_run ON work_items (run_id);
DROP INDEX one_item_a_partition;
CREATE UNIQUE INDEX one_item_a_partition ON work_items (partition_id, kind)
    WHERE partition_id IS NOT NULL;
CREATE INDEX dead_letters_by_partition ON dead_letters (partition_id) WHERE partition_id IS NOT NULL;

-- Runs whose raw offers nobody needs any more: older than the last complete full run of their feed,
-- whose folds would lose against it; where there is none yet, all but the latest of the feed.
CREATE VIEW spent_runs AS
SELECT r.run_id, r.feed, r.landed_on, r.opened_at, r.finished_at, r.pruned_at
  FROM runs AS r
  JOIN (SELECT feed, coalesce(max(opened_at) FILTER (WHERE state = 'complete' AND kind = 'full'),
                              max(opened_at)) AS needed_from
          FROM runs
         GROUP BY feed) AS f USING (feed)
 WHERE r.finished_at IS NOT NULL AND r.opened_at < f.needed_from;

-- A day's raw offers that were written to Parquet files and read back.
CREATE TABLE archives (
    day         date PRIMARY KEY,
    url         text NOT NULL,  -- the folder of its files
    files       int NOT NULL,
    rows        bigint NOT NULL,
    bytes       bigint NOT NULL,
    verified_at timestamptz NOT NULL DEFAULT now()
);

-- Each time that old rows were looked for and dropped. A slot is a day on which the stewards do it, once.
CREATE TABLE retentions (
    retention_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot         date UNIQUE,  -- NULL: by hand
    began_at     timestamptz NOT NULL DEFAULT now(),
    lease_until  timestamptz NOT NULL,
    finished_at  timestamptz,
    removed      jsonb,  -- rows by what they are; of whole tables their count
    sizes        jsonb,  -- bytes by table afterwards, for the forecast
    error        text    -- of the last attempt; cleared by one that succeeds
);

-- Drop a day's raw offers; returns the bytes, NULL where there were none. Refuses while a run of that
-- day is not spent, and where the rows are not as many as `expected`. Waits for locks as long as
-- lock_timeout says. For a role that may not drop tables.
CREATE FUNCTION drop_raw_offers(day date, expected bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
    AS $$
DECLARE
    leaf regclass := to_regclass(format('raw_offers_%s', to_char(day, 'YYYYMMDD')));
    found bigint;
BEGIN
    IF leaf IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE MODE', leaf);
    IF EXISTS (SELECT FROM runs AS r WHERE r.landed_on = day
                AND NOT EXISTS (SELECT FROM spent_runs AS s WHERE s.run_id = r.run_id)) THEN
        RAISE EXCEPTION 'raw offers of % are needed', day USING ERRCODE = 'serialization_failure';
    END IF;
    IF expected IS NOT NULL THEN
        EXECUTE format('SELECT count(*) FROM %s', leaf) INTO found;
        IF found <> expected THEN
            RAISE EXCEPTION 'raw offers of %: % rows, % expected', day, found, expected
                USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    found := pg_total_relation_size(leaf);
    EXECUTE format('DROP TABLE %s', leaf);
    RETURN found;
END $$;
REVOKE ALL ON FUNCTION drop_raw_offers FROM PUBLIC;

-- Drop a month's price changes; returns the bytes, NULL where there were none. Never the present month.
CREATE FUNCTION drop_price_changes(month date) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
    AS $$
DECLARE
    leaf regclass := to_regclass(format('price_changes_%s', to_char(month, 'YYYYMM')));
    found bigint;
BEGIN
    IF leaf IS NULL THEN
        RETURN NULL;
    END IF;
    IF month >= date_trunc('month', now() AT TIME ZONE 'UTC') THEN
        RAISE EXCEPTION 'price changes of % are still written', month USING ERRCODE = 'serialization_failure';
    END IF;
    found := pg_total_relation_size(leaf);
    EXECUTE format('DROP TABLE %s', leaf);
    RETURN found;
END $$;
REVOKE ALL ON FUNCTION drop_price_changes FROM PUBLIC;

-- What a backup and its restore must have in common: of each table its rows and a sum over their
-- contents, which no order changes.
CREATE FUNCTION table_sums() RETURNS TABLE (name text, rows bigint, checksum text)
    LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET timezone = 'UTC'
    AS $$
BEGIN
    FOR name IN SELECT c.relname
                  FROM pg_class AS c
                 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                   AND NOT c.relispartition AND c.relname <> 'alembic_version'
                 ORDER BY 1 LOOP
        EXECUTE format('SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text '
                       'FROM %I AS t', name) INTO rows, checksum;
        RETURN NEXT;
    END LOOP;
END $$;

-- The oldest schema whose code still runs on this one. A migration that takes something away raises
-- it; one that only adds leaves it. docs/upgrade.md has the rule.
CREATE TABLE schema_serves (
    one    boolean PRIMARY KEY DEFAULT true,
    oldest text NOT NULL,
    CONSTRAINT one_row CHECK (one)
);
INSERT INTO schema_serves (oldest) VALUES ('0004');
