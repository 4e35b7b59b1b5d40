-- Who may do what.

-- Several prefixes, between commas.
ALTER TABLE tokens RENAME COLUMN prefix TO prefixes;
-- What it is called, in its maker's words.
ALTER TABLE tokens ADD COLUMN token_name TEXT NOT NULL DEFAULT '';
-- The secret it had before, and until when that is good.
ALTER TABLE tokens ADD COLUMN old_hash TEXT;
ALTER TABLE tokens ADD COLUMN old_until INTEGER;
CREATE UNIQUE INDEX tokens_by_old_hash ON tokens (old_hash);

CREATE TABLE users (
    user_name     TEXT    NOT NULL PRIMARY KEY,
    -- Argon2id, in the PHC string format.
    password_hash TEXT    NOT NULL,
    prefixes      TEXT    NOT NULL,
    actions       TEXT    NOT NULL,
    -- Another one with each change.
    revision      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL
) STRICT;

-- What is so for names at and under a prefix, where no longer prefix says otherwise.
CREATE TABLE policies (
    prefix     TEXT    NOT NULL PRIMARY KEY,
    -- 'public' or 'token'; NULL: as the prefix above has it.
    read       TEXT,
    -- 'never' or 'allowed'; NULL: as the prefix above has it.
    overwrite  TEXT,
    changed_at INTEGER NOT NULL
) STRICT;

-- Jobs whose identity an issuer vouches for.
CREATE TABLE oidc_rules (
    rule_id    TEXT    NOT NULL PRIMARY KEY,
    issuer     TEXT    NOT NULL,
    audience   TEXT    NOT NULL,
    -- Names of claims and the values they must have, as a JSON object.
    claims     TEXT    NOT NULL,
    prefixes   TEXT    NOT NULL,
    actions    TEXT    NOT NULL,
    -- Another one with each change.
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX oidc_rules_by_issuer ON oidc_rules (issuer);

-- Failures to show who one is, of a client's address or in a user's name.
CREATE TABLE failures (
    subject TEXT    NOT NULL PRIMARY KEY,
    count   INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT;

CREATE INDEX failures_by_time ON failures (last_at);

-- An upload is its caller's: a token's, a user's or a job's.
ALTER TABLE uploads ADD COLUMN caller TEXT NOT NULL DEFAULT '';
UPDATE uploads SET caller = 'token:' || token_id;
DROP INDEX uploads_by_token;
DROP INDEX uploads_by_file;
ALTER TABLE uploads DROP COLUMN token_id;
CREATE INDEX uploads_by_caller ON uploads (caller, created_at);
CREATE INDEX uploads_by_file ON uploads (caller, file_digest);
UPDATE images SET pushed_by = 'token:' || pushed_by WHERE pushed_by NOT LIKE '%:%';
