-- What the client said of the image file.
ALTER TABLE uploads ADD COLUMN file_bytes  BIGINT;
ALTER TABLE uploads ADD COLUMN file_digest TEXT;
-- When it was opened, or when a part of it came last: it ends some time after that.
ALTER TABLE uploads ADD COLUMN moved_at    BIGINT NOT NULL DEFAULT 0;
-- Until when its parts are leased.
ALTER TABLE uploads ADD COLUMN parts_until BIGINT NOT NULL DEFAULT 0;
UPDATE uploads SET moved_at = created_at;
CREATE INDEX uploads_by_file ON uploads (token_id, file_digest);
CREATE INDEX uploads_by_movement ON uploads (moved_at);

-- What has come of image files: from the first byte up to the end, each in a blob of its own.
CREATE TABLE upload_parts (
    upload_id  TEXT   NOT NULL REFERENCES uploads (upload_id) ON DELETE CASCADE,
    first_byte BIGINT NOT NULL,
    end_byte   BIGINT NOT NULL,
    -- A part whose blob is gone is none.
    blob_key   TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES blobs (blob_key) ON DELETE CASCADE,
    PRIMARY KEY (upload_id, first_byte, end_byte)
);
