-- What came of an upload: the ID of the image that it published, or why a part of it was refused, as JSON.
ALTER TABLE uploads ADD COLUMN published TEXT;
ALTER TABLE uploads ADD COLUMN refused   TEXT;
