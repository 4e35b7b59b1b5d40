-- What an author said of an image is not forgotten when the image goes: it may come again.
CREATE TABLE statements (
    image_id  TEXT    NOT NULL PRIMARY KEY,
    statement TEXT    NOT NULL,
    signature TEXT    NOT NULL,
    issued_at INTEGER NOT NULL
) STRICT;
INSERT INTO statements (image_id, statement, signature, issued_at)
SELECT image_id, statement, signature, issued_at FROM yanks;
DROP TABLE yanks;
ALTER TABLE statements RENAME TO yanks;

-- When something was last done under a name: what a reference means may have changed then.
CREATE INDEX audit_by_name ON audit (name, at);
