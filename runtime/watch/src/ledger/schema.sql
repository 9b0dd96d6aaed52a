-- The ledger of firings. The same text for SQLite and for Postgres: times are text, UTC, nine digits
-- of a second, so that they sort.

CREATE TABLE IF NOT EXISTS watch_fires (
    id          TEXT PRIMARY KEY NOT NULL,  -- UUIDv7: in the order in which they were recorded
    dedup       TEXT NOT NULL UNIQUE,       -- the same wherever and however often it is noticed
    trigger_key TEXT NOT NULL,
    runbook     TEXT NOT NULL,
    path        TEXT NOT NULL,
    source      TEXT NOT NULL,              -- which text of the runbook, in watch_sources
    cause       TEXT NOT NULL,
    payload     TEXT NOT NULL,
    params      TEXT NOT NULL,
    policy      TEXT NOT NULL,
    chain       TEXT NOT NULL,              -- the runbooks whose end led here, separated by spaces
    due         TEXT NOT NULL,
    fired       TEXT NOT NULL,
    not_before  TEXT NOT NULL,
    status      TEXT NOT NULL,
    attempt     BIGINT NOT NULL,
    run         TEXT,
    host        TEXT,
    pid         BIGINT,
    pid_start   BIGINT,
    started     TEXT,
    seen        TEXT,                       -- the last sign of life of its process
    finished    TEXT,
    error       TEXT,
    told        BIGINT NOT NULL             -- whether those who wait for its end were told
);

CREATE INDEX IF NOT EXISTS watch_fires_open ON watch_fires (id) WHERE status IN ('queued', 'starting', 'running');

CREATE INDEX IF NOT EXISTS watch_fires_ended ON watch_fires (runbook, finished);

CREATE INDEX IF NOT EXISTS watch_fires_untold ON watch_fires (id) WHERE told = 0;

CREATE TABLE IF NOT EXISTS watch_sources (
    hash        TEXT PRIMARY KEY NOT NULL,
    body        TEXT NOT NULL
);

-- Up to when the times of a schedule, or the events of an engine, are accounted for.
CREATE TABLE IF NOT EXISTS watch_cursors (
    trigger_key TEXT PRIMARY KEY NOT NULL,
    upto        TEXT NOT NULL
);

-- The files of a trigger as its last firing saw them.
CREATE TABLE IF NOT EXISTS watch_files (
    trigger_key TEXT NOT NULL,
    path        TEXT NOT NULL,
    stamp       TEXT NOT NULL,
    PRIMARY KEY (trigger_key, path)
);

-- Triggers that were stopped because they fired too often.
CREATE TABLE IF NOT EXISTS watch_stopped (
    trigger_key TEXT PRIMARY KEY NOT NULL,
    runbook     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    since       TEXT NOT NULL
);

-- How the last run of a runbook ended.
CREATE TABLE IF NOT EXISTS watch_last (
    runbook     TEXT PRIMARY KEY NOT NULL,
    failing     BIGINT NOT NULL,
    success     TEXT
);
