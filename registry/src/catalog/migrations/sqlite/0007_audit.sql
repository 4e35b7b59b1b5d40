-- What was done, by whom, from where. Each record holds the hash of the one before it.
CREATE TABLE audit (
    sequence  INTEGER NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    address   TEXT,
    action    TEXT    NOT NULL,
    name      TEXT,
    image_id  TEXT,
    detail    TEXT,
    previous  TEXT    NOT NULL,
    hash      TEXT    NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'records of the audit log are not changed'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'records of the audit log are not removed'); END;

-- The last record: who appends locks this row, so that records come one after the other.
CREATE TABLE audit_head (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    hash     TEXT    NOT NULL
) STRICT;
INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, '');

-- An image that its author has withdrawn is not the newest any more.
ALTER TABLE images ADD COLUMN yanked INTEGER NOT NULL DEFAULT 0;

-- What the author last said of it, and the signature over exactly that.
CREATE TABLE yanks (
    image_id  TEXT    NOT NULL PRIMARY KEY REFERENCES images (image_id) ON DELETE CASCADE,
    statement TEXT    NOT NULL,
    signature TEXT    NOT NULL,
    issued_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tombstones_by_image ON tombstones (image_id);
