//! Where `gantry` means to do otherwise than rkt, and why.

use super::{Case, Outcome};

/// Scenario, reason.
const DIFFERENCES: &[(&str, &str)] = &[];

/// Why a scenario may end otherwise, where it may.
pub(super) fn reason(case: &Case, _got: &Outcome) -> Option<&'static str> {
    let name = case.id.strip_prefix("rkt_cli/")?;
    DIFFERENCES.iter().find(|(id, _)| *id == name).map(|(_, reason)| *reason)
}
