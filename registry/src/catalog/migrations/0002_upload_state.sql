-- What came of an upload of the appc push protocol, as JSON; nothing so far where it is absent.
ALTER TABLE uploads ADD COLUMN state TEXT;
