-- What the schedules, the conditions and later runs need. Times as in 0001.

CREATE TABLE runs (
    uid TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    spec TEXT NOT NULL,
    phase TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    created BIGINT NOT NULL,
    started BIGINT,
    finished BIGINT,
    report_digest TEXT,
    UNIQUE (namespace, name)
);
CREATE INDEX runs_bank ON runs (namespace, bank, created);
CREATE INDEX runs_finished ON runs (finished) WHERE finished IS NOT NULL;
CREATE INDEX runs_unfinished ON runs (created) WHERE finished IS NULL;

-- A report that is here is never taken again: delivery is idempotent by uid.
CREATE TABLE reports (
    uid TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    finished BIGINT NOT NULL,
    digest TEXT NOT NULL
);
CREATE INDEX reports_bank ON reports (namespace, bank, kind, finished);
CREATE INDEX reports_finished ON reports (finished);
CREATE INDEX reports_digest ON reports (digest);

CREATE TABLE measurements (
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    task TEXT NOT NULL,
    level TEXT NOT NULL,
    scope TEXT NOT NULL,
    outcome TEXT NOT NULL,
    message TEXT NOT NULL,
    finished BIGINT NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (namespace, bank, task, level, scope)
);

-- When each check last came to a verdict: a report that comes late changes nothing that a newer one judged.
CREATE TABLE judged (
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    check_id TEXT NOT NULL,
    component TEXT NOT NULL,
    finished BIGINT NOT NULL,
    PRIMARY KEY (namespace, bank, check_id, component)
);

CREATE TABLE corruption_totals (
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    corruption_type TEXT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (namespace, bank, corruption_type)
);

CREATE TABLE latest_samples (
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    metric TEXT NOT NULL,
    timestamp BIGINT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (namespace, bank, metric)
);

CREATE TABLE objects (
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (kind, namespace, name)
);

-- `bytes` before compression, `packed_bytes` after it; `touched` is when the content was last put or last referred to.
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    bytes BIGINT NOT NULL,
    packed_bytes BIGINT NOT NULL,
    touched BIGINT NOT NULL
);
CREATE INDEX blobs_touched ON blobs (touched);

CREATE TABLE outputs (
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    finished BIGINT NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (namespace, bank, name)
);
CREATE INDEX outputs_digest ON outputs (digest);

CREATE TABLE fingerprint_keys (
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    secret TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (namespace, bank)
);
