-- Version 1 of the journal. A version is never edited once released: a change is the next file.
--
-- Times are text, UTC, nine digits of a second: readable in the sqlite3 shell, and they sort.

CREATE TABLE runs (
    id          TEXT PRIMARY KEY NOT NULL,
    runbook     TEXT NOT NULL,
    source_hash TEXT NOT NULL,
    target      TEXT,
    params      TEXT NOT NULL,
    mode        TEXT NOT NULL,
    parent      TEXT,
    user        TEXT NOT NULL,
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    pid_start   INTEGER NOT NULL,
    seen        TEXT NOT NULL,              -- the last sign of life of the process
    attempt     INTEGER NOT NULL DEFAULT 1, -- 2 after the first resume
    status      TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
    started     TEXT NOT NULL,
    finished    TEXT,
    error       TEXT,
    recap       TEXT,
    source      TEXT NOT NULL               -- last: a long text must not slow the list down
) STRICT;

CREATE INDEX runs_started ON runs (started);

CREATE TABLE steps (
    id          INTEGER PRIMARY KEY,        -- the order in which steps were first recorded
    run         TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    path        TEXT NOT NULL,
    occurrence  INTEGER NOT NULL,
    inputs      TEXT NOT NULL,
    body        TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'skipped')),
    attempt     INTEGER NOT NULL,
    started     TEXT NOT NULL,
    elapsed_us  INTEGER,
    result      TEXT,
    result_kept INTEGER NOT NULL DEFAULT 0,
    error       TEXT,
    restarted   TEXT,                       -- begun again after it had finished, and not finished since
    UNIQUE (run, path, occurrence, inputs)
) STRICT;

CREATE TABLE effects (
    row         INTEGER PRIMARY KEY,
    run         TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    id          INTEGER NOT NULL,
    step        TEXT,
    primitive   TEXT NOT NULL,
    effect      TEXT NOT NULL,
    args        TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    error       TEXT,
    started     TEXT NOT NULL,
    elapsed_us  INTEGER NOT NULL
) STRICT;

CREATE INDEX effects_run ON effects (run);

CREATE TABLE events (
    row         INTEGER PRIMARY KEY,
    run         TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    event       TEXT NOT NULL
) STRICT;

CREATE INDEX events_run ON events (run);

CREATE TABLE answers (
    run         TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (run, key)
) STRICT;

CREATE TABLE deferred (
    row         INTEGER PRIMARY KEY,
    run         TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    step        TEXT,
    action      TEXT NOT NULL,
    done        INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run, key)
) STRICT;

CREATE TABLE locks (
    name        TEXT PRIMARY KEY NOT NULL,
    run         TEXT,                       -- NULL: taken by hand, never expires
    person      TEXT NOT NULL,
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    pid_start   INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    since       TEXT NOT NULL,
    expires     TEXT
) STRICT;
