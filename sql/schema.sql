-- What the migrations lead to; `make schema` writes it, a test compares.
-- Read it for what is always true. Change it by a migration.

CREATE FUNCTION public.drop_price_changes(month date) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '$user', 'public'
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

CREATE FUNCTION public.drop_raw_offers(day date, expected bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '$user', 'public'
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

CREATE FUNCTION public.epoch_only_grows() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'work item %: epoch would fall from % to %', OLD.item_id, OLD.epoch, NEW.epoch
        USING ERRCODE = 'check_violation', CONSTRAINT = 'epoch_only_grows';
END $$;

CREATE FUNCTION public.make_room(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
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

CREATE FUNCTION public.severity_rank(severity text) RETURNS integer
    LANGUAGE sql IMMUTABLE
    RETURN array_position(ARRAY['info'::text, 'warning'::text, 'error'::text, 'critical'::text], severity);

CREATE FUNCTION public.table_sums() RETURNS TABLE(name text, rows bigint, checksum text)
    LANGUAGE plpgsql STABLE
    SET search_path TO '$user', 'public'
    SET "TimeZone" TO 'UTC'
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

CREATE FUNCTION public.work_payload(wanted bigint) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE TABLE public.account_orders (
    account text NOT NULL,
    rate_per_s double precision,
    burst integer,
    in_flight_max integer,
    stopped_at timestamp with time zone,
    stopped_until timestamp with time zone,
    stopped_reason text,
    set_by text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sound_limit CHECK (((rate_per_s >= (0.1)::double precision) AND (burst >= 1) AND (in_flight_max >= 1))),
    CONSTRAINT stopped_has_reason CHECK (((stopped_at IS NULL) = (stopped_reason IS NULL))),
    CONSTRAINT until_needs_start CHECK (((stopped_until IS NULL) OR (stopped_until > stopped_at)))
);

CREATE TABLE public.alert_incidents (
    alert_id bigint NOT NULL,
    incident_id bigint NOT NULL,
    news text NOT NULL
);

CREATE TABLE public.alerts (
    alert_id bigint NOT NULL,
    item_id bigint,
    batch uuid NOT NULL,
    key uuid DEFAULT gen_random_uuid() NOT NULL,
    channel text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL,
    content jsonb NOT NULL,
    fallback_of bigint,
    state text DEFAULT 'due'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT finished_has_time CHECK (((state = 'due'::text) = (finished_at IS NULL))),
    CONSTRAINT known_kind CHECK ((kind = ANY (ARRAY['news'::text, 'digest'::text, 'test'::text]))),
    CONSTRAINT known_severity CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'error'::text, 'critical'::text]))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['due'::text, 'sent'::text, 'failed'::text])))
);

ALTER TABLE public.alerts ALTER COLUMN alert_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.alerts_alert_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.archives (
    day date NOT NULL,
    url text NOT NULL,
    files integer NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    verified_at timestamp with time zone DEFAULT now() NOT NULL
);

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

CREATE TABLE public.breakers (
    account text NOT NULL,
    state text NOT NULL,
    openings bigint NOT NULL,
    opened bigint NOT NULL,
    lately bigint NOT NULL,
    opened_at timestamp with time zone,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['closed'::text, 'open'::text, 'half-open'::text])))
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
    rate_id integer,
    previous_price_currency text,
    experiment text,
    arm text,
    CONSTRAINT arm_of_an_experiment CHECK (((arm IS NULL) = (experiment IS NULL))),
    CONSTRAINT known_arm CHECK ((arm = ANY (ARRAY['control'::text, 'variant'::text]))),
    CONSTRAINT known_kind CHECK ((kind = ANY (ARRAY['natural'::text, 'labgrown'::text]))),
    CONSTRAINT known_off_sale_reason CHECK ((off_sale_reason = ANY (ARRAY['delisted'::text, 'rejected'::text, 'refused'::text]))),
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
    missed_runs,
    rate_id,
    previous_price_currency,
    experiment,
    arm
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
    payload jsonb,
    digest bytea,
    CONSTRAINT known_reason CHECK ((reason = ANY (ARRAY['permanent'::text, 'attempts'::text, 'worker_lost'::text, 'bug'::text, 'bad_message'::text, 'unknown_task'::text]))),
    CONSTRAINT known_settlement CHECK ((settled_how = ANY (ARRAY['replayed'::text, 'discarded'::text]))),
    CONSTRAINT message_has_digest CHECK (((message IS NULL) = (digest IS NULL))),
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

CREATE TABLE public.deliveries (
    alert_id bigint NOT NULL,
    epoch integer NOT NULL,
    channel text NOT NULL,
    outcome text DEFAULT 'unknown'::text NOT NULL,
    provider_id text,
    answer text,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT ended_has_outcome CHECK (((outcome = 'unknown'::text) = (ended_at IS NULL))),
    CONSTRAINT known_outcome CHECK ((outcome = ANY (ARRAY['unknown'::text, 'sent'::text, 'again'::text, 'refused'::text])))
);

ALTER TABLE public.diamonds ALTER COLUMN stone_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.diamonds_stone_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.feed_checks (
    check_id bigint NOT NULL,
    feed text NOT NULL,
    run_id uuid,
    checked_at timestamp with time zone DEFAULT now() NOT NULL,
    verdict text NOT NULL,
    findings jsonb NOT NULL,
    mapping_version integer NOT NULL,
    requests integer NOT NULL,
    CONSTRAINT known_verdict CHECK ((verdict = ANY (ARRAY['compatible'::text, 'degraded'::text, 'incompatible'::text])))
);

ALTER TABLE public.feed_checks ALTER COLUMN check_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.feed_checks_check_id_seq
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

CREATE TABLE public.incidents (
    incident_id bigint NOT NULL,
    kind text NOT NULL,
    feed text,
    run_id uuid,
    subject text,
    severity text NOT NULL,
    text text NOT NULL,
    next_command text NOT NULL,
    state text DEFAULT 'open'::text NOT NULL,
    count bigint DEFAULT 1 NOT NULL,
    first_at timestamp with time zone DEFAULT now() NOT NULL,
    last_at timestamp with time zone DEFAULT now() NOT NULL,
    acked_at timestamp with time zone,
    acked_by text,
    resolved_at timestamp with time zone,
    news text DEFAULT 'opened'::text,
    CONSTRAINT acked_has_name CHECK (((acked_at IS NULL) = (acked_by IS NULL))),
    CONSTRAINT counts_up CHECK (((count > 0) AND (last_at >= first_at))),
    CONSTRAINT known_news CHECK ((news = ANY (ARRAY['opened'::text, 'worse'::text, 'resolved'::text, 'passed'::text]))),
    CONSTRAINT known_severity CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'error'::text, 'critical'::text]))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['open'::text, 'acked'::text, 'resolved'::text]))),
    CONSTRAINT resolved_has_time CHECK (((state = 'resolved'::text) = (resolved_at IS NOT NULL)))
);

ALTER TABLE public.incidents ALTER COLUMN incident_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.incidents_incident_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.lapsed_leases (
    minute timestamp with time zone NOT NULL,
    kind text NOT NULL,
    items integer NOT NULL
);

CREATE TABLE public.leaders (
    name text NOT NULL,
    owner uuid NOT NULL,
    epoch bigint DEFAULT 1 NOT NULL,
    led_since timestamp with time zone DEFAULT now() NOT NULL,
    lease_until timestamp with time zone NOT NULL
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
    recounted bigint,
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
    old_price_currency text,
    rate_id integer,
    reprice_id integer,
    CONSTRAINT changes_something CHECK (((old_price_cents IS DISTINCT FROM new_price_cents) OR (old_price_currency IS DISTINCT FROM price_currency))),
    CONSTRAINT fold_or_reprice CHECK (((cause = 'feed'::text) = (reprice_id IS NULL))),
    CONSTRAINT known_cause CHECK ((cause = ANY (ARRAY['feed'::text, 'reprice'::text, 'rate'::text, 'activation'::text])))
)
PARTITION BY RANGE (changed_at);

CREATE TABLE public.price_moves (
    run_id uuid NOT NULL,
    feed text NOT NULL,
    offers bigint NOT NULL,
    changed bigint NOT NULL,
    jumped bigint NOT NULL,
    jump double precision NOT NULL,
    measured_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT jumped_is_changed CHECK ((jumped <= changed))
);

CREATE TABLE public.processes (
    process_id uuid NOT NULL,
    role text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    concurrency integer NOT NULL,
    release text NOT NULL,
    owners uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    drain_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT known_role CHECK ((role = ANY (ARRAY['steward'::text, 'scheduler'::text, 'worker'::text, 'consolidator'::text])))
);

CREATE TABLE public.rates (
    rate_id integer NOT NULL,
    currency text NOT NULL,
    shop_currency text NOT NULL,
    rate numeric(16,9) NOT NULL,
    as_of date NOT NULL,
    source text NOT NULL,
    set_by text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT above_zero CHECK ((rate > (0)::numeric)),
    CONSTRAINT of_another_currency CHECK ((currency <> shop_currency))
);

ALTER TABLE public.rates ALTER COLUMN rate_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.rates_rate_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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

CREATE TABLE public.reprice_batches (
    item_id bigint NOT NULL,
    reprice_id integer NOT NULL,
    stone_low bigint NOT NULL,
    stone_high bigint NOT NULL,
    stones integer NOT NULL,
    repriced integer,
    price_changes integer,
    refused integer,
    returned integer,
    CONSTRAINT not_empty CHECK (((stone_high > stone_low) AND (stones > 0)))
);

CREATE TABLE public.reprices (
    reprice_id integer NOT NULL,
    cause text NOT NULL,
    ruleset_id integer NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    state text DEFAULT 'open'::text NOT NULL,
    why_ended text,
    opened_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    measured_at timestamp with time zone,
    measured_stones bigint,
    changed_stones bigint,
    jumped_stones bigint,
    jump double precision,
    CONSTRAINT finished_has_time CHECK (((state = 'open'::text) = (finished_at IS NULL))),
    CONSTRAINT jumped_is_changed CHECK ((jumped_stones <= changed_stones)),
    CONSTRAINT known_cause CHECK ((cause = ANY (ARRAY['activation'::text, 'rate'::text, 'reprice'::text]))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['open'::text, 'done'::text, 'failed'::text, 'cancelled'::text]))),
    CONSTRAINT measured_whole CHECK ((num_nulls(measured_at, measured_stones, changed_stones, jumped_stones, jump) = ANY (ARRAY[0, 5]))),
    CONSTRAINT unfinished_has_reason CHECK (((state = ANY (ARRAY['failed'::text, 'cancelled'::text])) = (why_ended IS NOT NULL)))
);

ALTER TABLE public.reprices ALTER COLUMN reprice_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.reprices_reprice_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.retentions (
    retention_id bigint NOT NULL,
    slot date,
    began_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    removed jsonb,
    sizes jsonb,
    error text
);

ALTER TABLE public.retentions ALTER COLUMN retention_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.retentions_retention_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
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
    variant_id integer,
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
    recounted bigint,
    replayed_at timestamp with time zone,
    note text,
    pruned_at timestamp with time zone,
    CONSTRAINT complete_takes_no_replay CHECK (((replayed_at IS NULL) OR (state <> ALL (ARRAY['complete'::text, 'cancelled'::text])))),
    CONSTRAINT finished_has_time CHECK (((state = ANY (ARRAY['complete'::text, 'partial'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT incomplete_has_reason CHECK (((state = ANY (ARRAY['partial'::text, 'failed'::text, 'cancelled'::text])) = (reason IS NOT NULL))),
    CONSTRAINT incremental_has_start CHECK (((kind = 'incremental'::text) = (updated_from IS NOT NULL))),
    CONSTRAINT known_kind CHECK ((kind = ANY (ARRAY['full'::text, 'incremental'::text]))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['planning'::text, 'fetching'::text, 'reconciling'::text, 'complete'::text, 'partial'::text, 'failed'::text, 'cancelled'::text])))
);

CREATE TABLE public.schedule_slots (
    feed text NOT NULL,
    kind text NOT NULL,
    slot timestamp with time zone NOT NULL,
    state text NOT NULL,
    run_id uuid,
    reason text,
    missed integer DEFAULT 0 NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    decided_at timestamp with time zone,
    CONSTRAINT decided_has_time CHECK (((state = 'waiting'::text) = (decided_at IS NULL))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['waiting'::text, 'started'::text, 'skipped'::text]))),
    CONSTRAINT started_has_run CHECK (((state = 'started'::text) = (run_id IS NOT NULL))),
    CONSTRAINT unstarted_has_reason CHECK (((state = 'started'::text) = (reason IS NULL)))
);

CREATE TABLE public.schedules (
    feed text NOT NULL,
    kind text NOT NULL,
    cron text NOT NULL,
    time_zone text NOT NULL,
    missed text DEFAULT 'once'::text NOT NULL,
    next_at timestamp with time zone NOT NULL,
    set_by text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT known_kind CHECK ((kind = ANY (ARRAY['full'::text, 'incremental'::text]))),
    CONSTRAINT known_missed CHECK ((missed = ANY (ARRAY['skip'::text, 'once'::text, 'all'::text])))
);

CREATE TABLE public.schema_serves (
    one boolean DEFAULT true NOT NULL,
    oldest text NOT NULL,
    CONSTRAINT one_row CHECK (one)
);

CREATE TABLE public.snapshots (
    run_id uuid NOT NULL,
    name text,
    checksum text,
    size_bytes bigint,
    taken_at timestamp with time zone,
    offers bigint,
    same_as uuid,
    CONSTRAINT landed_after_taken CHECK (((offers IS NULL) OR (checksum IS NOT NULL))),
    CONSTRAINT taken_whole CHECK ((((checksum IS NULL) = (name IS NULL)) AND ((checksum IS NULL) = (size_bytes IS NULL)) AND ((checksum IS NULL) = (taken_at IS NULL))))
);

CREATE VIEW public.spent_runs AS
 SELECT r.run_id,
    r.feed,
    r.landed_on,
    r.opened_at,
    r.finished_at,
    r.pruned_at
   FROM (public.runs r
     JOIN ( SELECT runs.feed,
            COALESCE(max(runs.opened_at) FILTER (WHERE ((runs.state = 'complete'::text) AND (runs.kind = 'full'::text))), max(runs.opened_at)) AS needed_from
           FROM public.runs
          GROUP BY runs.feed) f USING (feed))
  WHERE ((r.finished_at IS NOT NULL) AND (r.opened_at < f.needed_from));

CREATE TABLE public.unclaimed_kinds (
    kind text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.watch_marks (
    the_one boolean DEFAULT true NOT NULL,
    looked_at timestamp with time zone DEFAULT now() NOT NULL,
    stopped boolean DEFAULT false NOT NULL,
    silent_from timestamp with time zone,
    silent_until timestamp with time zone,
    CONSTRAINT one_row CHECK (the_one),
    CONSTRAINT silent_span CHECK (((silent_from IS NULL) = (silent_until IS NULL)))
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
    first_failed_at timestamp with time zone,
    CONSTRAINT attempts_within CHECK ((((attempts >= 0) AND (attempts <= attempts_max)) AND (attempts <= epoch))),
    CONSTRAINT finished_has_time CHECK (((state = ANY (ARRAY['done'::text, 'dead'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT held_has_holder CHECK ((((state = 'held'::text) = (owner IS NOT NULL)) AND ((state = 'held'::text) = (lease_until IS NOT NULL)))),
    CONSTRAINT known_kind CHECK ((kind = ANY (ARRAY['plan'::text, 'fetch'::text, 'cut'::text, 'fold'::text, 'sweep'::text, 'reconcile'::text, 'reprice'::text, 'alert'::text]))),
    CONSTRAINT known_state CHECK ((state = ANY (ARRAY['due'::text, 'held'::text, 'done'::text, 'dead'::text, 'cancelled'::text]))),
    CONSTRAINT of_a_run CHECK (((run_id IS NULL) = (kind = ANY (ARRAY['reprice'::text, 'alert'::text]))))
);

ALTER TABLE public.work_items ALTER COLUMN item_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.work_items_item_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.account_orders
    ADD CONSTRAINT account_orders_pkey PRIMARY KEY (account);

ALTER TABLE ONLY public.alert_incidents
    ADD CONSTRAINT alert_incidents_pkey PRIMARY KEY (alert_id, incident_id);

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_item_id_key UNIQUE (item_id);

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (alert_id);

ALTER TABLE ONLY public.archives
    ADD CONSTRAINT archives_pkey PRIMARY KEY (day);

ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.breakers
    ADD CONSTRAINT breakers_pkey PRIMARY KEY (account);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (dead_letter_id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (alert_id, epoch);

ALTER TABLE ONLY public.diamonds
    ADD CONSTRAINT diamonds_pkey PRIMARY KEY (feed, offer_id);

ALTER TABLE ONLY public.diamonds
    ADD CONSTRAINT diamonds_stone_id_key UNIQUE (stone_id);

ALTER TABLE ONLY public.feed_checks
    ADD CONSTRAINT feed_checks_pkey PRIMARY KEY (check_id);

ALTER TABLE ONLY public.feeds
    ADD CONSTRAINT feeds_pkey PRIMARY KEY (feed);

ALTER TABLE ONLY public.heatmaps
    ADD CONSTRAINT heatmaps_pkey PRIMARY KEY (heatmap_id);

ALTER TABLE ONLY public.heatmaps
    ADD CONSTRAINT heatmaps_run_id_key UNIQUE (run_id);

ALTER TABLE ONLY public.incidents
    ADD CONSTRAINT incidents_pkey PRIMARY KEY (incident_id);

ALTER TABLE ONLY public.lapsed_leases
    ADD CONSTRAINT lapsed_leases_pkey PRIMARY KEY (minute, kind);

ALTER TABLE ONLY public.leaders
    ADD CONSTRAINT leaders_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.feed_checks
    ADD CONSTRAINT one_check_a_run UNIQUE (run_id);

ALTER TABLE ONLY public.partitions
    ADD CONSTRAINT partitions_pkey PRIMARY KEY (partition_id);

ALTER TABLE ONLY public.partitions
    ADD CONSTRAINT partitions_run_id_number_key UNIQUE (run_id, number);

ALTER TABLE ONLY public.price_moves
    ADD CONSTRAINT price_moves_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.processes
    ADD CONSTRAINT processes_pkey PRIMARY KEY (process_id);

ALTER TABLE ONLY public.rates
    ADD CONSTRAINT rates_pkey PRIMARY KEY (rate_id);

ALTER TABLE ONLY public.raw_offers
    ADD CONSTRAINT raw_offers_pkey PRIMARY KEY (landed_on, partition_id, "position");

ALTER TABLE ONLY public.rejected_offers
    ADD CONSTRAINT rejected_offers_pkey PRIMARY KEY (partition_id, "position");

ALTER TABLE ONLY public.reprice_batches
    ADD CONSTRAINT reprice_batches_pkey PRIMARY KEY (item_id);

ALTER TABLE ONLY public.reprices
    ADD CONSTRAINT reprices_pkey PRIMARY KEY (reprice_id);

ALTER TABLE ONLY public.retentions
    ADD CONSTRAINT retentions_pkey PRIMARY KEY (retention_id);

ALTER TABLE ONLY public.retentions
    ADD CONSTRAINT retentions_slot_key UNIQUE (slot);

ALTER TABLE ONLY public.rulesets
    ADD CONSTRAINT rulesets_checksum_key UNIQUE (checksum);

ALTER TABLE ONLY public.rulesets
    ADD CONSTRAINT rulesets_pkey PRIMARY KEY (ruleset_id);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.schedule_slots
    ADD CONSTRAINT schedule_slots_pkey PRIMARY KEY (feed, kind, slot);

ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (feed, kind);

ALTER TABLE ONLY public.schema_serves
    ADD CONSTRAINT schema_serves_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.unclaimed_kinds
    ADD CONSTRAINT unclaimed_kinds_pkey PRIMARY KEY (kind);

ALTER TABLE ONLY public.watch_marks
    ADD CONSTRAINT watch_marks_pkey PRIMARY KEY (the_one);

ALTER TABLE ONLY public.work_items
    ADD CONSTRAINT work_items_pkey PRIMARY KEY (item_id);

CREATE INDEX alert_incidents_by_incident ON public.alert_incidents USING btree (incident_id);

CREATE INDEX alerts_by_batch ON public.alerts USING btree (batch);

CREATE INDEX alerts_by_channel ON public.alerts USING btree (channel, finished_at DESC) WHERE (state <> 'due'::text);

CREATE INDEX alerts_by_time ON public.alerts USING btree (created_at DESC);

CREATE INDEX alerts_due ON public.alerts USING btree (item_id) WHERE (state = 'due'::text);

CREATE INDEX dead_letters_by_item ON public.dead_letters USING btree (item_id);

CREATE INDEX dead_letters_by_partition ON public.dead_letters USING btree (partition_id) WHERE (partition_id IS NOT NULL);

CREATE INDEX dead_letters_by_run ON public.dead_letters USING btree (run_id);

CREATE INDEX dead_letters_unsettled ON public.dead_letters USING btree (buried_at) WHERE (settled_at IS NULL);

CREATE INDEX diamonds_by_certificate ON public.diamonds USING btree (certificate_number);

CREATE INDEX feed_checks_by_feed ON public.feed_checks USING btree (feed, checked_at DESC);

CREATE INDEX incidents_by_time ON public.incidents USING btree (first_at DESC);

CREATE INDEX incidents_with_news ON public.incidents USING btree (incident_id) WHERE (news IS NOT NULL);

CREATE UNIQUE INDEX one_active_ruleset ON public.rulesets USING btree ((true)) WHERE (state = 'active'::text);

CREATE UNIQUE INDEX one_incident_a_key ON public.incidents USING btree (kind, COALESCE(feed, ''::text), COALESCE((run_id)::text, ''::text), COALESCE(subject, ''::text)) WHERE (state <> 'resolved'::text);

CREATE UNIQUE INDEX one_item_a_partition ON public.work_items USING btree (partition_id, kind) WHERE (partition_id IS NOT NULL);

CREATE UNIQUE INDEX one_item_a_run ON public.work_items USING btree (kind, run_id) WHERE (partition_id IS NULL);

CREATE UNIQUE INDEX one_open_letter_a_message ON public.dead_letters USING btree (digest) WHERE (settled_at IS NULL);

CREATE UNIQUE INDEX one_open_letter_an_item ON public.dead_letters USING btree (item_id) WHERE (settled_at IS NULL);

CREATE UNIQUE INDEX one_open_reprice ON public.reprices USING btree ((true)) WHERE (state = 'open'::text);

CREATE UNIQUE INDEX one_open_run_a_feed ON public.runs USING btree (feed) WHERE (finished_at IS NULL);

CREATE INDEX partitions_by_parent ON public.partitions USING btree (parent_id) WHERE (parent_id IS NOT NULL);

CREATE INDEX price_changes_by_stone ON ONLY public.price_changes USING btree (stone_id, changed_at);

CREATE INDEX price_moves_by_feed ON public.price_moves USING btree (feed, measured_at DESC);

CREATE INDEX rates_by_pair ON public.rates USING btree (shop_currency, currency, rate_id DESC);

CREATE INDEX rejected_offers_by_run ON public.rejected_offers USING btree (run_id);

CREATE INDEX reprice_batches_by_reprice ON public.reprice_batches USING btree (reprice_id);

CREATE INDEX runs_by_feed ON public.runs USING btree (feed, opened_at DESC);

CREATE INDEX runs_complete ON public.runs USING btree (feed, opened_at DESC) WHERE (state = 'complete'::text);

CREATE INDEX runs_replayed ON public.runs USING btree (run_id) WHERE (replayed_at IS NOT NULL);

CREATE INDEX runs_troubled ON public.runs USING btree (feed, opened_at DESC) WHERE (state = ANY (ARRAY['failed'::text, 'partial'::text]));

CREATE INDEX runs_unpruned ON public.runs USING btree (finished_at) WHERE ((pruned_at IS NULL) AND (finished_at IS NOT NULL));

CREATE INDEX schedule_slots_by_run ON public.schedule_slots USING btree (run_id) WHERE (run_id IS NOT NULL);

CREATE INDEX schedule_slots_by_time ON public.schedule_slots USING btree (slot);

CREATE INDEX schedule_slots_waiting ON public.schedule_slots USING btree (feed, kind, slot) WHERE (state = 'waiting'::text);

CREATE INDEX work_items_by_run ON public.work_items USING btree (run_id);

CREATE INDEX work_items_due ON public.work_items USING btree (kind, priority DESC, item_id) WHERE (state = 'due'::text);

CREATE INDEX work_items_held ON public.work_items USING btree (lease_until) WHERE (state = 'held'::text);

CREATE INDEX work_items_open ON public.work_items USING btree (run_id) WHERE (finished_at IS NULL);

CREATE TRIGGER epoch_only_grows BEFORE UPDATE OF epoch ON public.work_items FOR EACH ROW WHEN ((new.epoch < old.epoch)) EXECUTE FUNCTION public.epoch_only_grows();

CREATE CONSTRAINT TRIGGER partitions_tile AFTER UPDATE OF state ON public.runs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.state = 'fetching'::text)) EXECUTE FUNCTION public.partitions_tile();

ALTER TABLE ONLY public.alert_incidents
    ADD CONSTRAINT alert_incidents_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES public.alerts(alert_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.alert_incidents
    ADD CONSTRAINT alert_incidents_incident_id_fkey FOREIGN KEY (incident_id) REFERENCES public.incidents(incident_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_fallback_of_fkey FOREIGN KEY (fallback_of) REFERENCES public.alerts(alert_id) ON DELETE SET NULL;

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_item_id_fkey FOREIGN KEY (item_id) REFERENCES public.work_items(item_id) ON DELETE SET NULL;

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_item_id_fkey FOREIGN KEY (item_id) REFERENCES public.work_items(item_id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_partition_id_fkey FOREIGN KEY (partition_id) REFERENCES public.partitions(partition_id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES public.alerts(alert_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.diamonds
    ADD CONSTRAINT diamonds_rate_id_fkey FOREIGN KEY (rate_id) REFERENCES public.rates(rate_id);

ALTER TABLE ONLY public.diamonds
    ADD CONSTRAINT diamonds_ruleset_id_fkey FOREIGN KEY (ruleset_id) REFERENCES public.rulesets(ruleset_id);

ALTER TABLE ONLY public.feed_checks
    ADD CONSTRAINT feed_checks_feed_fkey FOREIGN KEY (feed) REFERENCES public.feeds(feed);

ALTER TABLE ONLY public.feed_checks
    ADD CONSTRAINT feed_checks_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

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

ALTER TABLE ONLY public.reprice_batches
    ADD CONSTRAINT reprice_batches_item_id_fkey FOREIGN KEY (item_id) REFERENCES public.work_items(item_id);

ALTER TABLE ONLY public.reprice_batches
    ADD CONSTRAINT reprice_batches_reprice_id_fkey FOREIGN KEY (reprice_id) REFERENCES public.reprices(reprice_id);

ALTER TABLE ONLY public.reprices
    ADD CONSTRAINT reprices_ruleset_id_fkey FOREIGN KEY (ruleset_id) REFERENCES public.rulesets(ruleset_id);

ALTER TABLE ONLY public.rulesets
    ADD CONSTRAINT rulesets_variant_id_fkey FOREIGN KEY (variant_id) REFERENCES public.rulesets(ruleset_id);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_feed_fkey FOREIGN KEY (feed) REFERENCES public.feeds(feed);

ALTER TABLE ONLY public.schedule_slots
    ADD CONSTRAINT schedule_slots_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_feed_fkey FOREIGN KEY (feed) REFERENCES public.feeds(feed);

ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT snapshots_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT snapshots_same_as_fkey FOREIGN KEY (same_as) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.work_items
    ADD CONSTRAINT work_items_partition_id_fkey FOREIGN KEY (partition_id) REFERENCES public.partitions(partition_id);

ALTER TABLE ONLY public.work_items
    ADD CONSTRAINT work_items_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);
