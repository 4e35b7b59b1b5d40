//! The client: resolve, fetch, verify, store, render, hand to a runtime; push.
