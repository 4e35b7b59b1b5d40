//! Where this key store means to differ from rkt's, and why.

use super::{Case, Outcome};

const SEGMENTS: &str = "a prefix covers whole segments of a name, never a part of one";
const EXPIRED: &str = "a key that had expired when it signed is refused";
const ANY: &str = "one good signature of several is enough, whatever place it has in the file";
const BAD_FILE: &str = "a file that is no key is passed over, and does not disable the others";
const MASKED: &str = "a key whose trust was taken away is not there";
const DOTS: &str = "no segment of a name is made of dots alone: names are paths and URLs";

/// Id of the case, what differs.
const DIFFERENCES: &[(&str, &str)] = &[
    ("rkt_keystore/check-probe/5", SEGMENTS),
    ("rkt_keystore/check-probe/20", BAD_FILE),
    ("rkt_keystore/check-probe/27", EXPIRED),
    ("rkt_keystore/check-probe/32", ANY),
    ("rkt_keystore/check-probe/35", DOTS),
    ("rkt_keystore/prefix-exists/7", MASKED),
];

/// Why our answer to a case may differ, where it may.
pub(super) fn reason(case: &Case, _got: &Outcome) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(id, _)| case.id == *id).map(|(_, reason)| *reason)
}
