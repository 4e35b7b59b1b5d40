-- Work that one node at a time does, and what holds up the removal of blobs meanwhile.
CREATE TABLE leases (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    held_until BIGINT NOT NULL
);

-- What holds for every node at once.
CREATE TABLE settings (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value  TEXT   NOT NULL,
    set_at BIGINT NOT NULL
);

-- When a blob was last read and compared with its key, in microseconds, so that what was checked in this
-- second is told from what is still to be checked; 0 for never.
ALTER TABLE blobs ADD COLUMN checked_at BIGINT NOT NULL DEFAULT 0;
-- Since when it is known to be lost or damaged. A push of the same image brings it back.
ALTER TABLE blobs ADD COLUMN damaged_at BIGINT;
CREATE INDEX blobs_by_check ON blobs (checked_at);
CREATE INDEX blobs_by_damage ON blobs (damaged_at) WHERE damaged_at IS NOT NULL;
