//! The cases that break unpackers, each with what is expected here: `docs/corpus-reading.md`
//! is the table, and one test counts it.

// Marked as tests, helpers and all, for the lints that spare tests.
#[cfg(test)]
mod compression;
#[cfg(test)]
#[cfg(test)]
mod ends;
#[cfg(test)]
mod extended;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod links;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod support;
#[cfg(test)]
mod target;
