-- What is looked up is found without reading all that there is.

-- The names that have images, and what these come to. Triggers keep it.
CREATE TABLE names (
    name      TEXT    NOT NULL PRIMARY KEY,
    images    INTEGER NOT NULL,
    -- Of images and signatures.
    bytes     INTEGER NOT NULL,
    -- When the last of the images that are there was pushed.
    pushed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO names (name, images, bytes, pushed_at)
SELECT name, COUNT(*), SUM(file_bytes + signature_bytes), MAX(pushed_at) FROM images GROUP BY name;

CREATE INDEX images_by_push ON images (name, pushed_at);

CREATE TRIGGER image_counts AFTER INSERT ON images BEGIN
    INSERT INTO names (name, images, bytes, pushed_at)
    VALUES (NEW.name, 1, NEW.file_bytes + NEW.signature_bytes, NEW.pushed_at)
    ON CONFLICT (name) DO UPDATE SET images = images + 1, bytes = bytes + excluded.bytes,
        pushed_at = MAX(pushed_at, excluded.pushed_at);
END;
CREATE TRIGGER image_counts_otherwise AFTER UPDATE OF file_bytes, signature_bytes ON images BEGIN
    UPDATE names SET bytes = bytes + NEW.file_bytes + NEW.signature_bytes
        - OLD.file_bytes - OLD.signature_bytes
    WHERE name = NEW.name;
END;
CREATE TRIGGER image_counts_no_more AFTER DELETE ON images BEGIN
    UPDATE names SET images = images - 1, bytes = bytes - OLD.file_bytes - OLD.signature_bytes,
        pushed_at = COALESCE((SELECT MAX(pushed_at) FROM images WHERE name = OLD.name), 0)
    WHERE name = OLD.name;
    DELETE FROM names WHERE name = OLD.name AND images = 0;
END;

-- A text in the order of versions, and a digest of the labels beyond the version. The program that
-- opens the database fills both in for images that were there before; they are never empty.
ALTER TABLE images ADD COLUMN version_order TEXT NOT NULL DEFAULT '';
ALTER TABLE images ADD COLUMN variant       TEXT NOT NULL DEFAULT '';
CREATE INDEX images_without_order ON images (sequence) WHERE version_order = '';
CREATE INDEX images_by_order ON images (name, version_order, sequence);
CREATE INDEX images_by_variant ON images (name, variant, yanked, version_order, sequence);
CREATE INDEX images_by_extra_labels ON images (name, extra_labels) WHERE extra_labels <> '';
