CREATE FUNCTION severity_rank(severity text) RETURNS int
    IMMUTABLE LANGUAGE sql
    RETURN array_position(ARRAY['info', 'warning', 'error', 'critical'], severity);

-- Something that wants a person, from when it was first seen until it is over. While it lasts its key
-- (kind, feed, run, subject) has one row; when it comes again later, that is another incident.
CREATE TABLE incidents (
    incident_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,  -- docs/alerts.md has them all
    feed         text,  -- NULL: not of one feed
    run_id       uuid,  -- NULL: not of one run
    subject      text,  -- what else it is of: an account, a kind of work, a channel, a folder
    severity     text NOT NULL,
    text         text NOT NULL,  -- a sentence
    next_command text NOT NULL,
    state        text NOT NULL DEFAULT 'open',
    count        bigint NOT NULL DEFAULT 1,  -- how often it has happened
    first_at     timestamptz NOT NULL DEFAULT now(),
    last_at      timestamptz NOT NULL DEFAULT now(),  -- last seen
    acked_at     timestamptz,
    acked_by     text,
    resolved_at  timestamptz,
    news         text DEFAULT 'opened',  -- what nobody was told yet; passed: opened, and over again
    CONSTRAINT known_severity CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    CONSTRAINT known_state CHECK (state IN ('open', 'acked', 'resolved')),
    CONSTRAINT known_news CHECK (news IN ('opened', 'worse', 'resolved', 'passed')),
    CONSTRAINT resolved_has_time CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CONSTRAINT acked_has_name CHECK ((acked_at IS NULL) = (acked_by IS NULL)),
    CONSTRAINT counts_up CHECK (count > 0 AND last_at >= first_at)
);
CREATE UNIQUE INDEX one_incident_a_key ON incidents
    (kind, coalesce(feed, ''), coalesce(run_id::text, ''), coalesce(subject, '')) WHERE state <> 'resolved';
CREATE INDEX incidents_with_news ON incidents (incident_id) WHERE news IS NOT NULL;
CREATE INDEX incidents_by_time ON incidents (first_at DESC);

-- One message to one channel. What it says is written once: a second attempt says the same words.
CREATE TABLE alerts (
    alert_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id     bigint UNIQUE REFERENCES work_items ON DELETE SET NULL,  -- NULL: a test by hand
    batch       uuid NOT NULL,  -- the same for all channels that were told at once
    key         uuid NOT NULL DEFAULT gen_random_uuid(),  -- of this message, for the provider
    channel     text NOT NULL,
    kind        text NOT NULL,
    severity    text NOT NULL,
    content     jsonb NOT NULL,
    fallback_of bigint REFERENCES alerts ON DELETE SET NULL,
    state       text NOT NULL DEFAULT 'due',
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT known_kind CHECK (kind IN ('news', 'digest', 'test')),
    CONSTRAINT known_severity CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    CONSTRAINT known_state CHECK (state IN ('due', 'sent', 'failed')),
    CONSTRAINT finished_has_time CHECK ((state = 'due') = (finished_at IS NULL))
);
CREATE INDEX alerts_due ON alerts (item_id) WHERE state = 'due';
CREATE INDEX alerts_by_batch ON alerts (batch);
CREATE INDEX alerts_by_time ON alerts (created_at DESC);
CREATE INDEX alerts_by_channel ON alerts (channel, finished_at DESC) WHERE state <> 'due';

CREATE TABLE alert_incidents (
    alert_id    bigint NOT NULL REFERENCES alerts ON DELETE CASCADE,
    incident_id bigint NOT NULL REFERENCES incidents ON DELETE CASCADE,
    news        text NOT NULL,
    PRIMARY KEY (alert_id, incident_id)
);
CREATE INDEX alert_incidents_by_incident ON alert_incidents (incident_id);

-- One attempt to send one alert. Written before the attempt, so that one that was cut off is seen.
CREATE TABLE deliveries (
    alert_id    bigint NOT NULL REFERENCES alerts ON DELETE CASCADE,
    epoch       int NOT NULL,  -- of the claim
    channel     text NOT NULL,
    outcome     text NOT NULL DEFAULT 'unknown',  -- unknown: its sender was cut off, or is at it
    provider_id text,
    answer      text,  -- the provider's, shortened, without secrets
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    PRIMARY KEY (alert_id, epoch),
    CONSTRAINT known_outcome CHECK (outcome IN ('unknown', 'sent', 'again', 'refused')),
    CONSTRAINT ended_has_outcome CHECK ((outcome = 'unknown') = (ended_at IS NULL))
);

-- What the watch remembers from one look to the next; one row.
CREATE TABLE watch_marks (
    the_one      boolean PRIMARY KEY DEFAULT true,
    looked_at    timestamptz NOT NULL DEFAULT now(),
    stopped      boolean NOT NULL DEFAULT false,  -- the last steward said that it stops
    silent_from  timestamptz,  -- the latest time in which nobody looked
    silent_until timestamptz,
    CONSTRAINT one_row CHECK (the_one),
    CONSTRAINT silent_span CHECK ((silent_from IS NULL) = (silent_until IS NULL))
);

-- Kinds of work that are due long since while nobody holds any, look for look.
CREATE TABLE unclaimed_kinds (
    kind    text PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- The breakers as last read in Redis, which forgets.
CREATE TABLE breakers (
    account   text PRIMARY KEY,
    state     text NOT NULL,
    openings  bigint NOT NULL,  -- as Redis counts them, since it was last emptied
    opened    bigint NOT NULL,  -- so often it has opened in all
    lately    bigint NOT NULL,  -- of that, since it was read before
    opened_at timestamptz,
    seen_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT known_state CHECK (state IN ('closed', 'open', 'half-open'))
);

-- Leases that ran out, by the minute.
CREATE TABLE lapsed_leases (
    minute timestamptz NOT NULL,
    kind   text NOT NULL,
    items  int NOT NULL,
    PRIMARY KEY (minute, kind)
);

-- How much prices moved in a run, measured once it has ended.
CREATE TABLE price_moves (
    run_id      uuid PRIMARY KEY,
    feed        text NOT NULL,
    offers      bigint NOT NULL,
    changed     bigint NOT NULL,  -- had another price before
    jumped      bigint NOT NULL,  -- by more than the bound that was set then
    jump        double precision NOT NULL,  -- that bound, as a share of the price before
    measured_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT jumped_is_changed CHECK (jumped <= changed)
);
CREATE INDEX price_moves_by_feed ON price_moves (feed, measured_at DESC);

-- Runs that want a person, and the complete ones that put an end to that.
CREATE INDEX runs_troubled ON runs (feed, opened_at DESC) WHERE state IN ('failed', 'partial');
CREATE INDEX runs_complete ON runs (feed, opened_at DESC) WHERE state = 'complete';

ALTER TABLE work_items
    DROP CONSTRAINT known_kind,
    ADD CONSTRAINT known_kind CHECK
        (kind IN ('plan', 'fetch', 'cut', 'fold', 'sweep', 'reconcile', 'reprice', 'alert')),
    DROP CONSTRAINT of_a_run,
    ADD CONSTRAINT of_a_run CHECK ((run_id IS NULL) = (kind IN ('reprice', 'alert')));
