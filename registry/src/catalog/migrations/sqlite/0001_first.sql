-- Times are seconds since 1970 in UTC. Digests and image IDs carry their algorithm.

CREATE TABLE images (
    -- The order of pushes: two may fall into one second.
    sequence         INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id         TEXT    NOT NULL UNIQUE,
    name             TEXT    NOT NULL,
    -- The value of the label "version", where there is one.
    version          TEXT,
    -- The labels as JSON, in the author's order.
    labels           TEXT    NOT NULL,
    -- One text for one set of labels.
    labels_canonical TEXT    NOT NULL,
    -- The label names beyond version, os and arch: sorted, between commas.
    extra_labels     TEXT    NOT NULL,
    -- The manifest's bytes, as they stand in the image.
    manifest         BLOB    NOT NULL,
    compression      TEXT    NOT NULL,
    file_digest      TEXT    NOT NULL,
    file_bytes       INTEGER NOT NULL,
    tar_bytes        INTEGER NOT NULL,
    signature_digest TEXT    NOT NULL,
    signature_bytes  INTEGER NOT NULL,
    -- Fingerprints of the primary key, and of the key that made the signature.
    signer           TEXT    NOT NULL,
    signing_key      TEXT    NOT NULL,
    signed_at        INTEGER NOT NULL,
    pushed_at        INTEGER NOT NULL,
    pushed_by        TEXT    NOT NULL,
    UNIQUE (name, labels_canonical)
) STRICT;

CREATE INDEX images_by_version ON images (name, version);

CREATE TABLE tokens (
    token_id     TEXT    NOT NULL PRIMARY KEY,
    -- SHA-256 of the token; the token itself is nowhere.
    token_hash   TEXT    NOT NULL UNIQUE,
    prefix       TEXT    NOT NULL,
    -- What it allows, between commas.
    actions      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

CREATE TABLE uploads (
    upload_id  TEXT    NOT NULL PRIMARY KEY,
    token_id   TEXT    NOT NULL REFERENCES tokens (token_id),
    signature  BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX uploads_by_token ON uploads (token_id, created_at);
