-- What was found, and who did what. Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE security_events (
    event_id TEXT PRIMARY KEY,
    timestamp BIGINT NOT NULL,
    event_type TEXT NOT NULL,
    severity TEXT NOT NULL,
    description TEXT NOT NULL,
    source_component TEXT NOT NULL,
    metadata TEXT NOT NULL,
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    check_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL,
    last_seen_timestamp BIGINT NOT NULL,
    fixed_timestamp BIGINT
);
CREATE UNIQUE INDEX security_events_open
    ON security_events (namespace, bank, check_id, source_component, fingerprint) WHERE fixed_timestamp IS NULL;
CREATE INDEX security_events_fixed
    ON security_events (fixed_timestamp, namespace, bank) WHERE fixed_timestamp IS NOT NULL;
CREATE INDEX security_events_timestamp ON security_events (timestamp);

CREATE TABLE corruption_events (
    corruption_id TEXT PRIMARY KEY,
    detected_timestamp BIGINT NOT NULL,
    affected_component TEXT NOT NULL,
    corruption_type TEXT NOT NULL,
    recovery_action TEXT,
    recovery_success BIGINT,
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    check_id TEXT NOT NULL,
    invariant TEXT,
    severity TEXT NOT NULL,
    object TEXT NOT NULL,
    item_count BIGINT NOT NULL,
    evidence TEXT NOT NULL,
    advice TEXT NOT NULL,
    event_key TEXT NOT NULL,
    last_seen_timestamp BIGINT NOT NULL,
    resolved_timestamp BIGINT
);
CREATE UNIQUE INDEX corruption_events_open
    ON corruption_events (namespace, bank, event_key) WHERE resolved_timestamp IS NULL;
CREATE INDEX corruption_events_resolved
    ON corruption_events (resolved_timestamp) WHERE resolved_timestamp IS NOT NULL;
CREATE INDEX corruption_events_detected ON corruption_events (detected_timestamp);
CREATE INDEX corruption_events_bank ON corruption_events (namespace, bank, detected_timestamp);

CREATE TABLE predictive_alerts (
    prediction_id TEXT PRIMARY KEY,
    prediction_timestamp BIGINT NOT NULL,
    predicted_event TEXT NOT NULL,
    confidence_score DOUBLE PRECISION NOT NULL CHECK (confidence_score BETWEEN 0 AND 1),
    time_to_event BIGINT NOT NULL,
    mitigation_suggested TEXT NOT NULL,
    actual_outcome BIGINT,
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    model_version TEXT NOT NULL,
    horizon BIGINT NOT NULL,
    outcome_timestamp BIGINT
);
CREATE INDEX predictive_alerts_bank ON predictive_alerts (namespace, bank, prediction_timestamp);

CREATE TABLE samples (
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    metric TEXT NOT NULL,
    timestamp BIGINT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (namespace, bank, metric, timestamp)
);
CREATE INDEX samples_timestamp ON samples (timestamp);

-- One row per deed; its hash is over the previous row's hash and its own content (docs/store.md).
CREATE TABLE enhanced_audit_log (
    seq BIGINT PRIMARY KEY,
    timestamp BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX enhanced_audit_log_timestamp ON enhanced_audit_log (timestamp);

-- Where the chain stands: its last row, and the last row that retention took from its start.
CREATE TABLE audit_chain (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    last_seq BIGINT NOT NULL,
    last_hash TEXT NOT NULL,
    anchor_seq BIGINT NOT NULL,
    anchor_hash TEXT NOT NULL
);
INSERT INTO audit_chain VALUES (1, 0,
    '0000000000000000000000000000000000000000000000000000000000000000', 0,
    '0000000000000000000000000000000000000000000000000000000000000000');
