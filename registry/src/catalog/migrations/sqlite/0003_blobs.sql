-- What the blob store holds, or is about to. An image refers to its two blobs, so that none of them
-- can go while it is there.
CREATE TABLE blobs (
    blob_key     TEXT    NOT NULL PRIMARY KEY,
    bytes        INTEGER NOT NULL,
    -- It stays until then, whether or not an image refers to it.
    leased_until INTEGER NOT NULL,
    -- The push that leased it: its node, a dot, and the beginning of its upload's ID.
    leased_by    TEXT    NOT NULL
) STRICT;

CREATE INDEX blobs_by_lease ON blobs (leased_until);
CREATE INDEX blobs_by_holder ON blobs (leased_by);

INSERT INTO blobs (blob_key, bytes, leased_until, leased_by)
SELECT file_digest || '.aci', file_bytes, 0, '' FROM images;
INSERT INTO blobs (blob_key, bytes, leased_until, leased_by)
SELECT file_digest || '.' || substr(signature_digest, 8, 32) || '.aci.asc', signature_bytes, 0, ''
FROM images;

CREATE TABLE images_with_blobs (
    -- The order of pushes: two may fall into one second.
    sequence         INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id         TEXT    NOT NULL UNIQUE,
    name             TEXT    NOT NULL,
    version          TEXT,
    labels           TEXT    NOT NULL,
    labels_canonical TEXT    NOT NULL,
    extra_labels     TEXT    NOT NULL,
    manifest         BLOB    NOT NULL,
    compression      TEXT    NOT NULL,
    file_digest      TEXT    NOT NULL,
    file_bytes       INTEGER NOT NULL,
    tar_bytes        INTEGER NOT NULL,
    signature_digest TEXT    NOT NULL,
    signature_bytes  INTEGER NOT NULL,
    image_blob       TEXT    NOT NULL REFERENCES blobs (blob_key),
    signature_blob   TEXT    NOT NULL REFERENCES blobs (blob_key),
    signer           TEXT    NOT NULL,
    signing_key      TEXT    NOT NULL,
    signed_at        INTEGER NOT NULL,
    pushed_at        INTEGER NOT NULL,
    pushed_by        TEXT    NOT NULL,
    UNIQUE (name, labels_canonical)
) STRICT;

INSERT INTO images_with_blobs
SELECT sequence, image_id, name, version, labels, labels_canonical, extra_labels, manifest,
    compression, file_digest, file_bytes, tar_bytes, signature_digest, signature_bytes,
    file_digest || '.aci',
    file_digest || '.' || substr(signature_digest, 8, 32) || '.aci.asc',
    signer, signing_key, signed_at, pushed_at, pushed_by
FROM images ORDER BY sequence;

DROP TABLE images;
ALTER TABLE images_with_blobs RENAME TO images;
CREATE INDEX images_by_version ON images (name, version);
CREATE INDEX images_by_blob ON images (image_blob);
CREATE INDEX images_by_signature_blob ON images (signature_blob);

-- Names and labels that an image had once. They are never another one's.
CREATE TABLE tombstones (
    name             TEXT    NOT NULL,
    labels_canonical TEXT    NOT NULL,
    labels           TEXT    NOT NULL,
    image_id         TEXT    NOT NULL,
    deleted_at       INTEGER NOT NULL,
    deleted_by       TEXT    NOT NULL,
    PRIMARY KEY (name, labels_canonical)
) STRICT;

-- Uploads in the order in which they were opened.
CREATE TABLE uploads_in_order (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    upload_id  TEXT    NOT NULL UNIQUE,
    token_id   TEXT    NOT NULL REFERENCES tokens (token_id),
    signature  BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    published  TEXT,
    refused    TEXT
) STRICT;

INSERT INTO uploads_in_order (upload_id, token_id, signature, created_at, published, refused)
SELECT upload_id, token_id, signature, created_at, published, refused FROM uploads ORDER BY rowid;
DROP TABLE uploads;
ALTER TABLE uploads_in_order RENAME TO uploads;
CREATE INDEX uploads_by_token ON uploads (token_id, created_at);
