-- What was done, by whom, from where. Each record holds the hash of the one before it.
CREATE TABLE audit (
    sequence  BIGINT NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL,
    actor     TEXT   NOT NULL,
    address   TEXT,
    action    TEXT   NOT NULL,
    name      TEXT,
    image_id  TEXT,
    detail    TEXT,
    previous  TEXT   NOT NULL,
    hash      TEXT   NOT NULL
);

CREATE FUNCTION audit_is_not_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'records of the audit log are neither changed nor removed'; END $$;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE OR DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_is_not_changed();

-- The last record: who appends locks this row, so that records come one after the other.
CREATE TABLE audit_head (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash     TEXT   NOT NULL
);
INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, '');

-- An image that its author has withdrawn is not the newest any more.
ALTER TABLE images ADD COLUMN yanked BIGINT NOT NULL DEFAULT 0;

-- What the author last said of it, and the signature over exactly that.
CREATE TABLE yanks (
    image_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES images (image_id) ON DELETE CASCADE,
    statement TEXT   NOT NULL,
    signature TEXT   NOT NULL,
    issued_at BIGINT NOT NULL
);

CREATE INDEX tombstones_by_image ON tombstones (image_id);
