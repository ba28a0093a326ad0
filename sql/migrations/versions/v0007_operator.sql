-- When a feed's runs start by themselves. `next_at`: the slot that is decided next, and with it all
-- between it and the present.
CREATE TABLE schedules (
    feed text NOT NULL REFERENCES feeds,
    kind text NOT NULL,
    cron text NOT NULL,
    time_zone text NOT NULL,
    missed text NOT NULL DEFAULT 'once',
    next_at timestamptz NOT NULL,
    set_by text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, kind),
    CONSTRAINT known_kind CHECK (kind IN ('full', 'incremental')),
    CONSTRAINT known_missed CHECK (missed IN ('skip', 'once', 'all'))
);

-- What became of a slot. The key is what lets any number of stewards decide. `missed`: how many
-- earlier slots it stands for. Kept when its schedule is removed.
CREATE TABLE schedule_slots (
    feed text NOT NULL,
    kind text NOT NULL,
    slot timestamptz NOT NULL,
    state text NOT NULL,
    run_id uuid REFERENCES runs,
    reason text,
    missed integer NOT NULL DEFAULT 0,
    seen_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    PRIMARY KEY (feed, kind, slot),
    CONSTRAINT known_state CHECK (state IN ('waiting', 'started', 'skipped')),
    CONSTRAINT started_has_run CHECK ((state = 'started') = (run_id IS NOT NULL)),
    CONSTRAINT unstarted_has_reason CHECK ((state = 'started') = (reason IS NULL)),
    CONSTRAINT decided_has_time CHECK ((state = 'waiting') = (decided_at IS NULL))
);
CREATE INDEX schedule_slots_waiting ON schedule_slots (feed, kind, slot) WHERE state = 'waiting';
CREATE INDEX schedule_slots_by_time ON schedule_slots (slot);
CREATE INDEX schedule_slots_by_run ON schedule_slots (run_id) WHERE run_id IS NOT NULL;

-- Who works, by what each process says of itself. Nothing is decided by it: leases are the ledger's.
CREATE TABLE processes (
    process_id uuid PRIMARY KEY,  -- new at every start
    role text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    concurrency integer NOT NULL,
    release text NOT NULL,
    owners uuid[] NOT NULL DEFAULT '{}',  -- what it and its children are called in claims, the latest last
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    drain_at timestamptz,  -- asked to finish and leave
    ended_at timestamptz,
    CONSTRAINT known_role CHECK (role IN ('steward', 'scheduler', 'worker', 'consolidator'))
);

-- What an operator set for an account at a supplier, over its settings. Stewards carry it to Redis,
-- where limiters and breakers read it.
CREATE TABLE account_orders (
    account text PRIMARY KEY,
    rate_per_s double precision,
    burst integer,
    in_flight_max integer,
    stopped_at timestamptz,  -- no call is made from then on
    stopped_until timestamptz,  -- none: until somebody says so
    stopped_reason text,
    set_by text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sound_limit CHECK (rate_per_s >= 0.1 AND burst >= 1 AND in_flight_max >= 1),
    CONSTRAINT stopped_has_reason CHECK ((stopped_at IS NULL) = (stopped_reason IS NULL)),
    CONSTRAINT until_needs_start CHECK (stopped_until IS NULL OR stopped_until > stopped_at)
);
