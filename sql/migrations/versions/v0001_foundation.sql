-- Money is whole cents beside its currency. Times are the database's own. A finished thing has a
-- finishing time, and only a finished thing has one.

CREATE TABLE feeds (
    feed          text PRIMARY KEY,
    watermark     timestamptz,  -- everything the supplier changed before this moment is known
    paused_at     timestamptz,
    paused_reason text,
    CONSTRAINT paused_has_reason CHECK ((paused_at IS NULL) = (paused_reason IS NULL))
);

CREATE TABLE rulesets (
    ruleset_id   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    checksum     text NOT NULL UNIQUE,
    source       text NOT NULL,  -- the file as it was imported
    state        text NOT NULL DEFAULT 'draft',
    author       text NOT NULL,
    imported_at  timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    retired_at   timestamptz,
    CONSTRAINT known_state CHECK (state IN ('draft', 'active', 'retired')),
    CONSTRAINT active_has_time CHECK ((state = 'draft') = (activated_at IS NULL)),
    CONSTRAINT retired_has_time CHECK ((state = 'retired') = (retired_at IS NOT NULL))
);
CREATE UNIQUE INDEX one_active_ruleset ON rulesets ((true)) WHERE state = 'active';

CREATE TABLE runs (
    run_id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    feed           text NOT NULL REFERENCES feeds,
    kind           text NOT NULL,
    state          text NOT NULL DEFAULT 'planning',
    reason         text,  -- why it is partial, failed or cancelled
    updated_from   timestamptz,  -- an incremental run asks for what changed since, inclusive
    opened_at      timestamptz NOT NULL DEFAULT now(),
    landed_on      date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,  -- the day of its raw offers
    fetching_at    timestamptz,
    reconciling_at timestamptz,
    finished_at    timestamptz,
    scan_calls     int NOT NULL DEFAULT 0,  -- counts asked so far, while planning
    counted        bigint,  -- offers in the feed when it was planned, as the supplier counted them
    landed         bigint,  -- raw offers, an offer on a shared edge twice
    offers         bigint,  -- different offers among them
    rejected       bigint,  -- of these, not mapped or priced
    written        bigint,  -- stones inserted or changed
    delisted       bigint,
    price_changes  bigint,
    requests       bigint,
    traceparent    text,
    CONSTRAINT known_kind CHECK (kind IN ('full', 'incremental')),
    CONSTRAINT known_state CHECK (state IN
        ('planning', 'fetching', 'reconciling', 'complete', 'partial', 'failed', 'cancelled')),
    CONSTRAINT finished_has_time CHECK
        ((state IN ('complete', 'partial', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT incomplete_has_reason CHECK
        ((state IN ('partial', 'failed', 'cancelled')) = (reason IS NOT NULL)),
    CONSTRAINT incremental_has_start CHECK ((kind = 'incremental') = (updated_from IS NOT NULL))
);
CREATE UNIQUE INDEX one_open_run_a_feed ON runs (feed) WHERE finished_at IS NULL;
CREATE INDEX runs_by_feed ON runs (feed, opened_at DESC);

CREATE TABLE heatmaps (
    heatmap_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      uuid NOT NULL UNIQUE REFERENCES runs,
    feed        text NOT NULL REFERENCES feeds,
    price_unit  text NOT NULL,
    total       bigint,  -- NULL: the count of the whole feed never answered
    buckets     jsonb NOT NULL,  -- [[low, high or null, offers], …], ascending, half-open
    calls       int NOT NULL,
    rounds      int NOT NULL,
    failed      int NOT NULL,
    estimated   int NOT NULL,  -- partitions whose weight was never counted
    balance     double precision,  -- heaviest worker over the mean, as planned
    probes      jsonb NOT NULL,  -- what was asked of the feed itself, such as whether all have a carat
    why_stopped text NOT NULL,
    duration_ms bigint NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE partitions (
    partition_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id         uuid NOT NULL REFERENCES runs,
    number         int NOT NULL,  -- from 1, in the order of the axis
    parent_id      bigint REFERENCES partitions,  -- cut out of that one, which outgrew its plan
    sweep          boolean NOT NULL DEFAULT false,  -- of what changed while the run was reading
    slice          jsonb NOT NULL,  -- shared/feeds/base.py: Slice
    price_low      bigint,  -- inclusive, the feed's whole units; NULL: not on the price axis
    price_high     bigint,  -- exclusive; NULL with a price_low: no upper end
    planned_offers bigint NOT NULL,
    estimated      boolean NOT NULL DEFAULT false,
    saturated      boolean NOT NULL DEFAULT false,  -- deeper than the supplier's offset reaches
    next_offset    int NOT NULL DEFAULT 0,
    pages          int NOT NULL DEFAULT 0,
    landed         bigint NOT NULL DEFAULT 0,
    requests       bigint NOT NULL DEFAULT 0,
    fetched_at     timestamptz,
    fetch_ms       bigint NOT NULL DEFAULT 0,  -- time spent on its pages, all attempts
    offers         bigint,  -- different offers, by id
    inserted       bigint,
    changed        bigint,
    unchanged      bigint,
    rejected       bigint,
    price_changes  bigint,
    folded_at      timestamptz,
    fold_ms        bigint,
    UNIQUE (run_id, number),
    CONSTRAINT not_inverted CHECK (price_high > price_low),
    CONSTRAINT high_needs_low CHECK (price_high IS NULL OR price_low IS NOT NULL),
    CONSTRAINT folded_after_fetched CHECK (folded_at IS NULL OR fetched_at IS NOT NULL),
    CONSTRAINT folded_is_counted CHECK ((folded_at IS NULL) = (offers IS NULL))
);
CREATE INDEX partitions_by_parent ON partitions (parent_id) WHERE parent_id IS NOT NULL;

-- The partitions of a run tile its price axis: from 0 to no upper end, no gap, no overlap.
CREATE FUNCTION partitions_tile() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    SELECT format('after %s comes %s', coalesce(previous_high::text, 'the start'), low)
      INTO wrong
      FROM (SELECT price_low AS low, price_high AS high,
                   lag(price_high) OVER axis AS previous_high,
                   row_number() OVER axis AS place,
                   count(*) OVER () AS places
              FROM (SELECT DISTINCT price_low, price_high
                      FROM partitions
                     WHERE run_id = NEW.run_id AND parent_id IS NULL AND NOT sweep
                       AND price_low IS NOT NULL) AS spans
            WINDOW axis AS (ORDER BY price_low, price_high NULLS LAST)) AS walk
     WHERE (place = 1 AND low <> 0)
        OR (place > 1 AND previous_high IS DISTINCT FROM low)
        OR (place = places AND high IS NOT NULL)
     LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'partitions of run % do not tile: %', NEW.run_id, wrong
            USING ERRCODE = 'check_violation', CONSTRAINT = 'partitions_tile';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER partitions_tile AFTER UPDATE OF state ON runs
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.state = 'fetching') EXECUTE FUNCTION partitions_tile();

CREATE TABLE work_items (
    item_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    run_id       uuid REFERENCES runs,
    partition_id bigint REFERENCES partitions,
    state        text NOT NULL DEFAULT 'due',
    priority     bigint NOT NULL DEFAULT 0,  -- the higher the sooner
    epoch        int NOT NULL DEFAULT 0,  -- claims so far; fences out the late
    attempts     int NOT NULL DEFAULT 0,  -- claims since it last got on
    attempts_max int NOT NULL,
    owner        uuid,  -- one per process start
    lease_until  timestamptz,
    not_before   timestamptz NOT NULL DEFAULT now(),
    announced_at timestamptz,  -- NULL: the message is still to be sent (the outbox)
    last_error   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    traceparent  text,
    CONSTRAINT known_kind CHECK (kind IN ('plan', 'fetch', 'cut', 'fold', 'sweep', 'reconcile')),
    CONSTRAINT known_state CHECK (state IN ('due', 'held', 'done', 'dead', 'cancelled')),
    CONSTRAINT held_has_holder CHECK
        ((state = 'held') = (owner IS NOT NULL) AND (state = 'held') = (lease_until IS NOT NULL)),
    CONSTRAINT finished_has_time CHECK
        ((state IN ('done', 'dead', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT attempts_within CHECK (attempts BETWEEN 0 AND attempts_max AND attempts <= epoch)
);
CREATE UNIQUE INDEX one_item_a_partition ON work_items (kind, partition_id) WHERE partition_id IS NOT NULL;
CREATE UNIQUE INDEX one_item_a_run ON work_items (kind, run_id) WHERE partition_id IS NULL;
CREATE INDEX work_items_due ON work_items (kind, priority DESC, item_id) WHERE state = 'due';
CREATE INDEX work_items_held ON work_items (lease_until) WHERE state = 'held';
CREATE INDEX work_items_open ON work_items (run_id) WHERE finished_at IS NULL;

CREATE FUNCTION epoch_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'work item %: epoch would fall from % to %', OLD.item_id, OLD.epoch, NEW.epoch
        USING ERRCODE = 'check_violation', CONSTRAINT = 'epoch_only_grows';
END $$;
CREATE TRIGGER epoch_only_grows BEFORE UPDATE OF epoch ON work_items
    FOR EACH ROW WHEN (NEW.epoch < OLD.epoch) EXECUTE FUNCTION epoch_only_grows();

CREATE TABLE dead_letters (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id        bigint REFERENCES work_items,  -- NULL: a message that names no work item
    kind           text,
    run_id         uuid REFERENCES runs,
    partition_id   bigint REFERENCES partitions,
    reason         text NOT NULL,
    error          text NOT NULL,
    traceback      text,
    attempts       int,
    epoch          int,
    message        bytea,  -- as it came, where it could not be read
    traceparent    text,
    first_at       timestamptz NOT NULL,
    buried_at      timestamptz NOT NULL DEFAULT now(),
    settled_at     timestamptz,
    settled_how    text,
    CONSTRAINT known_reason CHECK (reason IN
        ('permanent', 'attempts', 'worker_lost', 'bug', 'bad_message')),
    CONSTRAINT known_settlement CHECK (settled_how IN ('replayed', 'discarded')),
    CONSTRAINT settled_has_time CHECK ((settled_at IS NULL) = (settled_how IS NULL)),
    CONSTRAINT names_its_work CHECK (item_id IS NOT NULL OR message IS NOT NULL)
);
CREATE INDEX dead_letters_unsettled ON dead_letters (buried_at) WHERE settled_at IS NULL;
CREATE INDEX dead_letters_by_item ON dead_letters (item_id);

-- What the supplier said, word for word. One table a day, so that age is dropped, not deleted.
-- The key is the place in the listing: a page cannot land twice.
CREATE TABLE raw_offers (
    landed_on    date NOT NULL,
    partition_id bigint NOT NULL,
    position     int NOT NULL,  -- from 0, in the order read
    offer_id     text,  -- NULL: an item without one
    read_at      timestamptz NOT NULL,  -- when the page was asked for, by the database's clock
    payload      json NOT NULL,
    PRIMARY KEY (landed_on, partition_id, position)
) PARTITION BY RANGE (landed_on);

CREATE TABLE diamonds (
    stone_id             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    feed                 text NOT NULL,
    offer_id             text NOT NULL,
    supplier_stone_id    text,
    kind                 text NOT NULL,
    labgrown_type        text,
    treated              boolean,
    lab                  text,
    certificate_number   text,
    certificate_url      text,
    shape                text NOT NULL,
    carat                numeric(10, 3) NOT NULL,
    color                text,
    fancy_color          text,
    fancy_intensity      text,
    fancy_overtone       text,
    clarity              text,
    cut                  text,
    polish               text,
    symmetry             text,
    fluorescence         text,
    fluorescence_color   text,
    length_mm            numeric(10, 3),
    width_mm             numeric(10, 3),
    depth_mm             numeric(10, 3),
    depth_percent        numeric(10, 3),
    table_percent        numeric(10, 3),
    girdle               text,
    culet                text,
    eye_clean            text,
    brown                text,
    green                text,
    milky                text,
    origin               text,
    supplier_id          text,
    supplier_name        text,
    availability         text,
    image_url            text,
    video_url            text,
    delivery_days_min    bigint,
    delivery_days_max    bigint,
    discount_bp          bigint,
    cost_cents           bigint NOT NULL,
    cost_currency        text NOT NULL,
    price_cents          bigint NOT NULL,
    price_currency       text NOT NULL,
    ruleset_id           int NOT NULL REFERENCES rulesets,
    rule                 text NOT NULL,
    mapping_version      int NOT NULL,
    previous_price_cents bigint,  -- before the last write; NULL: that write was the first
    previous_cost_cents  bigint,
    read_at              timestamptz NOT NULL,  -- of the offer it was written from
    run_id               uuid NOT NULL,  -- that wrote it last
    first_seen_at        timestamptz NOT NULL DEFAULT now(),
    changed_at           timestamptz NOT NULL DEFAULT now(),
    on_sale              boolean NOT NULL DEFAULT true,
    off_sale_reason      text,
    off_sale_at          timestamptz,
    missed_runs          int NOT NULL DEFAULT 0,  -- complete full runs in a row that did not see it
    PRIMARY KEY (feed, offer_id),
    CONSTRAINT known_kind CHECK (kind IN ('natural', 'labgrown')),
    CONSTRAINT positive_money CHECK (price_cents > 0 AND cost_cents > 0),
    CONSTRAINT known_off_sale_reason CHECK (off_sale_reason IN ('delisted', 'rejected')),
    CONSTRAINT off_sale_has_reason CHECK
        (on_sale = (off_sale_reason IS NULL) AND on_sale = (off_sale_at IS NULL))
);
CREATE INDEX diamonds_by_certificate ON diamonds (certificate_number);

-- What a shop shows.
CREATE VIEW catalogue AS SELECT * FROM diamonds WHERE on_sale;

-- The audit row behind every change of a stone's price, the first price included. One table a month.
CREATE TABLE price_changes (
    stone_id        bigint NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    old_price_cents bigint,  -- NULL: the first price
    new_price_cents bigint NOT NULL,
    price_currency  text NOT NULL,
    old_cost_cents  bigint,
    new_cost_cents  bigint NOT NULL,
    cost_currency   text NOT NULL,
    ruleset_id      int NOT NULL,
    rule            text NOT NULL,
    cause           text NOT NULL,
    run_id          uuid,
    actor           text NOT NULL,
    CONSTRAINT known_cause CHECK (cause IN ('feed')),
    CONSTRAINT changes_something CHECK (old_price_cents IS DISTINCT FROM new_price_cents)
) PARTITION BY RANGE (changed_at);
CREATE INDEX price_changes_by_stone ON price_changes (stone_id, changed_at);

CREATE TABLE rejected_offers (
    partition_id bigint NOT NULL REFERENCES partitions,
    position     int NOT NULL,  -- of its raw offer
    run_id       uuid NOT NULL REFERENCES runs,
    feed         text NOT NULL,
    offer_id     text,
    reason       text NOT NULL,
    detail       text NOT NULL,
    read_at      timestamptz NOT NULL,
    payload      json NOT NULL,
    rejected_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition_id, position)
);
CREATE INDEX rejected_offers_by_run ON rejected_offers (run_id);

-- Every hand-made change: who, what, why, before, after.
CREATE TABLE audit_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text NOT NULL,
    action   text NOT NULL,
    subject  text NOT NULL,
    reason   text NOT NULL,
    before   jsonb,
    after    jsonb
);

-- Make the tables for a day of raw offers, and for a month of price changes and the next. Safe to
-- call at any time, by several at once.
CREATE FUNCTION make_room(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('facet.make_room'));
    IF to_regclass(format('raw_offers_%s', to_char(day, 'YYYYMMDD'))) IS NULL THEN
        EXECUTE format('CREATE TABLE raw_offers_%s PARTITION OF raw_offers FOR VALUES FROM (%L) TO (%L)',
                       to_char(day, 'YYYYMMDD'), day, day + 1);
    END IF;
    FOREACH month IN ARRAY ARRAY[date_trunc('month', day)::date,
                                 (date_trunc('month', day) + interval '1 month')::date] LOOP
        IF to_regclass(format('price_changes_%s', to_char(month, 'YYYYMM'))) IS NULL THEN
            EXECUTE format('CREATE TABLE price_changes_%s PARTITION OF price_changes '
                           'FOR VALUES FROM (%L) TO (%L)', to_char(month, 'YYYYMM'),
                           month::timestamp AT TIME ZONE 'UTC',
                           (month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END $$;
