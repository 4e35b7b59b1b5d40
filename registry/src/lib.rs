//! The server: ingest, catalogue, blobs, API.
