//! File capabilities from their text form, as the attribute that the kernel reads.

use rustix::thread::CapabilitySet;

/// The attribute's name.
pub(crate) const NAME: &[u8] = b"security.capability";

/// Bytes of its value where it names no root user.
pub(crate) const VERSION_2_BYTES: usize = 20;

/// `vfs_cap_data` of linux/capability.h: a revision in the highest byte, a flag in the lowest.
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const EFFECTIVE: u32 = 1;

/// A text that names no file capabilities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// A clause without an operator.
    #[error("{0:?} has none of =, + and -: write cap_net_bind_service+ep")]
    Operator(String),
    /// A clause with a `=` after another operator, or with `+` or `-` and no name.
    #[error("{0:?} is no clause: write NAMES=SETS or NAMES+SETS, then more with + and -")]
    Clause(String),
    /// A name the kernel does not know.
    #[error("{0:?} is no capability (see capabilities(7))")]
    Name(String),
    /// A letter that is no set.
    #[error("{0:?} is not one of e, i and p: effective, inheritable, permitted")]
    Set(char),
    /// Nothing is given.
    #[error("{0:?} gives no capability")]
    Nothing(String),
    /// Some capabilities effective and some not.
    #[error("{0:?} has some capabilities effective and some not: a file has one such flag for all")]
    Effective(String),
    /// A root user that is no number.
    #[error("{0:?} is no user ID: write [rootid=1000]")]
    Root(String),
}

/// The attribute's value for a text as getcap prints it: `cap_net_raw,cap_net_admin=ep`, several
/// such clauses with blanks between, `[rootid=1000]` at the end for a root user of its own.
pub fn parse(text: &str) -> Result<Vec<u8>, CapabilityError> {
    let (mut permitted, mut inheritable, mut effective) = (0_u64, 0_u64, 0_u64);
    let mut root = None;
    for clause in text.split_whitespace() {
        if let Some(id) = clause.strip_prefix("[rootid=") {
            let id = id.strip_suffix(']').and_then(|id| id.parse::<u32>().ok());
            root = Some(id.ok_or_else(|| CapabilityError::Root(clause.to_owned()))?);
            continue;
        }
        let operator = clause
            .find(['=', '+', '-'])
            .ok_or_else(|| CapabilityError::Operator(clause.to_owned()))?;
        let (names, actions) = clause.split_at(operator);
        // As cap_from_text(3): no names mean all of them only to a leading "=", which is the
        // only place of one.
        let leads = actions.starts_with('=');
        if (names.is_empty() && !leads) || actions[1..].contains('=') {
            return Err(CapabilityError::Clause(clause.to_owned()));
        }
        let named = names_to_bits(names)?;
        // Each operator holds for the letters up to the next one.
        let mut adds = true;
        for letter in actions.chars() {
            let set = match letter {
                '=' => {
                    for set in [&mut effective, &mut inheritable, &mut permitted] {
                        *set &= !named;
                    }
                    adds = true;
                    continue;
                }
                '+' | '-' => {
                    adds = letter == '+';
                    continue;
                }
                'e' => &mut effective,
                'i' => &mut inheritable,
                'p' => &mut permitted,
                other => return Err(CapabilityError::Set(other)),
            };
            *set = if adds { *set | named } else { *set & !named };
        }
    }
    let given = permitted | inheritable;
    if given == 0 {
        return Err(CapabilityError::Nothing(text.to_owned()));
    }
    if effective != 0 && effective & given != given {
        return Err(CapabilityError::Effective(text.to_owned()));
    }
    // A root user of 0 says the same as none: see `attributes::as_version_2`.
    let root = root.filter(|&id| id != 0);
    let revision = if root.is_some() { REVISION_3 } else { REVISION_2 };
    let flag = if effective == 0 { 0 } else { EFFECTIVE };
    let halves = |set: u64| [(set & u64::from(u32::MAX)) as u32, (set >> 32) as u32];
    let ([low_p, high_p], [low_i, high_i]) = (halves(permitted), halves(inheritable));
    let words = [revision | flag, low_p, low_i, high_p, high_i];
    Ok(words.into_iter().chain(root).flat_map(u32::to_le_bytes).collect())
}

fn names_to_bits(names: &str) -> Result<u64, CapabilityError> {
    if names.is_empty() || names.eq_ignore_ascii_case("all") {
        return Ok((CapabilitySet::CHECKPOINT_RESTORE.bits() << 1) - 1);
    }
    names.split(',').try_fold(0, |bits, name| {
        let upper = name.to_ascii_uppercase();
        let known = upper.strip_prefix("CAP_").and_then(CapabilitySet::from_name);
        known.map(|known| bits | known.bits()).ok_or_else(|| CapabilityError::Name(name.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_text_becomes_the_kernels_bytes() {
        let bytes = parse("cap_net_bind_service+ep").unwrap();
        assert_eq!(bytes, [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let above_31 = parse("cap_bpf=p").unwrap();
        assert_eq!(above_31[12..16], 128_u32.to_le_bytes(), "capability 39");
        assert_eq!(above_31[0], 0, "not effective");
        let inherited = parse("CAP_CHOWN=i").unwrap();
        assert_eq!((inherited[4], inherited[8]), (0, 1));
    }

    #[test]
    fn capability_with_a_root_user_is_of_version_3() {
        let bytes = parse("cap_chown=ep [rootid=100000]").unwrap();
        assert_eq!((bytes.len(), bytes[3]), (24, 3));
        assert_eq!(bytes[20..], 100_000_u32.to_le_bytes());
        assert_eq!(parse("cap_chown=ep [rootid=0]"), parse("cap_chown=ep"));
    }

    #[test]
    fn capability_clauses_add_and_take_away() {
        assert_eq!(parse("all=p cap_chown-p"), parse("=p cap_chown-p"));
        assert_eq!(parse("cap_chown=p cap_kill+p"), parse("cap_kill,cap_chown=p"));
        assert_eq!(parse("cap_chown,cap_kill=p cap_kill="), parse("cap_chown=p"));
        assert_eq!(parse("cap_chown=ep+i"), parse("cap_chown=eip"));
        assert_eq!(parse("cap_chown+eip-e"), parse("cap_chown=ip"));
        assert_eq!(parse("cap_chown=ip-i+e"), parse("cap_chown=ep"));
    }

    #[test]
    fn capability_text_that_says_nothing_is_refused() {
        for (text, wanted) in [
            ("cap_chown", CapabilityError::Operator("cap_chown".into())),
            ("+ep", CapabilityError::Clause("+ep".into())),
            ("cap_chown=e+p=i", CapabilityError::Clause("cap_chown=e+p=i".into())),
            ("cap_fly=p", CapabilityError::Name("cap_fly".into())),
            ("chown=p", CapabilityError::Name("chown".into())),
            ("cap_chown=px", CapabilityError::Set('x')),
            ("cap_chown=", CapabilityError::Nothing("cap_chown=".into())),
            ("", CapabilityError::Nothing(String::new())),
            ("cap_chown=e", CapabilityError::Nothing("cap_chown=e".into())),
            (
                "cap_chown=ep cap_kill=p",
                CapabilityError::Effective("cap_chown=ep cap_kill=p".into()),
            ),
            ("cap_chown=p [rootid=x]", CapabilityError::Root("[rootid=x]".into())),
        ] {
            assert_eq!(parse(text), Err(wanted), "{text}");
        }
    }
}
