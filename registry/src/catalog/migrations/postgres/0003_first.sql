-- As SQLite has it after its first three migrations. Times are seconds since 1970 in UTC; digests and
-- image IDs carry their algorithm. Texts that are compared by order are so by their bytes.

CREATE TABLE tokens (
    token_id     TEXT   NOT NULL PRIMARY KEY,
    -- SHA-256 of the token; the token itself is nowhere.
    token_hash   TEXT   NOT NULL UNIQUE,
    prefix       TEXT   NOT NULL,
    -- What it allows, between commas.
    actions      TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

-- What the blob store holds, or is about to. An image refers to its two blobs, so that none of them
-- can go while it is there.
CREATE TABLE blobs (
    blob_key     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    bytes        BIGINT NOT NULL,
    -- It stays until then, whether or not an image refers to it.
    leased_until BIGINT NOT NULL,
    -- The push that leased it: its node, a dot, and the beginning of its upload's ID.
    leased_by    TEXT COLLATE "C" NOT NULL
);

CREATE INDEX blobs_by_lease ON blobs (leased_until);
CREATE INDEX blobs_by_holder ON blobs (leased_by);

CREATE TABLE images (
    -- The order of pushes: two may fall into one second.
    sequence         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    image_id         TEXT COLLATE "C" NOT NULL UNIQUE,
    name             TEXT COLLATE "C" NOT NULL,
    -- The value of the label "version", where there is one.
    version          TEXT,
    -- The labels as JSON, in the author's order.
    labels           TEXT   NOT NULL,
    -- One text for one set of labels.
    labels_canonical TEXT   NOT NULL,
    -- The label names beyond version, os and arch: sorted, between commas.
    extra_labels     TEXT COLLATE "C" NOT NULL,
    -- The manifest's bytes, as they stand in the image.
    manifest         BYTEA  NOT NULL,
    compression      TEXT   NOT NULL,
    file_digest      TEXT   NOT NULL,
    file_bytes       BIGINT NOT NULL,
    tar_bytes        BIGINT NOT NULL,
    signature_digest TEXT   NOT NULL,
    signature_bytes  BIGINT NOT NULL,
    image_blob       TEXT COLLATE "C" NOT NULL REFERENCES blobs (blob_key),
    signature_blob   TEXT COLLATE "C" NOT NULL REFERENCES blobs (blob_key),
    -- Fingerprints of the primary key, and of the key that made the signature.
    signer           TEXT   NOT NULL,
    signing_key      TEXT   NOT NULL,
    signed_at        BIGINT NOT NULL,
    pushed_at        BIGINT NOT NULL,
    pushed_by        TEXT   NOT NULL,
    UNIQUE (name, labels_canonical)
);

CREATE INDEX images_by_version ON images (name, version);
CREATE INDEX images_by_blob ON images (image_blob);
CREATE INDEX images_by_signature_blob ON images (signature_blob);

-- Names and labels that an image had once. They are never another one's.
CREATE TABLE tombstones (
    name             TEXT COLLATE "C" NOT NULL,
    labels_canonical TEXT   NOT NULL,
    labels           TEXT   NOT NULL,
    image_id         TEXT   NOT NULL,
    deleted_at       BIGINT NOT NULL,
    deleted_by       TEXT   NOT NULL,
    PRIMARY KEY (name, labels_canonical)
);

CREATE TABLE uploads (
    -- The order in which they were opened.
    sequence   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    upload_id  TEXT   NOT NULL UNIQUE,
    token_id   TEXT   NOT NULL REFERENCES tokens (token_id),
    signature  BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    -- The ID of the image that it published, or why a part of it was refused, as JSON.
    published  TEXT,
    refused    TEXT
);

CREATE INDEX uploads_by_token ON uploads (token_id, created_at);
