-- Exchange rates, each kept for good: the latest of a pair is the present one. A ruleset's own rates
-- count where there is none.
CREATE TABLE rates (
    rate_id       int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    currency      text NOT NULL,
    shop_currency text NOT NULL,
    rate          numeric(16, 9) NOT NULL,  -- what one unit of the currency is worth in the shop's
    as_of         date NOT NULL,  -- of the source
    source        text NOT NULL,
    set_by        text NOT NULL,
    set_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT above_zero CHECK (rate > 0),
    CONSTRAINT of_another_currency CHECK (currency <> shop_currency)
);
CREATE INDEX rates_by_pair ON rates (shop_currency, currency, rate_id DESC);

-- The ruleset of an experiment's other arm; it prices beside this one.
ALTER TABLE rulesets ADD COLUMN variant_id int REFERENCES rulesets;

ALTER TABLE diamonds
    ADD COLUMN rate_id int REFERENCES rates,  -- NULL: no rate of that table was used
    ADD COLUMN previous_price_currency text,
    ADD COLUMN experiment text,  -- in which its arm was assigned
    ADD COLUMN arm text,
    ADD CONSTRAINT known_arm CHECK (arm IN ('control', 'variant')),
    ADD CONSTRAINT arm_of_an_experiment CHECK ((arm IS NULL) = (experiment IS NULL)),
    DROP CONSTRAINT known_off_sale_reason,
    ADD CONSTRAINT known_off_sale_reason CHECK (off_sale_reason IN ('delisted', 'rejected', 'refused'));
CREATE OR REPLACE VIEW catalogue AS SELECT * FROM diamonds WHERE on_sale;

-- All stones priced anew, after an activation or a change of rates, or because someone asked.
CREATE TABLE reprices (
    reprice_id  int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause       text NOT NULL,
    ruleset_id  int NOT NULL REFERENCES rulesets,  -- active when it was opened
    actor       text NOT NULL,
    reason      text NOT NULL,
    state       text NOT NULL DEFAULT 'open',
    why_ended   text,  -- why it failed or was cancelled
    opened_at   timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT known_cause CHECK (cause IN ('activation', 'rate', 'reprice')),
    CONSTRAINT known_state CHECK (state IN ('open', 'done', 'failed', 'cancelled')),
    CONSTRAINT finished_has_time CHECK ((state = 'open') = (finished_at IS NULL)),
    CONSTRAINT unfinished_has_reason CHECK ((state IN ('failed', 'cancelled')) = (why_ended IS NOT NULL))
);
CREATE UNIQUE INDEX one_open_reprice ON reprices ((true)) WHERE state = 'open';

-- A range of stones that one work item prices anew, in one transaction.
CREATE TABLE reprice_batches (
    item_id       bigint PRIMARY KEY REFERENCES work_items,
    reprice_id    int NOT NULL REFERENCES reprices,
    stone_low     bigint NOT NULL,  -- inclusive
    stone_high    bigint NOT NULL,  -- exclusive
    stones        int NOT NULL,  -- in the range when it was opened
    repriced      int,  -- written, be it only with the ruleset's stamp
    price_changes int,
    refused       int,  -- taken off sale
    returned      int,  -- back on sale
    CONSTRAINT not_empty CHECK (stone_high > stone_low AND stones > 0)
);
CREATE INDEX reprice_batches_by_reprice ON reprice_batches (reprice_id);

ALTER TABLE work_items
    DROP CONSTRAINT known_kind,
    ADD CONSTRAINT known_kind CHECK
        (kind IN ('plan', 'fetch', 'cut', 'fold', 'sweep', 'reconcile', 'reprice')),
    ADD CONSTRAINT of_a_run CHECK ((run_id IS NULL) = (kind = 'reprice'));

-- The same number in another currency is another price.
ALTER TABLE price_changes
    ADD COLUMN old_price_currency text,
    DROP CONSTRAINT changes_something,
    ADD CONSTRAINT changes_something CHECK
        (ROW(old_price_cents, old_price_currency) IS DISTINCT FROM ROW(new_price_cents, price_currency)),
    ADD COLUMN rate_id int,
    ADD COLUMN reprice_id int,  -- NULL: a fold
    DROP CONSTRAINT known_cause,
    ADD CONSTRAINT known_cause CHECK (cause IN ('feed', 'reprice', 'rate', 'activation')),
    ADD CONSTRAINT fold_or_reprice CHECK ((cause = 'feed') = (reprice_id IS NULL));
