//! The crate as its users see it, against real gpg.

// Marked as tests, helpers and all, for the lints that spare tests.
#[cfg(test)]
mod amend;
#[cfg(test)]
mod encrypt;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod generate;
#[cfg(test)]
mod gpg;
#[cfg(test)]
mod receive;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod secret;
#[cfg(test)]
mod several;
#[cfg(test)]
mod support;
#[cfg(test)]
mod threshold;
#[cfg(test)]
mod trust_refresh;
#[cfg(test)]
mod trust_store;
#[cfg(test)]
mod trust_trees;
