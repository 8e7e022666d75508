-- The newest sample of each part of a bank that answers over the network; `since` is when the first of those was
-- taken that came to the same without a break, `reason` is empty where the part was reached. Times as in 0001.

CREATE TABLE reach (
    namespace TEXT NOT NULL,
    bank TEXT NOT NULL,
    part TEXT NOT NULL,
    timestamp BIGINT NOT NULL,
    since BIGINT NOT NULL,
    milliseconds BIGINT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (namespace, bank, part)
);
