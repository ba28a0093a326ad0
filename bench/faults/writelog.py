"""A log of writes that triggers keep in the campaign's own database: who was the holder at each.

`faults.item_log` has every change of a work item, `faults.page_log` every page that landed with
the state and epoch that its fetch item had at that moment.
"""

WRITE_LOG = """
CREATE SCHEMA faults;

CREATE TABLE faults.item_log (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id bigint, kind text, old_state text, new_state text, old_epoch int, new_epoch int,
    at timestamptz DEFAULT clock_timestamp()
);

CREATE TABLE faults.page_log (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition_id bigint, old_landed bigint, new_landed bigint, old_offset int, new_offset int,
    state text, epoch int, at timestamptz DEFAULT clock_timestamp()
);

CREATE FUNCTION faults.log_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults.item_log (item_id, kind, old_state, new_state, old_epoch, new_epoch)
    VALUES (NEW.item_id, NEW.kind, OLD.state, NEW.state, OLD.epoch, NEW.epoch);
    RETURN NULL;
END $$;

CREATE TRIGGER log_item AFTER UPDATE ON work_items
   FOR EACH ROW WHEN (OLD.state <> NEW.state OR OLD.epoch <> NEW.epoch)
EXECUTE FUNCTION faults.log_item();

CREATE FUNCTION faults.log_page() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults.page_log (partition_id, old_landed, new_landed, old_offset, new_offset,
                                 state, epoch)
    SELECT NEW.partition_id, OLD.landed, NEW.landed, OLD.next_offset, NEW.next_offset,
           w.state, w.epoch
      FROM work_items AS w
     WHERE w.partition_id = NEW.partition_id AND w.kind = 'fetch';
    RETURN NULL;
END $$;

CREATE TRIGGER log_page AFTER UPDATE ON partitions
   FOR EACH ROW WHEN (OLD.landed <> NEW.landed OR OLD.next_offset <> NEW.next_offset)
EXECUTE FUNCTION faults.log_page();
"""
