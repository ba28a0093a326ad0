-- How much prices moved in a reprice, measured once it has ended, and again where it ended again.
ALTER TABLE reprices
    ADD COLUMN measured_at     timestamptz,
    ADD COLUMN measured_stones bigint,  -- those that it came to, also where it was cancelled
    ADD COLUMN changed_stones  bigint,  -- have another price
    ADD COLUMN jumped_stones   bigint,  -- by more than the bound that was set then
    ADD COLUMN jump            double precision,  -- that bound, as a share of the price before
    ADD CONSTRAINT measured_whole
        CHECK (num_nulls(measured_at, measured_stones, changed_stones, jumped_stones, jump) IN (0, 5)),
    ADD CONSTRAINT jumped_is_changed CHECK (jumped_stones <= changed_stones);
