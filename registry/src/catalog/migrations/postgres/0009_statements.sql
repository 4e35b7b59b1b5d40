-- What an author said of an image is not forgotten when the image goes: it may come again.
ALTER TABLE yanks DROP CONSTRAINT yanks_image_id_fkey;

-- When something was last done under a name: what a reference means may have changed then.
CREATE INDEX audit_by_name ON audit (name, at);
