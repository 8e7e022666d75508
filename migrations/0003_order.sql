-- Reports take effect in the order in which their runs began, as this store counts it: a clock can be set back,
-- a count cannot. Rows of before have 0 and give way to all that follows.

CREATE TABLE run_order (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    last_seq BIGINT NOT NULL
);
INSERT INTO run_order VALUES (1, 0);

ALTER TABLE runs ADD COLUMN seq BIGINT;
ALTER TABLE reports ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE judged ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE measurements ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outputs ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE latest_samples ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
-- Of events: the report that last saw or closed it.
ALTER TABLE security_events ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE corruption_events ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
CREATE INDEX security_events_closed_by
    ON security_events (seq, namespace, bank) WHERE fixed_timestamp IS NOT NULL;
