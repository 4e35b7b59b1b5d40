-- What is looked up is found without reading all that there is.

-- The names that have images, and what these come to. Triggers keep it.
CREATE TABLE names (
    name      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    images    BIGINT NOT NULL,
    -- Of images and signatures.
    bytes     BIGINT NOT NULL,
    -- When the last of the images that are there was pushed.
    pushed_at BIGINT NOT NULL
);

INSERT INTO names (name, images, bytes, pushed_at)
SELECT name, COUNT(*), SUM(file_bytes + signature_bytes), MAX(pushed_at) FROM images GROUP BY name;

CREATE INDEX images_by_push ON images (name, pushed_at);

CREATE FUNCTION image_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO names (name, images, bytes, pushed_at)
        VALUES (NEW.name, 1, NEW.file_bytes + NEW.signature_bytes, NEW.pushed_at)
        ON CONFLICT (name) DO UPDATE SET images = names.images + 1,
            bytes = names.bytes + excluded.bytes,
            pushed_at = GREATEST(names.pushed_at, excluded.pushed_at);
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE names SET bytes = bytes + NEW.file_bytes + NEW.signature_bytes
            - OLD.file_bytes - OLD.signature_bytes
        WHERE name = NEW.name;
    ELSE
        UPDATE names SET images = images - 1, bytes = bytes - OLD.file_bytes - OLD.signature_bytes,
            pushed_at = COALESCE((SELECT MAX(i.pushed_at) FROM images AS i WHERE i.name = OLD.name), 0)
        WHERE name = OLD.name;
        DELETE FROM names WHERE name = OLD.name AND images = 0;
    END IF;
    RETURN NULL;
END $$;

-- At the end of a transaction, when it has the lock of the audit log's head: two that each have a name
-- locked, and wait for the other's, would wait for ever.
CREATE CONSTRAINT TRIGGER image_counts AFTER INSERT OR DELETE ON images
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION image_counts();
CREATE CONSTRAINT TRIGGER image_counts_otherwise
AFTER UPDATE OF file_bytes, signature_bytes ON images
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION image_counts();

-- A text in the order of versions, and a digest of the labels beyond the version. The program that
-- opens the database fills both in for images that were there before; they are never empty.
ALTER TABLE images ADD COLUMN version_order TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE images ADD COLUMN variant       TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX images_without_order ON images (sequence) WHERE version_order = '';
CREATE INDEX images_by_order ON images (name, version_order, sequence);
CREATE INDEX images_by_variant ON images (name, variant, yanked, version_order, sequence);
CREATE INDEX images_by_extra_labels ON images (name, extra_labels) WHERE extra_labels <> '';
