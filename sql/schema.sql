-- What the migrations lead to; `make schema` writes it, a test compares.
-- Read it for what is always true. Change it by a migration.

CREATE FUNCTION public.epoch_only_grows() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'work item %: epoch would fall from % to %', OLD.item_id, OLD.epoch, NEW.epoch
        USING ERRCODE = 'check_violation', CONSTRAINT = 'epoch_only_grows';
END $$;

CREATE FUNCTION public.make_room(day date) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.partitions_tile() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE TABLE public.audit_events (
    event_id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    before jsonb,
    after jsonb
);

ALTER TABLE public.audit_events ALTER COLUMN event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_events_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.diamonds (
    stone_id bigint NOT NULL,
    feed text NOT NULL,
    offer_id text NOT NULL,
    supplier_stone_id text,
    kind text NOT NULL,
    labgrown_type text,
    treated boolean,
    lab text,
    certificate_number text,
    certificate_url text,
    shape text NOT NULL,
    carat numeric(10,3) NOT NULL,
    color text,
    fancy_color text,
    fancy_intensity text,
    fancy_overtone text,
    clarity text,
    cut text,
    polish text,
    symmetry text,
    fluorescence text,
    fluorescence_color text,
    length_mm numeric(10,3),
    width_mm numeric(10,3),
    depth_mm numeric(10,3),
    depth_percent numeric(10,3),
    table_percent numeric(10,3),
    girdle text,
    culet text,
    eye_clean text,
    brown text,
    green text,
    milky text,
    origin text,
    supplier_id text,
    supplier_name text,
    availability text,
    image_url text,
    video_url text,
    delivery_days_min bigint,
    delivery_days_max bigint,
    discount_bp bigint,
    cost_cents bigint NOT NULL,
    cost_currency text NOT NULL,
    price_cents bigint NOT NULL,
    price_currency text NOT NULL,
    ruleset_id integer NOT NULL,
    rule text NOT NULL,
    mapping_version integer NOT NULL,
    previous_price_cents bigint,
    previous_cost_cents bigint,
    read_at timestamp with time zone NOT NULL,
    run_id uuid NOT NULL,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    on_sale boolean DEFAULT true NOT NULL,
    off_sale_reason text,
    off_sale_at timestamp with time zone,
    missed_runs integer DEFAULT 0 NOT NULL,
    CONSTRAINT known_kind CHECK ((kind = ANY (ARRAY['natural'::text, 'labgrown'::text]))),
    CONSTRAINT known_off_sale_reason CHECK ((off_sale_reason = ANY (ARRAY['delisted'::text, 'rejected'::text]))),
    CONSTRAINT off_sale_has_reason CHECK (((on_sale = (off_sale_reason IS NULL)) AND (on_sale = (off_sale_at IS NULL)))),
    CONSTRAINT positive_money CHECK (((price_cents > 0) AND (cost_cents > 0)))
);

CREATE VIEW public.catalogue AS
 SELECT stone_id,
    feed,
    offer_id,
    supplier_stone_id,
    kind,
    labgrown_type,
    treated,
    lab,
    certificate_number,
    certificate_url,
    shape,
    carat,
    color,
    fancy_color,
    fancy_intensity,
    fancy_overtone,
    clarity,
    cut,
    polish,
    symmetry,
    fluorescence,
    fluorescence_color,
    length_mm,
    width_mm,
    depth_mm,
    depth_percent,
    table_percent,
    girdle,
    culet,
    eye_clean,
    brown,
    green,
    milky,
    origin,
    supplier_id,
    supplier_name,
    availability,
    image_url,
    video_url,
    delivery_days_min,
    delivery_days_max,
    discount_bp,
    cost_cents,
    cost_currency,
    price_cents,
    price_currency,
    ruleset_id,
    rule,
    mapping_version,
    previous_price_cents,
    previous_cost_cents,
    read_at,
    run_id,
    first_seen_at,
    changed_at,
    on_sale,
    off_sale_reason,
    off_sale_at,
    missed_runs
   FROM public.diamonds
  WHERE on_sale;

CREATE TABLE public.dead_letters (
    dead_letter_id bigint NOT NULL,
    item_id bigint,
    kind text,
    run_id uuid,
    partition_id bigint,
    reason text NOT NULL,
    error text NOT NULL,
    traceback text,
    attempts integer,
    epoch integer,
    message bytea,
    traceparent text,
    first_at timestamp with time zone NOT NULL,
    buried_at timestamp with time zone DEFAULT now() NOT NULL,
    settled_at timestamp with time zone,
    settled_how text,
    CONSTRAINT known_reason CHECK ((reason = ANY (ARRAY['permanent'::text, 'attempts'::text, 'worker_lost'::text, 'bug'::text, 'bad_message'::text]))),
    CONSTRAINT known_settlement CHECK ((settled_how = ANY (ARRAY['replayed'::text, 'discarded'::text]))),
    CONSTRAINT names_its_work CHECK (((item_id IS NOT NULL) OR (message IS NOT NULL))),
    CONSTRAINT settled_has_time CHECK (((settled_at IS NULL) = (settled_how IS NULL)))
);

ALTER TABLE public.dead_letters ALTER COLUMN dead_letter_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.dead_letters_dead_letter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.diamonds ALTER COLUMN stone_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.diamonds_stone_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.feeds (
    feed text NOT NULL,
    watermark timestamp with time zone,
    paused_at timestamp with time zone,
    paused_reason text,
    CONSTRAINT paused_has_reason CHECK (((paused_at IS NULL) = (paused_reason IS NULL)))
);

CREATE TABLE public.heatmaps (
    heatmap_id bigint NOT NULL,
    run_id uuid NOT NULL,
    feed text NOT NULL,
    price_unit text NOT NULL,
    total bigint,
    buckets jsonb NOT NULL,
    calls integer NOT NULL,
    rounds integer NOT NULL,
    failed integer NOT NULL,
    estimated integer NOT NULL,
    balance double precision,
    probes jsonb NOT NULL,
    why_stopped text NOT NULL,
    duration_ms bigint NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.heatmaps ALTER COLUMN heatmap_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.heatmaps_heatmap_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.partitions (
    partition_id bigint NOT NULL,
    run_id uuid NOT NULL,
    number integer NOT NULL,
    parent_id bigint,
    sweep boolean DEFAULT false NOT NULL,
    slice jsonb NOT NULL,
    price_low bigint,
    price_high bigint,
    planned_offers bigint NOT NULL,
    estimated boolean DEFAULT false NOT NULL,
    saturated boolean DEFAULT false NOT NULL,
    next_offset integer DEFAULT 0 NOT NULL,
    pages integer DEFAULT 0 NOT NULL,
    landed bigint DEFAULT 0 NOT NULL,
    requests bigint DEFAULT 0 NOT NULL,
    fetched_at timestamp with time zone,
    fetch_ms bigint DEFAULT 0 NOT NULL,
    offers bigint,
    inserted bigint,
    changed bigint,
    unchanged bigint,
    rejected bigint,
    price_changes bigint,
    folded_at timestamp with time zone,
    fold_ms bigint,
    CONSTRAINT folded_after_fetched CHECK (((folded_at IS NULL) OR (fetched_at IS NOT NULL))),
    CONSTRAINT folded_is_counted CHECK (((folded_at IS NULL) = (offers IS NULL))),
    CONSTRAINT high_needs_low CHECK (((price_high IS NULL) OR (price_low IS NOT NULL))),
    CONSTRAINT not_inverted CHECK ((price_high > price_low))
);

ALTER TABLE public.partitions ALTER COLUMN partition_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.partitions_partition_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.price_changes (
    stone_id bigint NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    old_price_cents bigint,
    new_price_cents bigint NOT NULL,
    price_currency text NOT NULL,
    old_cost_cents bigint,
    new_cost_cents bigint NOT NULL,
    cost_currency text NOT NULL,
    ruleset_id integer NOT NULL,
    rule text NOT NULL,
    cause text NOT NULL,
    run_id uuid,
    actor text NOT NULL,
    CONSTRAINT changes_something CHECK ((old_price_cents IS DISTINCT FROM new_price_cents)),
    CONSTRAINT known_cause CHECK ((cause = 'feed'::text))
)
PARTITION BY RANGE (changed_at);

CREATE TABLE public.raw_offers (
    landed_on date NOT NULL,
    partition_id bigint NOT NULL,
    "position" integer NOT NULL,
    offer_id text,
    read_at timestamp with time zone NOT NULL,
    payload json NOT NULL
)
PARTITION BY RANGE (landed_on);

CREATE TABLE public.rejected_offers (
    partition_id bigint NOT NULL,
    "position" integer NOT NULL,
    run_id uuid NOT NULL,
    feed text NOT NULL,
    offer_id text,
    reason text NOT NULL,
    detail text NOT NULL,
    read_at timestamp with time zone NOT NULL,
    payload json NOT NULL,
    rejected_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.rulesets (
    ruleset_id integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    source text NOT NULL,
    state text DEFAULT 'draft'::text NOT NULL,
    author text NOT NULL,
    imported_at timestamp with time zone DEFAULT now() NOT NULL,
    activated_at timestamp with time zone,
    retired_at timestamp with time zone,
    CONSTRAINT active_has_time CHECK (((state = 'draft'::text) = (activated_at IS NULL))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['draft'::text, 'active'::text, 'retired'::text]))),
    CONSTRAINT retired_has_time CHECK (((state = 'retired'::text) = (retired_at IS NOT NULL)))
);

ALTER TABLE public.rulesets ALTER COLUMN ruleset_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.rulesets_ruleset_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.runs (
    run_id uuid DEFAULT gen_random_uuid() NOT NULL,
    feed text NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'planning'::text NOT NULL,
    reason text,
    updated_from timestamp with time zone,
    opened_at timestamp with time zone DEFAULT now() NOT NULL,
    landed_on date DEFAULT ((now() AT TIME ZONE 'UTC'::text))::date NOT NULL,
    fetching_at timestamp with time zone,
    reconciling_at timestamp with time zone,
    finished_at timestamp with time zone,
    scan_calls integer DEFAULT 0 NOT NULL,
    counted bigint,
    landed bigint,
    offers bigint,
    rejected bigint,
    written bigint,
    delisted bigint,
    price_changes bigint,
    requests bigint,
    traceparent text,
    CONSTRAINT finished_has_time CHECK (((state = ANY (ARRAY['complete'::text, 'partial'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT incomplete_has_reason CHECK (((state = ANY (ARRAY['partial'::text, 'failed'::text, 'cancelled'::text])) = (reason IS NOT NULL))),
    CONSTRAINT incremental_has_start CHECK (((kind = 'incremental'::text) = (updated_from IS NOT NULL))),
    CONSTRAINT known_kind CHECK ((kind = ANY (ARRAY['full'::text, 'incremental'::text]))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['planning'::text, 'fetching'::text, 'reconciling'::text, 'complete'::text, 'partial'::text, 'failed'::text, 'cancelled'::text])))
);

CREATE TABLE public.work_items (
    item_id bigint NOT NULL,
    kind text NOT NULL,
    run_id uuid,
    partition_id bigint,
    state text DEFAULT 'due'::text NOT NULL,
    priority bigint DEFAULT 0 NOT NULL,
    epoch integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    attempts_max integer NOT NULL,
    owner uuid,
    lease_until timestamp with time zone,
    not_before timestamp with time zone DEFAULT now() NOT NULL,
    announced_at timestamp with time zone,
    last_error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    traceparent text,
    CONSTRAINT attempts_within CHECK ((((attempts >= 0) AND (attempts <= attempts_max)) AND (attempts <= epoch))),
    CONSTRAINT finished_has_time CHECK (((state = ANY (ARRAY['done'::text, 'dead'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT held_has_holder CHECK ((((state = 'held'::text) = (owner IS NOT NULL)) AND ((state = 'held'::text) = (lease_until IS NOT NULL)))),
    CONSTRAINT known_kind CHECK ((kind = ANY (ARRAY['plan'::text, 'fetch'::text, 'cut'::text, 'fold'::text, 'sweep'::text, 'reconcile'::text]))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['due'::text, 'held'::text, 'done'::text, 'dead'::text, 'cancelled'::text])))
);

ALTER TABLE public.work_items ALTER COLUMN item_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.work_items_item_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (dead_letter_id);

ALTER TABLE ONLY public.diamonds
    ADD CONSTRAINT diamonds_pkey PRIMARY KEY (feed, offer_id);

ALTER TABLE ONLY public.diamonds
    ADD CONSTRAINT diamonds_stone_id_key UNIQUE (stone_id);

ALTER TABLE ONLY public.feeds
    ADD CONSTRAINT feeds_pkey PRIMARY KEY (feed);

ALTER TABLE ONLY public.heatmaps
    ADD CONSTRAINT heatmaps_pkey PRIMARY KEY (heatmap_id);

ALTER TABLE ONLY public.heatmaps
    ADD CONSTRAINT heatmaps_run_id_key UNIQUE (run_id);

ALTER TABLE ONLY public.partitions
    ADD CONSTRAINT partitions_pkey PRIMARY KEY (partition_id);

ALTER TABLE ONLY public.partitions
    ADD CONSTRAINT partitions_run_id_number_key UNIQUE (run_id, number);

ALTER TABLE ONLY public.raw_offers
    ADD CONSTRAINT raw_offers_pkey PRIMARY KEY (landed_on, partition_id, "position");

ALTER TABLE ONLY public.rejected_offers
    ADD CONSTRAINT rejected_offers_pkey PRIMARY KEY (partition_id, "position");

ALTER TABLE ONLY public.rulesets
    ADD CONSTRAINT rulesets_checksum_key UNIQUE (checksum);

ALTER TABLE ONLY public.rulesets
    ADD CONSTRAINT rulesets_pkey PRIMARY KEY (ruleset_id);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.work_items
    ADD CONSTRAINT work_items_pkey PRIMARY KEY (item_id);

CREATE INDEX dead_letters_by_item ON public.dead_letters USING btree (item_id);

CREATE INDEX dead_letters_unsettled ON public.dead_letters USING btree (buried_at) WHERE (settled_at IS NULL);

CREATE INDEX diamonds_by_certificate ON public.diamonds USING btree (certificate_number);

CREATE UNIQUE INDEX one_active_ruleset ON public.rulesets USING btree ((true)) WHERE (state = 'active'::text);

CREATE UNIQUE INDEX one_item_a_partition ON public.work_items USING btree (kind, partition_id) WHERE (partition_id IS NOT NULL);

CREATE UNIQUE INDEX one_item_a_run ON public.work_items USING btree (kind, run_id) WHERE (partition_id IS NULL);

CREATE UNIQUE INDEX one_open_run_a_feed ON public.runs USING btree (feed) WHERE (finished_at IS NULL);

CREATE INDEX partitions_by_parent ON public.partitions USING btree (parent_id) WHERE (parent_id IS NOT NULL);

CREATE INDEX price_changes_by_stone ON ONLY public.price_changes USING btree (stone_id, changed_at);

CREATE INDEX rejected_offers_by_run ON public.rejected_offers USING btree (run_id);

CREATE INDEX runs_by_feed ON public.runs USING btree (feed, opened_at DESC);

CREATE INDEX work_items_due ON public.work_items USING btree (kind, priority DESC, item_id) WHERE (state = 'due'::text);

CREATE INDEX work_items_held ON public.work_items USING btree (lease_until) WHERE (state = 'held'::text);

CREATE INDEX work_items_open ON public.work_items USING btree (run_id) WHERE (finished_at IS NULL);

CREATE TRIGGER epoch_only_grows BEFORE UPDATE OF epoch ON public.work_items FOR EACH ROW WHEN ((new.epoch < old.epoch)) EXECUTE FUNCTION public.epoch_only_grows();

CREATE CONSTRAINT TRIGGER partitions_tile AFTER UPDATE OF state ON public.runs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.state = 'fetching'::text)) EXECUTE FUNCTION public.partitions_tile();

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_item_id_fkey FOREIGN KEY (item_id) REFERENCES public.work_items(item_id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_partition_id_fkey FOREIGN KEY (partition_id) REFERENCES public.partitions(partition_id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.diamonds
    ADD CONSTRAINT diamonds_ruleset_id_fkey FOREIGN KEY (ruleset_id) REFERENCES public.rulesets(ruleset_id);

ALTER TABLE ONLY public.heatmaps
    ADD CONSTRAINT heatmaps_feed_fkey FOREIGN KEY (feed) REFERENCES public.feeds(feed);

ALTER TABLE ONLY public.heatmaps
    ADD CONSTRAINT heatmaps_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.partitions
    ADD CONSTRAINT partitions_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES public.partitions(partition_id);

ALTER TABLE ONLY public.partitions
    ADD CONSTRAINT partitions_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.rejected_offers
    ADD CONSTRAINT rejected_offers_partition_id_fkey FOREIGN KEY (partition_id) REFERENCES public.partitions(partition_id);

ALTER TABLE ONLY public.rejected_offers
    ADD CONSTRAINT rejected_offers_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_feed_fkey FOREIGN KEY (feed) REFERENCES public.feeds(feed);

ALTER TABLE ONLY public.work_items
    ADD CONSTRAINT work_items_partition_id_fkey FOREIGN KEY (partition_id) REFERENCES public.partitions(partition_id);

ALTER TABLE ONLY public.work_items
    ADD CONSTRAINT work_items_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);
